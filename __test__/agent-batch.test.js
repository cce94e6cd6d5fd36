'use strict';

// Responses that came while JavaScript was busy are handed over together, and have to look as if each
// had come by itself.

const assert = require('node:assert');
const http = require('node:http');
const { test } = require('node:test');
const { HttpAgent } = require('..');
const { echoServer, holding } = require('./helpers/echo-server');
const { asNode, closed } = require('./helpers/request');

const COUNT = 6;

/** Sends the responses, and blocks JavaScript long enough for all of them to arrive. */
function releaseAndBlock(hold) {
  hold.release();
  // The server's sockets are corked until its tick has ended.
  return new Promise((resolve) => {
    process.nextTick(() => {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 150);
      resolve();
    });
  });
}

test('ticks and promises of one response run before the next response', { timeout: 20_000 }, async (t) => {
  const hold = holding();
  const server = await echoServer(t, { listener: hold.listener });
  const trace = await asNode(t, async (make) => {
    const agent = make();
    hold.reset();
    const trace = [];
    const requests = Array.from({ length: COUNT }, (_, n) =>
      http.get({ ...server.at, path: `/${n}`, agent }, (response) => {
        trace.push('response');
        process.nextTick(() => trace.push('tick'));
        Promise.resolve().then(() => trace.push('promise'));
        response.resume();
      }),
    );
    await hold.waiting(COUNT);
    await releaseAndBlock(hold);
    await Promise.all(requests.map(closed));
    return trace;
  });
  assert.deepStrictEqual(trace, Array(COUNT).fill(['response', 'tick', 'promise']).flat());
});

/** The handler of a response that takes its time, in ms. */
function compute(ms) {
  const end = process.hrtime.bigint() + BigInt(ms * 1e6);
  while (process.hrtime.bigint() < end);
}

/** Requests whose responses have all come by the time that the first of them is handed over. */
async function batchOf(t, onResponse, prepare = () => {}) {
  const agent = new HttpAgent();
  t.after(() => agent.destroy());
  const hold = holding();
  const server = await echoServer(t, { listener: hold.listener });
  const requests = Array.from({ length: COUNT }, (_, n) =>
    http.get({ ...server.at, path: `/${n}`, agent }, (response) => {
      onResponse(n);
      response.resume();
    }),
  );
  await hold.waiting(COUNT);
  requests.forEach(prepare);
  await releaseAndBlock(hold);
  return requests;
}

test(
  'timers run between handlers that take long, and nothing changes its place',
  { timeout: 20_000 },
  async (t) => {
    const trace = [];
    const requests = await batchOf(t, (n) => {
      trace.push(n);
      if (trace.length === 1) setTimeout(() => trace.push('timer'), 1);
      compute(5);
    });
    await Promise.all(requests.map(closed));
    const behind = trace.indexOf('timer');
    assert.ok(behind > 0 && behind < COUNT, `the timer has run behind ${behind} responses`);
    trace.splice(behind, 1);
    assert.deepStrictEqual(trace, [...Array(COUNT).keys()]);
  },
);

test('a response that waits for its turn has come in time', { timeout: 20_000 }, async (t) => {
  const timeouts = [];
  // They run out between the first response and the others, the last request's first.
  const requests = await batchOf(
    t,
    () => compute(200),
    (request, n) => request.setTimeout(300 - n * 10, () => timeouts.push(request.path)),
  );
  await Promise.all(requests.map(closed));
  assert.deepStrictEqual(timeouts, []);
});

test(
  'a handler that throws before the loop turns costs the others nothing',
  { timeout: 20_000 },
  async (t) => {
    const thrown = [];
    const answered = [];
    const hear = (error) => thrown.push(error.message);
    process.setUncaughtExceptionCaptureCallback(hear);
    t.after(() => process.setUncaughtExceptionCaptureCallback(null));
    const requests = await batchOf(t, (n) => {
      compute(5);
      answered.push(n);
      if (n % 2 === 0) throw new Error(`of ${n}`);
    });
    // The response that threw is not read by anybody.
    await Promise.all(requests.filter((_, n) => n % 2 === 1).map(closed));
    assert.deepStrictEqual(thrown, ['of 0', 'of 2', 'of 4']);
    assert.strictEqual(answered.length, COUNT);
    for (const request of requests) request.destroy();
  },
);
