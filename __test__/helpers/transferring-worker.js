'use strict';

// A worker thread that downloads one response, and transfers each large piece to the main thread.

const { parentPort, workerData } = require('node:worker_threads');
const http = require('node:http');
const { HttpAgent } = require('../..');

const agent = new HttpAgent();
http.get({ ...workerData, host: '127.0.0.1', agent }, (response) => {
  response.on('data', (chunk) => {
    if (chunk.length < 32 * 1024) return;
    const { byteOffset, length } = chunk;
    const memory = chunk.buffer.transfer();
    parentPort.postMessage(new Uint8Array(memory, byteOffset, length), [memory]);
  });
  response.on('end', () => agent.destroy());
});
