'use strict';

const assert = require('node:assert');
const { EventEmitter } = require('node:events');
const http = require('node:http');
const https = require('node:https');
const { test } = require('node:test');
const offloop = require('..');
const { echoServer } = require('./helpers/echo-server');
const { exchange } = require('./helpers/request');

const { HttpAgent, HttpsAgent } = offloop;
const CLASSES = [
  [HttpAgent, http.Agent],
  [HttpsAgent, https.Agent],
];

test('the package is HttpAgent, and has both classes by name', () => {
  assert.strictEqual(offloop, HttpAgent);
  assert.strictEqual(offloop.default, HttpAgent);
  assert.strictEqual(HttpAgent.name, 'HttpAgent');
  assert.strictEqual(HttpsAgent.name, 'HttpsAgent');
});

test('both classes are made with and without new, and are what Node calls an agent', () => {
  for (const [Ours, Nodes] of CLASSES) {
    for (const agent of [new Ours(), Ours(), new Ours(null), Ours({ maxSockets: 3 })]) {
      assert.ok(agent instanceof Ours);
      assert.ok(agent instanceof Nodes);
      assert.ok(agent instanceof http.Agent);
      assert.ok(agent instanceof EventEmitter);
      assert.strictEqual(agent.constructor, Ours);
    }
    assert.strictEqual(Ours({ maxSockets: 3 }).maxSockets, 3);
  }
});

test('both ways of inheriting work', () => {
  for (const [Ours] of CLASSES) {
    class Modern extends Ours {
      constructor() {
        super({ maxFreeSockets: 7 });
      }
    }
    function Old() {
      Ours.call(this, { maxFreeSockets: 7 });
    }
    Object.setPrototypeOf(Old.prototype, Ours.prototype);
    for (const agent of [new Modern(), new Old()]) {
      assert.ok(agent instanceof Ours);
      assert.strictEqual(agent.maxFreeSockets, 7);
      assert.strictEqual(agent.keepAlive, true);
    }
  }
});

test('the fields are those of an agent of Node that keeps connections, with the same values', () => {
  for (const [Ours, Nodes] of CLASSES) {
    for (const options of [
      undefined,
      { maxSockets: 5, maxTotalSockets: 9, maxFreeSockets: 2, scheduling: 'fifo', keepAliveMsecs: 250 },
      { timeout: 1000, host: 'h', port: 1, path: '/ignored', noDelay: false },
      { keepAlive: false },
    ]) {
      const [ours, nodes] = [new Ours(options), new Nodes({ keepAlive: true, ...options })];
      for (const name of Object.keys(nodes)) {
        if (!name.startsWith('_events') && name !== 'options' && name !== '_sessionCache')
          assert.deepStrictEqual(ours[name], nodes[name], name);
      }
      for (const name of Object.keys(nodes.options)) {
        assert.deepStrictEqual(ours.options[name], nodes.options[name], `options.${name}`);
      }
    }
  }
});

test('every method of Node is there, and ours cannot be told apart from them by enumeration', () => {
  for (const [Ours, Nodes] of CLASSES) {
    for (const name of Object.getOwnPropertyNames(http.Agent.prototype)) {
      assert.strictEqual(typeof Ours.prototype[name], typeof Nodes.prototype[name], name);
    }
    assert.deepStrictEqual(Object.keys(Ours.prototype), []);
  }
});

test('the statics of Node are inherited', () => {
  assert.strictEqual(HttpAgent.defaultMaxSockets, http.Agent.defaultMaxSockets);
  assert.strictEqual(Object.getPrototypeOf(HttpAgent), http.Agent);
  assert.strictEqual(Object.getPrototypeOf(HttpsAgent), https.Agent);
});

test('as the global agent it serves who names none', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const before = http.globalAgent;
  const agent = new HttpAgent();
  t.after(() => {
    http.globalAgent = before;
    agent.destroy();
  });
  http.globalAgent = agent;
  const { request, body } = await exchange({ ...server.at, path: '/global' });
  assert.strictEqual(request.agent, agent);
  assert.strictEqual(JSON.parse(body).url, '/global');
  assert.strictEqual(new http.globalAgent.constructor().maxSockets, Infinity);
});

test('another protocol is refused, unless the agent has none', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const agent = new HttpAgent();
  t.after(() => agent.destroy());
  const options = { ...server.at, agent };
  assert.throws(() => https.request(options), { code: 'ERR_INVALID_PROTOCOL' });
  assert.throws(() => http.request({ ...options, protocol: 'other:' }), { code: 'ERR_INVALID_PROTOCOL' });
  assert.throws(() => http.request({ ...options, agent: new HttpsAgent() }), {
    code: 'ERR_INVALID_PROTOCOL',
  });
  agent.protocol = null;
  // Plain all the same: it is the agent that connects.
  const { body } = await exchange(options, undefined, https.request);
  assert.strictEqual(JSON.parse(body).method, 'GET');
});
