'use strict';

const assert = require('node:assert');
const http = require('node:http');
const { test } = require('node:test');
const { echoServer } = require('./helpers/echo-server');
const { asNode, exchange, exchangeAndIdle, ourAgent } = require('./helpers/request');

const skip = !process.allowedNodeEnvironmentFlags.has('--use-env-proxy') && 'this Node has no proxyEnv';
const urlOf = ({ host, port }) => `http://${host}:${port}`;

test(
  'a request goes through the proxy that proxyEnv names, and a warning says how',
  { skip, timeout: 20_000 },
  async (t) => {
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
  },
);

test('the connection to the proxy is reused', { skip, timeout: 20_000 }, async (t) => {
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

test('NO_PROXY is obeyed', { skip, timeout: 20_000 }, async (t) => {
  const [server, proxy] = [await echoServer(t), await echoServer(t)];
  const url = await asNode(t, async (make) => {
    const agent = make({ proxyEnv: { HTTP_PROXY: urlOf(proxy.at), NO_PROXY: '127.0.0.1' } });
    return JSON.parse((await exchange({ ...server.at, path: '/direct', agent })).body).url;
  });
  assert.strictEqual(url, '/direct');
  assert.strictEqual(proxy.accepted, 0);
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
