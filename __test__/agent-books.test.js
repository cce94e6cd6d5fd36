'use strict';

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const net = require('node:net');
const { PassThrough } = require('node:stream');
const { test } = require('node:test');
const { echoServer, holding } = require('./helpers/echo-server');
const {
  asNode,
  books,
  closed,
  exchange,
  exchangeAndIdle,
  nextTick,
  nextTurn,
  text,
} = require('./helpers/request');

test('they are right when http.request() returns', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const [name, [first, second]] = await asNode(t, async (make) => {
    const agent = make({ maxSockets: 1 });
    const requests = [0, 1].map(() => http.get({ ...server.at, agent }, (response) => response.resume()));
    const atOnce = books(agent);
    requests[0].on('socket', (socket) => (atOnce.listed = agent.sockets[socketName(agent)].includes(socket)));
    const [socket] = await once(requests[0], 'socket');
    const atSocket = { ...books(agent), connecting: socket.connecting };
    await Promise.all(requests.map((request) => closed(request)));
    return [socketName(agent), [atOnce, atSocket]];
  });
  assert.deepStrictEqual(first, {
    sockets: { [name]: 1 },
    freeSockets: {},
    requests: { [name]: 1 },
    total: 1,
    listed: true,
  });
  assert.strictEqual(second.total, 1);
});

const socketName = (agent) => Object.keys(agent.sockets)[0] ?? Object.keys(agent.freeSockets)[0];

test('a socket becomes idle in the tick after the end of the response', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const [atEnd, afterwards] = await asNode(t, async (make) => {
    const agent = make();
    const request = http.get({ ...server.at, agent });
    const [response] = await once(request, 'response');
    response.resume();
    const seen = await new Promise((resolve) => {
      response.on('end', () => {
        const atEnd = { ...books(agent), inSockets: agent.getName(server.at) in agent.sockets };
        process.nextTick(() =>
          process.nextTick(() =>
            resolve([atEnd, { ...books(agent), inSockets: agent.getName(server.at) in agent.sockets }]),
          ),
        );
      });
    });
    return seen;
  });
  assert.strictEqual(atEnd.inSockets, true);
  assert.deepStrictEqual(atEnd.freeSockets, {});
  assert.strictEqual(afterwards.inSockets, false);
  assert.deepStrictEqual(Object.values(afterwards.freeSockets), [1]);
  assert.strictEqual(afterwards.total, 1);
});

test('a reused socket is among those in use, at once', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const [name, during] = await asNode(t, async (make) => {
    const agent = make({ maxSockets: 1 });
    await exchangeAndIdle({ ...server.at, agent });
    const all = [exchangeAndIdle({ ...server.at, agent }), exchange({ ...server.at, agent })];
    const during = books(agent);
    await Promise.all(all);
    return [agent.getName(server.at), during];
  });
  assert.deepStrictEqual(during, {
    sockets: { [name]: 1 },
    freeSockets: {},
    requests: { [name]: 1 },
    total: 1,
  });
});

test('a socket that closes leaves them on close, not on error', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t, { listener: (request) => request.socket.destroy() });
  const seen = await asNode(t, async (make) => {
    const agent = make();
    const trace = [];
    const request = http.get({ ...server.at, agent });
    const [socket] = await once(request, 'socket');
    const gone = closed(socket);
    request.on('error', (error) => trace.push(['error', error.code, error.message, books(agent).total]));
    socket.on('close', () => trace.push(['close', books(agent)]));
    await Promise.all([closed(request), gone]);
    return trace;
  });
  assert.deepStrictEqual(seen.find(([event]) => event === 'error').slice(1), [
    'ECONNRESET',
    'socket hang up',
    1,
  ]);
  assert.deepStrictEqual(seen.find(([event]) => event === 'close')[1], {
    sockets: {},
    freeSockets: {},
    requests: {},
    total: 0,
  });
});

test('an idle socket that the server closes leaves them', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  await asNode(t, async (make) => {
    const agent = make();
    const { socket } = await exchangeAndIdle({ ...server.at, agent });
    const idle = books(agent);
    for (const open of server.open) open.destroy();
    await once(socket, 'close');
    return [idle, books(agent), socket.destroyed];
  });
});

test('an upgraded socket is out of them, without a listener of the agent', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const answer = (request, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello');
    socket.pipe(socket);
  };
  server.on('upgrade', answer);
  const seen = await asNode(t, async (make) => {
    const agent = make();
    const request = http.get({
      ...server.at,
      agent,
      headers: { Connection: 'Upgrade', Upgrade: 'echo' },
    });
    return new Promise((resolve, reject) => {
      request.on('error', reject).on('upgrade', (response, socket, head) => {
        const counts = listenerCounts(socket, ['free', 'close', 'agentRemove', 'timeout', 'error', 'data']);
        const found = [books(agent), counts, response.statusCode, String(head)];
        socket.on('data', (data) => {
          socket.destroy();
          resolve([...found, String(data)]);
        });
        socket.write('ping');
      });
    });
  });
  assert.strictEqual(seen[0].total, 0);
  assert.strictEqual(seen[1].free + seen[1].agentRemove, 0);
  assert.strictEqual(seen[4], 'ping');
});

function listenerCounts(socket, names) {
  return Object.fromEntries(names.map((name) => [name, socket.listenerCount(name)]));
}

test('so is the socket of a CONNECT', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  server.on('connect', (request, socket) => {
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
    socket.pipe(socket);
  });
  const seen = await asNode(t, async (make) => {
    const agent = make();
    const request = http.request({ ...server.at, agent, method: 'CONNECT', path: 'example.org:443' }).end();
    return new Promise((resolve, reject) => {
      request.on('error', reject).on('connect', (response, socket) => {
        const found = [books(agent), listenerCounts(socket, ['free', 'close', 'agentRemove', 'timeout'])];
        socket.on('data', (data) => {
          socket.destroy();
          resolve([...found, String(data)]);
        });
        socket.write('through');
      });
    });
  });
  assert.strictEqual(seen[0].total, 0);
  assert.strictEqual(seen[2], 'through');
});

test('agentRemove takes a socket out of them and leaves it open', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const [after, , destroyed] = await asNode(t, async (make) => {
    const agent = make();
    const request = http.get({ ...server.at, agent });
    const [socket] = await once(request, 'socket');
    socket.emit('agentRemove');
    const seen = [books(agent), listenerCounts(socket, ['free', 'agentRemove', 'timeout'])];
    const [response] = await once(request, 'response');
    const body = await text(response);
    await nextTurn();
    seen.push(socket.destroyed, JSON.parse(body).method, books(agent));
    socket.destroy();
    return seen;
  });
  assert.strictEqual(after.total, 0);
  assert.strictEqual(destroyed, false);
});

test('a socket that somebody else put among the idle ones is used', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  await asNode(t, async (make) => {
    const agent = make();
    const own = net.connect(server.at);
    await once(own, 'connect');
    agent.freeSockets[agent.getName(server.at)] = [own];
    const { request, socket, body } = await exchange({ ...server.at, agent });
    own.destroy();
    return [socket === own, request.reusedSocket, JSON.parse(body).method];
  });
});

test('also one that is no socket of the system', { timeout: 20_000 }, async (t) => {
  const seen = await asNode(t, async (make) => {
    const agent = make();
    const own = new PassThrough();
    Object.assign(own, { ref() {}, unref() {}, setKeepAlive() {}, setTimeout() {} });
    const written = [];
    own._write = (chunk, encoding, callback) => {
      written.push(String(chunk));
      callback();
    };
    const name = agent.getName({ host: 'nowhere', port: 1 });
    agent.freeSockets[name] = [own];
    const request = http.get({ host: 'nowhere', port: 1, path: '/own', agent });
    const atOnce = books(agent);
    await nextTick();
    const response = once(request, 'response');
    own.push('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi');
    const body = await text((await response)[0]);
    own.destroy();
    return [atOnce, written.join('').split('\r\n')[0], body];
  });
  assert.deepStrictEqual(seen.slice(1), ['GET /own HTTP/1.1', 'hi']);
});

test('at the end of a message: end, close of the request, free socket', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const trace = await asNode(t, async (make) => {
    const agent = make();
    const trace = [];
    agent.on('free', (socket, options) => {
      trace.push(['agent', options.port === server.at.port, books(agent)]);
    });
    const free = once(agent, 'free');
    const request = http.get({ ...server.at, agent });
    request.on('close', () => trace.push(['request close', request.destroyed, books(agent)]));
    request.on('socket', (socket) => socket.on('free', () => trace.push(['socket', books(agent)])));
    request.on('response', (response) => {
      response.resume();
      response.on('end', () => trace.push(['end', books(agent)]));
    });
    await free;
    await nextTurn();
    return trace;
  });
  assert.deepStrictEqual(
    trace.map(([event]) => event),
    ['end', 'request close', 'agent', 'socket'],
  );
});

test('a request that fails to connect leaves nothing in them', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const { port } = server.at;
  server.close();
  await once(server, 'close');
  const seen = await asNode(t, async (make) => {
    const agent = make();
    const request = http.get({ host: '127.0.0.1', port, agent });
    const [error] = await once(request, 'error');
    const atError = books(agent).total;
    await closed(request);
    await nextTurn();
    return [error.code, error.syscall, error.address, error.port, error.message, atError, books(agent)];
  });
  assert.strictEqual(seen[0], 'ECONNREFUSED');
  assert.strictEqual(seen.at(-1).total, 0);
});

test('after a release the next request is held against the same books', { timeout: 20_000 }, async (t) => {
  const hold = holding();
  const server = await echoServer(t, { listener: hold.listener });
  await asNode(t, async (make) => {
    const agent = make({ maxSockets: 2 });
    hold.reset();
    const all = ['/1', '/2', '/3', '/4'].map((path) => exchange({ ...server.at, path, agent }));
    const trace = [books(agent)];
    await hold.waiting(2);
    hold.release(1);
    await Promise.race(all);
    await hold.waiting(3);
    trace.push(books(agent));
    hold.release();
    await hold.waiting(4);
    trace.push(books(agent).requests);
    hold.release();
    await Promise.all(all);
    await nextTurn();
    trace.push(books(agent).total);
    return trace;
  });
});
