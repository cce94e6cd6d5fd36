'use strict';

// A worker thread with a server that answers at once that a body is too large, and reads it. Says its port, and of each
// connection that has ended whether `workerData.byte` was among what came.

const net = require('node:net');
const { parentPort, workerData } = require('node:worker_threads');

const server = net.createServer((socket) => {
  let hasByte = false;
  socket.once('data', () => socket.write('HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n'));
  socket.on('data', (chunk) => (hasByte ||= chunk.includes(workerData.byte)));
  socket.on('error', () => {});
  socket.on('close', () => parentPort.postMessage(hasByte));
});
server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
