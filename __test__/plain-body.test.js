'use strict';

// A body of which a part has come with its head, and the rest comes later, needs no parser either. No program can
// tell, wherever the body is cut, whatever happens in the middle of it, and whatever stands behind it.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const http = require('node:http');
const { Writable } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const { test } = require('node:test');

const { HttpAgent } = require('..');
const { plain } = require('./helpers/responses');
const { READERS, agents, compare, handedOver, startServer, watch } = require('./helpers/traces');

const timeout = 60_000;

const HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\n';
const BODY = 'Hello,\r\nyou!';
const responses = {
  ...plain,
  body: HEAD + BODY,
  'bytes behind': `${HEAD + BODY}!`,
  'a line break behind': `${HEAD + BODY}\r\n`,
  'a response behind': `${HEAD + BODY}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged`,
  'half a response behind': `${HEAD + BODY}HTTP/1.1 200 OK\r\nConte`,
  'one that closes': `HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 12\r\n\r\n${BODY}`,
};

/** Behind the head and each byte of the body but the last. */
const PLACES = Array.from({ length: BODY.length }, (_, index) => HEAD.length + index);

test('a body is cut at each place, and at all of them', { timeout }, async (t) => {
  const port = await startServer(t, responses);
  for (const reader of Object.keys(READERS)) {
    const made = agents(t);
    for (const cuts of [...PLACES, PLACES.join()]) {
      // How much has come by the time that it is read again is a race.
      if (reader === 'later' && cuts === PLACES.join()) continue;
      assert.equal(await compare(made, port, `/body/${cuts}`, reader), 1, `${reader} ${cuts}`);
    }
  }
});

test('a large body comes whole', { timeout }, async (t) => {
  const port = await startServer(t, responses);
  for (const reader of ['flowing', 'text', 'dumped']) {
    const made = agents(t);
    for (const cuts of ['100,200,39000', '4000,4001', '39999']) {
      assert.equal(await compare(made, port, `/40000%20bytes/${cuts}`, reader), 1, cuts);
    }
  }
});

test('the connection ends within the body', { timeout }, async (t) => {
  const port = await startServer(t, responses);
  for (const end of ['fin', 'reset']) {
    for (const reader of ['flowing', 'text', 'readable', 'iterator', 'dumped']) {
      const made = agents(t);
      for (const cuts of [PLACES[0], PLACES[3], PLACES.slice(0, 4).join(), PLACES.at(-1)]) {
        const path = `/body/${cuts}/${end}`;
        assert.equal(await compare(made, port, path, reader), 1, `${end} ${reader} ${cuts}`);
        // The next has a connection of its own, and nothing of this one.
        assert.equal(await compare(made, port, '/body/0', reader), 1);
        // The one behind it finds one that has served, and has no parser.
        assert.equal(await compare(made, port, path, reader), 1, `${end} ${reader} ${cuts}`);
      }
    }
  }
});

test('what stands behind the body is for the parser', { timeout }, async (t) => {
  const port = await startServer(t, responses);
  for (const name of Object.keys(responses).filter((name) => name.endsWith('behind'))) {
    const made = agents(t);
    for (const cuts of [PLACES[0], PLACES[5], PLACES.join()]) {
      assert.equal(await compare(made, port, `/${encodeURIComponent(name)}/${cuts}`, 'flowing'), 1, name);
      assert.equal(await compare(made, port, '/body/0', 'flowing'), 1);
    }
  }
});

/** What a program may do in the middle of a body, at its first chunk. */
const ACTS = {
  'destroys the response': (request, response) => response.destroy(),
  'destroys the response with an error': (request, response) => response.destroy(new Error('enough')),
  'destroys the request': (request) => request.destroy(),
  'destroys the request a tick later': (request) => process.nextTick(() => request.destroy()),
  'aborts the request': (request) => request.abort(),
  'destroys the socket': (request) => request.socket.destroy(),
  'resets the connection': (request) => request.socket.resetAndDestroy(),
  'ends the socket': (request) => request.socket.end(),
  'pauses the response': (request, response) => {
    response.pause();
    setImmediate(() => response.resume());
  },
  'pauses the socket': (request, response) => {
    response.socket.pause();
    setImmediate(() => response.socket?.resume());
  },
  'reads the socket': (request, response, note) =>
    response.socket.on('data', (chunk) => note(['of the socket', chunk.toString('latin1')])),
  'reads the socket no more': (request, response, note) => {
    const listener = (chunk) => note(['of the socket', chunk.toString('latin1')]);
    response.socket.on('data', listener);
    setImmediate(() => response.socket?.removeListener('data', listener));
  },
  'takes the listeners of the socket away and puts them back': ({ socket }) => {
    const listeners = socket.listeners('data');
    socket.removeAllListeners('data');
    listeners.forEach((listener) => socket.on('data', listener));
  },
  'looks at the listeners': (request, response, note) =>
    note(['data', 'end', 'close', 'error', 'drain'].map((event) => response.socket.listenerCount(event))),
  'looks at the counters': (request, response, note) => {
    const { bytesRead, readableFlowing, readableLength, timeout: limit } = response.socket;
    note([bytesRead > HEAD.length, readableFlowing, readableLength, limit, response.readableLength]);
  },
  'limits the time': (request) => request.setTimeout(60_000),
  'changes the encoding': (request, response) => response.setEncoding('hex'),
  'dumps the response': (request, response) => response._dump(),
};

test('programs that interfere in the middle of a body', { timeout }, async (t) => {
  const port = await startServer(t, responses);
  for (const [name, act] of Object.entries(ACTS)) {
    for (const cuts of [PLACES[1], PLACES.slice(1, 5).join(), `${PLACES[1]}/fin`]) {
      const made = agents(t);
      const atFirst = (request, response, note) => response.once('data', () => act(request, response, note));
      // The second finds a connection that is idle, or none; its request has no parser then.
      for (let i = 0; i < 2; i++) {
        const count = await compare(made, port, `/body/${cuts}`, 'flowing', {}, atFirst);
        if (i === 0) assert.equal(count, 1, `${name} ${cuts}`);
      }
    }
  }
});

test('programs that interfere before the body', { timeout }, async (t) => {
  const port = await startServer(t, responses);
  for (const [name, act] of Object.entries(ACTS)) {
    const made = agents(t);
    for (let i = 0; i < 2; i++) {
      const count = await compare(made, port, `/body/${PLACES[0]},${PLACES[6]}`, 'flowing', {}, act);
      if (i === 0) assert.equal(count, 1, name);
    }
  }
});

test('what a handler throws costs the response what it costs with http.Agent', { timeout }, async (t) => {
  const port = await startServer(t, responses);
  let thrown = [];
  process.setUncaughtExceptionCaptureCallback((error) => thrown.push(error.message));
  t.after(() => process.setUncaughtExceptionCaptureCallback(null));
  const fail = () => {
    throw new Error('enough');
  };
  for (const cuts of [PLACES[1], `${PLACES[1]}/fin`, PLACES.slice(1, 5).join()]) {
    for (const act of [fail, (request, response) => response.once('data', fail)]) {
      const made = agents(t);
      for (let i = 0; i < 2; i++) {
        thrown = [];
        assert.equal(await compare(made, port, `/body/${cuts}`, 'flowing', {}, act), 1);
        assert.deepEqual(thrown, ['enough', 'enough', 'enough']);
      }
    }
  }
});

test('a parser that was taken away in the middle serves others as before', { timeout }, async (t) => {
  const port = await startServer(t, responses);
  const agent = new HttpAgent();
  t.after(() => agent.destroy());
  const cut = http.get({ host: '127.0.0.1', port, path: `/body/${PLACES[3]}/fin`, agent });
  cut.once('socket', watch);
  const [response] = await once(cut, 'response');
  const { parser } = cut;
  response.resume();
  await once(response, 'error');
  // Node has it for the next to come, a socket of its own here.
  const request = http.get({ host: '127.0.0.1', port, path: `/body/${PLACES[3]}` });
  request.once('socket', watch);
  const [next] = await once(request, 'response');
  assert.equal(request.parser, parser);
  assert.equal(String(Buffer.concat(await next.toArray())), BODY);
});

test('a large body is the same however it is read', { timeout }, async (t) => {
  const size = 2 * 1024 * 1024 + 1;
  const body = Buffer.alloc(size);
  for (let at = 0; at + 4 <= size; at += 4) body.writeUInt32LE(at, at);
  const server = http.createServer((request, response) => {
    response.setHeader('Content-Length', size);
    response.flushHeaders();
    setImmediate(() => response.end(body));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const agent = new HttpAgent();
  t.after(() => agent.destroy());
  const turn = () => new Promise(setImmediate);
  const ways = {
    'as it comes': (response, chunks) => {
      response.on('data', (chunk) => chunks.push(chunk));
      return once(response, 'end');
    },
    'with a pause after each chunk': (response, chunks) => {
      response.on('data', (chunk) => {
        chunks.push(chunk);
        response.pause();
        setImmediate(() => response.resume());
      });
      return once(response, 'end');
    },
    'by an iterator that waits': async (response, chunks) => {
      for await (const chunk of response) (chunks.push(chunk), await turn());
    },
    'in small parts': async (response, chunks) => {
      response.on('readable', () => {
        for (let chunk; (chunk = response.read(1000) ?? response.read()) !== null;) chunks.push(chunk);
      });
      await once(response, 'end');
    },
    'with pauses of the socket': (response, chunks) => {
      response.on('data', (chunk) => {
        chunks.push(chunk);
        response.socket?.pause();
        setImmediate(() => response.socket?.resume());
      });
      return once(response, 'end');
    },
    'by a slow writable': async (response, chunks) => {
      const write = (chunk, encoding, callback) => (chunks.push(chunk), setImmediate(callback));
      await pipeline(response, new Writable({ write, highWaterMark: 1 }));
    },
  };
  for (const [name, read] of Object.entries(ways)) {
    for (let i = 0; i < 2; i++) {
      const before = handedOver();
      const request = http.get({ host: '127.0.0.1', port: server.address().port, agent });
      const [response] = await once(request, 'response');
      const chunks = [];
      await read(response, chunks);
      assert.ok(Buffer.concat(chunks).equals(body), name);
      assert.equal(handedOver(), before + 1);
      if (!request.closed) await once(request, 'close');
    }
  }
});
