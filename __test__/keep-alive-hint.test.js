'use strict';

const assert = require('node:assert');
const { once } = require('node:events');
const net = require('node:net');
const { test } = require('node:test');
const { HttpAgent } = require('..');
const { parseHint } = require('../lib/agent/idle-limit');
const { blockUntil, send, startServer, warm } = require('./helpers/blocked');
const { echoServer } = require('./helpers/echo-server');
const { books, closed, exchange, exchangeAndIdle, nextTurn, ourAgent } = require('./helpers/request');

const hinting = (hint) => (request, response) => {
  response.setHeader('Connection', 'keep-alive');
  response.setHeader('Keep-Alive', hint);
  response.end('ok');
};

test('every form that servers send is read, and nothing else', () => {
  for (const [hint, timeout, max] of [
    ['timeout=5', 5000],
    ['timeout=5, max=100', 5000, 100],
    ['MAX=100;TIMEOUT = "5"', 5000, 100],
    ['timeout=0, max=0', 0, 0],
    ['timeout=5, timeout=3', 3000],
    ['timeout=99999999999', 4294967295000],
    ['timeout=-1'],
    ['timeout=x, max='],
    ['mytimeout=5'],
    ['\xfc=\xff'],
    [''],
  ]) {
    assert.deepStrictEqual(parseHint(hint), { timeout, max }, hint);
  }
});

test('a hint is asked for once', () => {
  const first = parseHint('timeout=17');
  assert.strictEqual(parseHint('timeout=17'), first);
  for (let max = 0; max < 2000; max++) assert.strictEqual(parseHint(`max=${max}`).max, max);
  assert.deepStrictEqual(parseHint('timeout=17'), { timeout: 17_000, max: undefined });
});

for (const hint of [
  'timeout=0',
  'max=0',
  'timeout=5, max=0',
  ['timeout=3600', 'max=0'],
  ['timeout=0', 'timeout=9'],
]) {
  test(`with ${[hint].flat().join(' and ')} the connection is not kept`, { timeout: 20_000 }, async (t) => {
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

test('a hint makes the default longer, up to maxFreeSocketTimeout', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t, { listener: hinting('timeout=3600') });
  for (const [options, ceiling] of [
    [{ freeSocketTimeout: 1, maxFreeSocketTimeout: 400 }, 400],
    [{ freeSocketTimeout: 1, maxFreeSocketTimeout: '0.2s' }, 200],
  ]) {
    const agent = ourAgent(t, options);
    const started = Date.now();
    const { socket } = await exchangeAndIdle({ ...server.at, agent });
    await closed(socket);
    const waited = Date.now() - started;
    assert.ok(waited >= ceiling - 5, `closed after ${waited} ms`);
  }
});

test('maxFreeSocketTimeout follows a limit that was chosen, and is a minute otherwise', () => {
  for (const [options, expected] of [
    [{}, 60_000],
    [{ freeSocketTimeout: 7000 }, 7000],
    [{ keepAliveTimeout: '30s' }, 30_000],
    [{ freeSocketTimeout: 7000, maxFreeSocketTimeout: '1m' }, 60_000],
  ]) {
    assert.strictEqual(new HttpAgent(options).options.maxFreeSocketTimeout, expected);
  }
});

test('without a hint the agent’s own limit holds', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const agent = ourAgent(t, { freeSocketTimeout: 60, maxFreeSocketTimeout: 3_600_000 });
  const { response, socket } = await exchangeAndIdle({ ...server.at, agent });
  assert.strictEqual(response.headers['keep-alive'], undefined);
  await closed(socket);
});

test('a margin that was set by hand is the margin', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t, { listener: hinting('timeout=20') });
  const agent = ourAgent(t, { agentKeepAliveTimeoutBuffer: 19_800 });
  const started = Date.now();
  const { socket } = await exchangeAndIdle({ ...server.at, agent });
  await closed(socket);
  const waited = Date.now() - started;
  assert.ok(waited >= 195, `closed after ${waited} ms`);
  // The default margin leaves 19 s.
  assert.ok(waited < 15_000, `closed after ${waited} ms`);
});

test('max is counted down, also if the server says it only once', { timeout: 20_000 }, async (t) => {
  let first = true;
  const server = await echoServer(t, {
    listener: (request, response) => {
      if (first) response.setHeader('Keep-Alive', 'timeout=60, max=2');
      else response.setHeader('Keep-Alive', 'timeout=60');
      first = false;
      response.end(String(request.socket.remotePort));
    },
  });
  const agent = ourAgent(t);
  const ports = [];
  for (let i = 0; i < 5; i++) ports.push((await exchangeAndIdle({ ...server.at, agent })).body);
  assert.deepStrictEqual(
    ports.map((port) => port === ports[0]),
    [true, true, true, false, false],
  );
  assert.strictEqual(ports[3], ports[4]);
});

test('max goes with the connection to another lane', { timeout: 20_000 }, async (t) => {
  const server = await startServer(t);
  const agent = ourAgent(t);
  // Two idle connections, of which the one that was used last takes one request more.
  await warm(agent, server, 2);
  const [last] = Object.values(agent.freeSockets)[0].slice(-1);
  await send(agent, server, { id: 'max', act: 'hint-max' });
  await nextTurn();
  assert.strictEqual(Object.values(agent.freeSockets)[0].at(-1), last);
  const connectionOf = (id) => server.events('request', id)[0].connection;
  const numbers = [connectionOf('max')];
  agent.scheduling = 'fifo';
  // The other lane's connection goes; it takes over the one that has one request left.
  const other = server.events('accept').find(({ connection }) => connection !== numbers[0]).connection;
  server.events();
  server.post({ end: 'close', connections: [other] });
  assert.ok(blockUntil(() => server.events('closed').length > 0));
  for (const id of ['one', 'two']) {
    assert.strictEqual((await send(agent, server, { id })).status, 200);
    numbers.push(connectionOf(id));
    await nextTurn();
  }
  assert.strictEqual(numbers[1], numbers[0]);
  assert.ok(numbers[2] > 2, `${numbers}`);
});

test('what cannot be a margin is none, as in Node', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t, { listener: hinting('timeout=1') });
  for (const agentKeepAliveTimeoutBuffer of [-1, Infinity, NaN, '1000', null]) {
    const agent = ourAgent(t, { agentKeepAliveTimeoutBuffer });
    // With any of them as the margin nothing would be left of the hint, or all of it.
    const sockets = [];
    for (let i = 0; i < 2; i++) sockets.push((await exchange({ ...server.at, agent })).socket);
    assert.strictEqual(sockets[0], sockets[1]);
    await closed(sockets[1]);
  }
});

test('a margin that leaves nothing of the hint closes at once', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t, { listener: hinting('timeout=1') });
  const agent = ourAgent(t, { agentKeepAliveTimeoutBuffer: 1000 });
  const { socket } = await exchange({ ...server.at, agent });
  await closed(socket);
  await nextTurn();
  assert.strictEqual(agent.totalSocketCount, 0);
});

test(
  'Connection: close, and HTTP/1.0 without keep-alive, end the connection',
  { timeout: 20_000 },
  async (t) => {
    for (const [version, header, kept] of [
      ['1.1', '', true],
      ['1.1', 'Connection: close\r\n', false],
      ['1.1', 'Connection: close\r\nKeep-Alive: timeout=60\r\n', false],
      ['1.1', 'connection: x, CLOSE\r\n', false],
      ['1.0', '', false],
      ['1.0', 'Keep-Alive: timeout=60\r\n', false],
      ['1.0', 'Connection: keep-alive\r\n', true],
      ['1.0', 'Connection: Keep-Alive\r\nKeep-Alive: timeout=60, max=5\r\n', true],
      ['1.0', 'Connection: keep-alive\r\nKeep-Alive: max=0\r\n', false],
    ]) {
      const server = net.createServer((socket) => {
        socket.on('error', () => {});
        socket.on('data', () =>
          socket.write(`HTTP/${version} 200 OK\r\n${header}Content-Length: 2\r\n\r\nok`),
        );
      });
      await once(server.listen(0, '127.0.0.1'), 'listening');
      t.after(() => server.close());
      const agent = ourAgent(t);
      const at = { host: '127.0.0.1', port: server.address().port, agent };
      const first = await exchange(at);
      await nextTurn();
      const second = await exchange(at);
      assert.strictEqual(second.request.reusedSocket, kept, `${version} ${header}`);
      assert.strictEqual(second.socket === first.socket, kept);
      agent.destroy();
    }
  },
);

test('max is obeyed where requests wait, whose connection is never idle', { timeout: 20_000 }, async (t) => {
  const served = new Map();
  const server = await echoServer(t, {
    listener(request, response) {
      const nth = (served.get(request.socket) ?? 0) + 1;
      served.set(request.socket, nth);
      // The last one is not announced in any other way.
      response.setHeader('Keep-Alive', `timeout=60, max=${Math.max(0, 3 - nth)}`);
      response.end();
    },
  });
  const agent = ourAgent(t, { maxSockets: 1 });
  const requests = Array.from({ length: 9 }, () => exchange({ ...server.at, agent }));
  await Promise.all(requests);
  assert.deepStrictEqual([...served.values()], [3, 3, 3]);
});

test(
  'what a server says once holds where requests wait, whose connection is never idle',
  { timeout: 20_000 },
  async (t) => {
    for (const [hint, expected] of [
      ['max=2', [3, 3, 3]],
      ['timeout=60, max=2', [3, 3, 3]],
      ['timeout=0', Array(9).fill(1)],
    ]) {
      for (const options of [{}, { maxSentAhead: 0 }]) {
        const served = new Map();
        const server = await echoServer(t, {
          listener(request, response) {
            const nth = (served.get(request.socket) ?? 0) + 1;
            served.set(request.socket, nth);
            response.setHeader('Connection', 'keep-alive');
            if (nth === 1) response.setHeader('Keep-Alive', hint);
            response.end();
          },
        });
        const agent = ourAgent(t, { maxSockets: 1, ...options });
        await Promise.all(Array.from({ length: 9 }, () => exchange({ ...server.at, agent })));
        assert.deepStrictEqual([...served.values()], expected, `${hint} ${JSON.stringify(options)}`);
      }
    }
  },
);
