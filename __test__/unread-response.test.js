'use strict';

// A request that goes on, or a connection that ends, while nobody reads the response.

const { test } = require('node:test');
const assert = require('node:assert/strict');
const { once } = require('node:events');
const http = require('node:http');
const { setImmediate: turn } = require('node:timers/promises');
const { HttpAgent } = require('..');
const crossing = require('../lib/crossing/crossing');
const { startServer } = require('./helpers/blocked');
const { rawServer, respond, sameAsNode, seeingAgent, socketPath, until } = require('./helpers/lane-server');
const { inProcess } = require('./helpers/own-process');
const { ourAgent } = require('./helpers/request');

const timeout = 30_000;

test('a destroyed request asks nothing from the place that its lane has left', { timeout }, async (t) => {
  const server = http.createServer((req, res) => {
    req.on('error', () => {});
    res.end('x'.repeat(1 << 20));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const agent = new HttpAgent();
  t.after(() => {
    agent.destroy();
    server.close();
  });
  const request = http.request({ agent, port: server.address().port, method: 'POST' }).on('error', () => {});
  request.write('a part');
  const [response] = await once(request, 'response');
  response.on('error', () => {});
  const { socket } = request;
  while (socket.readableLength < socket.readableHighWaterMark) await turn();

  const slots = [];
  const { write } = crossing;
  t.after(() => (crossing.write = write));
  crossing.write = (slot, ...rest) => {
    slots.push(slot);
    return write(slot, ...rest);
  };
  request.end('the rest');
  await once(request, 'finish');
  assert.ok(slots.length > 0);
  request.destroy();
  // A turn of the loop after a write the lane asks whether all has left.
  for (let i = 0; i < 3; i++) await turn();
  assert.deepEqual(
    slots.filter((slot) => slot < 0),
    [],
  );
});

/** Asks for a response that Node's parser reads, and while that is paused for another; resolves with what came of that. */
async function client({ port, headers }) {
  const http = require('node:http');
  const { once } = require('node:events');
  const { setTimeout: wait } = require('node:timers/promises');
  const { HttpAgent } = require('..');
  const agent = new HttpAgent({ maxSockets: 1 });
  const options = { host: '127.0.0.1', port, agent };
  const request = http.get({ ...options, headers });
  const [response] = await once(request, 'response');
  const next = http.request({ ...options, method: 'POST', headers: { 'x-id': 'next', 'content-length': 4 } });
  next.end('body');
  while (!request.socket._readableState.ended) await wait(1);
  const isUnread = request.socket.readableLength > 0;
  response.resume();
  const status = await Promise.race([
    once(next, 'response').then(([{ statusCode }]) => statusCode),
    wait(5000, 'neither response nor error'),
  ]);
  return { isUnread, status };
}

// In a process of its own: what comes first when it is read on differs where async hooks are on, as in tests.
test(
  'a socket that has read to the end of its connection is given to no other request',
  { timeout },
  async (t) => {
    const server = await startServer(t);
    // Its chunks have extensions, so Node's parser reads it. While it is paused a 408 comes, and the end.
    const answer = { status: 200, size: 150_000, framing: 'extended', interim: 0, headers: [], pieces: [] };
    const headers = {
      'x-id': 'first',
      'x-do': 'answer',
      'x-answer': JSON.stringify(answer),
      'x-then': 'timeout/0',
    };
    const seen = await inProcess(client, { port: server.port, headers });
    assert.deepEqual(seen, { isUnread: true, status: 200 });
    assert.equal(server.arrivals('next'), 1);
  },
);

/** More than is read of it at once, and than the lane's stream has room for behind that; a Unix socket takes all of it. */
const LATE = 160_000;

test(
  'a response that is read late is whole, though its server has gone',
  { timeout, skip: process.platform === 'win32' && 'no Unix sockets' },
  async (t) => {
    const where = socketPath(t);
    const answer = `HTTP/1.1 200 OK\r\nContent-Length: ${LATE}\r\n\r\n${'x'.repeat(LATE)}`;
    let gone;
    const goes = (socket) => {
      gone = once(socket, 'close');
      socket.once('data', () => socket.end(answer, () => socket.destroy()));
    };
    await rawServer(t, goes, {}, { path: where });
    const length = await sameAsNode(async (Agent) => {
      const agent = seeingAgent(t, Agent);
      const request = http.get({ socketPath: where, agent, highWaterMark: 16 * 1024 });
      const response = respond(request);
      request.once('response', (response) => response.pause());
      const [{ socket }] = await once(request, 'response');
      await gone;
      await until(() => socket.readableLength >= socket.readableHighWaterMark);
      // What the lane asks for as its stream is full has its answer before this.
      for (let i = 0; i < 10; i++) await turn();
      request.res.resume();
      return (await response).body.length;
    });
    assert.equal(length, LATE);
  },
);

for (const path of ['', 'raw']) {
  test(`a second response behind the first keeps no parser: OFFLOOP_PATH=${path}`, { timeout }, async (t) => {
    process.env.OFFLOOP_PATH = path;
    t.after(() => delete process.env.OFFLOOP_PATH);
    const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n';
    const server = await rawServer(t, (socket) => {
      socket.on('data', () => socket.write(`${answer}${answer}a part`));
    });
    const agent = ourAgent(t);
    const request = http.request({ agent, port: server.port, method: 'HEAD' }).end();
    const [response] = await once(request, 'response');
    const { socket } = response;
    const end = once(socket, 'close');
    response.resume();
    await end;
    await turn();
    assert.deepEqual([request.parser, socket.parser], [null, null]);
  });
}
