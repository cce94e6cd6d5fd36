'use strict';

// A thread with a server that knows nothing of HTTP's responses: it says which requests have come, each named
// by its path, and writes on their connections what it is told to.

const net = require('node:net');
const { setTimeout } = require('node:timers/promises');
const { parentPort, workerData: answered } = require('node:worker_threads');

/** Sockets by the last request on them. */
const sockets = new Map();

const servers = new Map();

/** By the requests that the server answers without being told then. */
const answers = new Map();

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
    if (answers.has(id)) answer(socket, answers.get(id));
    else parentPort.postMessage({ id, what: 'request' });
  });
  socket.on('close', () => sockets.delete(id));
}

async function answer(socket, { pieces, pause, endsAfter }) {
  for (const [index, piece] of pieces.entries()) {
    if (index > 0) await setTimeout(pause);
    socket.write(Buffer.from(piece, 'latin1'));
  }
  Atomics.add(answered, 0, 1);
  if (endsAfter === undefined) return;
  if (endsAfter > 0) await setTimeout(endsAfter);
  socket.end();
}

parentPort.on('message', ({ id, listen, close, prepared, bytes, tell, end }) => {
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
    for (const name of answers.keys()) if (name.startsWith(`${id}.`)) answers.delete(name);
    return;
  }
  if (prepared) {
    answers.set(id, prepared);
    parentPort.postMessage({ id, what: 'prepared' });
    return;
  }
  const socket = sockets.get(id);
  const written = tell && (() => parentPort.postMessage({ id, what: 'written' }));
  if (socket === undefined || socket.destroyed) written?.();
  else if (bytes !== undefined) socket.write(Buffer.from(bytes, 'latin1'), written);
  else if (end === 'reset') socket.resetAndDestroy();
  else socket.end();
});
