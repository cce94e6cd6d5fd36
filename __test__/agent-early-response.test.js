'use strict';

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const { test } = require('node:test');
const { setTimeout: sleep } = require('node:timers/promises');
const { echo, echoServer } = require('./helpers/echo-server');
const { rawServer } = require('./helpers/lane-server');
const { asNode, books, exchangeAndIdle, nextTurn, ourAgent } = require('./helpers/request');

const CHUNK = Buffer.alloc(64 * 1024, 'x');
const PIECE = CHUNK.subarray(0, 16 * 1024);

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

/** An upload that is answered at once, by a server that does not read its body. */
async function answeredUpload(port, agent, length) {
  const headers = { 'content-length': length };
  const request = http.request({ host: '127.0.0.1', port, agent, method: 'POST', headers });
  request.on('error', () => {});
  request.flushHeaders();
  const [response] = await once(request, 'response');
  response.resume();
  await once(response, 'end');
  return request;
}

/** How much can be written of it. */
async function roomOf(port, agent) {
  const request = await answeredUpload(port, agent, 2 ** 30);
  for (let written = 0; ; written += PIECE.length) {
    const isDone = new Promise((resolve) => request.write(PIECE, () => resolve(true)));
    if (await Promise.race([isDone, sleep(200)])) continue;
    request.destroy();
    return written;
  }
}

test(
  'what is written of an upload that was answered early arrives, whatever becomes of its socket',
  { timeout: 20_000 },
  async (t) => {
    let server;
    const { port } = await rawServer(t, (socket) => {
      server = socket;
      socket.once('readable', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'));
    });
    for (const [ending, end] of Object.entries({
      agent: ({ agent }) => agent.destroy(),
      socket: ({ socket }) => socket.destroy(),
    })) {
      const agent = ourAgent(t);
      // The system has no room for the last of it.
      const length = (await roomOf(port, agent)) - 8 * PIECE.length;
      const request = await answeredUpload(port, agent, length);
      const over = Promise.all([once(agent, 'free'), once(request, 'finish')]);
      for (let written = 0; written < length; written += PIECE.length) request.write(PIECE);
      request.end();
      await over;
      end(request);
      let received = 0;
      server.on('data', (bytes) => (received += bytes.length));
      await once(server, 'end');
      assert.strictEqual(received, request._header.length + length, ending);
    }
  },
);
