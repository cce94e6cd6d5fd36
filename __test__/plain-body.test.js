'use strict';

// A body of which a part has come with its head, and the rest comes later, needs no parser either, be it of a known
// length or in chunks. No program can tell, wherever the body is cut, whatever happens in the middle of it, and
// whatever stands behind it.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { Writable } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const { test } = require('node:test');

const { BodyPlace } = require('../lib/response/body-place');
const { transport } = require('./helpers/blocked');
const { plain } = require('./helpers/responses');
const { READERS, agents, compare, handedOver, startServer, watch } = require('./helpers/traces');

const { Agent, NodeAgent, request: send, serve } = transport();

const timeout = 240_000;

const HEADS = {
  length: 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\n',
  chunks: 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n',
};
const BODIES = {
  length: 'Hello,\r\nyou!',
  chunks: '2\r\nHe\r\n0A\r\nllo,\r\nyou!\r\n0\r\n\r\n',
};
const KINDS = Object.keys(HEADS);

/** What may stand behind a response. A part of another, after which only http.Agent keeps the connection, is in unsolicited-bytes.test.js. */
const BEHIND = {
  'a byte': '!',
  'a line break': '\r\n',
  'a response': 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged',
};

/** Chunks that only Node's parser reads, each alike up to its middle. */
const ODD = {
  'an extension': '2\r\nHe\r\n0A;x=y\r\nllo,\r\nyou!\r\n0\r\n\r\n',
  'a trailer': '2\r\nHe\r\n0A\r\nllo,\r\nyou!\r\n0\r\nX: y\r\n\r\n',
  'no size': '2\r\nHe\r\n\r\nllo,\r\nyou!\r\n0\r\n\r\n',
  'a size that is too large': '2\r\nHe\r\nffffffffffffffffff\r\nllo,\r\nyou!\r\n0\r\n\r\n',
  'data that is too long': '2\r\nHello\r\n0\r\n\r\n',
  'LF alone': '2\r\nHe\r\n0A\nllo,\r\nyou!\n0\n\n',
  'CR alone': '2\r\nHe\r\n0A\rllo,\r\nyou!\r0\r\r',
  'a space': '2\r\nHe\r\n0A \r\nllo,\r\nyou!\r\n0\r\n\r\n',
};

const responses = { ...plain };
for (const kind of KINDS) {
  const whole = (responses[kind] = HEADS[kind] + BODIES[kind]);
  for (const [name, text] of Object.entries(BEHIND)) responses[`${kind} and ${name}`] = whole + text;
  responses[`${kind} and close`] = whole.replace('\r\n', '\r\nConnection: close\r\n');
}
for (const [name, body] of Object.entries(ODD)) responses[name] = HEADS.chunks + body;

/** Behind the head, and behind each byte of the body but the last. */
const PLACES = Object.fromEntries(
  KINDS.map((kind) => [kind, Array.from(BODIES[kind], (_, index) => HEADS[kind].length + index)]),
);

const pathOf = (name, ...rest) => `/${[encodeURIComponent(name), ...rest].join('/')}`;

test('a place is told with all digits of its number', () => {
  for (const number of [7n, 0x80000001n, 0x1_8000_0001n, 10n ** 15n - 1n, 2n ** 60n - 1n]) {
    const parts = Buffer.alloc(12);
    parts.writeBigUInt64LE(number, 4);
    const textOf = (kind, digits) => {
      parts.set([kind, digits], 2);
      return new BodyPlace(parts, 2).text;
    };
    const chunks = 'Transfer-Encoding: chunked\r\n\r\n';
    const hex = number.toString(16);
    assert.equal(textOf(1, 0), `Content-Length: ${number}\r\n\r\n`);
    assert.equal(textOf(2, 15), chunks + '0'.repeat(15 - hex.length) + hex);
    assert.equal(textOf(4, 0), `${chunks}${hex}\r\n`);
  }
});

test('a body is cut at each place, and at all of them', { timeout }, async (t) => {
  const port = await startServer(t, responses);
  for (const kind of KINDS) {
    for (const reader of Object.keys(READERS)) {
      const made = agents(t);
      for (const cuts of [...PLACES[kind], PLACES[kind].join()]) {
        const count = await compare(made, port, pathOf(kind, cuts), reader);
        assert.equal(count, 1, `${kind} ${reader} ${cuts}`);
      }
    }
  }
});

test('chunks that are odd from some place on are for the parser from there on', { timeout }, async (t) => {
  const port = await startServer(t, responses);
  const from = HEADS.chunks.length;
  for (const [name, body] of Object.entries(ODD)) {
    for (let cut = 0; cut < body.length; cut++) {
      for (const cuts of [`${from + cut}`, `${from},${from + 5},${from + Math.max(cut, 6)}`]) {
        const made = agents(t);
        await compare(made, port, pathOf(name, cuts), 'flowing');
        // What comes next on the connection, if it is kept, or on another.
        assert.equal(await compare(made, port, pathOf('chunks', 0), 'flowing'), 1, name);
        await compare(made, port, pathOf(name, cuts), 'flowing');
      }
    }
  }
});

test('a body behind which the connection ends comes whole, or to the parser', { timeout }, async (t) => {
  const port = await startServer(t, responses);
  for (const kind of KINDS) {
    const made = agents(t);
    const name = `${kind} and close`;
    for (const cut of [0, ...PLACES[kind]]) {
      const place = cut && cut + 'Connection: close\r\n'.length;
      const count = await compare(made, port, pathOf(name, place), 'flowing');
      assert.equal(count, place === 0 ? 1 : 0, `${kind} ${cut}`);
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
  for (const kind of KINDS) {
    const places = PLACES[kind];
    for (const end of ['fin', 'reset']) {
      for (const reader of ['flowing', 'text', 'readable', 'iterator', 'dumped']) {
        const made = agents(t);
        for (const cuts of [places[0], places[4], places.slice(0, 5).join(), places.at(-1)]) {
          const path = pathOf(kind, cuts, end);
          assert.equal(await compare(made, port, path, reader), 1, `${path} ${reader}`);
          // The next has a connection of its own, and nothing of this one.
          assert.equal(await compare(made, port, pathOf(kind, 0), reader), 1);
          // The one behind it finds one that has served, and has no parser.
          assert.equal(await compare(made, port, path, reader), 1, `${path} ${reader}`);
        }
      }
    }
  }
});

test('what stands behind the body is for the parser', { timeout }, async (t) => {
  const port = await startServer(t, responses);
  for (const kind of KINDS) {
    for (const what of Object.keys(BEHIND)) {
      const made = agents(t);
      for (const cuts of [PLACES[kind][0], PLACES[kind][5], PLACES[kind].join()]) {
        assert.equal(await compare(made, port, pathOf(`${kind} and ${what}`, cuts), 'flowing'), 1, what);
        assert.equal(await compare(made, port, pathOf(kind, 0), 'flowing'), 1);
      }
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
  'resets the connection': ({ socket }) => {
    // Node's own TLS sockets cannot.
    if (!socket.encrypted) socket.resetAndDestroy();
  },
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
    // Node's TLS sockets have listeners of their own to 'close'.
    note(['data', 'end', 'error', 'drain'].map((event) => response.socket.listenerCount(event))),
  'looks at the counters': (request, response, note) => {
    const { bytesRead, readableFlowing, readableLength, timeout: limit } = response.socket;
    note([bytesRead > HEADS.length.length, readableFlowing, readableLength, limit, response.readableLength]);
  },
  'limits the time': (request) => request.setTimeout(60_000),
  'changes the encoding': (request, response) => response.setEncoding('hex'),
  'dumps the response': (request, response) => response._dump(),
};

test('programs that interfere in the middle of a body', { timeout }, async (t) => {
  const port = await startServer(t, responses);
  for (const kind of KINDS) {
    const places = PLACES[kind];
    for (const [name, act] of Object.entries(ACTS)) {
      // Its first chunk may be its last.
      for (const cuts of [places[0], places[4], places.slice(4, 9).join(), `${places[4]}/fin`]) {
        const made = agents(t);
        const atFirst = (request, response, note) =>
          response.once('data', () => act(request, response, note));
        // The second finds a connection that is idle, or none; its request has no parser then.
        for (let i = 0; i < 2; i++) {
          const count = await compare(made, port, pathOf(kind, cuts), 'flowing', {}, atFirst);
          if (i === 0) assert.equal(count, 1, `${kind} ${name} ${cuts}`);
        }
      }
    }
  }
});

test('programs that interfere before the body', { timeout }, async (t) => {
  const port = await startServer(t, responses);
  for (const kind of KINDS) {
    for (const [name, act] of Object.entries(ACTS)) {
      const made = agents(t);
      const path = pathOf(kind, [PLACES[kind][0], PLACES[kind][6]]);
      for (let i = 0; i < 2; i++) {
        const count = await compare(made, port, path, 'flowing', {}, act);
        if (i === 0) assert.equal(count, 1, `${kind} ${name}`);
      }
    }
  }
});

/** What a program may do to the bytes on their way to the parser: they are not those that Rust has told of. */
const LOSING = {
  'loses a piece': ({ socket }) => {
    const listeners = socket.listeners('data');
    socket.removeAllListeners('data');
    socket.once('data', () => listeners.forEach((listener) => socket.on('data', listener)));
  },
  'loses two pieces': ({ socket }) => {
    const listeners = socket.listeners('data');
    const putBack = () => listeners.forEach((listener) => socket.on('data', listener));
    socket.removeAllListeners('data');
    socket.once('data', () => socket.once('data', putBack));
  },
};
const ADDING = {
  'has a piece of its own': ({ socket }) => process.nextTick(() => socket.emit('data', Buffer.from('\r\n'))),
  'puts a piece back': ({ socket }) => {
    socket.pause();
    socket.unshift(Buffer.from('\r\n'));
    socket.resume();
  },
};

test('programs that meddle with the bytes of a body', { timeout }, async (t) => {
  const port = await startServer(t, responses);
  for (const kind of KINDS) {
    for (const first of [4, 7, 9]) {
      const places = PLACES[kind].slice(first, first + 5);
      // What is lost is waited for until the connection ends. What is too much would come to it while it is idle.
      const paths = [pathOf(kind, places.join(), 'fin'), pathOf(kind, places[0])];
      for (const [index, acts] of [LOSING, ADDING].entries()) {
        for (const [name, act] of Object.entries(acts)) {
          const made = agents(t);
          const atFirst = (request, response) => response.once('data', () => act(request));
          for (let i = 0; i < 2; i++) {
            await compare(made, port, paths[index], 'flowing', {}, atFirst);
            assert.equal(
              await compare(made, port, pathOf(kind, 0), 'flowing'),
              1,
              `${kind} ${first} ${name}`,
            );
          }
        }
      }
    }
  }
});

// With http.Agent it is read in the midst of the piece that is being read, and the process may crash.
test('what a handler of data emits on the socket fails its request, and no other', { timeout }, async (t) => {
  const port = await startServer(t, responses);
  const others = agents(t);
  const agent = new Agent();
  t.after(() => agent.destroy());
  for (const kind of KINDS) {
    const path = pathOf(kind, HEADS[kind].length);
    // At the first piece of what comes at once, and at the end of the body.
    for (const length of [2, 12]) {
      for (const emitted of ['x', '0\r\n\r\n', responses[kind]]) {
        // The second finds a connection that has served, and has no parser.
        for (const isOnIdle of [false, true]) {
          if (isOnIdle) await compare([['parsed', agent]], port, path, 'flowing');
          const request = send({ host: '127.0.0.1', port, path, agent }).end();
          request.once('socket', watch);
          let read = 0;
          request.once('response', (response) => {
            response.on('error', () => {});
            response.on('data', (chunk) => {
              const before = read;
              read += chunk.length;
              if (before < length && read >= length) request.socket.emit('data', Buffer.from(emitted));
            });
          });
          const [error] = await once(request, 'error');
          assert.equal(error.code, 'HPE_JS_EXCEPTION');
          assert.equal(request.reusedSocket, isOnIdle);
          // Parsers serve others.
          await compare(others, port, path, 'flowing');
        }
      }
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
  for (const kind of KINDS) {
    const places = PLACES[kind];
    for (const cuts of [places[4], `${places[4]}/fin`, places.slice(4, 9).join()]) {
      for (const act of [fail, (request, response) => response.once('data', fail)]) {
        const made = agents(t);
        for (let i = 0; i < 2; i++) {
          thrown = [];
          assert.equal(await compare(made, port, pathOf(kind, cuts), 'flowing', {}, act), 1);
          assert.deepEqual(thrown, ['enough', 'enough', 'enough']);
        }
      }
    }
  }
});

test('a parser that a handler keeps Node from giving back is not left behind', { timeout }, async (t) => {
  const port = await startServer(t, responses);
  let thrown = 0;
  process.setUncaughtExceptionCaptureCallback(() => thrown++);
  t.after(() => process.setUncaughtExceptionCaptureCallback(null));
  const agent = new Agent();
  t.after(() => agent.destroy());
  const request = send({ host: '127.0.0.1', port, path: pathOf('chunks', PLACES.chunks[4]), agent }).end();
  request.once('socket', watch);
  const [response] = await once(request, 'response');
  const { parser } = request;
  let reads = 0;
  response.on('readable', () => {
    while (response.read() !== null);
    // Node calls this from within its parser's function for the end.
    if (reads++ === 1) throw new Error('enough');
  });
  if (!request.closed) await once(request, 'close');
  await new Promise(setImmediate);
  assert.equal(thrown, 1);
  assert.deepEqual(
    [request.parser, parser.outgoing, parser.incoming, parser.socket],
    [null, null, null, null],
  );
  assert.equal(Object.values(agent.freeSockets).flat()[0], request.socket);
});

test('a parser that was taken away in the middle serves others as before', { timeout }, async (t) => {
  const port = await startServer(t, responses);
  const agent = new Agent();
  t.after(() => agent.destroy());
  const path = (...rest) => pathOf('length', PLACES.length[3], ...rest);
  const cut = send({ host: '127.0.0.1', port, path: path('fin'), agent }).end();
  cut.once('socket', watch);
  const [response] = await once(cut, 'response');
  const { parser } = cut;
  response.resume();
  await once(response, 'error');
  // Node has it for the next to come, a socket of its own here.
  const other = new NodeAgent();
  t.after(() => other.destroy());
  const request = send({ host: '127.0.0.1', port, path: path(), agent: other }).end();
  t.after(() => request.destroy());
  request.once('socket', watch);
  const [next] = await once(request, 'response');
  assert.equal(request.parser, parser);
  assert.equal(String(Buffer.concat(await next.toArray())), BODIES.length);
});

test('a large body is the same however it is read', { timeout }, async (t) => {
  const size = 2 * 1024 * 1024 + 1;
  const body = Buffer.alloc(size);
  for (let at = 0; at + 4 <= size; at += 4) body.writeUInt32LE(at, at);
  const server = serve((request, response) => {
    if (request.url === '/length') response.setHeader('Content-Length', size);
    response.write(body.subarray(0, 10));
    setImmediate(() => {
      for (let at = 10; at < size; at += 50_000) response.write(body.subarray(at, at + 50_000));
      response.end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const agent = new Agent();
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
    for (const path of ['/length', '/length', '/chunks', '/chunks']) {
      const before = handedOver();
      const request = send({ host: '127.0.0.1', port: server.address().port, path, agent }).end();
      const [response] = await once(request, 'response');
      const chunks = [];
      const { push } = response;
      response.push = (chunk) => {
        const parser = chunk && request.parser;
        // Paused as often as may be, it does not come to be Node's parser that reads it.
        if (parser) assert.doesNotMatch(String(parser.execute), /native code/, `${name} ${path}`);
        return push.call(response, chunk);
      };
      await read(response, chunks);
      assert.ok(Buffer.concat(chunks).equals(body), name);
      assert.equal(handedOver(), before + 1);
      if (!request.closed) await once(request, 'close');
    }
  }
});
