'use strict';

// A whole plain response is taken apart by Rust, everything else by Node's parser. No program can tell:
// the same exchanges through http.Agent, through our agent with Node's parser, and without it.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { test } = require('node:test');

const { transport } = require('./helpers/blocked');
const { odd, plain } = require('./helpers/responses');
const { READERS, agents, compare, handedOver, startServer, using } = require('./helpers/traces');

const { Agent, listen, request: send } = transport();

const timeout = 60_000;
/** The most bytes that TLS hands over at once. */
const RECORD = 16_384;

test('responses that come in one piece', { timeout }, async (t) => {
  const port = await startServer(t, { ...plain, ...odd });
  for (const reader of Object.keys(READERS)) {
    const made = agents(t);
    for (const [name, text] of Object.entries(plain)) {
      // How much of a longer one has come by the time that it is read on is the network's business.
      if (reader === 'later' && text.length > RECORD) continue;
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
  for (const name of Object.keys(plain)) {
    const seen = await compare(made, port, `/${encodeURIComponent(name)}/0`, 'flowing', { method: 'HEAD' });
    assert.equal(seen, 1, name);
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
        const request = send({ host: '127.0.0.1', port, path: '/a%20body/0', agent }).end();
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
    const before = handedOver();
    const bytes = await using(name, async () => {
      const chunks = [];
      const request = send({ host: '127.0.0.1', port, path: '/a%20body/0', agent }).end();
      request.on('socket', (socket) => socket.on('data', (chunk) => chunks.push(chunk)));
      const [response] = await once(request, 'response');
      response.resume();
      await once(response, 'end');
      return Buffer.concat(chunks).toString('latin1');
    });
    assert.equal(bytes, plain['a body'], name);
    assert.equal(handedOver(), before);
  }
});

test('what a handler throws costs no other request anything', { timeout }, async (t) => {
  const port = await startServer(t, plain);
  const agent = new Agent();
  t.after(() => agent.destroy());
  const thrown = [];
  process.setUncaughtExceptionCaptureCallback((error) => thrown.push(error.message));
  t.after(() => process.setUncaughtExceptionCaptureCallback(null));
  const done = [];
  for (let i = 0; i < 20; i++) {
    done.push(
      new Promise((resolve) => {
        const request = send({ host: '127.0.0.1', port, path: '/a%20body/0', agent }, (response) => {
          if (i % 2 === 0) {
            resolve('thrown');
            throw new Error(`of ${i}`);
          }
          response.resume().on('end', () => resolve('ended'));
        });
        request.end();
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
  const server = listen((socket) => {
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
    const request = send({ host: '127.0.0.1', port, agent }, (response) => {
      note('response');
      response.on('data', () => note('data'));
      response.on('end', () => note('end'));
    });
    request.end();
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
