'use strict';

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const { test } = require('node:test');
const { echoServer, holding } = require('./helpers/echo-server');
const { asNode, books, closed, exchange, exchangeAndIdle, nextTurn, ourAgent } = require('./helpers/request');

const paths = (count) => Array.from({ length: count }, (_, n) => `/${n}`);

/** Answers all that wait, and all that come after them, until `count` have been seen. */
async function answerAll(hold, count) {
  for (let seen = hold.seen.length; ; seen = hold.seen.length) {
    hold.release();
    if (seen >= count) return;
    await hold.waiting(seen + 1);
  }
}

for (const [title, options] of [
  ['maxSockets', { maxSockets: 2 }],
  ['maxTotalSockets', { maxTotalSockets: 2 }],
]) {
  test(`${title} holds at every moment, and who waits is served in order`, { timeout: 20_000 }, async (t) => {
    const hold = holding();
    const server = await echoServer(t, { listener: hold.listener });
    const seen = await asNode(t, async (make) => {
      const agent = make(options);
      Object.assign(server, { most: 0, accepted: 0 });
      hold.reset();
      const order = [];
      const get = (options) => http.request(options).on('socket', () => order.push(options.path));
      const all = paths(9).map((path) => exchange({ ...server.at, path, agent }, undefined, get));
      const trace = [books(agent)];
      await hold.waiting(2);
      await answerAll(hold, 9);
      const done = await Promise.all(all);
      trace.push(new Set(done.map(({ socket }) => socket)).size);
      agent.destroy();
      while (server.open.size > 0) await once(server, 'gone');
      return [trace, server.most, server.accepted, order];
    });
    const [[before, sockets], most, accepted, order] = seen;
    assert.deepStrictEqual(Object.values(before.requests), [7]);
    assert.strictEqual(before.total, 2);
    assert.deepStrictEqual([sockets, most, accepted], [2, 2, 2]);
    assert.deepStrictEqual(order, paths(9));
  });
}

test('one socket serves who waits first in, first out', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const urls = await asNode(t, async (make) => {
    const agent = make({ maxSockets: 1 });
    const urls = [];
    await Promise.all(
      paths(6).map(async (path) => {
        const { body } = await exchange({ ...server.at, path, agent });
        urls.push(JSON.parse(body).url);
      }),
    );
    return urls;
  });
  assert.deepStrictEqual(urls, paths(6));
});

test('a waiting request of another host gets the slot of one that closed', { timeout: 20_000 }, async (t) => {
  const servers = [await echoServer(t), await echoServer(t)];
  await asNode(t, async (make) => {
    const agent = make({ maxTotalSockets: 1 });
    const close = { Connection: 'close' };
    const first = exchange({ ...servers[0].at, agent, headers: close });
    const second = exchange({ ...servers[1].at, agent, headers: close });
    const waiting = books(agent);
    const done = await Promise.all([first, second]);
    return [waiting, done.map(({ body }) => JSON.parse(body).method)];
  });
});

test('maxTotalSockets counts those that are connecting', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const agent = ourAgent(t, { maxTotalSockets: 1 });
  const all = paths(3).map((path) => exchange({ ...server.at, path, agent }));
  assert.strictEqual(agent.totalSocketCount, 1);
  assert.strictEqual(Object.values(agent.sockets)[0][0].connecting, true);
  await Promise.all(all);
  assert.strictEqual(server.accepted, 1);
});

test('a connect that fails makes room for the next one', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const { at } = server;
  server.close();
  await once(server, 'close');
  await asNode(t, async (make) => {
    const agent = make({ maxSockets: 1 });
    const errors = await Promise.all(
      paths(3).map((path) => exchange({ ...at, path, agent }).catch((e) => e.code)),
    );
    while (agent.totalSocketCount > 0) await nextTurn();
    return [errors, books(agent)];
  });
});

test('maxFreeSockets is how many stay idle', { timeout: 20_000 }, async (t) => {
  const hold = holding();
  const server = await echoServer(t, { listener: hold.listener });
  const left = await asNode(t, async (make) => {
    const agent = make({ maxFreeSockets: 2 });
    hold.reset();
    const gone = [];
    const all = paths(5).map((path) => exchange({ ...server.at, path, agent }));
    await hold.waiting(5);
    hold.release();
    for (const { socket } of await Promise.all(all)) if (socket.destroyed) gone.push(socket);
    while (agent.totalSocketCount > 2) await nextTurn();
    return [Object.values(books(agent).freeSockets), gone.length];
  });
  assert.deepStrictEqual(left, [[2], 3]);
});

test('limits count every name for itself', { timeout: 20_000 }, async (t) => {
  const servers = [await echoServer(t), await echoServer(t)];
  await asNode(t, async (make) => {
    const agent = make({ maxSockets: 1 });
    const all = [0, 1, 0, 1].map((n) => exchange({ ...servers[n].at, agent }));
    const atOnce = books(agent);
    await Promise.all(all);
    return atOnce;
  });
});

test('a closed socket is replaced while requests wait', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  server.maxRequestsPerSocket = 1;
  await asNode(t, async (make) => {
    const agent = make({ maxSockets: 1 });
    server.accepted = 0;
    const done = await Promise.all(paths(4).map((path) => exchange({ ...server.at, path, agent })));
    return [done.map(({ body }) => JSON.parse(body).url), server.accepted];
  });
});

test('an idle socket counts until it has closed', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  await asNode(t, async (make) => {
    const agent = make();
    const { socket } = await exchangeAndIdle({ ...server.at, agent });
    socket.destroy();
    const before = agent.totalSocketCount;
    await closed(socket);
    return [before, agent.totalSocketCount];
  });
});
