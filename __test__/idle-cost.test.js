'use strict';

// An idle agent costs nothing: its thread sleeps until a connection has to be closed, however many there are.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const { setTimeout: sleep } = require('node:timers/promises');
const { send, transport, until, warm } = require('./helpers/blocked');

const { Agent, startServer } = transport();

/** ms. For so long after the last byte it is looked whether that was acknowledged. */
const SETTLE = 500;
/** ms. */
const STRETCH = 6000;
/** What a busy machine may add to that: a timer of before that is late. */
const FEW = 3;

/** How often the native thread has gone to sleep, and so was woken. */
function countSleeps() {
  for (const task of fs.readdirSync('/proc/self/task')) {
    const status = fs.readFileSync(`/proc/self/task/${task}/status`, 'latin1');
    if (/^Name:\toffloop$/m.test(status)) return Number(/^voluntary_ctxt_switches:\s*(\d+)/m.exec(status)[1]);
  }
  throw new Error('there is no such thread');
}

const skip = process.platform === 'linux' ? false : 'it reads /proc';

test('the thread of an idle agent sleeps', { skip, timeout: 60_000 }, async (t) => {
  const server = await startServer(t);
  // Each limit is further away than the test takes.
  const agent = new Agent({ freeSocketTimeout: '10m' });
  t.after(() => agent.destroy());
  for (let round = 0; round < 3; round++) {
    await warm(agent, server, 40);
    await send(agent, server, { id: `post-${round}`, act: 'ok', method: 'POST', body: 'x'.repeat(1000) });
  }
  await sleep(SETTLE);
  const idle = Object.values(agent.freeSockets).flat().length;
  const before = countSleeps();
  await sleep(STRETCH);
  const sleeps = countSleeps() - before;
  assert.equal(Object.values(agent.freeSockets).flat().length, idle);
  assert.ok(sleeps <= FEW, `woken ${sleeps} times while ${idle} connections were idle`);
});

test('and while requests wait behind one that is not answered', { skip, timeout: 60_000 }, async (t) => {
  const server = await startServer(t);
  const agent = new Agent({ maxSockets: 1 });
  t.after(() => agent.destroy());
  const results = Array.from({ length: 20 }, (_, i) => send(agent, server, { id: `it-${i}`, act: 'hang' }));
  await until(() => server.arrivals('it-0') === 1);
  await sleep(SETTLE);
  const before = countSleeps();
  await sleep(STRETCH / 2);
  const sleeps = countSleeps() - before;
  assert.ok(sleeps <= FEW, `woken ${sleeps} times while ${results.length - 1} requests waited`);
});
