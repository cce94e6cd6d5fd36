'use strict';

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const { test } = require('node:test');
const { echoServer, holding } = require('./helpers/echo-server');
const { asNode, books, closed, exchange, nextTurn } = require('./helpers/request');

/** A request, and the names of what it emitted. */
function traced(options) {
  const trace = [];
  const request = http.get(options, (response) => response.resume());
  closed(request);
  request.on('error', (error) => trace.push(`error ${error.code} ${error.message}`));
  for (const name of ['abort', 'response', 'close']) request.on(name, () => trace.push(name));
  return { request, trace };
}

for (const end of ['destroy', 'abort']) {
  test(`a waiting request that is ended by ${end}() sends nothing`, { timeout: 20_000 }, async (t) => {
    const hold = holding();
    const server = await echoServer(t, { listener: hold.listener });
    const [trace, seen] = await asNode(t, async (make) => {
      const agent = make({ maxSockets: 1 });
      Object.assign(server, { accepted: 0 });
      hold.reset();
      const first = exchange({ ...server.at, path: '/first', agent });
      const { request, trace } = traced({ ...server.at, path: '/never', agent });
      const last = exchange({ ...server.at, path: '/last', agent });
      await hold.waiting(1);
      request[end]();
      hold.release();
      await hold.waiting(2);
      hold.release();
      const sockets = (await Promise.all([first, last])).map(({ socket }) => socket);
      await closed(request);
      return [trace, [...hold.seen], server.accepted, sockets[0] === sockets[1]];
    });
    assert.deepStrictEqual(seen, ['/first', '/last']);
    assert.ok(trace.includes('close'));
    if (end === 'destroy') assert.ok(trace.includes('error ECONNRESET socket hang up'));
  });
}

test('if only ended requests wait, the socket becomes idle', { timeout: 20_000 }, async (t) => {
  const hold = holding();
  const server = await echoServer(t, { listener: hold.listener });
  const [, left] = await asNode(t, async (make) => {
    const agent = make({ maxSockets: 1 });
    hold.reset();
    const first = exchange({ ...server.at, path: '/first', agent });
    const { request, trace } = traced({ ...server.at, path: '/never', agent });
    await hold.waiting(1);
    request.destroy();
    hold.release();
    await first;
    for (let turn = 0; turn < 4; turn++) await nextTurn();
    return [trace, books(agent), [...hold.seen]];
  });
  assert.deepStrictEqual(left.requests, {});
});

test('a waiting request reuses a freed socket without keepAlive too', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const [sockets, accepted, headers, left] = await asNode(t, async (make) => {
    const agent = make({ keepAlive: false, maxSockets: 1 });
    server.accepted = 0;
    const done = await Promise.all(['/1', '/2', '/3'].map((path) => exchange({ ...server.at, path, agent })));
    const last = done.at(-1).socket;
    await closed(last);
    while (agent.totalSocketCount > 0) await nextTurn();
    return [
      new Set(done.map(({ socket }) => socket)).size,
      server.accepted,
      done.map(({ body }) => JSON.parse(body).headers.connection),
      books(agent),
    ];
  });
  assert.deepStrictEqual([sockets, accepted], [1, 1]);
  assert.deepStrictEqual(headers, ['keep-alive', 'keep-alive', 'keep-alive']);
  assert.deepStrictEqual(left, { sockets: {}, freeSockets: {}, requests: {}, total: 0 });
});

test('without keepAlive and limit each request closes its connection', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const [accepted, headers] = await asNode(t, async (make) => {
    const agent = make({ keepAlive: false });
    server.accepted = 0;
    const headers = [];
    for (const path of ['/1', '/2']) {
      const { body, socket } = await exchange({ ...server.at, path, agent });
      headers.push(JSON.parse(body).headers.connection, socket.destroyed);
    }
    return [server.accepted, headers];
  });
  assert.strictEqual(accepted, 2);
  assert.deepStrictEqual(headers, ['close', true, 'close', true]);
});

test(
  'a request that is ended while it connects gives its slot to the next',
  { timeout: 20_000 },
  async (t) => {
    const server = await echoServer(t);
    const [trace, urls] = await asNode(t, async (make) => {
      const agent = make({ maxSockets: 1 });
      const { request, trace } = traced({ ...server.at, path: '/ended', agent });
      const next = exchange({ ...server.at, path: '/next', agent });
      await once(request, 'socket');
      request.destroy();
      const { body } = await next;
      return [trace, JSON.parse(body).url];
    });
    assert.deepStrictEqual(trace, ['error ECONNRESET socket hang up', 'close']);
    assert.strictEqual(urls, '/next');
  },
);

test('a socket that its program destroys at the end is told of as free, and the next request gets another', async (t) => {
  const server = await echoServer(t);
  await asNode(t, async (make) => {
    const agent = make({ maxSockets: 1 });
    const freed = [];
    agent.on('free', ({ destroyed }) => freed.push(destroyed));
    const [first, second] = ['/1', '/2'].map((path) => http.get({ ...server.at, path, agent }));
    const [response] = await once(first, 'response');
    response.resume().on('end', () => first.socket.destroy());
    const [other] = await once(second, 'response');
    other.resume();
    await closed(second);
    await nextTurn();
    return [freed, first.socket === second.socket, other.statusCode, books(agent)];
  });
});

/** What a program does to a request that has just been made, or to the agent before it is. */
const MEDDLING = {
  'has its onSocket wrapped before it waits': { agent: wrapping('onSocket') },
  'has its destroy wrapped before it waits, and is destroyed': {
    agent: wrapping('destroy'),
    request: (request) => request.path === '/2' && request.destroy(),
  },
  'has its onSocket wrapped while it waits': {
    request: (request, calls) => wrap(request, 'onSocket', calls),
  },
  'loses its agent while it waits': {
    request(request) {
      request.agent = null;
    },
  },
  'is passed on by an agent that is a plain object': {
    outer: (agent) => ({
      defaultPort: 80,
      protocol: 'http:',
      addRequest: (request, options) => agent.addRequest(request, options),
    }),
  },
};

/** Wraps it on each request that the agent is about to get. */
function wrapping(name) {
  return (agent, calls) => {
    const { addRequest } = agent;
    agent.addRequest = function (request, ...rest) {
      wrap(request, name, calls);
      return addRequest.call(this, request, ...rest);
    };
  };
}

function wrap(request, name, calls) {
  const { [name]: original } = request;
  request[name] = function (...args) {
    calls.push(`${name} ${this.path}`);
    return original.apply(this, args);
  };
}

for (const [what, { agent: prepare, request: meddle, outer }] of Object.entries(MEDDLING)) {
  for (const maxSentAhead of [0, 64]) {
    test(`a request that ${what}, with maxSentAhead: ${maxSentAhead}`, { timeout: 20_000 }, async (t) => {
      const server = await echoServer(t);
      const { answered } = await asNode(t, async (make) => {
        const agent = make({ maxSockets: 1, maxSentAhead });
        for (let i = 0; i < 3; i++) await exchange({ ...server.at, agent });
        const calls = [];
        prepare?.(agent, calls);
        const get = (path) =>
          new Promise((resolve) => {
            const options = { ...server.at, path, agent: outer?.(agent) ?? agent };
            const request = http.get(options, (response) =>
              response.resume().on('end', () => resolve(response.statusCode)),
            );
            request.on('error', ({ message }) => resolve(message));
            meddle?.(request, calls);
          });
        return { answered: await Promise.all(['/1', '/2', '/3'].map(get)), calls };
      });
      assert.deepStrictEqual([answered[0], answered[2]], [200, 200]);
    });
  }
}
