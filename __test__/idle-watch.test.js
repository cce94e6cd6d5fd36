'use strict';

// Idle connections are watched off the event loop: closed on their limit, gone with the server's FIN,
// while JavaScript is blocked.

const { test } = require('node:test');
const assert = require('node:assert/strict');
const { block, blockUntil, now, send, socketStates, transport, until, warm } = require('./helpers/blocked');

const { Agent, startServer } = transport();

const timeout = 30_000;
const skip = process.platform !== 'linux' && 'reads /proc';

test('idle connections are closed on their limit during a block', { timeout }, async (t) => {
  const server = await startServer(t);
  const agent = new Agent({ freeSocketTimeout: 300 });
  t.after(() => agent.destroy());
  await warm(agent, server, 4);
  const answers = server.events('answered').map((event) => event.at);
  assert.ok(
    blockUntil(() => server.events('client-fin').length === 4),
    'they were not closed during the block',
  );
  for (const { at } of server.events('client-fin')) {
    assert.ok(at - Math.min(...answers) >= 299, `closed after ${at - Math.min(...answers)} ms`);
    // The default limit is 4 s.
    assert.ok(at - Math.max(...answers) < 4000, `closed after ${at - Math.max(...answers)} ms`);
  }
  await until(() => Object.keys(agent.freeSockets).length === 0 && agent.totalSocketCount === 0);
});

test('a FIN during a block leaves nothing in CLOSE_WAIT', { timeout, skip }, async (t) => {
  const server = await startServer(t);
  const agent = new Agent({ freeSocketTimeout: 0 });
  t.after(() => agent.destroy());
  await warm(agent, server, 4);
  // The port may have served another test a moment ago.
  const states = socketStates(server.port).filter((state) => state !== 'TIME_WAIT');
  assert.deepEqual(states, Array(4).fill('ESTABLISHED'));
  server.post({ end: 'half' });
  assert.ok(blockUntil(() => server.events('closed').length === 4));
  const gone = () => !socketStates(server.port).some((state) => /ESTABLISHED|CLOSE_WAIT/.test(state));
  assert.ok(blockUntil(gone));
  assert.equal(Object.values(agent.freeSockets).flat().length, 4, 'JavaScript was not blocked');
  await until(() => agent.totalSocketCount === 0);
});

test('the idle clock starts when the last byte came, not when JavaScript read it', { timeout }, async (t) => {
  const server = await startServer(t);
  const agent = new Agent({ freeSocketTimeout: 3000 });
  t.after(() => agent.destroy());
  await warm(agent, server);
  const done = send(agent, server, { id: 'it' });
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(blockUntil(() => server.events('answered', 'it').length === 1));
  block(1500);
  assert.equal((await done).status, 200);
  const read = now();
  await until(() => server.events('client-fin').length === 1);
  const [{ at: answered }] = server.events('answered', 'it');
  const [{ at: closed }] = server.events('client-fin');
  assert.ok(closed - answered >= 2999, `closed ${closed - answered} ms after the answer`);
  // From the reading on it would have been the whole limit again.
  assert.ok(closed - read < 2900, `closed ${closed - read} ms after JavaScript read the answer`);
});

test(
  'an answer that is older than the limit when it is read leaves no connection to use',
  { timeout },
  async (t) => {
    const server = await startServer(t);
    const agent = new Agent({ freeSocketTimeout: 100, maxSockets: 1 });
    t.after(() => agent.destroy());
    const first = send(agent, server, { id: 'first' });
    const second = send(agent, server, { id: 'second', method: 'POST' });
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(blockUntil(() => server.events('answered', 'first').length === 1));
    block(150);
    await first;
    assert.equal((await second).status, 200);
    assert.equal((await send(agent, server, { id: 'third' })).status, 200);
    assert.ok(Math.max(...server.events('accept').map((event) => event.open)) === 1);
  },
);

test('the limit is counted anew with each request', { timeout }, async (t) => {
  const limit = 1200;
  // If the machine has stood still between two requests, so that the limit was over, that is another test.
  for (let longest = Infinity; longest > limit * 0.75;) {
    const server = await startServer(t);
    const agent = new Agent({ freeSocketTimeout: limit });
    t.after(() => agent.destroy());
    // Longer than the limit in all, and each time much less.
    for (let i = 0; i < 4; i++) {
      await warm(agent, server);
      await new Promise((resolve) => setTimeout(resolve, limit / 3));
    }
    const answers = server.events('answered').map(({ at }) => at);
    const last = answers.at(-1);
    const asked = server.events('request').map(({ at }) => at);
    longest = Math.max(...asked.slice(1).map((at, i) => at - answers[i]));
    if (longest > limit * 0.75) continue;
    await until(() => server.events('client-fin').length === 1);
    assert.equal(server.events('accept').length, 1);
    assert.ok(server.events('client-fin')[0].at - last >= limit - 1);
  }
});
