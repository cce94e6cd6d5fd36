'use strict';

// What rustls refuses and Node accepts goes out on Node's socket, under the lane that the request has already.

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const { once } = require('node:events');
const https = require('node:https');
const { test } = require('node:test');
const { HttpsAgent } = require('..');
const { keepAliveTimer } = require('./helpers/keep-alive-timer');
const { asHttps, identity, tlsServer } = require('./helpers/tls-oracle');
const { authority } = require('./helpers/x509');

const timeout = 30_000;
const root = authority('Root');
const leaf = root.server(['ip:127.0.0.1'], { key: 2048 });
const ca = root.cert;

/** Ciphers that OpenSSL has and rustls has not. */
const OLD = { ciphers: 'AES256-SHA256:AES256-SHA', maxVersion: 'TLSv1.2' };

/** Answers with the length and the hash of the body. */
async function tellBody(request, response) {
  const hash = crypto.createHash('sha256');
  let length = 0;
  for await (const chunk of request) {
    hash.update(chunk);
    length += chunk.length;
  }
  response.end(`${length} ${hash.digest('hex')}`);
}

async function send(agent, port, { method = 'GET', body, pieces } = {}) {
  const request = https.request({ host: '127.0.0.1', port, agent, method });
  const result = once(request, 'response');
  for (const piece of pieces ?? []) {
    request.write(piece);
    await new Promise(setImmediate);
  }
  request.end(body);
  const [response] = await result;
  const { socket } = response;
  const text = Buffer.concat(await response.toArray()).toString();
  return { request, socket, text };
}

const sum = (bytes) => `${bytes.length} ${crypto.createHash('sha256').update(bytes).digest('hex')}`;

test('every byte of a request arrives, however it was written', { timeout }, async (t) => {
  const server = await tlsServer(t, { ...identity(leaf), ...OLD }, tellBody);
  const large = crypto.randomBytes(1_500_000);
  const pieces = Array.from({ length: 40 }, (_, n) => crypto.randomBytes(1 + n * 997));
  for (const [how, bytes] of [
    [{ method: 'POST', body: 'small' }, Buffer.from('small')],
    [{ method: 'POST', body: large }, large],
    [{ method: 'PUT', pieces }, Buffer.concat(pieces)],
    [{}, Buffer.alloc(0)],
  ]) {
    const agent = new HttpsAgent({ ca });
    t.after(() => agent.destroy());
    const { text, request } = await send(agent, server.port, how);
    assert.equal(text, sum(bytes));
    assert.equal(request.attempts, 1);
  }
});

test(
  'the connection is kept, and the origin stays with Node, which a warning says once',
  { timeout },
  async (t) => {
    const warnings = [];
    const note = ({ code, message }) => code === 'OFFLOOP_NODE_SOCKET' && warnings.push(message);
    process.on('warning', note);
    t.after(() => process.off('warning', note));
    const server = await tlsServer(t, { ...identity(leaf), ...OLD });
    const agent = new HttpsAgent({ ca });
    t.after(() => agent.destroy());
    const ports = [];
    for (let n = 0; n < 3; n++) {
      const free = once(agent, 'free');
      const { socket } = await send(agent, server.port);
      ports.push(socket.localPort);
      assert.equal(socket.authorized, true);
      assert.equal(socket.getProtocol(), 'TLSv1.2');
      await free;
    }
    assert.equal(new Set(ports).size, 1, 'one connection serves all');
    assert.equal(server.accepted, 2, 'that of rustls, and that of Node');
    const [idle] = Object.values(agent.freeSockets)[0];
    idle.destroy();
    await send(agent, server.port);
    assert.equal(server.accepted, 3, 'rustls is not asked again');
    const ours = warnings.filter((message) => message.includes(`127.0.0.1:${server.port}`));
    assert.equal(ours.length, 1);
  },
);

test("the program's clock has no say in how long an origin stays with Node", { timeout }, async (t) => {
  const server = await tlsServer(t, { ...identity(leaf), ...OLD });
  const agent = new HttpsAgent({ ca, keepAlive: false });
  t.after(() => agent.destroy());
  await send(agent, server.port);
  const before = Date.now();
  t.mock.method(Date, 'now', () => before + 24 * 60 * 60_000);
  await send(agent, server.port);
  assert.equal(server.accepted, 3, 'rustls is not asked again');
});

test("a listener for 'session' makes the connection Node's", { timeout }, async (t) => {
  const server = await tlsServer(t, identity(leaf));
  const agent = new HttpsAgent({ ca });
  t.after(() => agent.destroy());
  const request = https.get({ host: '127.0.0.1', port: server.port, agent });
  let session;
  request.once('socket', (socket) => socket.once('session', (one) => (session = one)));
  const [response] = await once(request, 'response');
  response.resume();
  await once(response, 'end');
  assert.ok(Buffer.isBuffer(session));
});

for (const when of ["at 'socket'", "after awaiting 'socket'"]) {
  test(`a listener for 'secureConnect' that refuses, ${when}: nothing is sent`, { timeout }, async (t) => {
    let requests = 0;
    const server = await tlsServer(t, identity(leaf), (request, response) => {
      requests++;
      response.end();
    });
    await asHttps(t, async (make) => {
      const request = https.get({ host: '127.0.0.1', port: server.port, agent: make({ ca }) });
      const failed = once(request, 'error');
      const refuse = (socket) => socket.once('secureConnect', () => request.destroy(new Error('pinned')));
      if (when === "at 'socket'") request.once('socket', refuse);
      else refuse((await once(request, 'socket'))[0]);
      // An event, not the rejection of once().
      const error = await failed.then(
        ([one]) => one,
        (one) => one,
      );
      return error.message;
    });
    // One that is answered behind it: whatever came before has come.
    const agent = new HttpsAgent({ ca });
    t.after(() => agent.destroy());
    await send(agent, server.port);
    assert.equal(requests, 1);
  });
}

test(
  'what the program has set on the socket holds on Node’s, and so does what it sets later',
  { timeout, skip: process.platform !== 'linux' && 'the keep-alive timer is read from /proc' },
  async (t) => {
    const server = await tlsServer(t, { ...identity(leaf), ...OLD }, (_, response) => response.write('x'));
    const agent = new HttpsAgent({ ca, keepAlive: false });
    t.after(() => agent.destroy());
    const request = https.get({ host: '127.0.0.1', port: server.port, agent });
    request.once('socket', (socket) => socket.setKeepAlive(true, 50_000));
    const [{ socket }] = await once(request, 'response');
    const probed = keepAliveTimer(socket.localPort);
    assert.ok(probed > 40 && probed <= 50, `in ${probed} s`);
    socket.setKeepAlive(true, 30_000);
    const sooner = keepAliveTimer(socket.localPort);
    assert.ok(sooner > 20 && sooner <= 30, `in ${sooner} s`);
    request.destroy();
  },
);
