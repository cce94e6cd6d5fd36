'use strict';

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const https = require('node:https');
const tls = require('node:tls');
const { test } = require('node:test');
const { HttpAgent, HttpsAgent } = require('..');
const { cert, key } = require('./helpers/certificate');
const { echoServer, holding } = require('./helpers/echo-server');
const { asNode, books, closed, exchange, exchangeAndIdle, ourAgent, text } = require('./helpers/request');

const EMPTY = { sockets: {}, freeSockets: {}, requests: {}, total: 0 };

test('an idle connection is closed after it, and the server hears of it', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const agent = ourAgent(t, { freeSocketTimeout: '100ms' });
  // The clock of the connection starts with the last byte, which JavaScript may hear of much later.
  const started = Date.now();
  const { socket } = await exchangeAndIdle({ ...server.at, agent });
  const events = [];
  for (const name of ['error', 'timeout', 'end']) socket.on(name, () => events.push(name));
  await Promise.all([closed(socket), once(server, 'gone')]);
  const waited = Date.now() - started;
  assert.ok(waited >= 95, `closed after ${waited} ms`);
  assert.deepStrictEqual(events, []);
  assert.deepStrictEqual(books(agent), EMPTY);
});

test('a connection in use is not closed, however slow', { timeout: 20_000 }, async (t) => {
  const hold = holding();
  const server = await echoServer(t, { listener: hold.listener });
  const agent = ourAgent(t, { freeSocketTimeout: 40 });
  const one = exchange({ ...server.at, agent });
  await hold.waiting(1);
  await new Promise((resolve) => setTimeout(resolve, 120));
  hold.release();
  assert.strictEqual((await one).body, 'released');
});

test('it holds until the first byte of the next request leaves', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const limit = 500;
  const agent = ourAgent(t, { freeSocketTimeout: limit });
  const first = await exchangeAndIdle({ ...server.at, agent });
  const request = http.request({ ...server.at, agent, method: 'POST' });
  const [socket] = await once(request, 'socket');
  assert.strictEqual(socket, first.socket);
  // It computes its body, say.
  await new Promise((resolve) => setTimeout(resolve, limit * 1.2));
  request.end('late');
  const [response] = await once(request, 'response');
  const { body, port } = JSON.parse(await text(response));
  assert.strictEqual(body, 'late');
  assert.notStrictEqual(
    port,
    JSON.parse(first.body).port,
    'it went out on a connection that was idle for too long',
  );
});

test('the time starts anew with each request', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const limit = 600;
  const agent = ourAgent(t, { freeSocketTimeout: limit });
  let { socket } = await exchangeAndIdle({ ...server.at, agent });
  let started = performance.now();
  for (let last = started; last - started < limit * 1.5;) {
    const again = await exchangeAndIdle({ ...server.at, agent });
    const now = performance.now();
    if (again.socket !== socket) {
      // The machine has stood still, so that the limit was over: it begins anew.
      assert.ok(now - last > limit * 0.75, `closed ${now - last} ms after it was used`);
      [socket, started] = [again.socket, now];
    }
    last = now;
  }
});

for (const freeSocketTimeout of [0, Infinity]) {
  test(`${freeSocketTimeout} is no limit`, { timeout: 20_000 }, async (t) => {
    const server = await echoServer(t);
    const agent = ourAgent(t, { freeSocketTimeout });
    const watched = ourAgent(t, { freeSocketTimeout: 80 });
    const { socket } = await exchangeAndIdle({ ...server.at, agent });
    // One that was idle later has gone by its limit meanwhile.
    await closed((await exchangeAndIdle({ ...server.at, agent: watched })).socket);
    assert.strictEqual(socket.destroyed, false);
    const { request } = await exchangeAndIdle({ ...server.at, agent });
    assert.strictEqual(request.reusedSocket, true);
  });
}

test('options.timeout is a limit of idle connections too, if it is less', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const [timeout, , left] = await asNode(t, async (make) => {
    const agent = make({ timeout: 100 });
    const { socket } = await exchangeAndIdle({ ...server.at, agent });
    const events = [];
    socket.on('timeout', () => events.push('timeout'));
    socket.on('error', () => events.push('error'));
    const { timeout } = socket;
    await closed(socket);
    return [timeout, events, books(agent)];
  });
  assert.strictEqual(timeout, 100);
  assert.deepStrictEqual(left, EMPTY);
});

test('it counts for TLS connections too', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t, { cert, key });
  const agent = new HttpsAgent({ ca: cert, freeSocketTimeout: 100 });
  t.after(() => agent.destroy());
  const { socket } = await exchangeAndIdle({ ...server.at, agent }, undefined, https.request);
  await closed(socket);
  assert.deepStrictEqual(books(agent), EMPTY);
});

test(
  "options.timeout is a limit of idle sockets of Node's too, if it is less",
  { timeout: 20_000 },
  async (t) => {
    const server = await echoServer(t, { cert, key });
    for (const [timeout, freeSocketTimeout, expected] of [
      [5000, 9000, 5000],
      [9000, 5000, 5000],
      [0, 5000, 5000],
      [0, 0, 0],
    ]) {
      const secureContext = tls.createSecureContext({ ca: cert });
      const agent = new HttpsAgent({ secureContext, timeout, freeSocketTimeout, socketActiveTTL: 0 });
      t.after(() => agent.destroy());
      const { socket } = await exchangeAndIdle({ ...server.at, agent }, undefined, https.request);
      assert.strictEqual(socket.timeout, expected);
    }
  },
);

test('idle connections of one agent are not those of another', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const agents = [ourAgent(t), ourAgent(t)];
  for (const agent of agents) await exchangeAndIdle({ ...server.at, agent });
  assert.strictEqual(server.accepted, 2);
  assert.ok(agents[0] instanceof HttpAgent);
});
