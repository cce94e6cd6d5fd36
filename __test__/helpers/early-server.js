'use strict';

const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');

/** More than the sockets have room for, and the rest less than what may wait in Rust. */
const BODY = Buffer.alloc(340_000);
/** The whole of an answer. */
const EMPTY = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';

/**
 * Answers each connection at once, and reads nothing: what comes stays in the sockets, which have little room. The test
 * may read from `sockets`. By default the answer is a long one.
 */
async function earlyServer(t, answer) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'early-'));
  const sockets = [];
  const server = net.createServer({ pauseOnConnect: true }, (socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    if (answer !== undefined) {
      socket.write(answer);
      return;
    }
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n');
    socket.write(Buffer.alloc(5_000_000));
  });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
    fs.rmSync(folder, { recursive: true, force: true });
  });
  const socketPath = path.join(folder, 'socket');
  server.listen(socketPath);
  await once(server, 'listening');
  return { at: { socketPath }, sockets };
}

module.exports = { BODY, EMPTY, earlyServer };
