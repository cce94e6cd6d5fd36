'use strict';

const assert = require('node:assert');
const { once } = require('node:events');
const https = require('node:https');
const { test } = require('node:test');
const { HttpsAgent } = require('..');
const { cert, key } = require('./helpers/certificate');
const { echoServer, holding } = require('./helpers/echo-server');
const { books, closed, exchange, exchangeAndIdle, ourAgent } = require('./helpers/request');

const EMPTY = { sockets: {}, freeSockets: {}, requests: {}, total: 0 };

test('an idle connection is closed at its maximum age', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const agent = ourAgent(t, { socketActiveTTL: 150, freeSocketTimeout: 0 });
  const started = Date.now();
  const { socket } = await exchangeAndIdle({ ...server.at, agent });
  await closed(socket);
  const age = Date.now() - started;
  // Each connection has an age of its own, up to a tenth below.
  assert.ok(age >= 130, `closed after ${age} ms`);
  assert.deepStrictEqual(books(agent), EMPTY);
  const next = await exchange({ ...server.at, agent });
  assert.strictEqual(next.request.reusedSocket, false);
  assert.strictEqual(server.accepted, 2);
});

test('reuse does not make a connection younger', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const agent = ourAgent(t, { socketActiveTTL: 200, freeSocketTimeout: 10_000 });
  const ports = new Set();
  const started = Date.now();
  // Never idle for long, so that nothing but its age can end a connection.
  while (ports.size < 2) {
    const { body } = await exchangeAndIdle({ ...server.at, agent });
    ports.add(JSON.parse(body).port);
  }
  assert.ok(Date.now() - started >= 150, 'a connection was replaced before its time');
});

test('one in use is not cut, and not kept afterwards', { timeout: 20_000 }, async (t) => {
  const hold = holding();
  const server = await echoServer(t, { listener: hold.listener });
  const agent = ourAgent(t, { socketActiveTTL: 50 });
  const one = exchange({ ...server.at, agent });
  await hold.waiting(1);
  // Longer than the limit, by the clock that counts.
  await new Promise((resolve) => setTimeout(resolve, 120));
  hold.release();
  const { body, socket } = await one;
  assert.strictEqual(body, 'released');
  await closed(socket);
  assert.deepStrictEqual(books(agent), EMPTY);
});

test('0 is no limit', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const agent = ourAgent(t, { socketActiveTTL: 0 });
  await exchangeAndIdle({ ...server.at, agent });
  const { request } = await exchangeAndIdle({ ...server.at, agent });
  assert.strictEqual(request.reusedSocket, true);
});

test('it counts for TLS connections too', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t, { cert, key });
  const agent = new HttpsAgent({ ca: cert, socketActiveTTL: 150, freeSocketTimeout: 0 });
  t.after(() => agent.destroy());
  const free = once(agent, 'free');
  const { socket } = await exchange({ ...server.at, agent }, undefined, https.request);
  await free;
  await closed(socket);
  assert.strictEqual(agent.totalSocketCount, 0);
});
