'use strict';

// A server that tells what it was asked. It never closes an idle connection by itself, and sends no
// Keep-Alive hint, unless a test says so.

const { once } = require('node:events');
const http = require('node:http');
const https = require('node:https');

/** Answers with the request as JSON. */
function echo(request, response) {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    const { method, url, headers } = request;
    const body = Buffer.concat(parts).toString();
    response.end(JSON.stringify({ method, url, headers, body, port: request.socket.remotePort }));
  });
}

/**
 * Starts a server that ends with the test `t`, and adds to it: `open`, its connections now; `accepted`,
 * how many there were; `most`, how many there were at once; `at`, the host and port to ask.
 */
async function echoServer(t, { listener = echo, where, ...options } = {}) {
  const secure = options.cert !== undefined;
  const server = (secure ? https : http).createServer({ keepAliveTimeout: 0, ...options }, listener);
  const open = new Set();
  Object.assign(server, { open, accepted: 0, most: 0 });
  server.on('connection', (socket) => {
    server.accepted++;
    open.add(socket);
    server.most = Math.max(server.most, open.size);
    socket.on('error', () => {});
    socket.on('close', () => {
      open.delete(socket);
      server.emit('gone', socket);
    });
  });
  t.after(() => {
    server.close();
    for (const socket of open) socket.destroy();
  });
  server.listen(where ?? { port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  server.at = { host: '127.0.0.1', port: server.address().port };
  return server;
}

/** A listener that keeps the responses back until `release()`; `waiting` resolves at the n-th request. */
function holding() {
  const held = [];
  const seen = [];
  let arrived = () => {};
  const listener = (request, response) => {
    seen.push(request.url);
    held.push(response);
    request.resume();
    arrived();
  };
  return {
    listener,
    seen,
    reset: () => {
      seen.length = 0;
      held.length = 0;
    },
    release: (count = held.length) => {
      for (const response of held.splice(0, count)) response.end('released');
    },
    waiting: (count) =>
      new Promise((resolve) => {
        arrived = () => seen.length >= count && resolve();
        arrived();
      }),
  };
}

module.exports = { echo, echoServer, holding };
