'use strict';

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const https = require('node:https');
const net = require('node:net');
const { test } = require('node:test');

const { HttpAgent, HttpsAgent } = require('..');
const { cert, key } = require('./helpers/certificate');
const { echoServer } = require('./helpers/echo-server');
const { socketPath } = require('./helpers/lane-server');
const { asNode, exchange, exchangeAndIdle, ourAgent } = require('./helpers/request');

const skip = !process.allowedNodeEnvironmentFlags.has('--use-env-proxy') && 'this Node has no proxyEnv';
const options = { skip, timeout: 20_000 };
const urlOf = ({ host, port }) => `http://${host}:${port}`;

test('a request goes through the proxy that proxyEnv names, and a warning says how', options, async (t) => {
  const proxy = await echoServer(t);
  const warnings = [];
  const onWarning = (warning) => warnings.push([warning.code, /proxyEnv/.test(warning.message)]);
  process.on('warning', onWarning);
  t.after(() => process.off('warning', onWarning));
  const [url] = await asNode(t, async (make) => {
    const agent = make({ proxyEnv: { HTTP_PROXY: urlOf(proxy.at) } });
    const { body } = await exchange({ host: 'absent.invalid', path: '/through', agent });
    const { url, headers } = JSON.parse(body);
    return [url, headers.host, headers['proxy-connection']];
  });
  assert.strictEqual(url, 'http://absent.invalid/through');
  assert.deepStrictEqual(warnings, [['OFFLOOP_NODE_SOCKET', true]]);
});

test('the connection to the proxy is reused', options, async (t) => {
  const proxy = await echoServer(t);
  const reused = await asNode(t, async (make) => {
    const agent = make({ proxyEnv: { HTTP_PROXY: urlOf(proxy.at) } });
    const reused = [];
    for (const path of ['/1', '/2']) {
      const { request, body } = await exchangeAndIdle({ host: 'absent.invalid', path, agent });
      reused.push([request.reusedSocket, JSON.parse(body).url]);
    }
    return reused;
  });
  assert.deepStrictEqual(reused[1], [true, 'http://absent.invalid/2']);
});

test('NO_PROXY is obeyed', options, async (t) => {
  const [server, proxy] = [await echoServer(t), await echoServer(t)];
  const url = await asNode(t, async (make) => {
    const agent = make({ proxyEnv: { HTTP_PROXY: urlOf(proxy.at), NO_PROXY: '127.0.0.1' } });
    return JSON.parse((await exchange({ ...server.at, path: '/direct', agent })).body).url;
  });
  assert.strictEqual(url, '/direct');
  assert.strictEqual(proxy.accepted, 0);
});

/** Whether a socket of Node's was needed, by the variables that `proxyEnv` has. */
async function isNodes(t, { Agent, request, at, ...options }, proxyEnv) {
  const agent = new Agent({ proxyEnv, ...options });
  t.after(() => agent.destroy());
  const { socket } = await exchange({ ...at, agent }, undefined, request);
  return socket instanceof net.Socket;
}

for (const [name, module, Agent, secure] of [
  ['http', http, HttpAgent, {}],
  ['https', https, HttpsAgent, { cert, key }],
]) {
  test(`what does not go through a proxy is off the loop (${name})`, { timeout: 20_000 }, async (t) => {
    const server = await echoServer(t, secure);
    const proxy = await echoServer(t);
    const to = { Agent, request: module.request, at: server.at, ca: secure.cert };
    const PROXY = `${name.toUpperCase()}_PROXY`;
    assert.equal(await isNodes(t, to, {}), false);
    assert.equal(await isNodes(t, to, { FTP_PROXY: urlOf(proxy.at) }), false);
    for (const bypassed of [server.at.host, `other.test, ${server.at.host}:${server.at.port}`, '*'])
      assert.equal(await isNodes(t, to, { [PROXY]: urlOf(proxy.at), NO_PROXY: bypassed }), false, bypassed);
    assert.equal(proxy.accepted, 0);
  });
}

test('hosts of one agent go each their own way, and a Unix socket through no proxy', options, async (t) => {
  const where = socketPath(t);
  await echoServer(t, { where });
  const proxy = await echoServer(t);
  const agent = ourAgent(t, { proxyEnv: { HTTP_PROXY: urlOf(proxy.at), NO_PROXY: proxy.at.host } });
  const ways = [];
  for (const to of [
    proxy.at,
    { host: 'absent.invalid' },
    { socketPath: where },
    proxy.at,
    { host: 'absent.invalid' },
  ]) {
    const { socket, body } = await exchange({ ...to, path: '/a', agent });
    ways.push([socket instanceof net.Socket, JSON.parse(body).url]);
  }
  const [direct, proxied] = [
    [false, '/a'],
    [true, 'http://absent.invalid/a'],
  ];
  assert.deepStrictEqual(ways, [direct, proxied, direct, direct, proxied]);
});

test('what a program connects itself goes through the proxy of the agent, too', options, async (t) => {
  const proxy = await echoServer(t);
  const port = await asNode(t, async (make) => {
    const agent = make({ proxyEnv: { HTTP_PROXY: urlOf(proxy.at) } });
    const socket = agent.createConnection({ host: 'absent.invalid', port: 80 });
    await once(socket, 'connect');
    const { remotePort } = socket;
    socket.destroy();
    return remotePort;
  });
  assert.strictEqual(port, proxy.at.port);
});

test('a Node without proxyEnv does not take the option for anything', { timeout: 20_000 }, async (t) => {
  if (!skip) return t.skip('this Node has proxyEnv');
  const server = await echoServer(t);
  const to = { Agent: HttpAgent, request: http.request, at: server.at };
  assert.equal(await isNodes(t, to, { HTTP_PROXY: 'http://127.0.0.1:1' }), false);
});

test('without proxyEnv the environment of the process has no say', { timeout: 20_000 }, async (t) => {
  const [server, proxy] = [await echoServer(t), await echoServer(t)];
  const before = process.env.HTTP_PROXY;
  process.env.HTTP_PROXY = urlOf(proxy.at);
  t.after(() => {
    if (before === undefined) delete process.env.HTTP_PROXY;
    else process.env.HTTP_PROXY = before;
  });
  const { body } = await exchange(
    { ...server.at, path: '/direct', agent: ourAgent(t) },
    undefined,
    http.request,
  );
  assert.strictEqual(JSON.parse(body).url, '/direct');
  assert.strictEqual(proxy.accepted, 0);
});
