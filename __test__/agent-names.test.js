'use strict';

const assert = require('node:assert');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { HttpAgent, HttpsAgent } = require('..');
const { echoServer } = require('./helpers/echo-server');
const { asNode, books, exchangeAndIdle } = require('./helpers/request');

const PLAIN = [
  {},
  { host: 'example.org' },
  { host: '::1', port: 8080 },
  { port: 80 },
  { port: '80', localAddress: '127.0.0.1' },
  { host: 'h', port: 1, family: 4 },
  { host: 'h', port: 1, family: 6 },
  { host: 'h', port: 1, family: 0 },
  { host: 'h', port: 1, localAddress: '::', family: 6, socketPath: '/tmp/s' },
  { socketPath: '/tmp/s' },
];

const TLS = {
  ca: 'ca',
  cert: 'cert',
  clientCertEngine: 'engine',
  ciphers: 'ECDHE',
  key: 'key',
  pfx: 'pfx',
  rejectUnauthorized: false,
  servername: 'other',
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  secureProtocol: 'TLS_method',
  crl: 'crl',
  honorCipherOrder: true,
  ecdhCurve: 'auto',
  dhparam: 'dh',
  secureOptions: 4,
  sessionIdContext: 'context',
  sigalgs: ['rsa', 'ecdsa'],
  privateKeyIdentifier: 'id',
  privateKeyEngine: 'engine2',
};

test('names of plain connections are those of Node', () => {
  const [ours, nodes] = [new HttpAgent(), new http.Agent()];
  assert.strictEqual(ours.getName(), 'localhost::');
  for (const options of PLAIN) assert.strictEqual(ours.getName(options), nodes.getName(options));
});

test('names of TLS connections are those of Node, and each TLS option makes another one', () => {
  const [ours, nodes] = [new HttpsAgent(), new https.Agent()];
  const seen = new Set([ours.getName({ host: 'h', port: 1 })]);
  for (const options of PLAIN) assert.strictEqual(ours.getName(options), nodes.getName(options));
  for (const [name, value] of Object.entries(TLS)) {
    const options = { host: 'h', port: 1, [name]: value };
    assert.strictEqual(ours.getName(options), nodes.getName(options));
    assert.ok(!seen.has(ours.getName(options)), name);
    seen.add(ours.getName(options));
  }
  const all = { host: 'h', port: 1, ...TLS };
  assert.strictEqual(ours.getName(all), nodes.getName(all));
});

test('the books use these names', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const seen = await asNode(t, async (make) => {
    const agent = make();
    for (const more of [{}, { family: 4 }, { localAddress: '127.0.0.1' }, { host: 'localhost', family: 4 }]) {
      await exchangeAndIdle({ ...server.at, ...more, agent });
    }
    return books(agent);
  });
  const { port } = server.at;
  assert.deepStrictEqual(Object.keys(seen.freeSockets), [
    `127.0.0.1:${port}:`,
    `127.0.0.1:${port}::4`,
    `127.0.0.1:${port}:127.0.0.1`,
    `localhost:${port}::4`,
  ]);
});

test('a Unix socket has its path in the name', { timeout: 20_000 }, async (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'offloop-'));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const socketPath = process.platform === 'win32' ? `\\\\.\\pipe\\${path.basename(folder)}` : `${folder}/s`;
  await echoServer(t, { where: socketPath });
  const seen = await asNode(t, async (make) => {
    const agent = make();
    const { body } = await exchangeAndIdle({ socketPath, path: '/unix', agent });
    return { ...books(agent), url: JSON.parse(body).url };
  });
  assert.strictEqual(seen.url, '/unix');
  assert.deepStrictEqual(seen.freeSockets, { [`localhost:80::${socketPath}`]: 1 });
});

test('addRequest takes host, port and local address as of old', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const [before] = await asNode(t, async (make) => {
    const agent = make();
    agent.addRequest = function (request, { host, port }) {
      Object.getPrototypeOf(this).addRequest.call(this, request, host, port, '127.0.0.1');
    };
    const free = once(agent, 'free');
    http.get({ ...server.at, agent }, (response) => response.resume());
    const before = books(agent);
    await free;
    return [before, books(agent)];
  });
  assert.deepStrictEqual(before.sockets, { [`127.0.0.1:${server.at.port}:127.0.0.1`]: 1 });
});
