'use strict';

const assert = require('node:assert');
const { once } = require('node:events');
const { test } = require('node:test');
const { HttpAgent } = require('..');
const { echoServer, holding } = require('./helpers/echo-server');
const { asNode, exchange } = require('./helpers/request');

/** Which of three idle sockets the next requests get, by the order in which they became idle. */
async function order(make, server, hold, options) {
  const agent = make(options);
  const sockets = [];
  agent.on('free', (socket) => sockets.push(socket));
  hold.reset();
  const all = [];
  // One after the other, so that the server has them in the order in which the agent made them.
  for (const path of ['/a', '/b', '/c']) {
    all.push(exchange({ ...server.at, path, agent }));
    await hold.waiting(all.length);
  }
  for (const one of all) {
    const free = once(agent, 'free');
    hold.release(1);
    await Promise.all([one, free]);
  }
  const idle = sockets.splice(0);
  const taken = [];
  for (let n = 0; n < 3; n++) {
    const one = exchange({ ...server.at, path: '/next', agent });
    taken.push(idle.indexOf(Object.values(agent.sockets)[0][n]));
    all.push(one);
    await hold.waiting(4 + n);
  }
  hold.release();
  await Promise.all(all);
  return taken;
}

for (const [scheduling, expected] of [
  [undefined, [2, 1, 0]],
  ['lifo', [2, 1, 0]],
  ['fifo', [0, 1, 2]],
]) {
  test(`scheduling ${scheduling ?? 'by default'} takes ${expected}`, { timeout: 20_000 }, async (t) => {
    const hold = holding();
    const server = await echoServer(t, { listener: hold.listener });
    const taken = await asNode(t, (make) => order(make, server, hold, scheduling && { scheduling }));
    assert.deepStrictEqual(taken, expected);
  });
}

test('another scheduling is refused', () => {
  assert.throws(() => new HttpAgent({ scheduling: 'random' }), { code: 'ERR_INVALID_ARG_VALUE' });
});
