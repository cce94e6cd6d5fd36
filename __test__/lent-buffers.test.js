'use strict';

// A large buffer is written from without a copy: it is its writer's again when the callback says so, as with
// Node's own sockets. Whatever a program does with it before, and whenever the request or the thread ends, no
// memory is touched that is not there.

const assert = require('node:assert');
const { createHash, randomBytes, randomInt } = require('node:crypto');
const { once } = require('node:events');
const http = require('node:http');
const path = require('node:path');
const { test } = require('node:test');
const v8 = require('node:v8');
const vm = require('node:vm');
const { MessageChannel, Worker } = require('node:worker_threads');
const { HttpAgent } = require('..');
const { httpServer, rawServer, seeingAgent, socketPath } = require('./helpers/lane-server');

const MiB = 1024 * 1024;
const options = { timeout: 60_000 };

const digest = (bytes) => createHash('sha1').update(bytes).digest('hex');

/** Answers with the hash of what it got, if that comes to its end. */
function hashing(request, response) {
  const hash = createHash('sha1');
  request.on('data', (chunk) => hash.update(chunk));
  request.on('end', () => response.end(hash.digest('hex')));
}

function upload(at, agent, { method = 'POST', ...more } = {}) {
  return http.request({ host: '127.0.0.1', ...at, agent, method, ...more });
}

async function answer(request) {
  const [response] = await once(request, 'response');
  let text = '';
  for await (const chunk of response) text += chunk;
  return text;
}

/** A server that reads what comes only once it is told to, and then counts and hashes it. */
async function heldServer(t, where) {
  const held = [];
  const server = await rawServer(t, (socket) => held.push(socket.pause()), {}, where);
  const next = async () => {
    while (held.length === 0) await once(server, 'connection');
    return held.shift();
  };
  return { server, next };
}

for (const kind of ['TCP', 'Unix']) {
  const skip = kind === 'Unix' && process.platform === 'win32' && 'no Unix sockets';
  const where = (t) => (kind === 'TCP' ? { host: '127.0.0.1', port: 0 } : { path: socketPath(t) });
  const target = (server) =>
    kind === 'TCP' ? { host: '127.0.0.1', port: server.port } : { path: server.address() };

  test(
    `${kind}: the callback gives the buffer back, and not before all of it has left`,
    { ...options, skip },
    async (t) => {
      const { server, next } = await heldServer(t, where(t));
      const agent = seeingAgent(t, HttpAgent);
      const socket = agent.createConnection(target(server));
      await once(socket, 'connect');
      const body = randomBytes(32 * MiB);
      let peer;
      for (const size of [body.length, MiB]) {
        const piece = body.subarray(0, size);
        const sum = digest(piece);
        let isDone = false;
        const done = new Promise((resolve) => {
          const more = socket.write(piece, () => {
            isDone = true;
            // From here on it is ours.
            piece.fill(0);
            resolve();
          });
          assert.strictEqual(more, false);
        });
        assert.strictEqual(socket.writableLength, size);
        if (size === body.length) {
          peer = await next();
          await new Promise((resolve) => setTimeout(resolve, 50));
          assert.ok(!isDone, 'the peer has not read any of it');
          assert.strictEqual(socket.writableLength, size);
          assert.strictEqual(socket.bytesWritten, size);
        }
        const received = createHash('sha1');
        let left = size;
        const all = new Promise((resolve) => {
          peer.on('data', function count(chunk) {
            received.update(chunk);
            if ((left -= chunk.length) > 0) return;
            peer.removeListener('data', count);
            resolve();
          });
        });
        peer.resume();
        await Promise.all([done, all, once(socket, 'drain')]);
        assert.strictEqual(received.digest('hex'), sum);
        assert.strictEqual(socket.writableLength, 0);
      }
      assert.strictEqual(socket.bytesWritten, 33 * MiB);
    },
  );
}

test('callbacks, drain and finish come in the order of http.Agent', options, async (t) => {
  const server = await httpServer(t, hashing);
  const pieces = [MiB, 3, 2 * MiB, 100_000, 600_000, 0, MiB].map((size) => randomBytes(size));
  const traces = [];
  for (const Agent of [http.Agent, HttpAgent]) {
    const agent = seeingAgent(t, Agent, { keepAlive: true });
    const trace = [];
    for (let round = 0; round < 3; round++) {
      const request = upload({ port: server.port }, agent);
      const responded = answer(request);
      for (const [index, piece] of pieces.entries()) {
        const more = request.write(piece, () => trace.push(`written ${index}`));
        if (!more && index % 2 === 0) {
          await once(request, 'drain');
          trace.push(`drain ${index}`);
        }
      }
      request.end(() => trace.push('end'));
      await once(request, 'finish');
      trace.push(`finish ${request.writableLength}`, await responded);
    }
    traces.push(trace);
  }
  assert.deepStrictEqual(traces[1], traces[0]);
  assert.strictEqual(traces[1].at(-1), digest(Buffer.concat(pieces)));
});

test('large writes of every kind of memory', options, async (t) => {
  const server = await httpServer(t, hashing);
  const agent = seeingAgent(t, HttpAgent);
  const kinds = {
    'a part of a buffer': () => Buffer.alloc(3 * MiB).subarray(MiB, 2 * MiB + 7),
    'a Uint8Array': () => new Uint8Array(MiB),
    'shared memory': () => new Uint8Array(new SharedArrayBuffer(MiB)),
    'memory of WebAssembly': () => new Uint8Array(new WebAssembly.Memory({ initial: 16 }).buffer),
    'memory that can be resized': () => new Uint8Array(new ArrayBuffer(MiB, { maxByteLength: 2 * MiB })),
    'one byte more than is lent at once': () => Buffer.alloc(512 * 1024 + 1),
  };
  for (const [kind, make] of Object.entries(kinds)) {
    const body = make();
    // What crypto does not fill is filled in pieces.
    for (let at = 0; at < body.length; at += 65_536) {
      body.set(randomBytes(Math.min(65_536, body.length - at)), at);
    }
    const request = upload({ port: server.port }, agent);
    request.end(body);
    assert.strictEqual(await answer(request), digest(Buffer.from(body)), kind);
  }
});

/** What a program may do to the memory of a view while it is written. */
const deeds = {
  'it is changed': (body) => body.fill(1),
  'it is transferred to nobody': (body) => {
    const { port1 } = new MessageChannel();
    port1.postMessage(body, [body.buffer]);
    port1.close();
  },
  'it is cloned away': (body) => structuredClone(body, { transfer: [body.buffer] }),
  'it is transferred': (body) => body.buffer.transfer?.(),
  'it is cut': (body) => body.buffer.transfer?.(1),
};

for (const [deed, act] of Object.entries(deeds)) {
  test(`while a buffer is written, ${deed}`, options, async (t) => {
    const server = await httpServer(t, (request, response) => {
      request.on('error', () => {}).resume();
      request.on('end', () => response.end('ok'));
    });
    const agent = seeingAgent(t, HttpAgent);
    for (let round = 0; round < 50; round++) {
      const body = new Uint8Array(2 * MiB).fill(round);
      const request = upload({ port: server.port }, agent, { headers: { 'Content-Length': body.length } });
      const outcome = answer(request).catch((error) => error);
      request.end(body);
      const [socket] = await once(request, 'socket');
      while (socket._bytesDispatched < body.length) await new Promise(setImmediate);
      act(body);
      // Its memory is somebody else's by now.
      const others = Array.from({ length: 4 }, () => new Uint8Array(2 * MiB).fill(255));
      const result = await outcome;
      if (result !== 'ok') assert.strictEqual(result.code, 'EFAULT', String(result));
      assert.strictEqual(others.length, 4);
    }
  });
}

test('requests that are destroyed in the middle of a large write', options, async (t) => {
  const server = await httpServer(t, hashing);
  const agent = seeingAgent(t, HttpAgent);
  const body = randomBytes(8 * MiB);
  const sum = digest(body);
  for (let round = 0; round < 50; round++) {
    const request = upload({ port: server.port }, agent, { headers: { 'Content-Length': body.length } });
    request.on('error', () => {});
    request.end(body);
    const [socket] = await once(request, 'socket');
    if (socket.connecting) await once(socket, 'connect');
    for (let turns = randomInt(4); turns > 0; turns--) await new Promise(setImmediate);
    request.destroy();
    if (round % 10 === 0) {
      const next = upload({ port: server.port }, agent);
      next.end(body);
      assert.strictEqual(await answer(next), sum);
    }
  }
});

const FOREIGN = 255;

/** Ways to write to a server and be destroyed before all of it has left; `written` is the callback of the write. */
const destroyed = {
  'a socket of its own': async (agent, at, body, written, turns) => {
    const socket = agent.createConnection(at);
    socket.on('error', () => {}).resume();
    await once(socket, 'connect');
    socket.write(body, written);
    setTimeout(() => socket.destroy(), turns);
  },
  'a request that was answered': async (agent, at, body, written) => {
    const request = upload(at, agent, { headers: { 'Content-Length': 2 * body.length } });
    request.on('error', () => {});
    request.flushHeaders();
    const [socket] = await once(request, 'socket');
    await once(socket, 'connect');
    request.on('response', (response) => response.resume().on('end', () => request.destroy()));
    request.write(body, written);
  },
};

for (const [kind, write] of Object.entries(destroyed)) {
  test(`${kind}: what is in a buffer when its writer has it back is not sent`, options, async (t) => {
    const worker = new Worker(path.join(__dirname, 'helpers', 'accepting-worker.js'), {
      workerData: { byte: FOREIGN },
    });
    t.after(() => worker.terminate());
    const [port] = await once(worker, 'message');
    const agent = seeingAgent(t, HttpAgent);
    for (let round = 0; round < 150; round++) {
      const body = Buffer.alloc(8 * MiB, 1);
      const ended = once(worker, 'message');
      const written = () => body.fill(FOREIGN);
      await write(agent, { host: '127.0.0.1', port }, body, written, round % 3);
      assert.deepStrictEqual(await ended, [false]);
    }
  });
}

test('a thread that is terminated in the middle of a large write', options, async (t) => {
  const server = await httpServer(t, hashing);
  const agent = seeingAgent(t, HttpAgent);
  for (let round = 0; round < 50; round++) {
    const worker = new Worker(path.join(__dirname, 'helpers', 'lending-worker.js'), {
      workerData: { port: server.port, size: 16 * MiB },
    });
    t.after(() => worker.terminate());
    await once(worker, 'message');
    for (let turns = round % 5; turns > 0; turns--) await new Promise(setImmediate);
    await worker.terminate();
  }
  const request = upload({ port: server.port }, agent);
  request.end('still here');
  assert.strictEqual(await answer(request), digest('still here'));
});

test('a buffer that was lent is let go of, also by a request that failed', options, async (t) => {
  v8.setFlagsFromString('--expose-gc');
  const gc = vm.runInNewContext('gc');
  const server = await httpServer(t, hashing);
  const { server: held } = await heldServer(t);
  const agent = seeingAgent(t, HttpAgent);
  const gone = new Set();
  const registry = new FinalizationRegistry((name) => gone.add(name));
  const send = async (name, port, isKilled) => {
    const body = Buffer.alloc(16 * MiB, name);
    registry.register(body.buffer, name);
    const request = upload({ port }, agent);
    request.on('error', () => {});
    if (isKilled) {
      request.flushHeaders();
      const [socket] = await once(request, 'socket');
      // What is written while the connection is made is copied.
      await once(socket, 'connect');
      request.end(body);
      await new Promise(setImmediate);
      request.destroy();
      await new Promise((resolve) => request.on('close', resolve));
    } else {
      request.end(body);
      await answer(request);
    }
  };
  await send('answered', server.port, false);
  await send('destroyed', held.port, true);
  while (gone.size < 2) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
});

test('what may be sent again is copied, and sent again', options, async (t) => {
  let requests = 0;
  const server = await httpServer(t, (request, response) => {
    // The first warms the connection up, the second meets its end.
    if (++requests === 2) request.socket.destroy();
    else hashing(request, response);
  });
  const agent = seeingAgent(t, HttpAgent, { maxReplayBytes: 4 * MiB });
  const warm = upload({ port: server.port }, agent);
  warm.end('warm');
  await answer(warm);
  await new Promise(setImmediate);
  const body = randomBytes(2 * MiB);
  const request = upload({ port: server.port }, agent, { method: 'PUT' });
  const sum = digest(body);
  request.end(body, () => body.fill(0));
  assert.strictEqual(await answer(request), sum);
  assert.strictEqual(request.attempts, 2);
});

test('a connection that is dead before the first byte costs a large body nothing', options, async (t) => {
  const open = new Set();
  const server = await httpServer(t, hashing);
  server.on('connection', (socket) => open.add(socket));
  const agent = seeingAgent(t, HttpAgent);
  const body = randomBytes(2 * MiB);
  for (let round = 0; round < 10; round++) {
    const warm = upload({ port: server.port }, agent);
    warm.end('warm');
    await answer(warm);
    await new Promise(setImmediate);
    for (const socket of open) socket.destroy();
    open.clear();
    // JavaScript does not know yet.
    const request = upload({ port: server.port }, agent);
    request.end(body);
    assert.strictEqual(await answer(request), digest(body));
  }
});
