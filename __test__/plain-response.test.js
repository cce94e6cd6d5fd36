'use strict';

// A whole plain response is taken apart by Rust, everything else by Node's parser. No program can tell:
// the same exchanges through http.Agent, through our agent with Node's parser, and without it.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const http = require('node:http');
const net = require('node:net');
const { test } = require('node:test');

const { HttpAgent } = require('..');
const plainResponse = require('../lib/plain-response');

const timeout = 60_000;

/** How often a response came without Node's parser. */
let taken = 0;
const { handOver } = plainResponse;
plainResponse.handOver = (...args) => {
  taken++;
  return handOver(...args);
};

/** Well-formed, odd and malformed. Of those in `plain` it is known that Rust takes them. */
const plain = {
  'an empty body': 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
  'a body': 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello',
  'binary body': 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\0\xff\r\n',
  'no space after a colon': 'HTTP/1.1 200 OK\r\ncontent-length:2\r\nX:y\r\n\r\nok',
  'space around values': 'HTTP/1.1 200 OK\r\nX: \t a b \t\r\nContent-Length:  2  \r\n\r\nok',
  'empty values': 'HTTP/1.1 200 OK\r\nX:\r\nY:  \r\nContent-Length: 0\r\n\r\n',
  'no reason': 'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n',
  'an empty reason': 'HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n',
  'a long reason': `HTTP/1.1 299 ${'very '.repeat(50)}well\r\nContent-Length: 0\r\n\r\n`,
  latin1: 'HTTP/1.1 200 Gr\xfc\xdf Gott\r\nX: \xe9\xff\r\nContent-Length: 0\r\n\r\n',
  'headers twice':
    'HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nX: 1\r\nx: 2\r\nETag: "a"\r\nEtag: "b"\r\nContent-Length: 0\r\n\r\n',
  'case and order': 'HTTP/1.1 200 OK\r\nzZ: 1\r\nAA: 2\r\nCONTENT-LENGTH: 1\r\nmM: 3\r\n\r\nx',
  'Connection: close': 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok',
  'Connection: Close': 'HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nok',
  'Connection: keep-alive':
    'HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok',
  204: 'HTTP/1.1 204 No Content\r\n\r\n',
  '204 with a length of nothing': 'HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n',
  304: 'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n',
  'names as of Object': 'HTTP/1.1 200 OK\r\n__proto__: x\r\nconstructor: y\r\nContent-Length: 0\r\n\r\n',
  'all characters of a name': "HTTP/1.1 200 OK\r\n!#$%&'*+-.^_`|~09azAZ: x\r\nContent-Length: 0\r\n\r\n",
  'leading zeroes of a length': 'HTTP/1.1 200 OK\r\nContent-Length: 0002\r\n\r\nok',
  'many headers': `HTTP/1.1 200 OK\r\n${Array.from({ length: 40 }, (_, i) => `X-${i}: ${i}\r\n`).join('')}Content-Length: 0\r\n\r\n`,
};
for (const status of [
  200, 201, 202, 203, 206, 300, 301, 302, 307, 400, 401, 404, 407, 408, 413, 429, 500, 503, 599, 600, 999,
]) {
  plain[`status ${status}`] = `HTTP/1.1 ${status} Some thing\r\nContent-Length: 2\r\n\r\nok`;
}
for (const length of [1, 100, 3000, 9000, 40_000]) {
  plain[`${length} bytes`] = `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n${'b'.repeat(length)}`;
}

const odd = {
  chunks: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
  'chunks and a length':
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n',
  'two lengths that agree': 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok',
  'two lengths that do not': 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!',
  'a list of lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok',
  'a signed length': 'HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok',
  'a length in hex': 'HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok',
  'a length of nothing': 'HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n',
  'a huge length': 'HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok',
  'a folded header': 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n',
  'a bare CR': 'HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n',
  'a bare LF': 'HTTP/1.1 200 OK\r\nX: a\nContent-Length: 0\r\n\r\n',
  'LF alone': 'HTTP/1.1 200 OK\nContent-Length: 0\n\n',
  'LF after the status': 'HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n',
  'LF at the end': 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n',
  'NUL in a value': 'HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n',
  'DEL in a value': 'HTTP/1.1 200 OK\r\nX: a\x7fb\r\nContent-Length: 0\r\n\r\n',
  'space before a colon': 'HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n',
  'space in a name': 'HTTP/1.1 200 OK\r\nX Y: z\r\nContent-Length: 0\r\n\r\n',
  'no name': 'HTTP/1.1 200 OK\r\n: z\r\nContent-Length: 0\r\n\r\n',
  'no colon': 'HTTP/1.1 200 OK\r\nX\r\nContent-Length: 0\r\n\r\n',
  'space before the first header': 'HTTP/1.1 200 OK\r\n X: y\r\nContent-Length: 0\r\n\r\n',
  'an empty line first': '\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
  'two spaces before the status': 'HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n',
  'two spaces before the reason': 'HTTP/1.1 200  OK\r\nContent-Length: 0\r\n\r\n',
  'space behind the reason': 'HTTP/1.1 200 OK \r\nContent-Length: 0\r\n\r\n',
  'a tab before the reason': 'HTTP/1.1 200\tOK\r\nContent-Length: 0\r\n\r\n',
  'a status of two digits': 'HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n',
  'a status of four digits': 'HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n',
  'status 099': 'HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.0': 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok',
  'HTTP/1.0 that is kept': 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok',
  'HTTP/1.2': 'HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n',
  'HTTP/2.0': 'HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n',
  'http/1.1': 'http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
  'two values of Connection': 'HTTP/1.1 200 OK\r\nConnection: keep-alive, x\r\nContent-Length: 0\r\n\r\n',
  'Connection twice':
    'HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
  'Proxy-Connection': 'HTTP/1.1 200 OK\r\nProxy-Connection: close\r\nContent-Length: 0\r\n\r\n',
  Upgrade: 'HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n',
  'Upgrade and Connection':
    'HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n',
  101: 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
  '100 first': 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  '103 first': 'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  '204 with a length': 'HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n',
  '304 with a length': 'HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n',
  'a second response':
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged',
  'bytes behind': 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!',
  'a line break behind': 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n',
  'a trailer header': 'HTTP/1.1 200 OK\r\nTrailer: X\r\nContent-Length: 0\r\n\r\n',
  'more headers than are looked at': `HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(60)}Content-Length: 0\r\n\r\n`,
  'a long head': `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(5000)}\r\nContent-Length: 0\r\n\r\n`,
  'another protocol': 'SSH-2.0-OpenSSH_9.6\r\n',
};

/** The socket of the exchange that is traced. */
let client;

/**
 * Answers `/name/cut`: the response in one piece, or in two, of which the client has read the first before the
 * second is written. What follows a request on its connection is its end. */
async function startServer(t, responses) {
  const server = net.createServer({ noDelay: true }, (socket) => {
    let read = '';
    socket.on('error', () => {});
    socket.on('data', async (bytes) => {
      read += bytes.toString('latin1');
      if (!read.endsWith('\r\n\r\n')) return;
      const [, name, cut] = /^\S+ \/([^/]*)\/(\d+)/.exec(read);
      read = '';
      const response = Buffer.from(responses[decodeURIComponent(name)], 'latin1');
      if (Number(cut) > 0) {
        const before = client.bytesRead;
        socket.write(response.subarray(0, Number(cut)));
        while (!client.destroyed && client.bytesRead - before < Number(cut)) await new Promise(setImmediate);
      }
      socket.write(response.subarray(Number(cut)));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return server.address().port;
}

/** The agents that are compared. */
function agents(t, options) {
  const made = [
    ['http.Agent', () => new http.Agent({ keepAlive: true, ...options })],
    ['raw', () => new HttpAgent(options)],
    ['parsed', () => new HttpAgent(options)],
  ].map(([name, make]) => [name, make()]);
  t.after(() => made.forEach(([, agent]) => agent.destroy()));
  return made;
}

/** Runs `use` as it is with one of the agents. */
async function using(name, use) {
  // The path is chosen when a lane is opened.
  process.env.OFFLOOP_PATH = name === 'raw' ? 'raw' : '';
  try {
    return await use();
  } finally {
    delete process.env.OFFLOOP_PATH;
  }
}

/** Ways of reading a response. */
const READERS = {
  flowing: (response, note) => response.on('data', (chunk) => note(['data', chunk.toString('latin1')])),
  text: (response, note) => response.setEncoding('utf8').on('data', (chunk) => note(['data', chunk])),
  readable: (response, note) =>
    response.on('readable', () => {
      for (let chunk; (chunk = response.read()) !== null;) note(['read', chunk.toString('latin1')]);
    }),
  later: (response, note) => {
    response.pause();
    response.on('data', (chunk) => note(['data', chunk.toString('latin1')]));
    setImmediate(() => response.resume());
  },
  iterator: async (response, note) => {
    try {
      for await (const chunk of response) note(['chunk', chunk.toString('latin1')]);
    } catch (error) {
      note(['iterator', error.code]);
    }
  },
  dumped: (response) => response.resume(),
};

const EVENTS = {
  request: [
    'socket',
    'finish',
    'response',
    'information',
    'continue',
    'upgrade',
    'abort',
    'timeout',
    'error',
    'close',
  ],
  response: ['resume', 'pause', 'end', 'aborted', 'error', 'close'],
};

/** Everything that a program sees of an exchange, in order. */
async function trace(agent, port, path, reader, requestOptions = {}, act = () => {}) {
  const seen = [];
  const note = (what) => seen.push(what);
  const request = http.request({ host: '127.0.0.1', port, path, agent, ...requestOptions });
  const state = () => [
    request.destroyed,
    request.aborted,
    request.reusedSocket,
    request.finished,
    request.res !== null,
  ];
  for (const name of EVENTS.request) {
    request.on(name, (argument, socket) => {
      if (name === 'socket') client = argument;
      note([
        name,
        state(),
        name === 'error' ? [argument.name, argument.code, argument.message, argument.reason] : [],
      ]);
      if (name === 'upgrade') socket.destroy();
    });
  }
  request.on('response', (response) => {
    note(describe(response));
    for (const name of EVENTS.response) {
      response.on(name, (argument) => {
        note([
          name,
          state(),
          response.complete,
          response.aborted,
          response.destroyed,
          response.socket === null,
        ]);
        if (name === 'error') note([argument.code, argument.message]);
      });
    }
    act(request, response, note);
    READERS[reader](response, note);
  });
  request.end();
  const ended = new Promise((resolve) => request.once('close', resolve));
  const patience = setTimeout(() => request.destroy(), 2000);
  await ended;
  clearTimeout(patience);
  // What comes behind the close of the request: the response's, and the socket's way back.
  for (let i = 0; i < 3; i++) await new Promise(setImmediate);
  note([agent.totalSocketCount, Object.keys(agent.freeSockets).length]);
  return seen;
}

function describe(response) {
  const { statusCode, statusMessage, httpVersion, httpVersionMajor, httpVersionMinor, url, method, upgrade } =
    response;
  const { rawHeaders, headers, headersDistinct, rawTrailers, trailers, complete, aborted } = response;
  return [
    { statusCode, statusMessage, httpVersion, httpVersionMajor, httpVersionMinor, url, method, upgrade },
    { rawHeaders, headers, headersDistinct, rawTrailers, trailers, complete, aborted },
    [response.joinDuplicateHeaders, response.req.path, response.socket.listenerCount('data')],
  ];
}

/** The traces of one exchange through all agents are the same; returns how many of them had no parser of Node's. */
async function compare(made, port, path, ...rest) {
  const before = taken;
  let expected;
  for (const [name, agent] of made) {
    const seen = await using(name, () => trace(agent, port, path, ...rest));
    if (name === 'raw') assert.equal(taken, before, 'Rust was told to leave it');
    expected ??= joined(seen);
    assert.deepEqual(joined(seen), expected, `${name}: ${path}`);
  }
  return taken - before;
}

test('responses that come in one piece', { timeout }, async (t) => {
  const port = await startServer(t, { ...plain, ...odd });
  for (const reader of Object.keys(READERS)) {
    const made = agents(t);
    for (const name of Object.keys(plain)) {
      const count = await compare(made, port, `/${encodeURIComponent(name)}/0`, reader);
      assert.equal(count, 1, name);
    }
  }
  for (const reader of ['flowing', 'dumped']) {
    const made = agents(t);
    for (const name of Object.keys(odd)) {
      const count = await compare(made, port, `/${encodeURIComponent(name)}/0`, reader);
      assert.equal(count, 0, name);
    }
  }
});

/** Where the bytes were cut is the network's business: adjoining chunks are one. */
function joined(seen) {
  const out = [];
  for (const entry of seen) {
    const last = out.at(-1);
    if (entry[0] === 'data' && last?.[0] === 'data') last[1] += entry[1];
    else out.push(Array.isArray(entry) ? [...entry] : entry);
  }
  return out;
}

test('responses that are cut at every byte', { timeout }, async (t) => {
  const port = await startServer(t, { ...plain, ...odd });
  const made = agents(t);
  for (const name of ['a body', 'headers twice', '204', 'Connection: close', 'two lengths that agree']) {
    for (let cut = 1; cut < { ...plain, ...odd }[name].length; cut++) {
      await compare(made, port, `/${encodeURIComponent(name)}/${cut}`, 'flowing');
    }
  }
});

test('requests that ask for something of the parser', { timeout }, async (t) => {
  const port = await startServer(t, plain);
  const made = agents(t);
  for (const [options, count] of [
    [{ joinDuplicateHeaders: true }, 1],
    [{ maxHeaderSize: 40 }, 0],
    [{ maxHeaderSize: 16384 }, 0],
    [{ insecureHTTPParser: true }, 0],
    [{ headers: { Connection: 'close' } }, 1],
    [{ timeout: 5000 }, 1],
    [{ setHost: false }, 1],
    [{ method: 'OPTIONS' }, 1],
    [{ method: 'DELETE' }, 1],
  ]) {
    for (const name of ['headers twice', 'a body', '304']) {
      const seen = await compare(made, port, `/${encodeURIComponent(name)}/0`, 'flowing', options);
      assert.equal(seen, count, `${JSON.stringify(options)} ${name}`);
    }
  }
  for (const name of ['an empty body', '304', 'headers twice']) {
    await compare(made, port, `/${encodeURIComponent(name)}/0`, 'flowing', { method: 'HEAD' });
  }
});

/** What a program may do when the response comes. */
const ACTS = {
  'destroys the response': (request, response) => response.destroy(),
  'destroys the response with an error': (request, response) => response.destroy(new Error('enough')),
  'destroys the request': (request) => request.destroy(),
  'destroys the request with an error': (request) => request.destroy(new Error('enough')),
  'aborts the request': (request) => request.abort(),
  'destroys the socket': (request) => request.socket.destroy(),
  'destroys the request a tick later': (request) => process.nextTick(() => request.destroy()),
  'destroys the request at the first chunk': (request, response) =>
    response.once('data', () => request.destroy()),
  'destroys the request at the end': (request, response) => response.once('end', () => request.destroy()),
  'pauses the socket': (request, response) => {
    response.socket.pause();
    setImmediate(() => response.socket?.resume());
  },
  'looks at the counters': (request, response, note) => {
    const { bytesRead, bytesWritten, timeout: limit, readableFlowing } = response.socket;
    note([bytesRead, bytesWritten, limit, readableFlowing]);
  },
  'limits the time': (request) => request.setTimeout(60_000),
  'has no reader': () => {},
};

test('programs that interfere when the response comes', { timeout }, async (t) => {
  const port = await startServer(t, plain);
  for (const [name, act] of Object.entries(ACTS)) {
    for (const response of ['a body', 'an empty body', 'Connection: close']) {
      const made = agents(t);
      // The second finds a connection that is idle, or none.
      for (let i = 0; i < 2; i++) {
        const count = await compare(made, port, `/${encodeURIComponent(response)}/0`, 'flowing', {}, act);
        assert.equal(count, 1, name);
      }
    }
  }
});

test('a request that nobody listens to', { timeout }, async (t) => {
  const port = await startServer(t, plain);
  for (const [name, agent] of agents(t)) {
    await using(name, async () => {
      for (let i = 0; i < 3; i++) {
        const request = http.get({ host: '127.0.0.1', port, path: '/a%20body/0', agent });
        await once(request, 'close');
        assert.equal(request.res.complete, true);
        assert.equal(request.reusedSocket, i > 0, name);
        await new Promise(setImmediate);
      }
    });
  }
});

test('a program that reads the socket itself sees the bytes', { timeout }, async (t) => {
  const port = await startServer(t, plain);
  for (const [name, agent] of agents(t)) {
    const before = taken;
    const bytes = await using(name, async () => {
      const chunks = [];
      const request = http.get({ host: '127.0.0.1', port, path: '/a%20body/0', agent });
      request.on('socket', (socket) => socket.on('data', (chunk) => chunks.push(chunk)));
      const [response] = await once(request, 'response');
      response.resume();
      await once(response, 'end');
      return Buffer.concat(chunks).toString('latin1');
    });
    assert.equal(bytes, plain['a body'], name);
    assert.equal(taken, before);
  }
});

test('what a handler throws costs no other request anything', { timeout }, async (t) => {
  const port = await startServer(t, plain);
  const agent = new HttpAgent();
  t.after(() => agent.destroy());
  const thrown = [];
  process.setUncaughtExceptionCaptureCallback((error) => thrown.push(error.message));
  t.after(() => process.setUncaughtExceptionCaptureCallback(null));
  const done = [];
  for (let i = 0; i < 20; i++) {
    done.push(
      new Promise((resolve) => {
        const request = http.get({ host: '127.0.0.1', port, path: '/a%20body/0', agent }, (response) => {
          if (i % 2 === 0) {
            resolve('thrown');
            throw new Error(`of ${i}`);
          }
          response.resume().on('end', () => resolve('ended'));
        });
        request.on('error', () => {});
      }),
    );
  }
  const results = await Promise.all(done);
  assert.deepEqual(
    results,
    Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? 'thrown' : 'ended')),
  );
  assert.equal(thrown.length, 10);
});

test('ticks and microtasks of one request run before the events of the next', { timeout }, async (t) => {
  const held = [];
  let release;
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', () => held.push(socket) === release.count && release.all());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  for (const count of [2, 10, 50]) {
    for (const [name, agent] of agents(t)) {
      await using(name, async () => {
        for (let round = 0; round < 3; round++) {
          held.length = 0;
          release = {
            count,
            all: () =>
              held.forEach((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')),
          };
          const log = [];
          const ends = Array.from({ length: count }, (_, id) =>
            exchange(agent, server.address().port, id, log),
          );
          await Promise.all(ends);
          check(log, count, name);
        }
      });
    }
  }
});

/** Notes each event, and what it schedules. */
function exchange(agent, port, id, log) {
  const note = (what) => {
    log.push([id, what]);
    process.nextTick(() => log.push([id, `${what}: tick`]));
    Promise.resolve().then(() => log.push([id, `${what}: microtask`]));
  };
  return new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port, agent }, (response) => {
      note('response');
      response.on('data', () => note('data'));
      response.on('end', () => note('end'));
    });
    request.on('error', reject);
    request.on('close', () => (note('close'), setImmediate(resolve)));
  });
}

function check(log, count, name) {
  const order = [...new Set(log.map(([id]) => id))];
  assert.equal(order.length, count);
  // Each request's entries stand together, since its response came in one piece.
  assert.deepEqual(
    log.map(([id]) => id),
    order.flatMap((id) => Array(log.length / count).fill(id)),
    name,
  );
  const one = (id) => log.filter(([of]) => of === id).map(([, what]) => what);
  for (const id of order) assert.deepEqual(one(id), one(order[0]), name);
  expectedOrder ??= one(order[0]);
  assert.deepEqual(one(order[0]), expectedOrder, name);
}

let expectedOrder;
