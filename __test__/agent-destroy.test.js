'use strict';

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const { test } = require('node:test');
const { echoServer, holding } = require('./helpers/echo-server');
const { asNode, books, closed, exchange, exchangeAndIdle, nextTurn } = require('./helpers/request');

const EMPTY = { sockets: {}, freeSockets: {}, requests: {}, total: 0 };

test('destroy() closes used and idle sockets', { timeout: 20_000 }, async (t) => {
  const hold = holding();
  const server = await echoServer(t, { listener: hold.listener });
  const [before, code, after] = await asNode(t, async (make) => {
    const agent = make();
    hold.reset();
    const all = ['/1', '/2'].map((path) => exchange({ ...server.at, path, agent }));
    await hold.waiting(2);
    const free = once(agent, 'free');
    hold.release(1);
    await Promise.all([Promise.race(all), free]);
    const before = books(agent);
    const sockets = [...Object.values(agent.sockets), ...Object.values(agent.freeSockets)].flat();
    const ends = sockets.map(closed);
    agent.destroy();
    const destroyed = sockets.map((socket) => socket.destroyed);
    const results = await Promise.allSettled(all);
    await Promise.all(ends);
    while (server.open.size > 0) await once(server, 'gone');
    const { reason } = results.find(({ status }) => status === 'rejected');
    return [before, [reason.code, reason.message], books(agent), destroyed];
  });
  assert.deepStrictEqual(Object.values(before.freeSockets), [1]);
  assert.deepStrictEqual(code, ['ECONNRESET', 'socket hang up']);
  assert.deepStrictEqual(after, EMPTY);
});

test('it ends requests that are connecting', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  await asNode(t, async (make) => {
    const agent = make();
    const request = http.get({ ...server.at, agent });
    const error = once(request, 'error');
    agent.destroy();
    const [{ code, message }] = await error;
    while (agent.totalSocketCount > 0) await nextTurn();
    return [code, message, books(agent)];
  });
});

test('requests that wait are served, as with Node', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  await asNode(t, async (make) => {
    const agent = make({ maxSockets: 1 });
    const all = ['/1', '/2'].map((path) => exchange({ ...server.at, path, agent }));
    agent.destroy();
    const [first, second] = await Promise.allSettled(all);
    return [first.reason?.code, second.value && JSON.parse(second.value.body).url];
  });
});

test('an agent that was destroyed can be used again', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const [, body] = await asNode(t, async (make) => {
    const agent = make();
    const { socket } = await exchangeAndIdle({ ...server.at, agent });
    agent.destroy();
    agent.destroy();
    const { request, body } = await exchangeAndIdle({ ...server.at, path: '/again', agent });
    return [socket.destroyed, JSON.parse(body).url, request.reusedSocket, books(agent)];
  });
  assert.strictEqual(body, '/again');
});

test('in the same tick as the request nothing hangs', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  await asNode(t, async (make) => {
    const agent = make();
    await exchangeAndIdle({ ...server.at, agent });
    const outcome = exchange({ ...server.at, agent }).then(
      () => 'answered',
      ({ code, message }) => `${code} ${message}`,
    );
    agent.destroy();
    return outcome;
  });
});

test('signal destroys the sockets of the agent', { timeout: 20_000 }, async (t) => {
  const hold = holding();
  const server = await echoServer(t, { listener: hold.listener });
  const seen = await asNode(t, async (make) => {
    const controller = new AbortController();
    const agent = make({ signal: controller.signal });
    hold.reset();
    const outcome = exchange({ ...server.at, agent }).catch(({ name, code }) => [name, code]);
    await hold.waiting(1);
    controller.abort();
    return outcome;
  });
  assert.deepStrictEqual(seen, ['AbortError', 'ABORT_ERR']);
});
