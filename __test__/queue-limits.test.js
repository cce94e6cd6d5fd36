'use strict';

// Waiting for a socket has an end: queueTimeout, maxQueuedRequests, destroy().

const assert = require('node:assert');
const { AsyncLocalStorage } = require('node:async_hooks');
const diagnostics = require('node:diagnostics_channel');
const { once } = require('node:events');
const http = require('node:http');
const { test } = require('node:test');
const { HttpAgent } = require('..');
const { block, blockUntil, send, startServer } = require('./helpers/blocked');
const { echoServer, holding } = require('./helpers/echo-server');
const { books, closed, nextTurn, ourAgent } = require('./helpers/request');

const patience = { timeout: 20_000 };

/** An agent of one socket, which a request holds until `release()`. */
async function busyAgent(t, options) {
  const held = holding();
  const server = await echoServer(t, { listener: held.listener });
  const agent = ourAgent(t, { maxSockets: 1, ...options });
  const get = (more) => {
    const request = http.get({ ...server.at, agent, ...more }, (response) => response.resume());
    request.on('error', () => {}); // Of those that the end of the test ends.
    closed(request);
    return request;
  };
  const first = get();
  await held.waiting(1);
  return { agent, first, get, held, name: agent.getName(server.at) };
}

/** The error of a request, once it is closed. */
async function failureOf(request) {
  let failed;
  request.on('error', (error) => (failed = error));
  await closed(request);
  return failed;
}

for (const queueTimeout of [60, '60ms']) {
  test(`a request that waits longer than queueTimeout fails: ${queueTimeout}`, patience, async (t) => {
    const { agent, first, get, held, name } = await busyAgent(t, { queueTimeout });
    const waiting = get();
    assert.strictEqual(agent.requests[name].length, 1);
    const error = await failureOf(waiting);
    assert.strictEqual(error.code, 'ERR_QUEUE_TIMEOUT');
    assert.strictEqual(error.reason, 'queue-timeout');
    assert.ok(error.connection.waited >= 59, `waited ${error.connection.waited}`);
    assert.strictEqual(waiting.destroyed, true);
    assert.strictEqual(name in agent.requests, false);
    // The socket is not affected, and serves the next request.
    held.release();
    await closed(first);
    const next = get();
    await held.waiting(2);
    held.release();
    await closed(next);
    assert.strictEqual(next.reusedSocket, true);
    assert.strictEqual(held.seen.length, 2);
  });
}

test('a request whose turn comes in time is not bothered', patience, async (t) => {
  const { agent, first, get, held } = await busyAgent(t, { queueTimeout: 15_000, maxQueuedRequests: 3 });
  const others = [get(), get(), get()];
  for (let served = 1; served <= 4; served++) {
    await held.waiting(served);
    held.release();
  }
  await Promise.all([first, ...others].map(closed));
  await nextTurn();
  assert.deepStrictEqual(books(agent).requests, {});
  // No timer holds the process: the test would not end.
});

test('one more than maxQueuedRequests fails, the others do not', patience, async (t) => {
  const { agent, first, get, held, name } = await busyAgent(t, { maxQueuedRequests: 2 });
  const waiting = [get(), get()];
  const error = await failureOf(get());
  assert.strictEqual(error.code, 'ERR_QUEUE_FULL');
  assert.strictEqual(error.reason, 'queue-full');
  assert.match(error.message, /2 requests/);
  assert.strictEqual(agent.requests[name].length, 2);
  for (let served = 1; served <= 3; served++) {
    await held.waiting(served);
    held.release();
  }
  await Promise.all([first, ...waiting].map(closed));
  assert.strictEqual(held.seen.length, 3);
});

test('maxQueuedRequests: 0 lets nobody wait', patience, async (t) => {
  const { agent, get } = await busyAgent(t, { maxQueuedRequests: 0 });
  const error = await failureOf(get());
  assert.strictEqual(error.code, 'ERR_QUEUE_FULL');
  assert.deepStrictEqual(books(agent).requests, {});
});

test('both hold for maxTotalSockets too, and are counted per name', patience, async (t) => {
  const { agent, get } = await busyAgent(t, {
    maxSockets: Infinity,
    maxTotalSockets: 1,
    maxQueuedRequests: 1,
    queueTimeout: 60,
  });
  const [one, other, full] = [get(), get({ localAddress: '127.0.0.1' }), get()].map(failureOf);
  assert.strictEqual((await full).code, 'ERR_QUEUE_FULL');
  assert.strictEqual((await one).code, 'ERR_QUEUE_TIMEOUT');
  assert.strictEqual((await other).code, 'ERR_QUEUE_TIMEOUT');
  assert.deepStrictEqual(books(agent).requests, {});
});

test('a request that is destroyed leaves the queue with the tick', patience, async (t) => {
  const { agent, first, get, held, name } = await busyAgent(t, { queueTimeout: 15_000 });
  const waiting = [get(), get(), get(), get()];
  const failures = waiting.map(failureOf);
  const mine = new Error('mine');
  waiting[0].destroy();
  waiting[1].destroy(mine);
  waiting[2].abort();
  // As with http.Agent, which keeps it until its turn comes.
  assert.deepStrictEqual(agent.requests[name], waiting);
  await nextTurn();
  assert.deepStrictEqual(agent.requests[name], [waiting[3]]);
  const [hangUp, own, aborted] = await Promise.all(failures.slice(0, 3));
  assert.deepStrictEqual(
    [hangUp.message, hangUp.code, hangUp.reason],
    ['socket hang up', 'ECONNRESET', 'aborted'],
  );
  assert.strictEqual(own, mine);
  assert.strictEqual(mine.connection.reason, 'aborted');
  assert.strictEqual(aborted, undefined);
  held.release();
  await closed(first);
  await held.waiting(2);
  held.release();
  assert.strictEqual(await failures[3], undefined);
});

test(
  'a name that had nothing but requests that waited leaves the books with the last',
  patience,
  async (t) => {
    const { agent, get, name } = await busyAgent(t, {
      maxSockets: Infinity,
      maxTotalSockets: 1,
      maxQueuedRequests: 2,
      queueTimeout: 60,
    });
    const options = { localAddress: '127.0.0.1' };
    const destroyed = get(options);
    const [timedOut, full] = [get(options), get(options)].map(failureOf);
    destroyed.destroy();
    await nextTurn();
    // As with http.Agent the name is there as long as one waits.
    assert.deepStrictEqual(Object.values(agent.sockets), [agent.sockets[name], []]);
    assert.strictEqual((await full).code, 'ERR_QUEUE_FULL');
    assert.strictEqual((await timedOut).code, 'ERR_QUEUE_TIMEOUT');
    assert.deepStrictEqual(books(agent), { sockets: { [name]: 1 }, freeSockets: {}, requests: {}, total: 1 });
  },
);

test('a signal takes it out too', patience, async (t) => {
  const { agent, get } = await busyAgent(t);
  const controller = new AbortController();
  const failure = failureOf(get({ signal: controller.signal }));
  controller.abort();
  assert.strictEqual((await failure).code, 'ABORT_ERR');
  assert.deepStrictEqual(books(agent).requests, {});
});

test('many that are destroyed in a tick leave together, each in its own context', patience, async (t) => {
  const { agent, first, get, held, name } = await busyAgent(t);
  const storage = new AsyncLocalStorage();
  const waiting = Array.from({ length: 20 }, () => get());
  // In the middle, in no order, and one that another one's end destroys.
  const given = [7, 3, 12, 4, 11];
  waiting[7].on('close', () => waiting[15].destroy());
  const last = failureOf(waiting[15]);
  const seen = [];
  for (const at of given) {
    waiting[at].on('close', () => seen.push(storage.getStore()));
    storage.run(at, () => waiting[at].destroy());
  }
  assert.strictEqual((await last).code, 'ECONNRESET');
  assert.deepStrictEqual(seen, given);
  const left = waiting.filter((_, at) => at !== 15 && !given.includes(at));
  assert.deepStrictEqual(agent.requests[name], left);
  // They are answered in the order in which they were made.
  const answered = [];
  for (const request of left) request.on('response', () => answered.push(request));
  const ends = left.map(failureOf);
  held.release();
  await closed(first);
  for (let n = 2; n < left.length + 2; n++) {
    await held.waiting(n);
    held.release();
  }
  assert.deepStrictEqual(new Set(await Promise.all(ends)), new Set([undefined]));
  assert.deepStrictEqual(answered, left);
});

test('one that is destroyed takes nobody the place, in the same tick neither', patience, async (t) => {
  const { get } = await busyAgent(t, { maxQueuedRequests: 2, queueTimeout: 60 });
  const waiting = [get(), get()].map((request) => [request, failureOf(request)]);
  waiting[0][0].destroy();
  assert.strictEqual((await failureOf(get())).code, 'ERR_QUEUE_TIMEOUT');
  assert.strictEqual((await waiting[1][1]).code, 'ERR_QUEUE_TIMEOUT');
});

test('a socket that came free while JavaScript was busy is in time', patience, async (t) => {
  const server = await startServer(t);
  const agent = ourAgent(t, { maxSockets: 1, queueTimeout: 150 });
  const first = send(agent, server, { id: 'first', act: 'ok/cue' });
  await once(first.request, 'finish');
  const second = send(agent, server, { id: 'second', act: 'ok' });
  server.post({ cue: 'first' });
  assert.ok(blockUntil(() => server.events('answered', 'first').length > 0));
  block(300);
  assert.strictEqual((await second).status, 200);
});

test('the error comes in the async context of the request', patience, async (t) => {
  const { get } = await busyAgent(t, { queueTimeout: 60 });
  const storage = new AsyncLocalStorage();
  const seen = await new Promise((resolve) => {
    storage.run('mine', () => get().on('error', () => resolve(storage.getStore())));
  });
  assert.strictEqual(seen, 'mine');
});

test('the limits may be changed while the agent runs', patience, async (t) => {
  const { agent, get } = await busyAgent(t);
  get().on('error', () => {});
  agent.options.maxQueuedRequests = 1;
  assert.strictEqual((await failureOf(get())).code, 'ERR_QUEUE_FULL');
  agent.options.maxQueuedRequests = 2;
  agent.options.queueTimeout = '60ms';
  assert.strictEqual((await failureOf(get())).code, 'ERR_QUEUE_TIMEOUT');
});

test('many that time out leave nothing behind', patience, async (t) => {
  const { agent, get, held } = await busyAgent(t, { queueTimeout: 60 });
  const failures = await Promise.all(Array.from({ length: 500 }, () => failureOf(get())));
  assert.ok(failures.every(({ code }) => code === 'ERR_QUEUE_TIMEOUT'));
  assert.deepStrictEqual(books(agent).requests, {});
  assert.strictEqual(agent.totalSocketCount, 1);
  assert.strictEqual(held.seen.length, 1);
});

test('a request that has to wait is told of on its channel', patience, async (t) => {
  const seen = [];
  const note = (message) => seen.push(message);
  diagnostics.subscribe('offloop:request:queued', note);
  t.after(() => diagnostics.unsubscribe('offloop:request:queued', note));
  const { agent, get } = await busyAgent(t);
  const [one, other] = [get(), get()];
  assert.deepStrictEqual(
    seen.map(({ agent: of, request, waiting }) => [of === agent, request, waiting]),
    [
      [true, one, 1],
      [true, other, 2],
    ],
  );
});

test('who is told on the channel may make a request of its own', patience, async (t) => {
  const { first, get, held } = await busyAgent(t);
  const requests = [first, get({ path: '/one' })];
  const makeAnother = () => {
    diagnostics.unsubscribe('offloop:request:queued', makeAnother);
    requests.push(get({ path: '/made' }));
  };
  diagnostics.subscribe('offloop:request:queued', makeAnother);
  t.after(() => diagnostics.unsubscribe('offloop:request:queued', makeAnother));
  requests.push(get({ path: '/other' }));
  for (let n = 1; n <= 4; n++) {
    await held.waiting(n);
    held.release();
  }
  await Promise.all(requests.map(closed));
  assert.deepStrictEqual(held.seen, ['/', '/one', '/other', '/made']);
});

test('wrong values are refused', () => {
  for (const [options, code] of [
    [{ queueTimeout: -1 }, 'ERR_OUT_OF_RANGE'],
    [{ queueTimeout: 'soon' }, 'ERR_INVALID_ARG_VALUE'],
    [{ queueTimeout: {} }, 'ERR_INVALID_ARG_TYPE'],
    [{ maxQueuedRequests: -1 }, 'ERR_OUT_OF_RANGE'],
    [{ maxQueuedRequests: 1.5 }, 'ERR_OUT_OF_RANGE'],
    [{ maxQueuedRequests: NaN }, 'ERR_OUT_OF_RANGE'],
    [{ maxQueuedRequests: '1' }, 'ERR_INVALID_ARG_TYPE'],
  ]) {
    assert.throws(() => new HttpAgent(options), { code });
  }
  assert.strictEqual(new HttpAgent({ queueTimeout: '1.5s' }).options.queueTimeout, 1500);
  assert.strictEqual(new HttpAgent({ maxQueuedRequests: Infinity }).options.maxQueuedRequests, Infinity);
});
