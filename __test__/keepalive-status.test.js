'use strict';

// getCurrentStatus() and statusChanged say what agentkeepalive's say.

const assert = require('node:assert/strict');
const http = require('node:http');
const { test } = require('node:test');

const KeepAlive = require('agentkeepalive');
const { HttpAgent } = require('..');
const { closedPort } = require('./helpers/lane-server');
const { echoServer, holding } = require('./helpers/echo-server');
const { exchangeAndIdle, nextTurn, onNodes } = require('./helpers/request');

const patience = { timeout: 20_000 };

/** Runs the same with both, and compares what they tell. */
async function asKeepAlive(t, options, scenario) {
  const told = [];
  for (const Agent of [KeepAlive, HttpAgent]) {
    const agent = new Agent({ keepAlive: true, ...options });
    t.after(() => agent.destroy());
    const seen = [];
    const look = () => {
      const { freeSockets, sockets, requests, ...counts } = agent.getCurrentStatus();
      // The names of the pools are each agent's own.
      seen.push([
        counts,
        ...[freeSockets, sockets, requests].map(Object.values),
        agent.statusChanged,
        agent.statusChanged,
      ]);
    };
    look();
    await scenario(agent, look);
    told.push(seen);
  }
  assert.deepEqual(told[1], told[0]);
  return told[1];
}

test('requests one after another, and the end of the agent', patience, async (t) => {
  const server = await echoServer(t);
  const seen = await asKeepAlive(t, {}, async (agent, look) => {
    for (let i = 0; i < 3; i++) {
      await exchangeAndIdle({ ...server.at, agent });
      look();
    }
    const [[socket]] = Object.values(agent.freeSockets);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    agent.destroy();
    await closed;
    await nextTurn();
    look();
  });
  assert.equal(seen.at(-1)[0].requestCount, 3);
  assert.equal(seen.at(-1)[0].closeSocketCount, 1);
});

test('requests that wait', patience, async (t) => {
  const held = holding();
  const server = await echoServer(t, { listener: held.listener });
  await asKeepAlive(t, { maxSockets: 1 }, async (agent, look) => {
    held.reset();
    const done = [1, 2, 3].map(() => exchangeAndIdle({ ...server.at, agent }).catch(() => {}));
    await held.waiting(1);
    look();
    for (let i = 1; i <= 3; i++) {
      await held.waiting(i);
      held.release();
    }
    await Promise.all(done);
    await nextTurn();
    look();
  });
});

test('a connect that fails', patience, async (t) => {
  const port = await closedPort();
  const seen = await asKeepAlive(t, {}, async (agent, look) => {
    await new Promise((resolve) =>
      http
        .get({ host: '127.0.0.1', port, agent })
        .on('error', () => {})
        .on('close', resolve),
    );
    await nextTurn();
    await nextTurn();
    look();
  });
  assert.equal(seen.at(-1)[0].errorSocketCount, 1);
});

for (const [whose, options] of [
  ['ours', {}],
  ['Node’s own', onNodes],
]) {
  test(`a socket that runs into its timeout, ${whose}`, patience, async (t) => {
    const server = await echoServer(t, { listener: () => {} });
    const seen = await asKeepAlive(t, { timeout: 50, ...options }, async (agent, look) => {
      const request = http.get({ ...server.at, agent });
      request.on('error', () => {}).on('timeout', () => request.destroy());
      await new Promise((resolve) => request.on('close', resolve));
      await nextTurn();
      await nextTurn();
      look();
    });
    assert.equal(seen.at(-1)[0].timeoutSocketCount, 1);
  });
}

test('an option that throws makes no socket', () => {
  const agent = new HttpAgent();
  assert.throws(() => agent.createConnection({ port: 70_000 }), { code: 'ERR_SOCKET_BAD_PORT' });
  assert.deepEqual([agent.createSocketCount, agent.createSocketErrorCount], [0, 1]);
});

test('a subclass may count by these names itself', patience, async (t) => {
  const server = await echoServer(t);
  const counted = [];
  for (const Agent of [http.Agent, HttpAgent]) {
    class Counting extends Agent {
      constructor() {
        super({ keepAlive: true });
        this.requestCount = 10;
        this.statusChanged = false;
      }
      addRequest(...args) {
        this.requestCount++;
        this.statusChanged = true;
        super.addRequest(...args);
      }
    }
    const agent = new Counting();
    t.after(() => agent.destroy());
    await exchangeAndIdle({ ...server.at, agent });
    counted.push([agent.requestCount, agent.statusChanged]);
    if (Agent === HttpAgent) assert.equal(agent.getCurrentStatus().requestCount, 1);
  }
  assert.deepEqual(counted[1], counted[0]);
});
