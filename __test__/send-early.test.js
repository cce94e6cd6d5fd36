'use strict';

// A finished request leaves although JavaScript computes on, and nobody can tell by the request's events.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const http = require('node:http');
const { Duplex } = require('node:stream');
const { test } = require('node:test');

const { HttpAgent } = require('..');
const { block, blockUntil, send, startServer, until, warm } = require('./helpers/blocked');
const { echoServer } = require('./helpers/echo-server');

const timeout = 30_000;

/** An agent, and a server to which it has as many idle connections. */
async function warmed(t, count, options) {
  const server = await startServer(t);
  const agent = new HttpAgent({ freeSocketTimeout: 0, ...options });
  t.after(() => agent.destroy());
  if (count > 0) await warm(agent, server, count);
  return { server, agent };
}

for (const [count, connection] of [
  [0, 'a new connection'],
  [1, 'an idle connection'],
]) {
  for (const method of ['GET', 'HEAD', 'OPTIONS', 'TRACE']) {
    test(`${method} on ${connection} is on the wire while JavaScript blocks`, { timeout }, async (t) => {
      const { server, agent } = await warmed(t, count);
      const done = send(agent, server, { id: 'it', method });
      assert.ok(blockUntil(() => server.arrivals('it') === 1));
      const { status, request } = await done;
      assert.deepEqual([status, request.attempts, server.arrivals('it')], [200, 1, 1]);
    });
  }

  test(`all that were finished before the block leave, on ${connection}`, { timeout }, async (t) => {
    const { server, agent } = await warmed(t, count * 10);
    const all = [];
    for (let i = 0; i < 10; i++) all.push(send(agent, server, { id: `it-${i}` }));
    assert.ok(blockUntil(() => server.events('request').length === count * 10 + 10));
    for (const [i, { body }] of (await Promise.all(all)).entries()) assert.equal(body, `ok:it-${i}`);
  });

  test(`'all' lets a POST leave with its body, on ${connection}`, { timeout }, async (t) => {
    const { server, agent } = await warmed(t, count, { sendEarly: 'all' });
    const done = send(agent, server, { id: 'it', method: 'POST', body: 'a body' });
    assert.ok(blockUntil(() => server.events('whole', 'it').length === 1));
    assert.equal((await done).status, 200);
    assert.equal(server.arrivals('it'), 1);
  });
}

test('a request that is made by a handler of a response leaves too', { timeout }, async (t) => {
  const { server, agent } = await warmed(t, 1);
  const first = send(agent, server, { id: 'first' });
  const [done, came] = await new Promise((resolve) => {
    first.request.on('response', (response) => {
      response.on('end', () => {
        const second = send(agent, server, { id: 'second' });
        resolve([second, blockUntil(() => server.arrivals('second') === 1)]);
      });
    });
  });
  assert.ok(came);
  assert.equal((await done).status, 200);
});

test('what is not safe waits for its socket, and so does all with `false`', { timeout }, async (t) => {
  for (const [options, method] of [
    [{}, 'POST'],
    [{}, 'DELETE'],
    [{ sendEarly: false }, 'GET'],
  ]) {
    const { server, agent } = await warmed(t, 1, options);
    const done = send(agent, server, { id: 'it', method });
    block(60);
    assert.equal(server.arrivals('it'), 0);
    assert.equal((await done).status, 200);
  }
});

test("a listener for 'socket' may write first, so the request waits for it", { timeout }, async (t) => {
  const { server, agent } = await warmed(t, 1);
  const request = http.request({ host: '127.0.0.1', port: server.port, agent, headers: { 'x-id': 'it' } });
  request.on('socket', () => {});
  request.end();
  block(60);
  assert.equal(server.arrivals('it'), 0);
  const [response] = await once(request, 'response');
  response.resume();
  await once(response, 'end');
});

test(
  'a subclass that puts something of its own on the connection is not passed by',
  { timeout },
  async (t) => {
    const server = await echoServer(t);
    class Wrapping extends HttpAgent {
      createConnection(options, callback) {
        const lane = super.createConnection(options, callback);
        const wrapper = new Duplex({
          read: () => lane.on('data', (chunk) => wrapper.push(chunk)).on('end', () => wrapper.push(null)),
          write: (chunk, encoding, done) =>
            lane.write(String(chunk).replace('x-wrapped: no', 'x-wrapped: yes'), done),
          final: (done) => lane.end(done),
        });
        for (const name of ['setTimeout', 'setKeepAlive', 'setNoDelay', 'ref', 'unref']) {
          wrapper[name] = lane[name].bind(lane);
        }
        return wrapper;
      }
    }
    const agent = new Wrapping({ keepAlive: false });
    t.after(() => agent.destroy());
    const request = http.get({ ...server.at, agent, headers: { 'x-wrapped': 'no' } });
    const [response] = await once(request, 'response');
    const [text] = await once(response, 'data');
    assert.equal(JSON.parse(text).headers['x-wrapped'], 'yes');
  },
);

test('what a request writes in many ways before it has its socket arrives once', { timeout }, async (t) => {
  const server = await echoServer(t);
  const large = 'l'.repeat(100_000);
  for (const [name, write, expected] of [
    ['strings', (r) => (r.write('a'), r.write('b', 'latin1'), r.end('c')), 'abc'],
    ['buffers', (r) => (r.write(Buffer.from('a')), r.end(new Uint8Array([98, 99]))), 'abc'],
    ['hex', (r) => (r.write('6162', 'hex'), r.end('Yw==', 'base64')), 'abc'],
    ['a large one first', (r) => (r.write(Buffer.from(large)), r.end('c')), `${large}c`],
    ['a large one last', (r) => (r.write('a'), r.end(large)), `a${large}`],
    ['corked', (r) => (r.cork(), r.write('a'), r.write('b'), r.uncork(), r.end('c')), 'abc'],
    ['head first', (r) => (r.flushHeaders(), r.write('ab'), r.end('c')), 'abc'],
    ['nothing', (r) => r.end(), ''],
    ['an end later', (r) => (r.write('a'), setImmediate(() => r.end('bc'))), 'abc'],
  ]) {
    const agent = new HttpAgent({ sendEarly: 'all' });
    t.after(() => agent.destroy());
    for (let i = 0; i < 3; i++) {
      const request = http.request({ ...server.at, agent, method: 'POST' });
      const finished = once(request, 'finish');
      write(request);
      const [response] = await once(request, 'response');
      const parts = await response.toArray();
      assert.equal(JSON.parse(Buffer.concat(parts)).body, expected, name);
      await finished;
    }
    assert.equal(agent.totalSocketCount, 1, name);
  }
});

/** What a program can see of a request, and when. */
async function trace(agent, options, write = () => {}) {
  const seen = [];
  let phase = 'sync';
  const request = http.request({ ...options, agent });
  const note = (what) => seen.push([phase, what]);
  const look = (what) =>
    note([what, request.socket == null, request.listenerCount('socket'), request.finished]);
  look('made');
  write(request);
  request.end(() => look('ended'));
  look('end() called');
  request.on('finish', () => look('finish'));
  request.on('socket', (socket) => {
    look('socket');
    note([socket.bytesWritten, socket.listenerCount('data'), socket.listenerCount('free')]);
  });
  process.nextTick(() => (phase = 'tick'));
  const [response] = await once(request, 'response');
  phase = 'response';
  look('response');
  const { socket } = response;
  response.resume();
  await once(request, 'close');
  note([socket.bytesWritten]);
  return seen;
}

test("the request's events keep their times", { timeout }, async (t) => {
  const server = await echoServer(t);
  const ours = new HttpAgent({ keepAlive: true });
  const theirs = new http.Agent({ keepAlive: true });
  t.after(() => [ours, theirs].forEach((agent) => agent.destroy()));
  for (const connection of ['new', 'idle']) {
    assert.deepEqual(await trace(ours, server.at), await trace(theirs, server.at), connection);
  }
});

test('what is written in any encoding is counted in bytes, when Node counts it', { timeout }, async (t) => {
  const server = await echoServer(t);
  const ours = new HttpAgent({ keepAlive: true, sendEarly: 'all' });
  const theirs = new http.Agent({ keepAlive: true });
  t.after(() => [ours, theirs].forEach((agent) => agent.destroy()));
  for (const encoding of ['utf8', 'utf16le', 'latin1', 'hex', 'base64', undefined]) {
    const text = encoding === 'hex' ? 'c3a9' : encoding === 'base64' ? 'w6nDqQ==' : 'é'.repeat(5);
    const write = (request) => request.write(text, encoding);
    const options = { ...server.at, method: 'POST' };
    for (const connection of ['new', 'idle']) {
      const name = `${encoding}, ${connection} connection`;
      assert.deepEqual(await trace(ours, options, write), await trace(theirs, options, write), name);
    }
  }
});

test('an answer to a request that was given up is no answer to another', { timeout }, async (t) => {
  for (const method of ['destroy', 'abort']) {
    const { server, agent } = await warmed(t, 1, { maxSockets: 1 });
    const first = send(agent, server, { id: 'first' });
    const waiting = send(agent, server, { id: 'waiting' });
    assert.ok(blockUntil(() => server.arrivals('first') === 1));
    first.request[method]();
    await new Promise((resolve) => first.request.once('close', resolve));
    assert.equal((await waiting).body, 'ok:waiting');
    assert.equal((await send(agent, server, { id: 'last' })).body, 'ok:last');
    // The connection that is owed an answer has served nobody else.
    const [before, given, ...others] = server.events('request').map(({ connection }) => connection);
    assert.equal(before, given);
    assert.ok(!others.includes(given));
    await until(() => server.events('gone').length + server.events('client-fin').length >= 1);
  }
});
