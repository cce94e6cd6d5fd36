'use strict';

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const https = require('node:https');
const net = require('node:net');
const { test } = require('node:test');
const { HttpsAgent } = require('..');
const { cert, key } = require('./helpers/certificate');
const { echoServer, holding } = require('./helpers/echo-server');
const { asNode, books, closed, exchange, exchangeAndIdle, nextTurn, ourAgent } = require('./helpers/request');

const patience = { timeout: 20_000 };

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

/** Adds requests to another agent, with one object of options, which says something else afterwards. */
function adding(agent) {
  const { defaultPort, protocol } = agent;
  const shared = {};
  return {
    defaultPort,
    protocol,
    addRequest(request, options) {
      agent.addRequest(request, Object.assign(shared, options));
      Object.assign(shared, { host: 'not.invalid', port: 1, theirs: 4 });
    },
  };
}

for (const [added, agentOf] of [
  ['by itself', (agent) => agent],
  ['by a program', adding],
]) {
  test(
    `one behind a request that was given up gets a socket by its own options, added ${added}`,
    patience,
    async (t) => {
      const servers = [await echoServer(t), await echoServer(t)];
      const own = ourAgent(t, { maxTotalSockets: 1, mine: 'of the agent' });
      const made = [];
      own.createConnection = ({ host, port, mine, theirs }) => {
        made.push([port, mine, theirs]);
        return net.connect(port, host);
      };
      const agent = agentOf(own);
      const headers = { Connection: 'close' };
      const first = exchange({ ...servers[0].at, agent, path: '/first', theirs: 1, headers });
      const givenUp = http.request({ ...servers[1].at, agent, theirs: 2 }).on('error', () => {});
      const second = exchange({ ...servers[1].at, agent, path: '/second', theirs: 3, headers });
      givenUp.destroy();
      const bodies = (await Promise.all([first, second])).map(({ body }) => JSON.parse(body).url);
      assert.deepStrictEqual(bodies, ['/first', '/second']);
      assert.deepStrictEqual(made, [
        [servers[0].at.port, 'of the agent', 1],
        [servers[1].at.port, 'of the agent', 3],
      ]);
    },
  );
}

for (const [form, argumentsOf] of [
  ['options', (options) => [options]],
  ['a URL', ({ host, port, path, ...options }) => [`https://${host}:${port}${path}`, options]],
]) {
  test(
    `a Host header that is set while the request waits does not change its place: ${form}`,
    patience,
    async (t) => {
      const servers = [await echoServer(t, { cert, key }), await echoServer(t, { cert, key })];
      for (const Agent of [https.Agent, HttpsAgent]) {
        const agent = new Agent({ maxTotalSockets: 1, ca: cert, checkServerIdentity: () => undefined });
        t.after(() => agent.destroy());
        const made = [];
        const { createConnection } = agent;
        agent.createConnection = function (options, ...rest) {
          made.push(options.servername);
          return createConnection.call(this, options, ...rest);
        };
        const ask = (n, path) =>
          https.request(...argumentsOf({ ...servers[n].at, host: 'localhost', path, agent }));
        const first = exchange({}, undefined, () => ask(0, '/first'));
        const givenUp = ask(1, '/givenUp').on('error', () => {});
        const second = exchange({}, undefined, () => {
          const request = ask(1, '/second');
          request.setHeader('Host', 'other.test');
          return request;
        });
        givenUp.destroy();
        const bodies = (await Promise.all([first, second])).map(({ body }) => JSON.parse(body));
        assert.deepStrictEqual([bodies[1].url, bodies[1].headers.host], ['/second', 'other.test']);
        assert.deepStrictEqual(made, ['localhost', 'localhost']);
      }
    },
  );
}

test('each host has sockets of its own while requests for others wait', patience, async (t) => {
  const servers = [await echoServer(t), await echoServer(t), await echoServer(t)];
  for (const limits of [{ maxTotalSockets: 2 }, { maxSockets: 1 }, { maxSockets: 2, maxTotalSockets: 3 }]) {
    await asNode(t, async (make) => {
      const agent = make(limits);
      const made = [];
      const { createConnection } = agent;
      agent.createConnection = function (options, ...rest) {
        made.push(servers.findIndex(({ at }) => at.port === options.port));
        return createConnection.call(this, options, ...rest);
      };
      const all = [];
      const seen = [];
      for (const n of [0, 1, 1, 0, 1, 0, 2, 2, 0]) {
        all.push(exchange({ ...servers[n].at, agent, headers: { Connection: 'close' } }));
        seen.push(books(agent));
      }
      await Promise.all(all);
      return [seen, made.sort()];
    });
  }
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

test('a limit that is raised holds for the requests that come after', patience, async (t) => {
  const hold = holding();
  const server = await echoServer(t, { listener: hold.listener });
  for (const limit of ['maxSockets', 'maxTotalSockets']) {
    const [, , , , raised] = await asNode(t, async (make) => {
      const agent = make({ [limit]: 1 });
      hold.reset();
      const all = [];
      const seen = [];
      for (const path of paths(5)) {
        if (path === '/3') agent[limit] = 3;
        all.push(exchange({ ...server.at, path, agent }));
        seen.push(books(agent));
      }
      await hold.waiting(3);
      await answerAll(hold, 5);
      await Promise.all(all);
      return seen;
    });
    assert.strictEqual(raised.total, 3);
  }
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
