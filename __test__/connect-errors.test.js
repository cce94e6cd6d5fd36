'use strict';

// A connect that fails does so with Node's own error: class, code, message and every property.

const assert = require('node:assert');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');
const { test } = require('node:test');
const { HttpAgent } = require('..');
const {
  closedPort,
  describeError,
  freePort,
  get,
  httpServer,
  rawServer,
  sameAsNode,
  seeingAgent,
  socketPath,
} = require('./helpers/lane-server');

const options = { timeout: 20_000 };
const IS_WINDOWS = process.platform === 'win32';

/** The error of a request, and whether its socket had one too. */
function errorOf(t, Agent, requestOptions) {
  return new Promise((resolve) => {
    const agent = seeingAgent(t, Agent);
    let request;
    try {
      request = http.request({ host: '127.0.0.1', ...requestOptions, agent });
    } catch (error) {
      resolve(['thrown', describeError(error)]);
      return;
    }
    let failed;
    request.on('error', (error) => (failed = error));
    request.on('response', (response) => response.resume());
    request.on('close', () => {
      resolve([describeError(failed), Object.keys(agent.sockets), agent.totalSocketCount]);
    });
    request.end('body');
  });
}

function fails(name, requestOptions, expected = {}) {
  test(name, options, async (t) => {
    const given = typeof requestOptions === 'function' ? await requestOptions(t) : requestOptions;
    if (given === undefined) return;
    const [error] = await sameAsNode((Agent) => errorOf(t, Agent, given));
    for (const [key, value] of Object.entries(expected)) assert.deepStrictEqual(error[key], value);
  });
}

/** A lookup that finds `addresses`, as dns.lookup would. */
function finding(...addresses) {
  return (host, { all }, callback) => {
    const found = addresses.map((address) => ({ address, family: net.isIP(address) }));
    setImmediate(() => (all ? callback(null, found) : callback(null, found[0].address, found[0].family)));
  };
}

fails('a port that refuses', async () => ({ port: await closedPort() }), { code: 'ECONNREFUSED' });
fails(
  'a port of a name that refuses',
  async () => ({ host: 'localhost', family: 4, port: await closedPort() }),
  {
    code: 'ECONNREFUSED',
  },
);
for (const autoSelectFamily of [true, false]) {
  fails(`a port of localhost that refuses, autoSelectFamily: ${autoSelectFamily}`, async () => ({
    host: 'localhost',
    port: await closedPort(),
    autoSelectFamily,
  }));
}
fails('a name that does not exist', { host: 'does-not-exist.invalid', port: 80 }, { syscall: 'getaddrinfo' });
fails('a name that does not exist, of one family', { host: 'does-not-exist.invalid', port: 80, family: 6 });
fails('a name that no name can be', { host: 'a'.repeat(70) + '.invalid', port: 80 });
fails('a name with an empty label', { host: 'a..b', port: 80 });
// To a URL, the name would end before these.
const answering = (t) => httpServer(t, (request, response) => response.end());
for (const mark of ['#', '/', '?', '\\', '@', ':']) {
  const host = `localhost${mark}.example`;
  fails(`a name with ${mark} in it`, async (t) => ({ host, port: (await answering(t)).port }));
}
fails('a name with a tab in it', async (t) => ({ host: 'local\thost', port: (await answering(t)).port }));
fails('a name with a mark and letters of another alphabet', async (t) => ({
  host: 'localhost#.exämple',
  port: (await answering(t)).port,
}));
fails(
  'every address of a name refuses',
  async () => ({
    host: 'two.test',
    port: await closedPort(),
    lookup: finding('127.0.0.1', '127.0.0.2'),
    autoSelectFamily: true,
  }),
  { name: 'AggregateError', code: 'ECONNREFUSED' },
);
test('thousands of addresses of a name refuse', options, async (t) => {
  // The report of all of them is longer than the array that reports cross in.
  const addresses = Array.from({ length: 9000 }, (_, index) => `127.9.${index >> 8}.${index & 0xff}`);
  const agent = new HttpAgent();
  t.after(() => agent.destroy());
  const request = http.get({
    host: 'many.test',
    port: await closedPort(),
    agent,
    lookup: finding(...addresses),
    autoSelectFamily: true,
  });
  const [error] = await once(request, 'error');
  assert.deepStrictEqual(
    error.errors.map(({ address }) => address),
    addresses,
  );
});
fails('the only address of a name refuses', async () => ({
  host: 'one.test',
  port: await closedPort(),
  lookup: finding('127.0.0.1'),
  autoSelectFamily: true,
}));
fails('the first address of a name refuses, and no other is asked', async (t) => {
  const server = await httpServer(t, (req, res) => res.end(), { host: '127.0.0.2', port: 0 });
  return {
    host: 'two.test',
    port: server.port,
    lookup: finding('127.0.0.1', '127.0.0.2'),
    autoSelectFamily: false,
  };
});
fails('a local address that is not ours', { port: 80, localAddress: '192.0.2.1' }, { code: 'EADDRNOTAVAIL' });
fails('a local address and port that are not ours', { port: 80, localAddress: '192.0.2.1', localPort: 4444 });
fails('a local address of the other family', { port: 80, localAddress: '::1' });
fails('a local address that is none', { port: 80, localAddress: 'nowhere' });
fails('a local port that is none', { port: 80, localPort: 'x' });
fails('a local port that is too high', { port: 80, localPort: 70_000 });
fails('a local port that is taken', async (t) => {
  const server = await rawServer(t, () => {});
  return { port: await closedPort(), localAddress: '127.0.0.1', localPort: server.port };
});
fails(
  'a refused connect from a local address and port',
  async () => ({ port: await closedPort(), localAddress: '127.0.0.1', localPort: await freePort() }),
  { localAddress: '127.0.0.1' },
);
fails('a refused connect from a local address', async () => ({
  port: await closedPort(),
  localAddress: '127.0.0.3',
}));
// The system refuses these at once, and Node says what the socket has on this side.
for (const host of ['255.255.255.255', '224.0.0.1', 'ff02::1']) {
  fails(`an address that no connection leads to, ${host}`, { host, port: 80 });
  const any = net.isIPv6(host) ? '::1' : '127.0.0.1';
  fails(`an address that no connection leads to, ${host}, from a local address and port`, async () => ({
    host,
    port: 80,
    localAddress: any,
    localPort: await freePort(),
  }));
}
fails('every address of a name leads nowhere', {
  host: 'two.test',
  port: 80,
  lookup: finding('255.255.255.255', '224.0.0.1'),
  autoSelectFamily: true,
});
for (const port of [-1, 65536, 'x', 1.5, '12x', true]) fails(`port ${port}`, { port });
fails('a type of service that is none', async () => ({ port: await closedPort(), typeOfService: 'x' }));
fails('a type of service that is too high', async () => ({ port: await closedPort(), typeOfService: 300 }));
fails('a descriptor that is null', async () => ({ port: await closedPort(), fd: null }));
fails('a family that is none', { host: 'localhost', port: 80, family: 5 });
fails('hints that are none', { host: 'localhost', port: 80, hints: 1 << 30 });
fails('a lookup that is no function', { host: 'localhost', port: 80, lookup: 'dns' });
fails('a lookup that fails', {
  host: 'x.test',
  port: 80,
  lookup: (host, query, callback) =>
    setImmediate(callback, Object.assign(new Error('no such name'), { code: 'EMINE' })),
});
fails('a lookup that fails at once', {
  host: 'x.test',
  port: 80,
  lookup: (host, query, callback) => callback(Object.assign(new Error('no such name'), { code: 'EMINE' })),
});
fails('a lookup that finds no address', {
  host: 'x.test',
  port: 80,
  family: 4,
  lookup: (host, query, callback) => setImmediate(callback, null, 'x', 4),
});
fails(
  'a lookup that knows nothing of `all`',
  {
    host: 'localhost',
    port: 80,
    lookup: (host, query, callback) => setImmediate(callback, null, '127.0.0.1', 4),
  },
  { code: 'ERR_INVALID_IP_ADDRESS' },
);
fails('a lookup that finds an unknown family', {
  host: 'x.test',
  port: 80,
  family: 4,
  lookup: (host, query, callback) => setImmediate(callback, null, '127.0.0.1', 5),
});
fails('the address 0 of IPv6, refused', async () => ({ host: '::1', port: await closedPort() }));

const unix = IS_WINDOWS ? () => undefined : (name, ...rest) => fails(`unix: ${name}`, ...rest);
unix('a path that does not exist', (t) => ({ socketPath: socketPath(t) }), { code: 'ENOENT' });
unix(
  'a path that refuses',
  async (t) => {
    const where = socketPath(t);
    // A socket without a listener: closing removes the name, so the name is another link.
    const server = net.createServer().listen(where);
    await once(server, 'listening');
    fs.linkSync(where, `${where}2`);
    server.close();
    return { socketPath: `${where}2` };
  },
  { code: 'ECONNREFUSED' },
);
unix('a path that is a file', (t) => {
  const where = socketPath(t);
  fs.writeFileSync(where, '');
  return { socketPath: where };
});
unix('a path below a file', (t) => {
  const where = socketPath(t);
  fs.writeFileSync(where, '');
  return { socketPath: path.join(where, 's') };
});
unix('a path that is too long', (t) => ({ socketPath: `${socketPath(t)}${'x'.repeat(200)}` }));

test('after an error the agent connects anew', options, async (t) => {
  const port = await closedPort();
  await sameAsNode(async (Agent) => {
    const agent = seeingAgent(t, Agent, { maxSockets: 1 });
    const results = await Promise.allSettled([
      get({ port, agent }),
      get({ port, agent }),
      get({ port, agent }),
    ]);
    const server = net.createServer((socket) =>
      socket.once('data', () =>
        socket.end('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'),
      ),
    );
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    const { statusCode } = await get({ port, agent });
    server.close();
    await once(server, 'close');
    return [...results.map(({ reason }) => describeError(reason)), statusCode, Object.keys(agent.requests)];
  });
});
