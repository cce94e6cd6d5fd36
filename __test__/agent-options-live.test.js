'use strict';

const assert = require('node:assert');
const dns = require('node:dns');
const { once } = require('node:events');
const http = require('node:http');
const https = require('node:https');
const { test } = require('node:test');
const { HttpAgent, HttpsAgent } = require('..');
const { Route } = require('../lib/connect/route');
const { numberOf } = require('../lib/connect/routes');
const { surroundings } = require('../lib/connect/surroundings');
const { echoServer, holding } = require('./helpers/echo-server');
const { asNode, books, closed, exchange, exchangeAndIdle, ourAgent } = require('./helpers/request');

test('keepAlive is read for each request', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const headers = await asNode(t, async (make) => {
    const agent = make();
    const headers = [];
    for (const keepAlive of [false, true, false]) {
      agent.keepAlive = keepAlive;
      const { body, socket } = await exchange({ ...server.at, agent });
      headers.push(JSON.parse(body).headers.connection);
      if (!keepAlive) await closed(socket);
    }
    return headers;
  });
  assert.deepStrictEqual(headers, ['close', 'keep-alive', 'close']);
});

test('a timeout that is none is none, at first and later', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  await asNode(t, async (make) => {
    const agent = make({ keepAlive: true, timeout: null });
    const { socket } = await exchangeAndIdle({ ...server.at, agent });
    const seen = [];
    for (const timeout of [null, false, '', NaN, undefined, 0]) {
      agent.options.timeout = timeout;
      const next = await exchangeAndIdle({ ...server.at, agent });
      seen.push([next.socket === socket, next.socket.timeout, books(agent)]);
    }
    return seen;
  });
});

test('an idle limit that is taken away is the default', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const agent = ourAgent(t, { freeSocketTimeout: 1000 });
  const { socket } = await exchangeAndIdle({ ...server.at, agent });
  for (const none of [null, undefined]) {
    agent.options.freeSocketTimeout = none;
    agent.options.maxFreeSocketTimeout = none;
    assert.strictEqual((await exchangeAndIdle({ ...server.at, agent })).socket, socket);
  }
});

test('so are those of an agent whose options are replaced as a whole', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  await asNode(t, async (make) => {
    const agent = make({ maxSockets: 2 });
    agent.options = { path: null };
    const done = await Promise.all([1, 2, 3, 4].map(() => exchange({ ...server.at, agent })));
    await exchangeAndIdle({ ...server.at, agent });
    return [done.map(({ response }) => response.statusCode), books(agent)];
  });
});

/** As libraries that merge configurations make it. */
function deepCopy(value, known = new Map()) {
  if (value === null || typeof value !== 'object') return value;
  if (value instanceof Set) return new Set(value);
  if (known.has(value)) return known.get(value);
  const copy = Array.isArray(value) ? [] : Object.create(Object.getPrototypeOf(value));
  known.set(value, copy);
  for (const name of Reflect.ownKeys(value)) {
    if (Object.prototype.propertyIsEnumerable.call(value, name)) copy[name] = deepCopy(value[name], known);
  }
  return copy;
}

test('a deep copy of an agent is an agent', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  await asNode(t, async (make) => {
    const agent = deepCopy(make());
    const { status } = await exchange({ ...server.at, agent });
    agent.destroy();
    return status;
  });
});

test(
  'keepAlive that is turned off closes the socket at the end of its request',
  { timeout: 20_000 },
  async (t) => {
    const hold = holding();
    const server = await echoServer(t, { listener: hold.listener });
    await asNode(t, async (make) => {
      const agent = make();
      hold.reset();
      const one = exchange({ ...server.at, agent });
      await hold.waiting(1);
      agent.keepAlive = false;
      hold.release();
      const { socket } = await one;
      await closed(socket);
      return books(agent);
    });
  },
);

test('maxSockets is read for each request', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const [waiting] = await asNode(t, async (make) => {
    const agent = make({ maxSockets: 1 });
    const all = [exchange({ ...server.at, agent }), exchange({ ...server.at, agent })];
    const counts = [Object.values(books(agent).requests)];
    agent.maxSockets = 3;
    all.push(exchange({ ...server.at, agent }));
    counts.push(Object.values(books(agent).sockets));
    await Promise.all(all);
    return counts;
  });
  assert.deepStrictEqual(waiting, [1]);
});

test('an option of the agent overrides that of the request', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  await asNode(t, async (make) => {
    const agent = make({ ...server.at, path: '/of-the-agent' });
    const { body, socket } = await exchangeAndIdle({
      host: 'absent.invalid',
      port: 1,
      path: '/asked',
      agent,
    });
    return [JSON.parse(body).url, socket.remotePort, books(agent)];
  });
});

test('an option that is set later overrides too, also for idle sockets', { timeout: 20_000 }, async (t) => {
  const [first, second] = [await echoServer(t), await echoServer(t)];
  const [ports] = await asNode(t, async (make) => {
    const agent = make();
    const options = { ...first.at, agent };
    const ports = [(await exchangeAndIdle(options)).socket.remotePort];
    agent.options.port = second.at.port;
    ports.push((await exchangeAndIdle(options)).socket.remotePort);
    ports.push((await exchangeAndIdle(options)).request.reusedSocket);
    return [ports, books(agent)];
  });
  assert.deepStrictEqual(ports, [first.at.port, second.at.port, true]);
});

test('options.timeout counts for the sockets from then on', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const seen = await asNode(t, async (make) => {
    const agent = make();
    const before = await exchange({ ...server.at, agent });
    agent.destroy();
    await closed(before.socket);
    agent.options.timeout = 12_345;
    const request = http.get({ ...server.at, agent }, (response) => response.resume());
    const [socket] = await once(request, 'socket');
    const { timeout } = socket;
    await closed(request);
    return [before.socket.timeout, timeout];
  });
  assert.strictEqual(seen[1], 12_345);
});

test('freeSocketTimeout counts from the next time a socket is idle', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const agent = ourAgent(t, { freeSocketTimeout: 60_000 });
  const { socket } = await exchangeAndIdle({ ...server.at, agent });
  for (const [limit, text] of [
    [60, '60'],
    ['80ms', '80ms'],
  ]) {
    agent.options.freeSocketTimeout = limit;
    const again = await exchangeAndIdle({ ...server.at, agent });
    if (limit === 60) assert.strictEqual(again.socket, socket);
    await closed(again.socket);
    assert.deepStrictEqual(books(agent).freeSockets, {}, text);
  }
});

test('the options are an object of their own, which programs may spread and write', () => {
  for (const Ours of [HttpAgent, HttpsAgent]) {
    const agent = new Ours({ ca: 'one', timeout: 5 });
    assert.ok(!('constructor' in agent.options));
    const copy = { ...agent.options };
    assert.deepStrictEqual([copy.ca, copy.timeout, copy.path], ['one', 5, null]);
    agent.options.ca = 'two';
    assert.strictEqual(agent.options.ca, 'two');
    assert.strictEqual(new Ours().options.ca, undefined);
  }
});

test('options that were not given are there to be read, and not to be copied with each request', () => {
  for (const [Ours, Nodes] of [
    [HttpAgent, http.Agent],
    [HttpsAgent, https.Agent],
  ]) {
    const given = { keepAlive: true, timeout: 5 };
    const { options } = new Ours({ ...given, freeSocketTimeout: null });
    assert.deepStrictEqual({ ...options }, { ...new Nodes(given).options });
    assert.deepStrictEqual([options.freeSocketTimeout, options.socketActiveTTL], [4000, 600_000]);
    options.freeSocketTimeout = 1;
    assert.deepStrictEqual({ ...options }.freeSocketTimeout, 1);
    delete options.freeSocketTimeout;
    assert.deepStrictEqual(options.freeSocketTimeout, 4000);
    const names = [];
    for (const name in options) names.push(name);
    assert.deepStrictEqual(names, Object.keys(options));

    const all = { ...new Ours({ freeSocketTimeout: 4000, socketActiveTTL: null }).options };
    assert.deepStrictEqual(
      [all.freeSocketTimeout, all.maxFreeSocketTimeout, all.socketActiveTTL],
      [4000, 4000, null],
    );
  }
});

test('what decides where a connection leads is read for each', { timeout: 20_000 }, async (t) => {
  const peers = [];
  // Elsewhere it has to be set up first.
  const another = process.platform === 'linux' ? '127.0.0.2' : '127.0.0.1';
  const server = await echoServer(t, {
    listener: (request, response) => {
      peers.push(request.socket.remoteAddress);
      response.end();
    },
  });
  const asked = await asNode(t, async (make) => {
    const asked = [];
    const lookup = (name) => (host, options, callback) => {
      asked.push(name);
      if (options.all) callback(null, [{ address: '127.0.0.1', family: 4 }]);
      else callback(null, '127.0.0.1', 4);
    };
    const agent = make({ keepAlive: false, localAddress: '127.0.0.1' });
    const at = { ...server.at, host: 'a.test', agent };
    const original = dns.lookup;
    peers.length = 0;
    try {
      dns.lookup = lookup('of the process');
      await exchange(at);
      agent.options.lookup = lookup('of the agent');
      await exchange(at);
      agent.options.lookup = lookup('another of the agent');
      agent.options.localAddress = another;
      await exchange(at);
      delete agent.options.lookup;
      await exchange(at);
    } finally {
      dns.lookup = original;
    }
    return [asked, [...peers]];
  });
  assert.deepStrictEqual(asked, [
    ['of the process', 'of the agent', 'another of the agent', 'of the process'],
    ['127.0.0.1', '127.0.0.1', another, another],
  ]);
});

test(
  'what is set later, and is wrong, is told by the request that needs a connection',
  { timeout: 20_000 },
  async (t) => {
    const server = await echoServer(t);
    const agent = ourAgent(t);
    for (const [name, value, code] of [
      ['maxReadAheadBytes', 0, 'ERR_OUT_OF_RANGE'],
      ['maxReadAheadBytes', 2 ** 30, 'ERR_OUT_OF_RANGE'],
      ['maxBufferedBytes', '1 MiB', 'ERR_INVALID_ARG_TYPE'],
      ['maxReplayBytes', -1, 'ERR_OUT_OF_RANGE'],
      ['connectTimeout', 'soon', 'ERR_INVALID_ARG_VALUE'],
    ]) {
      agent.options[name] = value;
      assert.throws(() => http.request({ ...server.at, agent }), { code });
      delete agent.options[name];
    }
    await exchange({ ...server.at, agent });
  },
);

test('a route that Rust has forgotten is told again', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const agent = ourAgent(t, { keepAlive: false });
  await exchange({ ...server.at, agent });
  const route = (port) => new Route(0, { host: '127.0.0.1', port }, agent.options, surroundings);
  const others = Array.from({ length: 1000 }, (_, n) => route(n + 1));
  assert.strictEqual(new Set(others.map(numberOf)).size, others.length);
  await exchange({ ...server.at, agent });
  // That one has taken the place of the oldest.
  assert.strictEqual(others[0].number, 0);
  assert.notStrictEqual(others[1].number, 0);
});
