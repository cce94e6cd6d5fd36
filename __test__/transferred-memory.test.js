'use strict';

// What a program has received is its own for as long as it has it, also in a thread that has not received it.

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const path = require('node:path');
const { test } = require('node:test');
const { Worker } = require('node:worker_threads');
const { HttpAgent } = require('..');
const { httpServer, seeingAgent } = require('./helpers/lane-server');

const SIZE = 8_000_000;
const options = { timeout: 60_000, skip: !ArrayBuffer.prototype.transfer && 'memory cannot be transferred' };

/** Answers with a body of the one character that the path has. */
const answering = (t) =>
  httpServer(t, (request, response) => response.end(Buffer.alloc(SIZE, request.url.slice(1))));

async function download(port, agent, path) {
  const [response] = await once(http.get({ host: '127.0.0.1', port, agent, path }), 'response');
  const chunks = [];
  for await (const chunk of response) chunks.push(chunk);
  return chunks;
}

const isAll = (piece, character) => Buffer.alloc(piece.length, character).equals(piece);

test('memory that a worker has transferred outlives the worker', options, async (t) => {
  const { port } = await answering(t);
  const agent = seeingAgent(t, HttpAgent);
  for (let round = 0; round < 3; round++) {
    const received = [];
    const worker = new Worker(path.join(__dirname, 'helpers', 'transferring-worker.js'), {
      workerData: { port, path: '/a' },
    });
    worker.on('message', (piece) => received.push(piece));
    await once(worker, 'exit');
    assert.ok(received.length > 0);
    await download(port, agent, '/b');
    for (const piece of received) assert.ok(isAll(piece, 'a'), 'it has the bytes of another response');
  }
});
