'use strict';

// blockList: an address on it is never connected to, by whatever way it was found.

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const net = require('node:net');
const { test } = require('node:test');
const { HttpAgent } = require('..');
const {
  describeError,
  failure,
  get,
  rawServer,
  replying,
  sameAsNode,
  seeingAgent,
} = require('./helpers/lane-server');

const options = {
  timeout: 20_000,
  skip: !net.BlockList.isBlockList && 'net.connect() of this Node has no blockList',
};
const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

async function counting(t, where) {
  const sockets = [];
  const server = await rawServer(t, (socket) => (sockets.push(socket), replying(ANSWER)(socket)), {}, where);
  return { port: server.port, sockets };
}

function blocking(...addresses) {
  const list = new net.BlockList();
  for (const address of addresses) list.addAddress(address);
  return list;
}

const finding =
  (...addresses) =>
  (host, { all }, callback) => {
    const found = addresses.map((address) => ({ address, family: net.isIP(address) }));
    setImmediate(() => (all ? callback(null, found) : callback(null, found[0].address, found[0].family)));
  };

test('a blocked address, and a name that leads to one', options, async (t) => {
  const { port, sockets } = await counting(t);
  const ways = [
    { host: '127.0.0.1' },
    { host: 'localhost', family: 4 },
    { host: 'blocked.test', lookup: finding('127.0.0.1'), autoSelectFamily: true },
    { host: 'blocked.test', lookup: finding('127.0.0.1'), autoSelectFamily: false },
  ];
  for (const way of ways) {
    await sameAsNode(async (Agent) => {
      const agent = seeingAgent(t, Agent, { blockList: blocking('127.0.0.1') });
      const { code, message } = describeError(await failure(http.get({ ...way, port, agent })));
      return { code, message };
    });
  }
  assert.strictEqual((await get({ port, agent: seeingAgent(t, HttpAgent) })).body, 'ok');
  assert.strictEqual(sockets.length, 1);
});

test('several addresses, of which one is blocked', options, async (t) => {
  const open = await counting(t);
  const blocked = await counting(t, { host: '127.0.0.2', port: open.port });
  for (const found of [
    ['127.0.0.2', '127.0.0.1'],
    ['127.0.0.1', '127.0.0.2'],
  ]) {
    const agent = seeingAgent(t, HttpAgent, { blockList: blocking('127.0.0.2') });
    const lookup = finding(...found);
    const where = { host: 'mixed.test', lookup, port: open.port, agent, autoSelectFamily: true };
    assert.strictEqual((await get(where)).body, 'ok');
  }
  assert.deepStrictEqual([open.sockets.length, blocked.sockets.length], [2, 0]);
});

test('what is not on the list is connected to, and reused', options, async (t) => {
  const { port, sockets } = await counting(t);
  const agent = seeingAgent(t, HttpAgent, { blockList: blocking('127.0.0.2') });
  for (let round = 0; round < 3; round++) {
    assert.strictEqual((await get({ host: 'localhost', family: 4, port, agent })).body, 'ok');
    await new Promise(setImmediate);
  }
  assert.strictEqual(sockets.length, 1);
});

test('an address that is put on the list later is not connected to again', options, async (t) => {
  const { port, sockets } = await counting(t);
  const blockList = blocking('127.0.0.2');
  const agent = seeingAgent(t, HttpAgent, { blockList });
  const where = { host: 'localhost', family: 4, port, agent };
  http.get(where, (response) => response.resume());
  await once(agent, 'free');
  blockList.addAddress('127.0.0.1');
  // The agent does not know yet that its connection is gone; another one is not to be had.
  for (const socket of sockets) socket.destroy();
  const error = await failure(http.get(where));
  assert.strictEqual(error.code, 'ERR_IP_BLOCKED');
  assert.strictEqual(sockets.length, 1);
});

test('subnets and IPv4 in IPv6', options, async (t) => {
  const { port, sockets } = await counting(t);
  const blockList = new net.BlockList();
  blockList.addSubnet('127.0.0.0', 8);
  for (const host of ['127.0.0.1', '::ffff:127.0.0.1', '::ffff:7f00:1']) {
    const agent = seeingAgent(t, HttpAgent, { blockList });
    const error = await failure(http.get({ host, port, agent }));
    assert.strictEqual(error.code, 'ERR_IP_BLOCKED', host);
  }
  assert.strictEqual(sockets.length, 0);
});
