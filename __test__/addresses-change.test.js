'use strict';

// Names whose addresses change, and what a lookup function's answer is used for while JavaScript blocks.

const assert = require('node:assert');
const { test } = require('node:test');
const { HttpAgent } = require('..');
const { block, blockUntil, send, startServer, warm } = require('./helpers/blocked');
const { echoServer } = require('./helpers/echo-server');
const { exchangeAndIdle, ourAgent } = require('./helpers/request');

const timeout = 30_000;

/** A lookup function that gives the present address of `at`, and counts how often it is asked. */
function lookupOf(at) {
  const lookup = (host, options, callback) => {
    lookup.asked++;
    setImmediate(() => {
      if (options.all) callback(null, [{ address: at.address, family: 4 }]);
      else callback(null, at.address, 4);
    });
  };
  lookup.asked = 0;
  return lookup;
}

test('a changed answer is followed when connections reach their age', { timeout }, async (t) => {
  const first = await echoServer(t);
  const { port } = first.at;
  const second = await echoServer(t, { where: { port, host: '127.0.0.2' } });
  const at = { address: '127.0.0.1' };
  const agent = ourAgent(t, { lookup: lookupOf(at), socketActiveTTL: 300, freeSocketTimeout: 0 });
  // Before the connection, so that what passes until it is used does not count against it.
  const started = Date.now();
  await exchangeAndIdle({ host: 'name.test', port, agent });
  at.address = '127.0.0.2';
  // Never idle for long, so that nothing but its age can end the connection.
  while (second.accepted === 0) await exchangeAndIdle({ host: 'name.test', port, agent });
  assert.strictEqual(first.accepted, 1);
  assert.ok(Date.now() - started >= 150, 'the connection was replaced before its time');
});

test('the default age of a connection is ten minutes, null is none', () => {
  assert.strictEqual(new HttpAgent().options.socketActiveTTL, 600_000);
  assert.strictEqual(new HttpAgent({ socketActiveTTL: null }).options.socketActiveTTL, null);
});

/** A connection whose request is read and dropped while JavaScript blocks; whether it came again meanwhile. */
async function dropWhileBlocked(t, options, patience) {
  const server = await startServer(t);
  const lookup = lookupOf({ address: '127.0.0.1' });
  const agent = new HttpAgent({ lookup, maxSockets: 1, ...options });
  t.after(() => agent.destroy());
  await warm(agent, server, 1, { host: 'name.test' });
  const pending = send(agent, server, { id: 'it', act: 'close/cue,ok', host: 'name.test' });
  await new Promise((resolve) => process.nextTick(resolve));
  assert.ok(blockUntil(() => server.arrivals('it') === 1));
  server.post({ cue: 'it' });
  const again = blockUntil(() => server.arrivals('it') === 2, patience);
  const { status, request } = await pending;
  assert.deepStrictEqual([status, request.attempts, server.arrivals('it')], [200, 2, 2]);
  return { again, asked: lookup.asked };
}

test(
  'without dnsCacheTtl a retry asks the lookup function, and so waits for JavaScript',
  { timeout },
  async (t) => {
    assert.deepStrictEqual(await dropWhileBlocked(t, {}, 500), { again: false, asked: 2 });
  },
);

test('a retry that is given no answer ends with the error that led to it', { timeout }, async (t) => {
  const server = await startServer(t);
  const answer = lookupOf({ address: '127.0.0.1' });
  const asked = [];
  const lookup = (...query) => asked.push(query) === 1 && answer(...query);
  const agent = new HttpAgent({ lookup, maxSockets: 1, deadPeerTimeout: 200 });
  t.after(() => agent.destroy());
  await warm(agent, server, 1, { host: 'name.test' });
  const { error, request } = await send(agent, server, { id: 'it', act: 'close', host: 'name.test' });
  assert.strictEqual(error.message, 'socket hang up');
  assert.strictEqual(error.connection.retry, 'not sent again: another connection could not be had');
  assert.deepStrictEqual([asked.length, request.attempts, server.arrivals('it')], [2, 1, 1]);
});

test('with it a retry goes out while JavaScript blocks', { timeout }, async (t) => {
  assert.deepStrictEqual(await dropWhileBlocked(t, { dnsCacheTtl: '30s' }), { again: true, asked: 1 });
});

test('an answer that is too old is not used', { timeout }, async (t) => {
  const server = await startServer(t);
  const lookup = lookupOf({ address: '127.0.0.1' });
  const agent = new HttpAgent({ lookup, dnsCacheTtl: 1 });
  t.after(() => agent.destroy());
  await warm(agent, server, 1, { host: 'name.test' });
  block(5);
  const { status } = await send(agent, server, { id: 'it', act: 'close,ok', host: 'name.test' });
  assert.deepStrictEqual([status, lookup.asked], [200, 2]);
});

test('who wants to be asked each time is: listeners, and a block list', { timeout }, async (t) => {
  const server = await startServer(t);
  const lookup = lookupOf({ address: '127.0.0.1' });
  let listened = 0;
  class Watched extends HttpAgent {
    createConnection(...args) {
      return super.createConnection(...args).on('lookup', () => listened++);
    }
  }
  const agent = new Watched({ lookup, dnsCacheTtl: '30s' });
  t.after(() => agent.destroy());
  await warm(agent, server, 1, { host: 'name.test' });
  const { status } = await send(agent, server, { id: 'it', act: 'close,ok', host: 'name.test' });
  assert.deepStrictEqual([status, listened, lookup.asked], [200, 2, 2]);
});
