'use strict';

// A peer that is gone without a word: no FIN, no RST, nothing is acknowledged.

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const net = require('node:net');
const { test } = require('node:test');
const { until } = require('./helpers/blocked');
const { Network } = require('./helpers/network');
const { ourAgent } = require('./helpers/request');

const timeout = 60_000;

/** Idle connections, as many; their local ports. */
async function warm(network, count) {
  const list = Array.from({ length: count }, (_, i) => ({ id: `warm-${i}`, act: 'ok/30' }));
  for (const { status } of await Promise.all(network.sendAll(...list))) assert.strictEqual(status, 200);
  const { idle } = await network.call('ports');
  assert.strictEqual(idle.length, count);
  return idle;
}

/** Loses what the client sends on the connections that are idle, and nothing is on its way. */
async function loseQuiet(network) {
  const ports = await warm(network, 2);
  await network.untilAcknowledged();
  network.loseRequests(...ports);
  return ports;
}

/**
 * The same before the server has heard that its last response has come. That still arrives, again and again, and says
 * that the server is alive: but not one byte of the client's reaches it.
 */
async function loseWithLastWords(network) {
  const ids = ['warm-0', 'warm-1'];
  const warming = network.sendAll(...ids.map((id) => ({ id, act: 'ok/cue' })));
  await until(() => ids.every((id) => network.server.arrivals(id) === 1));
  let ports;
  do {
    ports = (await network.call('ports')).busy;
    // The server may have the request before JavaScript knows of the connection.
  } while (ports.includes(null));
  network.loseRequests(...ports);
  for (const id of ids) await network.server.command({ cue: id });
  for (const { status } of await Promise.all(warming)) assert.strictEqual(status, 200);
  return ports;
}

for (const version of [undefined, 'TLSv1.2', 'TLSv1.3']) {
  for (const [what, lose, isAsked] of [
    ['that died', loseQuiet, false],
    ['on which only what the server repeats arrives', loseWithLastWords, false],
    // It has a say in where a connection leads that shows that the others are dead.
    ...(version === undefined ? [['that died, with a lookup function', loseQuiet, true]] : []),
  ]) {
    const name = `${version ?? 'TCP'}: a GET leaves a flow ${what}, a POST does not, neither is in the way`;
    test(name, { timeout }, async (t) => {
      const network = await Network.make(t, version);
      if (network === undefined) return;
      await network.agent({ isAsked, maxSockets: 2, deadPeerTimeout: 4000, freeSocketTimeout: 0 });
      const ports = await lose(network);
      const requests = network.sendAll(
        { id: 'get' },
        { id: 'post', method: 'POST', body: 'x' },
        { id: 'waiting' },
      );
      const order = [];
      for (const [i, id] of ['get', 'post', 'waiting'].entries()) requests[i].then(() => order.push(id));
      const [moved, failed, waiting] = await Promise.all(requests);
      // By evidence, and not when the limit has run out that ends the POST. Both places were taken by what has no peer
      // any more.
      assert.strictEqual(order.at(-1), 'post', order.join());
      assert.strictEqual(waiting.status, 200);
      assert.deepStrictEqual([moved.status, moved.attempts, moved.reused], [200, 2, false]);
      assert.ok(!ports.includes(moved.port));
      assert.deepStrictEqual([failed.code, failed.reason, failed.attempts], ['ETIMEDOUT', 'dead-peer', 1]);
      assert.ok(failed.ms >= 3900, `failed after ${failed.ms} ms`);
      assert.strictEqual(network.server.arrivals('get'), 1);
      assert.strictEqual(network.server.arrivals('post'), 0);
    });
  }
}

test('many flows that die at once are left at once', { timeout }, async (t) => {
  const COUNT = 20;
  const network = await Network.make(t);
  if (network === undefined) return;
  // Losing so many flows takes long on a busy machine: none may be closed for being idle meanwhile.
  await network.agent({ maxSockets: COUNT, deadPeerTimeout: 8000, freeSocketTimeout: 0 });
  network.loseRequests(...(await warm(network, COUNT)));
  const ids = Array.from({ length: COUNT - 1 }, (_, i) => `get-${i}`);
  const [post, ...gets] = network.sendAll(
    { id: 'post', method: 'POST', body: 'x' },
    ...ids.map((id) => ({ id })),
  );
  const results = Promise.all(gets);
  // A POST has nowhere to go: its failure is the limit.
  const first = await Promise.race([results, post]);
  assert.ok(Array.isArray(first), 'the limit has run out');
  for (const { status, attempts, reused } of first) {
    assert.deepStrictEqual([status, attempts, reused], [200, 2, false]);
  }
  for (const id of ids) assert.strictEqual(network.server.arrivals(id), 1, id);
  assert.strictEqual((await post).code, 'ETIMEDOUT');
});

test('a server that computes for longer than the limit is not dead', { timeout }, async (t) => {
  const network = await Network.make(t);
  if (network === undefined) return;
  await network.agent({ deadPeerTimeout: 500 });
  await warm(network, 2);
  const slow = network.sendAll(
    { id: 'get', act: 'ok/2500' },
    { id: 'post', method: 'POST', body: 'x', act: 'ok/2500' },
  );
  for (const { status, attempts, reused } of await Promise.all(slow)) {
    assert.deepStrictEqual([status, attempts, reused], [200, 1, true]);
  }
  for (const id of ['get', 'post']) assert.strictEqual(network.server.arrivals(id), 1, id);
});

test('idle connections to the address of a dead one are not used', { timeout }, async (t) => {
  const network = await Network.make(t);
  if (network === undefined) return;
  await network.agent({ freeSocketTimeout: 0 });
  const ports = await warm(network, 4);
  network.loseRequests(...ports);
  const first = await network.send({ id: 'first' });
  assert.strictEqual(first.status, 200);
  // Not for the default of deadPeerTimeout, 20 s, which nobody has to set.
  assert.ok(first.ms < 15_000, `served after ${first.ms} ms`);
  // It was dead for sure by the time the request had moved, and so were the others.
  const { idle } = await network.call('ports');
  assert.ok(!idle.some((port) => ports.includes(port)), `${ports} ${idle}`);
  const next = await network.send({ id: 'next' });
  assert.deepStrictEqual([next.status, next.attempts], [200, 1]);
});

test('an outage that passes costs nothing, and nothing is sent twice', { timeout }, async (t) => {
  const network = await Network.make(t);
  if (network === undefined) return;
  await network.agent({});
  await warm(network, 2);
  network.loseRequests();
  const requests = [
    network.send({ id: 'post', method: 'POST', body: 'x' }),
    network.send({ id: 'get' }),
    network.send({ id: 'fresh', method: 'POST', body: 'x' }),
  ];
  await new Promise((resolve) => setTimeout(resolve, 1000));
  network.heal();
  const results = await Promise.all(requests);
  assert.deepStrictEqual(
    results.map(({ status }) => status),
    [200, 200, 200],
  );
  for (const id of ['post', 'get', 'fresh']) assert.strictEqual(network.server.arrivals(id), 1, id);
  assert.deepStrictEqual([results[0].attempts, results[2].attempts], [1, 1]);
});

test('with no other way there is one error, after deadPeerTimeout', { timeout }, async (t) => {
  const network = await Network.make(t);
  if (network === undefined) return;
  await network.agent({ deadPeerTimeout: 1000 });
  await warm(network, 2);
  network.loseRequests();
  const [get, post] = await Promise.all([
    network.send({ id: 'get' }),
    network.send({ id: 'post', method: 'POST', body: 'x' }),
  ]);
  for (const { code, message, reason, ms } of [get, post]) {
    assert.deepStrictEqual([code, message, reason], ['ETIMEDOUT', 'read ETIMEDOUT', 'dead-peer']);
    assert.ok(ms >= 950, `failed after ${ms} ms`);
  }
  network.heal();
  assert.strictEqual((await network.send({ id: 'after' })).status, 200);
  assert.deepStrictEqual([network.server.arrivals('get'), network.server.arrivals('post')], [0, 0]);
});

test('a peer that dies while its answer is waited for is noticed, too', { timeout }, async (t) => {
  const network = await Network.make(t);
  if (network === undefined) return;
  for (const keepAlive of [true, false]) {
    await network.agent({ keepAlive, deadPeerTimeout: 2000 });
    const id = `hang-${keepAlive}`;
    const pending = network.send({ id, act: 'hang' });
    await until(() => network.server.arrivals(id) === 1);
    network.loseRequests();
    const { code, reason, attempts } = await pending;
    assert.deepStrictEqual(
      [code, reason, attempts],
      ['ETIMEDOUT', 'dead-peer', 1],
      `keepAlive: ${keepAlive}`,
    );
    network.heal();
  }
});

test('a new connection that the server has yet to hear of is not dead', { timeout }, async (t) => {
  const network = await Network.make(t);
  if (network === undefined) return;
  await network.agent({ deadPeerTimeout: 1000 });
  // As where the queue of a server is full that does not accept: its system takes nothing behind the handshake.
  const fresh = await network.connect('fresh');
  const [used] = await warm(network, 1);
  network.loseRequests(fresh, used);
  const answer = network.call('end');
  await network.until('sending', network.server.port);
  const { code } = await network.send({ id: 'post', method: 'POST', body: 'x' });
  assert.strictEqual(code, 'ETIMEDOUT', 'the limit has run out');
  network.heal();
  assert.strictEqual(await answer, 200);
  assert.strictEqual(network.server.arrivals('fresh'), 1);
});

test('destroy() ends a request whose place was given away', { timeout }, async (t) => {
  const network = await Network.make(t);
  if (network === undefined) return;
  await network.agent({ maxSockets: 1, deadPeerTimeout: 30_000 });
  const ports = await warm(network, 1);
  network.loseRequests(...ports);
  const post = network.send({ id: 'post', method: 'POST', body: 'x' });
  assert.strictEqual((await network.send({ id: 'waiting' })).status, 200);
  assert.ok(!(await network.call('ports')).busy.includes(ports[0]));
  await network.call('destroy');
  assert.strictEqual((await post).code, 'ECONNRESET');
});

test('a peer that does not read is not dead', { timeout }, async (t) => {
  const server = net.createServer((socket) => {
    socket.pause();
    // Longer than the limit, by the clock that counts.
    setTimeout(() => socket.resume(), 2500);
    let count = 0;
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      count += bytes.length;
      if (count > SIZE) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    });
  });
  const SIZE = 16 * 1024 * 1024;
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => server.close());
  const agent = ourAgent(t, { deadPeerTimeout: 500 });
  const request = http.request({ host: '127.0.0.1', port: server.address().port, agent, method: 'POST' });
  request.end(Buffer.alloc(SIZE));
  const [response] = await once(request, 'response');
  assert.strictEqual(response.statusCode, 200);
  response.resume();
  await once(response, 'end');
});
