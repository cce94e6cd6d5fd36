'use strict';

// agent.stats(): what has been counted, by origin.

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const { test } = require('node:test');
const { HttpAgent, HttpsAgent } = require('..');
const { blockUntil, send, startServer, until, warm } = require('./helpers/blocked');
const { closedPort } = require('./helpers/lane-server');
const { exchange, ourAgent } = require('./helpers/request');

const patience = { timeout: 20_000 };

test('an agent that did nothing has nothing to tell', () => {
  assert.deepStrictEqual(new HttpAgent().stats(), {});
  assert.deepStrictEqual(new HttpsAgent().stats(), {});
});

test('who asks in the tick that has written a request can still take that back', patience, async (t) => {
  const server = await startServer(t);
  const agent = ourAgent(t);
  const options = { host: '127.0.0.1', port: server.port, agent, method: 'POST', headers: { 'x-id': 'it' } };
  const request = http.request(options).end('body');
  process.nextTick(() => {
    assert.ok(request.socket);
    const connected = () => agent.stats()[`127.0.0.1:${server.port}`].connections.busy === 1;
    assert.ok(blockUntil(connected));
    // Each question is a turn of the thread.
    for (let turn = 0; turn < 20; turn++) agent.stats();
    request.destroy();
  });
  const [error] = await once(request, 'error');
  assert.strictEqual(error.connection.bytesWritten, 0);
  await until(() => server.events('client-fin').length + server.events('gone').length > 0);
  assert.strictEqual(server.arrivals('it'), 0);
});

test('connections, requests and times', patience, async (t) => {
  const server = await startServer(t);
  const agent = ourAgent(t, { maxSockets: 2 });
  const other = ourAgent(t);
  await warm(other, server);
  const origin = `127.0.0.1:${server.port}`;
  const sent = Array.from({ length: 5 }, (_, i) => send(agent, server, { id: `x${i}`, act: 'ok/cue' }));
  await Promise.all(sent.slice(0, 2).map(({ request }) => once(request, 'finish')));
  const during = agent.stats()[origin];
  assert.strictEqual(during.connections.busy + during.connections.connecting, 2);
  assert.strictEqual(during.queued, 3);
  for (let i = 0; i < 5; i++) server.post({ cue: `x${i}` });
  await Promise.all(sent);
  await new Promise(setImmediate);
  const after = agent.stats()[origin];
  assert.deepStrictEqual(after.connections, { busy: 0, idle: 2, connecting: 0 });
  assert.deepStrictEqual([after.opened, after.notOpened, after.requests, after.reuses], [2, 0, 5, 3]);
  assert.deepStrictEqual([after.queued, after.saved, after.closes], [0, 0, {}]);
  assert.deepStrictEqual(after.retries, { R2: 0, R3: 0, R4: 0, R5: 0, R6: 0 });
  assert.strictEqual(after.connect.count, 2);
  assert.strictEqual(after.wait.count, 3);
  assert.ok(after.wait.p50 > 0 && after.wait.p50 <= after.wait.p90 && after.wait.p99 <= after.wait.max);
  if (process.platform === 'linux') assert.strictEqual(after.roundTrip.count, 2);
  assert.deepStrictEqual(Object.keys(agent.stats()), [origin]);
  assert.strictEqual(other.stats()[origin].requests, 1);
});

test('each origin has what is its own, and other agents have nothing of it', patience, async (t) => {
  const [agent, other] = [ourAgent(t), ourAgent(t)];
  const servers = await Promise.all([1, 2].map(() => startServer(t)));
  const of = (one, { port }) => one.stats()[`127.0.0.1:${port}`];
  await Promise.all(servers.map((server, i) => warm(agent, server, i + 2)));
  await warm(other, servers[0], 4);
  servers.forEach((server, i) => {
    assert.deepStrictEqual(of(agent, server).connections, { busy: 0, idle: i + 2, connecting: 0 });
    if (process.platform === 'linux') assert.strictEqual(of(agent, server).roundTrip.count, i + 2);
  });
  assert.strictEqual(of(other, servers[0]).connections.idle, 4);
  assert.strictEqual(of(other, servers[1]), undefined);
});

test(
  'an origin with a connection is counted on, however many others there were since',
  patience,
  async (t) => {
    const server = await startServer(t);
    const agent = ourAgent(t);
    const stats = () => agent.stats()[`127.0.0.1:${server.port}`];
    await warm(agent, server, 2);
    const port = await closedPort();
    const lookup = (_, { all }, callback) =>
      callback(null, all ? [{ address: '127.0.0.1', family: 4 }] : '127.0.0.1', 4);
    for (let number = 0; number < 1100; number++) {
      const request = http.get({ host: `${number}.test`, port, agent, lookup });
      await once(request, 'error');
    }
    await warm(agent, server, 3);
    assert.deepStrictEqual(stats().connections, { busy: 0, idle: 3, connecting: 0 });
    assert.deepStrictEqual([stats().opened, stats().requests], [3, 5]);
    assert.strictEqual(Object.keys(agent.stats()).length, 1000);
  },
);

test('a request has waited for a new socket, too', patience, async (t) => {
  const server = http.createServer((_, response) => response.writeHead(200, { connection: 'close' }).end());
  t.after(() => server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address();
  const lookup = (_, { all }, callback) =>
    setImmediate(callback, null, all ? [{ address: '127.0.0.1', family: 4 }] : '127.0.0.1', 4);
  for (const [host, more] of Object.entries({ '127.0.0.1': {}, name: { lookup } })) {
    const agent = ourAgent(t, { maxSockets: 1 });
    const options = { host, port, agent, ...more };
    const responses = await Promise.all(Array.from({ length: 4 }, () => exchange(options)));
    assert.strictEqual(new Set(responses.map(({ socket }) => socket)).size, 4);
    assert.strictEqual(agent.stats()[`${host}:${port}`].wait.count, 3, host);
  }
});

test('closes by reason, retries by rule, and requests that were saved', patience, async (t) => {
  const server = await startServer(t);
  const agent = ourAgent(t);
  const stats = () => agent.stats()[`127.0.0.1:${server.port}`];
  await warm(agent, server, 1, { then: 'close/5' });
  await until(() => stats().closes['peer-closed-idle'] === 1);
  await warm(agent, server);
  assert.strictEqual((await send(agent, server, { id: 'again', act: 'close,ok' })).status, 200);
  assert.strictEqual(stats().retries.R4, 1);
  assert.strictEqual(stats().saved, 1);
  assert.strictEqual(stats().closes['peer-fin'], 1);
  const lost = await send(agent, server, { id: 'lost', act: 'reset', method: 'POST', body: 'x' });
  assert.strictEqual(lost.error.reason, 'peer-reset');
  assert.strictEqual(stats().closes['peer-reset'], 1);
  assert.strictEqual(stats().saved, 1);
  await warm(agent, server);
  agent.destroy();
  assert.ok(Object.values(stats().closes).reduce((sum, count) => sum + count) >= 4);
});

test('a connect that fails', patience, async (t) => {
  const port = await closedPort();
  const agent = ourAgent(t);
  await send(agent, { port }, { id: 'x' });
  const { opened, notOpened, requests } = agent.stats()[`127.0.0.1:${port}`];
  assert.deepStrictEqual([opened, notOpened, requests], [0, 1, 1]);
});
