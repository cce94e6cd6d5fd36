'use strict';

// connectTimeout limits the time to a connection, also while JavaScript blocks.

const assert = require('node:assert');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const { test } = require('node:test');
const { Worker } = require('node:worker_threads');
const { HttpAgent } = require('..');
const { blockUntil } = require('./helpers/blocked');
const {
  atEnd,
  blackHole,
  describeError,
  failure,
  get,
  httpServer,
  seeingAgent,
} = require('./helpers/lane-server');

const options = { timeout: 20_000, skip: process.platform !== 'linux' && 'no black hole can be made here' };

/** A black hole of its own. */
async function hole(t) {
  const { port } = await blackHole(t, '127.0.0.2');
  return { host: '127.0.0.2', port };
}

test('a connect that takes too long fails with ETIMEDOUT', options, async (t) => {
  const where = await hole(t);
  const agent = seeingAgent(t, HttpAgent, { connectTimeout: 100 });
  const start = Date.now();
  const error = await failure(http.get({ ...where, agent }));
  const took = Date.now() - start;
  assert.ok(took >= 99 && took < 5000, `${took} ms`);
  assert.deepStrictEqual(describeError(error), {
    name: 'Error',
    prototype: 'Error',
    message: `connect ETIMEDOUT 127.0.0.2:${where.port}`,
    code: 'ETIMEDOUT',
    errno: -110,
    syscall: 'connect',
    address: '127.0.0.2',
    port: where.port,
  });
});

test('it is over while JavaScript blocks', options, async (t) => {
  const where = await hole(t);
  const agent = seeingAgent(t, HttpAgent, { connectTimeout: 1500 });
  const request = http.get({ ...where, agent });
  const failed = failure(request);
  const [socket] = await once(request, 'socket');
  assert.strictEqual(socket.connecting, true);
  await new Promise(setImmediate);
  // While nobody else could, the thread gave the attempt up: its socket was there, and then was not.
  assert.ok(blockUntil(() => isConnecting(where.port)));
  assert.ok(blockUntil(() => !isConnecting(where.port)));
  assert.strictEqual((await failed).code, 'ETIMEDOUT');
});

/** Whether a socket of ours waits for an answer from the port. */
function isConnecting(port) {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const rows = fs.readFileSync('/proc/net/tcp', 'utf8').split('\n');
  return rows.some((row) => new RegExp(`^\\s*\\d+: \\S+ 0200007F:${hex} 02 `).test(row));
}

test('the limit covers all addresses together', options, async (t) => {
  const where = await hole(t);
  const agent = seeingAgent(t, HttpAgent, { connectTimeout: 200 });
  const lookup = (host, query, callback) => {
    const found = [1, 2, 3].map(() => ({ address: where.host, family: 4 }));
    setImmediate(callback, null, [{ address: '127.0.0.9', family: 4 }, ...found]);
  };
  const request = { host: 'holes.test', port: where.port, lookup, agent, autoSelectFamily: true };
  const start = Date.now();
  const error = await failure(http.get(request));
  assert.strictEqual(error.code, 'ETIMEDOUT');
  assert.ok(Date.now() - start < 5000);
});

test('a connection that is made in time lives on', options, async (t) => {
  const server = await httpServer(t, (req, res) => setTimeout(() => res.end('late'), 150));
  const agent = seeingAgent(t, HttpAgent, { connectTimeout: 100 });
  assert.strictEqual((await get({ port: server.port, agent })).body, 'late');
});

test('the connect and the request go on while JavaScript blocks', { timeout: 20_000 }, async (t) => {
  const seen = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(
    `const { parentPort, workerData } = require('worker_threads');
     const server = require('net').createServer((socket) => socket.once('data', () => {
       Atomics.store(workerData, 0, 1);
       Atomics.notify(workerData, 0);
     }));
     server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));`,
    { eval: true, workerData: seen },
  );
  atEnd(t, () => worker.terminate());
  const [port] = await once(worker, 'message');
  const agent = seeingAgent(t, HttpAgent);
  const request = http.get({ host: '127.0.0.1', port, agent });
  request.on('error', () => {});
  await once(request, 'socket');
  // 'not-equal' if it was there before the wait.
  assert.notStrictEqual(Atomics.wait(seen, 0, 0, 10_000), 'timed-out');
  request.destroy();
});
