'use strict';

// What the process says about TLS counts as it does for Node: functions that a preload has put into the place of
// Node's, and the settings that Node was started with.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const tls = require('node:tls');
const { inProcess } = require('./helpers/own-process');
const { identity, tlsServer } = require('./helpers/tls-oracle');
const { authority } = require('./helpers/x509');

const timeout = 60_000;
const root = authority('Root');
const leaf = root.server(['ip:127.0.0.1']);

/** What comes of a request with https.Agent and with ours, what was called for each, and what our warnings name. */
async function both({ port, ca }) {
  const https = require('node:https');
  const { HttpsAgent } = require('..');
  const { outcome } = require('./helpers/tls-oracle');
  const reasons = [];
  process.on('warning', ({ code, message }) => {
    if (code === 'OFFLOOP_NODE_SOCKET')
      reasons.push(/^connections with (.*) use Node's own/.exec(message)[1]);
  });
  const seen = [];
  for (const Agent of [https.Agent, HttpsAgent]) {
    globalThis.calls = 0;
    const agent = new Agent({ keepAlive: true, ca });
    const { error, status } = await outcome(agent, { port });
    seen.push({ error: error?.message, status, calls: globalThis.calls });
    agent.destroy();
  }
  return { node: seen[0], ours: seen[1], reasons };
}

async function runBoth(t, settings) {
  const server = await tlsServer(t, identity(leaf));
  return inProcess(both, { port: server.port, ca: root.cert }, settings);
}

test('with nothing replaced rustls is used', { timeout }, async (t) => {
  const { node, ours, reasons } = await runBoth(t);
  assert.deepEqual(node, { status: 200, calls: 0 });
  assert.deepEqual([ours, reasons], [node, []]);
});

test('nor is it shut out by a program that writes stacks its own way', { timeout }, async (t) => {
  const before = () => {
    Error.stackTraceLimit = 0;
    Error.prepareStackTrace = () => 'no stack';
    require('..');
    if (Error.stackTraceLimit !== 0 || Error.prepareStackTrace() !== 'no stack') throw new Error('changed');
  };
  const { node, ours, reasons } = await runBoth(t, { before });
  assert.deepEqual([ours, reasons], [node, []]);
});

/** Each is run before the package is loaded. */
const replacements = {
  'a tls.checkServerIdentity that refuses': () => {
    require('node:tls').checkServerIdentity = () => {
      globalThis.calls++;
      return new Error('not pinned');
    };
  },
  "a tls.checkServerIdentity with the words of Node's": () => {
    const tls = require('node:tls');
    const { checkServerIdentity: nodes } = tls;
    tls.checkServerIdentity = function checkServerIdentity(hostname, cert) {
      // Node: new ERR_TLS_CERT_ALTNAME_INVALID(
      globalThis.calls++;
      return nodes(hostname, cert) ?? new Error('not pinned');
    };
  },
  'a tls.connect that watches': () => {
    const tls = require('node:tls');
    const { connect } = tls;
    tls.connect = (...args) => {
      globalThis.calls++;
      return connect(...args);
    };
  },
  'a tls.connect that is a proxy': () => {
    const tls = require('node:tls');
    tls.connect = new Proxy(tls.connect, {
      apply(...args) {
        globalThis.calls++;
        return Reflect.apply(...args);
      },
    });
  },
  'a tls.createSecureContext that trusts nobody': () => {
    const tls = require('node:tls');
    const { createSecureContext } = tls;
    tls.createSecureContext = (options) => {
      globalThis.calls++;
      return createSecureContext({ ...options, ca: [] });
    };
  },
};

for (const [name, before] of Object.entries(replacements)) {
  test(`${name}, put there before the package is loaded`, { timeout }, async (t) => {
    const { node, ours } = await runBoth(t, { before });
    assert.ok(node.calls > 0, 'a test of nothing');
    assert.deepEqual(ours, node);
  });
}

/** A file with the roots of the tests. */
function rootsFile(t) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'offloop-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'roots.pem');
  fs.writeFileSync(file, root.cert);
  return file;
}

/** A request without `ca`. */
async function bothTrusting(t, { env, late }) {
  const server = await tlsServer(t, identity(leaf));
  // What the program sets by itself comes with its data: nothing else of a test is there.
  const program = `async (data) => {
    Object.assign(process.env, data.late);
    return (${both})(data);
  }`;
  return inProcess(program, { port: server.port, late }, { env });
}

test('NODE_EXTRA_CA_CERTS at the start', { timeout }, async (t) => {
  const { node, ours, reasons } = await bothTrusting(t, { env: { NODE_EXTRA_CA_CERTS: rootsFile(t) } });
  assert.equal(node.status, 200);
  assert.deepEqual(ours, node);
  const isTold = tls.getCACertificates !== undefined || process.platform === 'linux';
  if (isTold) assert.deepEqual(reasons, [], 'not done by rustls');
});

test('NODE_EXTRA_CA_CERTS set by the program vouches for nobody', { timeout }, async (t) => {
  const { node, ours } = await bothTrusting(t, { late: { NODE_EXTRA_CA_CERTS: rootsFile(t) } });
  assert.match(node.error, /^unable to verify the first certificate/);
  assert.deepEqual(ours, node);
});

test("a Node whose roots are those of OpenSSL's store", { timeout }, async (t) => {
  const before = () => {
    const { config } = process;
    const defines = [...config.target_defaults.defines, 'NODE_OPENSSL_CERT_STORE'];
    const value = { ...config, target_defaults: { ...config.target_defaults, defines } };
    Object.defineProperty(process, 'config', { value });
  };
  const server = await tlsServer(t, identity(leaf));
  const env = { NODE_EXTRA_CA_CERTS: rootsFile(t) };
  for (const [data, args, expected] of [
    [{}, [], ["the roots of OpenSSL's own store"]],
    [{}, ['--use-bundled-ca'], []],
    [{ ca: root.cert }, [], []],
  ]) {
    const settings = { env, args, before };
    const { node, ours, reasons } = await inProcess(both, { port: server.port, ...data }, settings);
    assert.equal(node.status, 200);
    assert.deepEqual(ours, node);
    assert.deepEqual(reasons, expected);
  }
});

for (const [name, settings] of Object.entries({
  '--use-openssl-ca': { args: ['--use-openssl-ca'] },
  '--use-openssl-ca in NODE_OPTIONS': { env: { NODE_OPTIONS: '--use-openssl-ca' } },
  OPENSSL_CONF: { env: { OPENSSL_CONF: path.join(__dirname, 'no-such.cnf') } },
})) {
  test(`${name} holds in a Worker with settings of its own`, { timeout }, async (t) => {
    const server = await tlsServer(t, identity(leaf));
    const program = `(data) => new Promise((resolve, reject) => {
      const code = ${JSON.stringify(`
        const { parentPort, workerData } = require('node:worker_threads');
        (${both})(workerData).then((result) => parentPort.postMessage(result));`)};
      const worker = new (require('node:worker_threads').Worker)(code, {
        eval: true, execArgv: [], env: {}, workerData: data,
      });
      worker.on('error', reject).on('message', resolve);
    })`;
    const { node, ours, reasons } = await inProcess(program, { port: server.port, ca: root.cert }, settings);
    assert.deepEqual(ours, node);
    assert.deepEqual(reasons, [name.split(' ', 1)[0]]);
  });
}
