'use strict';

// Worker threads load the addon too: one native thread serves them all, and the end of one environment
// is no other's business.

const { test } = require('node:test');
const assert = require('node:assert/strict');
const { once } = require('node:events');
const path = require('node:path');
const { Worker } = require('node:worker_threads');
const { HttpAgent } = require('..');
const { openSockets, send, startServer, until } = require('./helpers/blocked');

const timeout = 60_000;

function startWorker(t, server, name, count) {
  const workerData = { port: server.port, name, count };
  const worker = new Worker(path.join(__dirname, 'helpers', 'worker.js'), { workerData });
  t.after(() => worker.terminate());
  return worker;
}

test('several environments send requests at once', { timeout }, async (t) => {
  const server = await startServer(t);
  const agent = new HttpAgent({ maxSockets: 8 });
  t.after(() => agent.destroy());
  const workers = ['a', 'b', 'c'].map((name) => startWorker(t, server, name, 150));
  const rights = workers.map(async (worker) => {
    const messages = [];
    worker.on('message', (message) => messages.push(message));
    const [code] = await once(worker, 'exit');
    assert.equal(code, 0);
    return messages.at(-1).right;
  });
  const own = [];
  for (let i = 0; i < 150; i++) own.push(send(agent, server, { id: `main-${i}` }));
  for (const [i, { body }] of (await Promise.all(own)).entries()) assert.equal(body, `ok:main-${i}`);
  // A repetition may meet a close on a fresh connection, so not each of theirs is answered.
  for (const right of await Promise.all(rights)) assert.ok(right >= 110 && right <= 150, `${right}`);
});

test(
  'workers that are terminated in the middle of requests leave nothing behind',
  { timeout, skip: process.platform !== 'linux' && 'reads /proc' },
  async (t) => {
    const server = await startServer(t);
    const agent = new HttpAgent({ maxSockets: 2 });
    t.after(() => agent.destroy());
    await send(agent, server, { id: 'before' });
    const sockets = openSockets();
    for (let i = 0; i < 30; i += 3) {
      await Promise.all(
        [0, 1, 2].map(async (n) => {
          const worker = startWorker(t, server, `worker-${i + n}`, 0);
          await once(worker, 'message');
          // At different moments of its life.
          if (n > 0) await new Promise((resolve) => setTimeout(resolve, n * 3));
          await worker.terminate();
        }),
      );
      const { body } = await send(agent, server, { id: `main-${i}`, method: 'POST' });
      assert.equal(body, `ok:main-${i}`);
    }
    await until(() => openSockets() <= sockets);
  },
);

test('a worker that is terminated while it connects', { timeout }, async (t) => {
  const server = await startServer(t);
  for (let i = 0; i < 5; i++) {
    const worker = startWorker(t, server, `worker-${i}`, 0);
    await once(worker, 'online');
    await worker.terminate();
  }
  const agent = new HttpAgent();
  t.after(() => agent.destroy());
  assert.equal((await send(agent, server, { id: 'it' })).status, 200);
});
