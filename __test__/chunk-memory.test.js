'use strict';

// As with Node's own agent each chunk of a body has memory of its own. A program may give it away, and a byte stream
// does so by itself: nothing else is to go with it.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const http = require('node:http');
const { test } = require('node:test');
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');

const { HttpAgent } = require('..');
const { httpServer } = require('./helpers/lane-server');

const KIB = 1024;
const AGENTS = { 'http.Agent': http.Agent, HttpAgent };

/** Of a body: the pieces that it is sent in. Each has a byte of its own, so that no other can stand in for it. */
const BODIES = {
  'of two bytes': [2],
  'of 64 bytes': [64],
  'of 65 bytes': [65],
  'of 3000 bytes': [3000],
  'of 20 KiB': [20 * KIB],
  'that comes with its head, without a copy': [100 * KIB],
  'of some MiB': [3 * KIB * KIB],
  'in chunks': [2, 3000, 2, 64],
  'in large chunks': Array(64).fill(20 * KIB),
  'in chunks beyond a read': Array(8).fill(200 * KIB),
};

/** How a program gives a chunk away; returns what has become of it. */
const WAYS = {
  'to a byte stream': async (chunk) => {
    const stream = new ReadableStream({
      type: 'bytes',
      start(controller) {
        controller.enqueue(chunk);
        controller.close();
      },
    });
    const { value } = await stream.getReader().read();
    return value;
  },
  'by transfer': (chunk) => Buffer.from(structuredClone(chunk.buffer, { transfer: [chunk.buffer] })),
};

const bytesOf = (sizes) => Buffer.concat(sizes.map((size, index) => Buffer.alloc(size, 1 + (index % 251))));

/** Reads the body; returns what `take` makes of its chunks, and what else they were found to be. */
async function read(options, take) {
  const [response] = await once(http.get(options), 'response');
  const results = [];
  const odd = new Set();
  response.on('data', (chunk) => {
    if (chunk.byteOffset !== 0 || chunk.buffer.byteLength !== chunk.length)
      odd.add(`${chunk.length} bytes at ${chunk.byteOffset} of ${chunk.buffer.byteLength}`);
    results.push(take(chunk));
  });
  await once(response, 'end');
  return { body: await Promise.all(results), odd };
}

/** Gives away each chunk of every other of some responses; all are to be whole. */
async function check(Agent, port, give) {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  try {
    for (const [name, sizes] of Object.entries(BODIES)) {
      const expected = bytesOf(sizes);
      const path = `/${encodeURIComponent(name)}`;
      // The first on a connection is read by Node's parser, those behind it are not.
      for (let round = 0; round < 3; round++) {
        const takes = [give, (chunk) => chunk, give, (chunk) => chunk];
        const all = takes.map((take) => read({ host: '127.0.0.1', port, agent, path }, take));
        for (const { body, odd } of await Promise.all(all)) {
          assert.deepEqual([...odd], [], `a body ${name}`);
          assert.ok(Buffer.concat(body).equals(expected), `a body ${name} is damaged`);
        }
      }
    }
  } finally {
    agent.destroy();
  }
}

if (isMainThread) {
  const bodies = Object.entries(BODIES).map(([name, sizes]) => [`/${encodeURIComponent(name)}`, sizes]);
  const answer = (request, response) => {
    const sizes = new Map(bodies).get(request.url);
    if (sizes.length === 1) response.setHeader('Content-Length', sizes[0]);
    for (const [index, size] of sizes.entries()) response.write(Buffer.alloc(size, 1 + (index % 251)));
    response.end();
  };
  for (const agent of Object.keys(AGENTS)) {
    for (const way of Object.keys(WAYS)) {
      test(`${agent}: a chunk is given away ${way}`, { timeout: 120_000 }, async (t) => {
        const { port } = await httpServer(t, answer);
        await check(AGENTS[agent], port, WAYS[way]);
      });
      test(`${agent}: a chunk is given away ${way} in a worker thread`, { timeout: 120_000 }, async (t) => {
        const { port } = await httpServer(t, answer);
        const worker = new Worker(__filename, { workerData: { agent, way, port } });
        const [error] = await once(worker, 'message');
        assert.equal(error, null);
      });
    }
  }

  test('a chunk that a worker thread has given away stays when the thread has ended', async (t) => {
    const { port } = await httpServer(t, answer);
    const worker = new Worker(__filename, {
      workerData: { agent: 'HttpAgent', way: 'to this thread', port },
    });
    const kept = [];
    worker.on('message', ({ chunk }) => kept.push(chunk));
    await once(worker, 'exit');
    // What it has left behind is used again for these.
    await check(HttpAgent, port, (chunk) => chunk);
    const [size] = BODIES['of some MiB'];
    assert.ok(Buffer.concat(kept).equals(Buffer.alloc(size, 1)));
  });
} else {
  const { agent, way, port } = workerData;
  if (way === 'to this thread') {
    const at = new HttpAgent({ freeSocketTimeout: 1000 });
    const path = `/${encodeURIComponent('of some MiB')}`;
    http.get({ host: '127.0.0.1', port, agent: at, path }, (response) => {
      response.on('data', async (chunk) => {
        // Node lets nobody transfer memory of N-API's. But what has gone through a stream is no longer known as such.
        const moved = await WAYS['to a byte stream'](chunk);
        parentPort.postMessage({ chunk: moved }, [moved.buffer]);
      });
    });
  } else {
    check(AGENTS[agent], port, WAYS[way]).then(
      () => parentPort.postMessage(null),
      (error) => parentPort.postMessage(error.message),
    );
  }
}
