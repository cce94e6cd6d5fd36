'use strict';

const assert = require('node:assert');
const { test } = require('node:test');
const { echoServer } = require('./helpers/echo-server');
const { asNode, books, closed, exchange, exchangeAndIdle, ourAgent } = require('./helpers/request');

test(
  'a destroyed idle socket is not handed out, not even in the same tick',
  { timeout: 20_000 },
  async (t) => {
    const server = await echoServer(t);
    for (const scheduling of ['lifo', 'fifo']) {
      const [fresh, url] = await asNode(t, async (make) => {
        const agent = make({ scheduling });
        const { socket } = await exchangeAndIdle({ ...server.at, agent });
        socket.destroy();
        // Node itself gives such a socket to the request when the scheduling is 'lifo', and the request fails.
        if (scheduling === 'lifo' && agent.constructor.name === 'Agent') await closed(socket);
        const next = await exchange({ ...server.at, path: '/next', agent });
        return [next.socket !== socket, JSON.parse(next.body).url, next.request.reusedSocket];
      });
      assert.deepStrictEqual([fresh, url], [true, '/next']);
    }
  },
);

test('another idle socket is taken in its place', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  await asNode(t, async (make) => {
    const agent = make();
    const pair = await Promise.all([exchange({ ...server.at, agent }), exchange({ ...server.at, agent })]);
    while (Object.values(agent.freeSockets)[0]?.length !== 2) await new Promise(setImmediate);
    const [kept, ended] = Object.values(agent.freeSockets)[0];
    ended.destroy();
    await closed(ended);
    const next = await exchangeAndIdle({ ...server.at, agent });
    return [pair.length, next.socket === kept, next.request.reusedSocket, books(agent)];
  });
});

test('so it is in the tick in which the other was destroyed', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  for (const scheduling of ['lifo', 'fifo']) {
    const agent = ourAgent(t, { scheduling });
    await Promise.all([exchange({ ...server.at, agent }), exchange({ ...server.at, agent })]);
    while (Object.values(agent.freeSockets)[0]?.length !== 2) await new Promise(setImmediate);
    const idle = [...Object.values(agent.freeSockets)[0]];
    if (scheduling === 'lifo') idle.reverse();
    idle[0].destroy();
    const next = await exchangeAndIdle({ ...server.at, agent });
    assert.strictEqual(next.socket, idle[1]);
    assert.strictEqual(next.request.reusedSocket, true);
  }
});

// Node gives it to the request, which fails when the server has closed it.
test('one that a program has ended is not handed out', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  for (const method of ['GET', 'POST']) {
    const agent = ourAgent(t);
    const { socket } = await exchangeAndIdle({ ...server.at, agent });
    const finished = new Promise((resolve) => socket.end(resolve));
    const next = await exchangeAndIdle({ ...server.at, path: '/next', method, agent });
    assert.notStrictEqual(next.socket, socket);
    assert.strictEqual(JSON.parse(next.body).url, '/next');
    assert.ifError(await finished);
    await closed(socket);
    assert.deepStrictEqual(Object.values(agent.freeSockets), [[next.socket]]);
    assert.strictEqual(agent.totalSocketCount, 1);
  }
});

test('an error on an idle socket destroys it quietly', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const [listeners] = await asNode(t, async (make) => {
    const agent = make();
    const { socket } = await exchangeAndIdle({ ...server.at, agent });
    const listeners = socket.listenerCount('error');
    socket.destroy(new Error('while nobody used it'));
    await closed(socket);
    const next = await exchangeAndIdle({ ...server.at, agent });
    return [listeners, next.request.reusedSocket, books(agent)];
  });
  assert.strictEqual(listeners, 1);
});

test('so does one that is emitted', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  await asNode(t, async (make) => {
    const agent = make();
    const { socket } = await exchangeAndIdle({ ...server.at, agent });
    socket.emit('error', new Error('emitted'));
    const { destroyed } = socket;
    await closed(socket);
    return [destroyed, books(agent)];
  });
});

// Node leaves them in the socket, to be found by the next request.
test('bytes on an idle connection never reach a request', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const agent = ourAgent(t);
  const { socket } = await exchangeAndIdle({ ...server.at, agent });
  for (const open of server.open) open.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged');
  await closed(socket);
  const next = await exchangeAndIdle({ ...server.at, path: '/next', agent });
  assert.strictEqual(next.request.reusedSocket, false);
  assert.strictEqual(JSON.parse(next.body).url, '/next');
});
