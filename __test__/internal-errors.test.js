'use strict';

// A bug of ours in what crosses over costs requests, and none of them hangs.

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const { test } = require('node:test');
const { HttpAgent } = require('..');
const submit = require('../lib/crossing/submit');
const { failure, get, httpServer } = require('./helpers/lane-server');

const options = { timeout: 20_000 };
/** What no version of the native side understands. */
const NONSENSE = 0x7f;

const nonsense = () => submit.row(NONSENSE, 0, 0, 0, 0);

/** Answers at once, but for `/held`: never. */
async function server(t) {
  const held = [];
  const one = await httpServer(t, (request, response) => {
    request.resume();
    if (request.url !== '/held') response.end('answer');
    else one.emit('held', held.push(response));
  });
  return one;
}

function agentFor(t, more) {
  const agent = new HttpAgent({ keepAlive: true, ...more });
  t.after(() => agent.destroy());
  return agent;
}

function isOurs(error) {
  assert.strictEqual(error.code, 'ERR_OFFLOOP_INTERNAL');
  assert.strictEqual(error.name, 'Error');
  assert.strictEqual(error.reason, 'internal-error');
  return true;
}

test('requests of a tick whose rows are lost fail, and the next is answered', options, async (t) => {
  const { port } = await server(t);
  const agent = agentFor(t);
  await get({ port, agent });
  const idle = Object.values(agent.freeSockets)[0];
  assert.strictEqual(idle.length, 1);
  nonsense();
  const requests = [0, 1, 2].map(() => http.get({ host: '127.0.0.1', port, agent }));
  const upload = http.request({ host: '127.0.0.1', port, agent, method: 'POST' });
  upload.write('part');
  const errors = await Promise.all([...requests, upload].map(failure));
  for (const error of errors) isOurs(error);
  assert.strictEqual(errors[0].connection.bytesRead, 0);
  const { body } = await get({ port, agent });
  assert.strictEqual(body, 'answer');
});

test('so do those that are under way, and it is known what has left', options, async (t) => {
  const one = await server(t);
  const agent = agentFor(t);
  const request = http.request({ host: '127.0.0.1', port: one.port, agent, path: '/held', method: 'POST' });
  request.end('body');
  const failed = failure(request);
  await once(one, 'held');
  nonsense();
  const error = await failed;
  isOurs(error);
  assert.ok(error.connection.bytesWritten > 4);
  assert.strictEqual(error.connection.bytesRead, 0);
});

test('those that wait for a socket go on', options, async (t) => {
  const one = await server(t);
  const agent = agentFor(t, { maxSockets: 1 });
  const first = http.get({ host: '127.0.0.1', port: one.port, agent, path: '/held' });
  const failed = failure(first);
  await once(one, 'held');
  // One is handed over before, the other is lost with its tick.
  const before = get({ port: one.port, agent });
  await new Promise(setImmediate);
  nonsense();
  const after = get({ port: one.port, agent });
  isOurs(await failed);
  assert.strictEqual((await before).body, 'answer');
  assert.strictEqual((await after).body, 'answer');
});

test('a route that was told in a lost tick is known', options, async (t) => {
  const { port } = await server(t);
  const agent = agentFor(t);
  await get({ port, agent });
  nonsense();
  // Whether it is among what is lost depends on when the thread looks.
  await get({ port, agent, keepAliveInitialDelay: 5000 }).catch(isOurs);
  const { body } = await get({ port, agent, keepAliveInitialDelay: 5000 });
  assert.strictEqual(body, 'answer');
});
