'use strict';

// A check or a listener that may refuse a connection, and throws, has refused it: nothing is sent, and the request
// fails with what was thrown, also in a program that goes on after an uncaught exception.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { inProcess } = require('./helpers/own-process');
const { identity, tlsServer } = require('./helpers/tls-oracle');
const { httpServer } = require('./helpers/lane-server');
const { authority } = require('./helpers/x509');

const timeout = 60_000;
const root = authority('Root');
const leaf = root.server(['dns:localhost', 'ip:127.0.0.1']);

/** Two requests, one after the other, through one slot; only the first meets what throws. */
async function program({ port, ca, event, when, thrown }) {
  const { HttpAgent, HttpsAgent } = require('..');
  const isSecure = ca !== undefined;
  const uncaught = [];
  process.on('uncaughtException', (error) => uncaught.push(error.message ?? error));
  let armed = true;
  const throwOnce = () => {
    if (!armed) return;
    armed = false;
    throw thrown ?? new Error('thrown');
  };
  class Agent extends (isSecure ? HttpsAgent : HttpAgent) {
    createConnection(...args) {
      const socket = super.createConnection(...args);
      if (when === 'createConnection') socket.on(event, throwOnce);
      return socket;
    }
  }
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ca });
  const options = { host: 'localhost', family: 4, port, agent };
  if (event === 'checkServerIdentity') options.checkServerIdentity = throwOnce;
  const send = (path) =>
    new Promise((resolve) => {
      let error = null;
      const request = require(isSecure ? 'node:https' : 'node:http').get({ ...options, path }, (response) => {
        response.resume();
      });
      if (when === 'socket') request.on('socket', (socket) => socket.once(event, throwOnce));
      request.on('error', (one) => (error = one.message ?? one));
      request.on('close', () => resolve({ error, status: request.res?.statusCode }));
    });
  const first = await send('/first');
  const second = await send('/second');
  agent.destroy();
  return { first, second, uncaught };
}

function noteRequests(arrived) {
  return ({ url }, response) => {
    arrived.push(url);
    response.end();
  };
}

const guards = [
  ['checkServerIdentity', 'the options', true],
  ...['createConnection', 'socket'].map((when) => ['secureConnect', when, true]),
  ...['lookup', 'connectionAttempt', 'connect'].flatMap((event) => [
    [event, 'createConnection', true],
    [event, 'createConnection', false],
  ]),
];

for (const [event, when, isSecure] of guards) {
  const where = isSecure ? 'over TLS' : 'in the clear';
  test(`what '${event}' throws, from ${when}, ${where}`, { timeout }, async (t) => {
    const arrived = [];
    const { port } = isSecure
      ? await tlsServer(t, identity(leaf), noteRequests(arrived))
      : await httpServer(t, noteRequests(arrived));
    const data = { port, event, when, ca: isSecure ? root.cert : undefined };
    assert.deepEqual(await inProcess(program, data), {
      first: { error: 'thrown' },
      second: { error: null, status: 200 },
      uncaught: ['thrown'],
    });
    assert.deepEqual(arrived, ['/second']);
  });
}

test("a listener for 'connect' that throws though it guards nothing", { timeout }, async (t) => {
  const { port } = await httpServer(t, noteRequests([]));
  const { first, second, uncaught } = await inProcess(program, { port, event: 'connect', when: 'socket' });
  // It may be on its way by then, but its program is told that it has failed.
  assert.deepEqual([first.error, second.status, uncaught], ['thrown', 200, ['thrown']]);
});

test("what 'ready' throws stops nothing, as in Node", { timeout }, async (t) => {
  const { port } = await httpServer(t, noteRequests([]));
  for (const when of ['createConnection', 'socket']) {
    const { first, second, uncaught } = await inProcess(program, { port, event: 'ready', when });
    assert.deepEqual([first, second, uncaught], [{ error: null, status: 200 }, first, ['thrown']]);
  }
});

test('no error, but thrown', { timeout }, async (t) => {
  const arrived = [];
  const { port } = await tlsServer(t, identity(leaf), noteRequests(arrived));
  const data = { port, event: 'checkServerIdentity', ca: root.cert, thrown: 'a text' };
  const { first, second, uncaught } = await inProcess(program, data);
  assert.deepEqual([first.error, second.status, uncaught], ['a text', 200, ['a text']]);
  assert.deepEqual(arrived, ['/second']);
});

/** What is heard of a socket that is destroyed by a callback of another part of the program, which then throws. */
async function destroyAndThrow({ port, agentOf }) {
  const { HttpAgent } = require('..');
  const http = require('node:http');
  const fs = require('node:fs');
  const heard = [];
  process.on('uncaughtException', ({ message }) => heard.push(`uncaught ${message}`));
  const agent = agentOf === 'node' ? new http.Agent({ keepAlive: true }) : new HttpAgent();
  const request = http.get({ host: '127.0.0.1', port, agent });
  const hear = (name, emitter) => {
    emitter.on('error', ({ message }) => heard.push(`${name} error ${message}`));
    emitter.on('close', () => heard.push(`${name} close`));
  };
  hear('request', request);
  request.on('response', ({ socket }) => {
    hear('socket', socket);
    fs.stat('.', () => {
      socket.destroy(new Error('given'));
      throw new Error('thrown');
    });
  });
  await new Promise((resolve) => request.on('close', () => setTimeout(resolve, 20)));
  return heard;
}

test(
  "an error comes before 'close', also where an exception follows that nobody catches",
  { timeout },
  async (t) => {
    const { port } = await httpServer(t, (request, response) => response.flushHeaders());
    const theirs = await inProcess(destroyAndThrow, { port, agentOf: 'node' });
    assert.deepEqual(await inProcess(destroyAndThrow, { port, agentOf: 'offloop' }), theirs);
  },
);
