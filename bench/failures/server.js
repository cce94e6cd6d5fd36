'use strict';

// The process of the server. For each row and candidate it listens on a port of its own: nothing that a pool
// has learned of a server is carried over, and each has a log of its own.
//
// The idle limit is kept here rather than by `keepAliveTimeout`, which would announce itself in a header, and to
// which newer versions of Node add a second.

const http = require('node:http');

const { answer } = require('../child');
const { IDLE_LIMIT } = require('./settings');

const BACKLOG = 511;
const listeners = new Map();

answer({
  /** @returns {Promise<number>} the port */
  listen() {
    const log = { connections: 0, processed: {} };
    const server = http.createServer({ keepAliveTimeout: 0 });
    server.on('connection', () => {
      log.connections++;
    });
    server.on('request', (req, res) => serve(req, res, log));
    return new Promise((resolve, reject) => {
      server.on('error', reject);
      server.listen(0, '127.0.0.1', BACKLOG, () => {
        const { port } = server.address();
        listeners.set(port, { server, log });
        resolve(port);
      });
    });
  },

  /** @returns {Promise<{ connections: number, processed: Record<string, number> }>} how often which id was processed */
  async close(port) {
    const { server, log } = listeners.get(port);
    listeners.delete(port);
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
    return log;
  },
});

const idleTimers = new WeakMap();

async function serve(req, res, log) {
  const { socket } = req;
  clearTimeout(idleTimers.get(socket));
  let body = '';
  try {
    for await (const chunk of req.setEncoding('utf8')) body += chunk;
  } catch {
    return; // the client is gone before its request was read whole, which is no processing
  }
  const id =
    req.method === 'GET'
      ? Number(new URL(req.url, 'http://localhost').searchParams.get('id'))
      : JSON.parse(body).id;
  log.processed[id] = (log.processed[id] ?? 0) + 1;
  res.on('finish', () => {
    idleTimers.set(
      socket,
      setTimeout(() => socket.destroy(), IDLE_LIMIT),
    );
  });
  res.setHeader('Content-Type', 'application/json');
  res.end(JSON.stringify({ jsonrpc: '2.0', id, result: 'pong' }));
}
