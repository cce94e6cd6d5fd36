'use strict';

// A side that is slow holds the other one up: what lies in Rust between the two is bounded, whatever the
// size of the body, and the body arrives as it was sent.
//
// What lies in Rust is what one end has given away, less what the other end has got, less what the kernel
// holds. A Unix socket holds little; of TCP, Linux says how much it is.

const assert = require('node:assert');
const { createHash } = require('node:crypto');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const { test } = require('node:test');
const v8 = require('node:v8');
const vm = require('node:vm');
const { Worker } = require('node:worker_threads');
const { HttpAgent } = require('..');
const { atEnd, get, httpServer, rawServer, seeingAgent, socketPath } = require('./helpers/lane-server');

const MiB = 1024 * 1024;
const SIZE = 200 * MiB;
const options = { timeout: 100_000 };

/** The bound on what one connection may hold. */
const BOUND = 2 * MiB;
/** How much a Unix socket's kernel buffers may take; Linux has 208 KiB, counted with their overhead. */
const UNIX_BUFFERS = 512 * 1024;

/** Bytes without a period that a lost or doubled piece could hide in. */
function pattern(size) {
  const bytes = Buffer.allocUnsafeSlow(size);
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, size >> 2);
  let state = 0x9e3779b9;
  for (let at = 0; at < words.length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[at] = state;
  }
  return bytes;
}

const body = pattern(SIZE);
const expected = createHash('sha1').update(body).digest('hex');

v8.setFlagsFromString('--expose-gc');
const gc = vm.runInNewContext('gc');

/** The memory of the process without what V8 has not collected yet, which is its own affair. */
async function memoryHeld() {
  for (let round = 0; round < 2; round++) {
    gc();
    // What was collected is given back in turns of the loop.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return process.memoryUsage.rss();
}

/** Resolves when `count()` has stood still for a while, in turns of the loop: whoever sends is held up. */
async function standstill(count) {
  let last = count();
  for (let looks = 0; looks < 30; looks++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    if (count() !== last) [last, looks] = [count(), 0];
  }
}

/** What the kernel holds between two ports of 127.0.0.1 on its way to `to`. */
function inKernel(from, to) {
  const address = (port) => `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  let bytes = 0;
  for (const line of fs.readFileSync('/proc/net/tcp', 'utf8').split('\n')) {
    const [, local, remote, , queues] = line.trim().split(/\s+/);
    if (local === address(from) && remote === address(to)) bytes += parseInt(queues.split(':')[0], 16);
    if (local === address(to) && remote === address(from)) bytes += parseInt(queues.split(':')[1], 16);
  }
  return bytes;
}

/** What Node has given to the kernel of all that was written to a socket. */
const accepted = (socket) => socket.bytesWritten - socket.writableLength;

/** Sends the body as a response, in pieces, as fast as it is taken. */
function sending(record) {
  return (req, res) => {
    record.socket = req.socket;
    res.writeHead(200, { 'Content-Length': SIZE });
    let at = 0;
    (function more() {
      while (at < SIZE) {
        const piece = body.subarray(at, (at += 64 * 1024));
        if (!res.write(piece)) return res.once('drain', more);
      }
      return res.end();
    })();
  };
}

/** Hashes what comes, after a rest at each quarter, in which `look` is called. */
async function slowly(readable, look) {
  const hash = createHash('sha1');
  let received = 0;
  let next = SIZE / 4;
  for await (const chunk of readable) {
    hash.update(chunk);
    received += chunk.length;
    if (received < next) continue;
    next += SIZE / 4;
    if (received < SIZE) await look();
  }
  assert.strictEqual(received, SIZE);
  return hash.digest('hex');
}

for (const kind of ['TCP', 'Unix']) {
  const where = (t) => (kind === 'TCP' ? { host: '127.0.0.1', port: 0 } : { path: socketPath(t) });
  const target = (server) => (kind === 'TCP' ? { port: server.port } : { socketPath: server.address() });
  const skip =
    kind === 'TCP'
      ? process.platform !== 'linux' && 'only Linux says what its buffers hold'
      : process.platform === 'win32' && 'no Unix sockets';

  test(`${kind}: a response of 200 MiB that is read slowly`, { ...options, skip }, async (t) => {
    const record = {};
    const server = await httpServer(t, sending(record), where(t));
    const agent = seeingAgent(t, HttpAgent);
    const request = http.get({ ...target(server), agent });
    const [response] = await once(request, 'response');
    const { socket } = response;
    let most = 0;
    let looks = 0;
    const look = async () => {
      await standstill(() => accepted(record.socket));
      const kernel = kind === 'TCP' ? inKernel(server.port, socket.localPort) : UNIX_BUFFERS;
      // What the lane and the response hold is counted too: JavaScript's own buffers are small.
      most = Math.max(most, accepted(record.socket) - socket.bytesRead - kernel);
      looks++;
      assert.ok(accepted(record.socket) < SIZE, 'the server was not held up');
    };
    await look();
    const before = await memoryHeld();
    assert.strictEqual(await slowly(response, look), expected);
    assert.ok(looks > 3);
    assert.ok(most <= BOUND, `${most} bytes in between`);
    assert.ok((await memoryHeld()) - before < SIZE / 2);
  });

  for (const how of ['in pieces', 'as one Buffer']) {
    test(`${kind}: an upload of 200 MiB ${how} to a slow server`, { ...options, skip }, async (t) => {
      const agent = seeingAgent(t, HttpAgent);
      let most = 0;
      let looks = 0;
      let socket;
      const server = await rawServer(
        t,
        async (peer) => {
          let head = Buffer.alloc(0);
          while (!head.includes('\r\n\r\n')) {
            await once(peer, 'readable');
            head = Buffer.concat([head, peer.read() ?? head.subarray(0, 0)]);
          }
          const end = head.indexOf('\r\n\r\n') + 4;
          peer.unshift(head.subarray(end));
          const look = async () => {
            looks++;
            await standstill(() => socket._bytesDispatched);
            if (how === 'as one Buffer') {
              // Rust writes from the buffer itself. A copy of it would show in the memory of the process.
              assert.ok(socket.writableLength > 0, 'the client was not held up');
              return;
            }
            const kernel = kind === 'TCP' ? inKernel(socket.localPort, server.port) : UNIX_BUFFERS;
            most = Math.max(most, socket._bytesDispatched - peer.bytesRead - kernel);
            assert.ok(socket._bytesDispatched < SIZE, 'the client was not held up');
          };
          await look();
          const counted = async function* () {
            let left = SIZE;
            for await (const chunk of peer.iterator({ destroyOnReturn: false })) {
              yield chunk;
              if ((left -= chunk.length) === 0) return;
            }
          };
          const digest = await slowly(counted(), look).catch((error) => error.message);
          peer.end(
            `HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ${digest.length}\r\n\r\n${digest}`,
          );
        },
        { allowHalfOpen: true },
        where(t),
      );
      const headers = { 'Content-Length': SIZE };
      const request = http.request({ ...target(server), agent, method: 'POST', headers });
      request.on('socket', (given) => (socket = given));
      const responded = once(request, 'response');
      const before = await memoryHeld();
      if (how === 'as one Buffer') {
        request.end(body);
      } else {
        let at = 0;
        (function more() {
          while (at < SIZE) {
            const piece = body.subarray(at, (at += 100_000));
            if (!request.write(piece)) return request.once('drain', more);
          }
          return request.end();
        })();
      }
      const [response] = await responded;
      let digest = '';
      for await (const chunk of response) digest += chunk;
      assert.strictEqual(digest, expected);
      assert.ok(looks > 3);
      assert.ok(most <= BOUND, `${most} bytes in between`);
      assert.ok((await memoryHeld()) - before < SIZE / 2);
    });
  }
}

test('maxReadAheadBytes is how much is read before JavaScript has taken it', options, async (t) => {
  if (process.platform !== 'linux') return t.skip('only Linux says what its buffers hold');
  // In a thread of its own: it sends while this one blocks.
  const worker = new Worker(
    `const { parentPort, workerData } = require('worker_threads');
     const sent = new BigInt64Array(workerData);
     const server = require('net').createServer((socket) => {
       socket.on('error', () => {});
       socket.once('data', () => {
         socket.write('HTTP/1.1 200 OK\\r\\nContent-Length: ${8 * MiB}\\r\\n\\r\\n');
         const piece = Buffer.alloc(16 * 1024);
         let left = ${8 * MiB} / piece.length;
         (function more() {
           while (left-- > 0) {
             const on = socket.write(piece);
             Atomics.store(sent, 0, BigInt(socket.bytesWritten - socket.writableLength));
             if (!on) return socket.once('drain', () => { Atomics.store(sent, 0, BigInt(socket.bytesWritten)); more(); });
           }
         })();
       });
     });
     server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));`,
    { eval: true, workerData: new SharedArrayBuffer(8) },
  );
  atEnd(t, () => worker.terminate());
  const [port] = await once(worker, 'message');
  for (const maxReadAheadBytes of [4096, 100_000, MiB]) {
    const agent = seeingAgent(t, HttpAgent, { maxReadAheadBytes });
    const request = http.get({ host: '127.0.0.1', port, agent });
    const [socket] = await once(request, 'socket');
    await once(socket, 'connect');
    const { localPort } = socket;
    // From here on JavaScript blocks. The kernel's receive queue grows only when Rust reads no more.
    const patience = Date.now() + 10_000;
    let queued = 0;
    let since = Date.now();
    while (Date.now() < patience && (queued === 0 || Date.now() - since < 200)) {
      const now = inKernel(port, localPort);
      if (now !== queued) [queued, since] = [now, Date.now()];
    }
    assert.ok(queued > 0, 'Rust has read all there was');
    const [response] = await once(request, 'response');
    const first = socket.bytesRead;
    assert.ok(first <= maxReadAheadBytes, `${first} bytes for ${maxReadAheadBytes}`);
    assert.ok(first > 0);
    let received = 0;
    for await (const chunk of response) received += chunk.length;
    assert.strictEqual(received, 8 * MiB);
  }
  return undefined;
});

test('a window of one byte', options, async (t) => {
  const server = await httpServer(t, (req, res) => res.end('byte by byte'));
  const agent = seeingAgent(t, HttpAgent, { maxReadAheadBytes: 1 });
  for (let round = 0; round < 3; round++) {
    assert.strictEqual((await get({ port: server.port, agent })).body, 'byte by byte');
  }
});

test('write returns false, and drain comes, as for net.Socket', options, async (t) => {
  let resume;
  const server = await rawServer(t, (socket) => {
    socket.pause();
    resume = () => socket.resume();
  });
  const agent = seeingAgent(t, HttpAgent);
  const socket = agent.createConnection({ host: '127.0.0.1', port: server.port });
  await once(socket, 'connect');
  assert.strictEqual(socket.write('small'), true);
  const piece = Buffer.alloc(MiB);
  let count = 0;
  while (socket.write(piece)) assert.ok(++count < 64, 'nothing holds the writer up');
  // In one turn nothing is reported, so the first large write is too much already.
  assert.strictEqual(socket.writableNeedDrain, true);
  while (inFlight(socket) < 16 * MiB) socket.write(piece);
  await standstill(() => socket._bytesDispatched);
  assert.ok(inFlight(socket) > 0);
  const drained = once(socket, 'drain');
  resume();
  await drained;
  assert.strictEqual(inFlight(socket), 0);
  assert.ok(net.isIP(socket.remoteAddress));
});

const inFlight = (socket) => socket.writableLength;
