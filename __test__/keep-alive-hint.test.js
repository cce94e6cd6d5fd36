'use strict';

const assert = require('node:assert');
const { test } = require('node:test');
const { hintedLimit } = require('../lib/idle-limit');
const { echoServer } = require('./helpers/echo-server');
const { books, closed, exchange, exchangeAndIdle, nextTurn, ourAgent } = require('./helpers/request');

const hinting = (hint) => (request, response) => {
  response.setHeader('Connection', 'keep-alive');
  response.setHeader('Keep-Alive', hint);
  response.end('ok');
};

test('the limit is less than what the server announces', () => {
  for (const [hint, expected] of [
    [undefined, Infinity],
    ['', Infinity],
    ['timeout', Infinity],
    ['timeout=', Infinity],
    ['timeout=x', Infinity],
    ['max=100', Infinity],
    ['mytimeout=5', Infinity],
    ['timeout=5', 4500],
    ['Timeout=5', 4500],
    ['TIMEOUT = 5', 4500],
    ['timeout="5"', 4500],
    ['timeout=5, max=100', 4500],
    ['max=100, timeout=5', 4500],
    ['max=100,timeout=5', 4500],
    ['max=100; timeout=5', 4500],
    // A tenth of a second at least, a second at most.
    ['timeout=1', 900],
    ['timeout=2', 1800],
    ['timeout=10', 9000],
    ['timeout=60', 59_000],
    ['timeout=600', 599_000],
    ['timeout=0', 0],
    ['timeout=5, max=0', 0],
    ['max=0', 0],
    ['max=1', Infinity],
  ]) {
    assert.strictEqual(hintedLimit(hint), expected, hint);
  }
});

test('agentKeepAliveTimeoutBuffer is the margin if it is given', () => {
  assert.strictEqual(hintedLimit('timeout=5', 0), 5000);
  assert.strictEqual(hintedLimit('timeout=5', 2000), 3000);
  assert.strictEqual(hintedLimit('timeout=1', 2000), 0);
});

for (const hint of ['timeout=0', 'max=0', 'timeout=5, max=0']) {
  test(`with ${hint} the connection is not kept`, { timeout: 20_000 }, async (t) => {
    const server = await echoServer(t, { listener: hinting(hint) });
    const agent = ourAgent(t);
    const { socket } = await exchangeAndIdle({ ...server.at, agent });
    assert.deepStrictEqual(books(agent).freeSockets, {});
    assert.strictEqual(socket.destroyed, true);
    await closed(socket);
    assert.deepStrictEqual(books(agent), { sockets: {}, freeSockets: {}, requests: {}, total: 0 });
  });
}

test(
  'with timeout=1 it is kept, and closed on our side before the second is over',
  { timeout: 20_000 },
  async (t) => {
    const server = await echoServer(t, { listener: hinting('max=5, timeout=1') });
    const agent = ourAgent(t, { freeSocketTimeout: 60_000 });
    const first = await exchangeAndIdle({ ...server.at, agent });
    const started = Date.now();
    const { request, socket } = await exchangeAndIdle({ ...server.at, agent });
    assert.strictEqual(socket, first.socket);
    assert.strictEqual(request.reusedSocket, true);
    await closed(socket);
    // The clock of the connection started when the response arrived, a little after ours.
    const waited = Date.now() - started;
    assert.ok(waited >= 895, `closed after ${waited} ms`);
    assert.strictEqual(agent.totalSocketCount, 0);
  },
);

test('a hint does not make the agent’s own limit longer', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t, { listener: hinting('timeout=3600') });
  const agent = ourAgent(t, { freeSocketTimeout: 60 });
  const { socket } = await exchangeAndIdle({ ...server.at, agent });
  await closed(socket);
  assert.strictEqual(agent.totalSocketCount, 0);
});

test('a margin that leaves nothing of the hint closes at once', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t, { listener: hinting('timeout=1') });
  const agent = ourAgent(t, { agentKeepAliveTimeoutBuffer: 1000 });
  const { socket } = await exchange({ ...server.at, agent });
  await closed(socket);
  await nextTurn();
  assert.strictEqual(agent.totalSocketCount, 0);
});
