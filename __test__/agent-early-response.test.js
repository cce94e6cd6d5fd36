'use strict';

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const net = require('node:net');
const { test } = require('node:test');
const { BODY, EMPTY, earlyServer } = require('./helpers/early-server');
const { echo, echoServer } = require('./helpers/echo-server');
const { asNode, books, exchangeAndIdle, nextTurn, ourAgent } = require('./helpers/request');

const CHUNK = Buffer.alloc(64 * 1024, 'x');

test('a response before the end of the upload does not free the socket', { timeout: 30_000 }, async (t) => {
  let received = 0;
  const server = await echoServer(t, {
    listener: (request, response) => {
      if (request.method === 'GET') {
        echo(request, response);
        return;
      }
      response.end('early');
      request.on('data', (data) => (received += data.length));
    },
  });
  const [afterResponse, , reused, bytes] = await asNode(t, async (make) => {
    const agent = make();
    received = 0;
    const request = http.request({ ...server.at, agent, method: 'POST' });
    request.write(CHUNK);
    const [response] = await once(request, 'response');
    response.resume();
    await once(response, 'end');
    await nextTurn();
    const afterResponse = books(agent);
    const free = once(agent, 'free');
    for (let n = 0; n < 20; n++) request.write(CHUNK);
    request.end('last');
    await free;
    const afterUpload = books(agent);
    // What comes next on the connection is a request, not what was left of the upload.
    const next = await exchangeAndIdle({ ...server.at, path: '/next', agent });
    return [afterResponse, afterUpload, [next.request.reusedSocket, JSON.parse(next.body).url], received];
  });
  assert.deepStrictEqual(Object.values(afterResponse.sockets), [1]);
  assert.deepStrictEqual(afterResponse.freeSockets, {});
  assert.deepStrictEqual(reused, [true, '/next']);
  assert.strictEqual(bytes, 21 * CHUNK.length + 4);
});

test('requests that wait do not get the socket of an upload that goes on', { timeout: 30_000 }, async (t) => {
  const server = await echoServer(t, {
    listener: (request, response) => {
      if (request.method === 'GET') return echo(request, response);
      request.resume();
      return response.end('early');
    },
  });
  const [waiting, url] = await asNode(t, async (make) => {
    const agent = make({ maxSockets: 1 });
    const request = http.request({ ...server.at, agent, method: 'POST' });
    request.write(CHUNK);
    const next = exchangeAndIdle({ ...server.at, path: '/next', agent });
    const [response] = await once(request, 'response');
    response.resume();
    await once(response, 'end');
    await nextTurn();
    const waiting = books(agent).requests;
    request.end(CHUNK);
    const { body, request: nextRequest } = await next;
    return [Object.values(waiting), JSON.parse(body).url, nextRequest.reusedSocket];
  });
  assert.deepStrictEqual(waiting, [1]);
  assert.strictEqual(url, '/next');
});

test(
  'what is written of an upload that was answered early arrives, whatever becomes of its socket',
  { timeout: 20_000, skip: process.platform === 'win32' && 'no Unix sockets' },
  async (t) => {
    const { at, sockets } = await earlyServer(t, EMPTY);
    for (const [ending, end] of Object.entries({
      agent: ({ agent }) => agent.destroy(),
      socket: ({ socket }) => socket.destroy(),
    })) {
      const agent = ourAgent(t);
      const headers = { 'content-length': BODY.length };
      const request = http.request({ ...at, agent, method: 'POST', headers });
      request.on('response', (response) => response.resume());
      const over = Promise.all([once(agent, 'free'), once(request, 'finish')]);
      request.end(BODY);
      await over;
      end(request);
      let received = 0;
      for await (const chunk of sockets.at(-1)) received += chunk.length;
      assert.strictEqual(received, request._header.length + BODY.length, ending);
    }
  },
);

// Node stops listening for it with the end of the response, and the upload stands still.
test(
  'an upload that was answered while its socket was full goes on when there is room',
  { timeout: 20_000, skip: process.platform === 'win32' && 'no Unix sockets' },
  async (t) => {
    const { at, sockets } = await earlyServer(t, EMPTY);
    const agent = ourAgent(t);
    const request = http.request({ ...at, agent, method: 'POST' });
    let written = 0;
    do written += CHUNK.length;
    while (request.write(CHUNK) || written < 4_000_000);
    const [response] = await once(request, 'response');
    await once(response.resume(), 'end');
    assert.ok(request.writableNeedDrain);

    const drained = once(request, 'drain');
    sockets[0].resume();
    await drained;
    assert.ok(!request.writableNeedDrain);
    const free = once(agent, 'free');
    request.end();
    await Promise.all([free, once(request, 'close')]);
  },
);

test(
  'an upload that was answered, and is lost then, has an error',
  { timeout: 20_000, skip: process.platform === 'win32' && 'no Unix sockets' },
  async (t) => {
    const { at, sockets } = await earlyServer(t, EMPTY);
    const seen = await asNode(t, async (make) => {
      const request = http.request({ ...at, agent: make(), method: 'POST' });
      const events = [];
      for (const event of ['finish', 'error', 'close']) request.on(event, () => events.push(event));
      request.end(Buffer.alloc(4_000_000));
      const [response] = await once(request, 'response');
      await once(response.resume(), 'end');
      const close = new Promise((resolve) => request.on('close', resolve));
      sockets.at(-1).destroy();
      await close;
      return events;
    });
    assert.deepStrictEqual(seen, ['error', 'close']);
  },
);

test(
  'a write that is lost with its socket is told so behind the error of the request',
  { timeout: 20_000 },
  async (t) => {
    const server = net.createServer((socket) => socket.on('error', () => {}).pause());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    t.after(() => server.close());
    const { port } = server.address();
    const own = new Error('enough');
    const events = [];
    const request = http.request({ host: '127.0.0.1', port, agent: ourAgent(t), method: 'POST' });
    request.on('error', (error) => events.push(error));
    const [socket] = await once(request, 'socket');
    await once(socket, 'connect');
    request.write(Buffer.alloc(64_000_000), (error) => events.push(error.message));
    setImmediate(() => request.destroy(own));
    await new Promise((resolve) => request.on('close', resolve));
    // As with newer Nodes; older ones say nothing of it.
    assert.deepStrictEqual(events, [own, 'write ECANCELED']);
  },
);
