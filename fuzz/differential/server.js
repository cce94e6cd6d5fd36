'use strict';

// A thread with a server that knows nothing of HTTP's responses: it says which requests have come, each named
// by its path, and writes on their connections what it is told to.

const net = require('node:net');
const { parentPort } = require('node:worker_threads');

/** Sockets by the last request on them. */
const sockets = new Map();

const servers = new Map();

function serve(socket) {
  let read = '';
  let id;
  socket.on('error', () => {});
  socket.on('data', (bytes) => {
    read += bytes.toString('latin1');
    const head = read.indexOf('\r\n\r\n');
    if (head < 0) return;
    const length = Number(/content-length: *(\d+)/i.exec(read.slice(0, head))?.[1] ?? 0);
    if (read.length < head + 4 + length) return;
    sockets.delete(id);
    [, id] = /^\S+ \/(\S*)/.exec(read);
    read = read.slice(head + 4 + length);
    sockets.set(id, socket);
    parentPort.postMessage({ id, what: 'request' });
  });
  socket.on('close', () => sockets.delete(id));
}

parentPort.on('message', ({ id, listen, close, bytes, tell, end }) => {
  if (listen) {
    const server = net.createServer({ noDelay: true }, serve);
    servers.set(id, server);
    server.listen(0, '127.0.0.1', () =>
      parentPort.postMessage({ id, what: 'listening', value: server.address().port }),
    );
    return;
  }
  if (close) {
    servers.get(id).close();
    servers.delete(id);
    return;
  }
  const socket = sockets.get(id);
  const written = tell && (() => parentPort.postMessage({ id, what: 'written' }));
  if (socket === undefined || socket.destroyed) written?.();
  else if (bytes !== undefined) socket.write(Buffer.from(bytes, 'latin1'), written);
  else if (end === 'reset') socket.resetAndDestroy();
  else socket.end();
});
