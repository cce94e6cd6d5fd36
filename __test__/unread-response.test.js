'use strict';

// A request that goes on while nobody reads its response.

const { test } = require('node:test');
const assert = require('node:assert/strict');
const { once } = require('node:events');
const http = require('node:http');
const { setImmediate: turn } = require('node:timers/promises');
const { HttpAgent } = require('..');
const crossing = require('../lib/crossing');

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
