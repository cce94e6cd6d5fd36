'use strict';

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const { test } = require('node:test');
const { echo, echoServer } = require('./helpers/echo-server');
const { asNode, books, closed, exchange, exchangeAndIdle, nextTurn, ourAgent } = require('./helpers/request');

test(
  'reusedSocket says whether the connection served another request before',
  { timeout: 20_000 },
  async (t) => {
    const server = await echoServer(t);
    const [flags, sockets, ports] = await asNode(t, async (make) => {
      const agent = make();
      const done = [];
      for (let n = 0; n < 3; n++) done.push(await exchangeAndIdle({ ...server.at, agent }));
      return [
        done.map(({ request }) => request.reusedSocket),
        new Set(done.map(({ socket }) => socket)).size,
        new Set(done.map(({ body }) => JSON.parse(body).port)).size,
      ];
    });
    assert.deepStrictEqual(flags, [false, true, true]);
    assert.deepStrictEqual([sockets, ports], [1, 1]);
  },
);

test('what programs keep on a socket is there the next time', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const [count] = await asNode(t, async (make) => {
    const agent = make();
    const kCount = Symbol('count');
    for (let n = 0; n < 3; n++) {
      const free = once(agent, 'free');
      const request = http.get({ ...server.at, agent }, (response) => response.resume());
      request.on('socket', (socket) => (socket[kCount] = (socket[kCount] ?? 0) + 1));
      await free;
    }
    return [Object.values(agent.freeSockets)[0][0][kCount]];
  });
  assert.strictEqual(count, 3);
});

test('a reused socket is connected, and says so by no event', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const [first, second] = await asNode(t, async (make) => {
    const agent = make();
    const seen = [];
    for (let n = 0; n < 2; n++) {
      const free = once(agent, 'free');
      const request = http.get({ ...server.at, agent }, (response) => response.resume());
      const [socket] = await once(request, 'socket');
      const state = [socket.connecting, socket.readyState, socket.pending];
      // While it connects, net.Socket listens to itself.
      if (n === 1) state.push(socket.listenerCount('connect'));
      let events = 0;
      socket.once('connect', () => events++).once('ready', () => events++);
      await free;
      seen.push([...state, events]);
    }
    return seen;
  });
  assert.deepStrictEqual(first.slice(0, 2), [true, 'opening']);
  assert.deepStrictEqual(second, [false, 'open', false, 0, 0]);
});

test('Connection: close of the server is obeyed', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t, {
    listener: (request, response) => {
      response.setHeader('Connection', 'close');
      echo(request, response);
    },
  });
  await asNode(t, async (make) => {
    const agent = make();
    const { socket } = await exchange({ ...server.at, agent });
    await closed(socket);
    return books(agent);
  });
});

test('Connection: close of the request is obeyed', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const [connection] = await asNode(t, async (make) => {
    const agent = make();
    const { body, socket } = await exchange({ ...server.at, agent, headers: { Connection: 'close' } });
    await closed(socket);
    return [JSON.parse(body).headers.connection, books(agent)];
  });
  assert.strictEqual(connection, 'close');
});

test('a Connection header that was removed means kept alive', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  await asNode(t, async (make) => {
    const agent = make();
    const free = once(agent, 'free');
    const request = http.request({ ...server.at, agent });
    request.removeHeader('connection');
    const response = once(request, 'response');
    request.end();
    const [{ headers }] = await response;
    (await response)[0].resume();
    await free;
    return [headers.connection, books(agent)];
  });
});

test('the request says keep-alive if the agent keeps, or has a limit', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const headers = await asNode(t, async (make) => {
    const headers = [];
    for (const options of [{}, { keepAlive: false }, { keepAlive: false, maxSockets: 3 }]) {
      const { body } = await exchange({ ...server.at, agent: make(options) });
      headers.push(JSON.parse(body).headers.connection);
    }
    return headers;
  });
  assert.deepStrictEqual(headers, ['keep-alive', 'close', 'keep-alive']);
});

test('a response without a length ends with its connection', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t, {
    listener: (request, response) => {
      request.socket.end('HTTP/1.1 200 OK\r\n\r\nup to the end');
      response.destroy();
    },
  });
  const [body] = await asNode(t, async (make) => {
    const agent = make();
    const { body, socket } = await exchange({ ...server.at, agent });
    await closed(socket);
    await nextTurn();
    return [body, books(agent)];
  });
  assert.strictEqual(body, 'up to the end');
});

test('a response that nobody reads keeps its socket', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  await asNode(t, async (make) => {
    const agent = make();
    const [response] = await once(http.get({ ...server.at, agent }), 'response');
    await nextTurn();
    const before = books(agent);
    const free = once(agent, 'free');
    response.resume();
    await free;
    return [before, books(agent)];
  });
});

test('a response that is destroyed half-way takes its connection with it', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t, { listener: (request, response) => response.write('half') });
  await asNode(t, async (make) => {
    const agent = make();
    const request = http.get({ ...server.at, agent });
    request.on('socket', closed).on('error', () => {});
    const [response] = await once(request, 'response');
    const { socket } = response;
    response.on('error', () => {});
    response.destroy();
    await closed(socket);
    return books(agent);
  });
});

/** Sends a POST on the idle connection of `agent`, whose socket is ended before anything is written. Returns its error. */
async function errorOfEnded(agent, at, meanwhile) {
  const request = http.request({ ...at, agent, method: 'POST' });
  request.on('socket', (socket) => {
    meanwhile?.();
    socket.end();
  });
  request.end('x');
  const [error] = await once(request, 'error');
  assert.ok(request.reusedSocket);
  await closed(request.socket);
  return error;
}

test('a socket that is ended before its request is written ends that', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  await asNode(t, async (make) => {
    const agent = make();
    await exchangeAndIdle({ ...server.at, agent });
    const { code, message } = await errorOfEnded(agent, server.at);
    return [code, message, books(agent)];
  });
});

test('so does one whose connection the server has closed', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const agent = ourAgent(t);
  await exchangeAndIdle({ ...server.at, agent });
  const [connection] = server.open;
  // JavaScript does not hear of it, and the request gets the lane.
  const error = await errorOfEnded(agent, server.at, () => {
    connection.destroy();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  });
  assert.strictEqual(error.code, 'ECONNRESET');
});
