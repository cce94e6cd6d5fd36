'use strict';

// The event loop stands still. What the network does meanwhile must not cost a request anything.

const { test } = require('node:test');
const assert = require('node:assert/strict');
const { block, blockUntil, now, send, transport, until, warm } = require('./helpers/blocked');

const { Agent, startServer } = transport();

const timeout = 30_000;
const COUNT = 8;

/** When, after the block, the requests are made. */
const MOMENTS = {
  'in the same tick': (make) => make(),
  'in a microtask': (make) => Promise.resolve().then(make),
  'in nextTick': (make) => new Promise((resolve) => process.nextTick(() => resolve(make()))),
  'in setImmediate': (make) => new Promise((resolve) => setImmediate(() => resolve(make()))),
};

for (const [moment, at] of Object.entries(MOMENTS)) {
  for (const method of ['GET', 'POST']) {
    for (const how of ['close', 'reset', 'half']) {
      test(
        `${method} made ${moment} after a block in which the server's ${how} came`,
        { timeout },
        async (t) => {
          const server = await startServer(t);
          const agent = new Agent({ freeSocketTimeout: 0 });
          t.after(() => agent.destroy());
          await warm(agent, server, COUNT);
          assert.equal(server.events('accept').length, COUNT);
          server.post({ end: how });
          assert.ok(blockUntil(() => server.events('closed').length === COUNT));
          const results = await at(() => {
            const requests = [];
            for (let i = 0; i < COUNT; i++) {
              requests.push(
                send(agent, server, { id: `it-${i}`, method, body: method === 'POST' ? 'body' : undefined }),
              );
            }
            return Promise.all(requests);
          });
          for (const [i, { status, error, body, request }] of results.entries()) {
            assert.equal(error, undefined);
            assert.deepEqual([status, body, request.attempts], [200, `ok:it-${i}`, 1]);
            assert.equal(server.arrivals(`it-${i}`), 1);
          }
        },
      );
    }
  }
}

test(
  'a request that was submitted before the block connects and is sent during it',
  { timeout },
  async (t) => {
    const server = await startServer(t);
    const agent = new Agent();
    t.after(() => agent.destroy());
    const done = send(agent, server, { id: 'it' });
    // ClientRequest writes, and the lane hands over, in the ticks that follow.
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(
      blockUntil(() => server.arrivals('it') === 1),
      'it came only after the block',
    );
    assert.equal((await done).status, 200);
  },
);

test('the repetition is sent while JavaScript is blocked', { timeout }, async (t) => {
  for (const death of ['close', 'reset', 'half']) {
    const server = await startServer(t);
    const agent = new Agent({ maxSockets: 1 });
    t.after(() => agent.destroy());
    await warm(agent, server);
    const done = send(agent, server, { id: 'it', act: `${death}/cue,ok` });
    await until(() => server.arrivals('it') === 1);
    server.post({ cue: 'it' });
    assert.ok(
      blockUntil(() => server.events('answered', 'it').length === 1),
      death,
    );
    const released = now();
    const { status, request } = await done;
    assert.deepEqual([status, request.attempts], [200, 2]);
    assert.ok(server.events('request', 'it')[1].at < released);
  }
});

test(
  'a request that waits for a connection gets one that was closed during the block',
  { timeout },
  async (t) => {
    const server = await startServer(t);
    const agent = new Agent({ maxSockets: 2 });
    t.after(() => agent.destroy());
    const requests = [];
    for (let i = 0; i < 12; i++)
      requests.push(send(agent, server, { id: `it-${i}`, method: 'POST', then: 'close/0' }));
    await until(() => server.arrivals('it-0') === 1);
    // The answer and the FIN behind it are both there when JavaScript comes to read.
    assert.ok(blockUntil(() => server.events('closed').length >= 1));
    block(20);
    for (const [i, { status, body }] of (await Promise.all(requests)).entries()) {
      // Only a close that crosses the request on the wire may cost a POST anything.
      if (status === undefined) continue;
      assert.deepEqual([status, body], [200, `ok:it-${i}`]);
    }
    for (let i = 0; i < 12; i++) assert.ok(server.arrivals(`it-${i}`) <= 1);
  },
);

test(
  'an answer and a FIN that came during the block are both seen: the answer is whole',
  { timeout },
  async (t) => {
    for (const act of ['last', 'chunked', 'slow-body']) {
      const server = await startServer(t);
      const agent = new Agent();
      t.after(() => agent.destroy());
      const done = send(agent, server, { id: 'it', act, then: 'close/10' });
      await new Promise((resolve) => setImmediate(resolve));
      assert.ok(blockUntil(() => server.events('answered').length === 1));
      if (act !== 'last') assert.ok(blockUntil(() => server.events('closed').length === 1));
      const { status, body } = await done;
      assert.deepEqual([status, body], [200, 'ok:it'], act);
      const next = await send(agent, server, { id: 'next', method: 'POST' });
      assert.deepEqual([next.status, next.body], [200, 'ok:next'], act);
    }
  },
);
