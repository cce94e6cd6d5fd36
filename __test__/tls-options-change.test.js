'use strict';

// Options are read for each connection: what is written to them, or into them, between two connections counts
// for the second, as with https.Agent.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const tls = require('node:tls');
const { HttpsAgent } = require('..');
const { asHttps, identity, outcome, tlsServer } = require('./helpers/tls-oracle');
const { authority } = require('./helpers/x509');

const timeout = 30_000;
const root = authority('Root');
const alien = authority('Alien');
const served = root.server(['dns:a.test', 'dns:b.test', 'ip:127.0.0.1']);
const alice = root.client('Alice');
const bob = root.client('Bob');

const ca = root.cert;

/** PEM in a buffer of its own, which has room for others. */
function bytesOf(pem) {
  return rewrite(Buffer.alloc(2000), pem);
}

function rewrite(buffer, pem) {
  buffer.fill('\n').write(pem);
  return buffer;
}

/** What the options begin with, and what is done to them and undone. */
const CHANGES = {
  'ca, another': [{ ca }, (options) => (options.ca = alien.cert), (options) => (options.ca = ca)],
  'ca, other bytes in the same buffer': [
    { ca: bytesOf(ca) },
    (options) => rewrite(options.ca, alien.cert),
    (options) => rewrite(options.ca, ca),
  ],
  'ca, an element of the list': [
    { ca: [ca] },
    (options) => options.ca.splice(0, 1, alien.cert),
    (options) => options.ca.splice(0, 1, ca),
  ],
  'ca, none': [{ ca }, (options) => delete options.ca, (options) => (options.ca = ca)],
  'cert and key': [
    { ca, cert: alice.cert, key: alice.key },
    (options) => Object.assign(options, { cert: bob.cert, key: bob.key }),
    (options) => Object.assign(options, { cert: alice.cert, key: alice.key }),
  ],
  'cert and key, in the same buffers': [
    { ca, cert: bytesOf(alice.cert), key: bytesOf(alice.key) },
    ({ cert, key }) => [rewrite(cert, bob.cert), rewrite(key, bob.key)],
    ({ cert, key }) => [rewrite(cert, alice.cert), rewrite(key, alice.key)],
  ],
  servername: [
    { ca, servername: 'a.test' },
    (options) => (options.servername = 'c.test'),
    (options) => (options.servername = 'a.test'),
  ],
  rejectUnauthorized: [
    { ca: alien.cert, rejectUnauthorized: false },
    (options) => (options.rejectUnauthorized = true),
    (options) => (options.rejectUnauthorized = false),
  ],
  'rejectUnauthorized, undefined': [
    { ca: alien.cert, rejectUnauthorized: false },
    (options) => (options.rejectUnauthorized = undefined),
    (options) => (options.rejectUnauthorized = false),
  ],
  checkServerIdentity: [
    { ca },
    (options) => (options.checkServerIdentity = () => new Error('not mine')),
    (options) => delete options.checkServerIdentity,
  ],
  maxVersion: [
    { ca, maxVersion: 'TLSv1.2' },
    (options) => (options.maxVersion = 'TLSv1.3'),
    (options) => (options.maxVersion = 'TLSv1.2'),
  ],
  'ALPNProtocols, in the list': [
    { ca, ALPNProtocols: ['x/1'] },
    (options) => (options.ALPNProtocols[0] = 'http/1.1'),
    (options) => (options.ALPNProtocols[0] = 'x/1'),
  ],
  'an option that only Node knows': [
    { ca, maxVersion: 'TLSv1.2' },
    (options) => Object.assign(options, { crl: root.revoke([served]) }),
    (options) => delete options.crl,
  ],
  'the default of the process: maxVersion': [
    { ca },
    () => (tls.DEFAULT_MAX_VERSION = 'TLSv1.2'),
    () => (tls.DEFAULT_MAX_VERSION = 'TLSv1.3'),
  ],
  'the default of the process: checkServerIdentity': [
    { ca },
    () => (tls.checkServerIdentity = () => new Error('not mine')),
    () => (tls.checkServerIdentity = checkServerIdentity),
  ],
  'the environment: NODE_TLS_REJECT_UNAUTHORIZED': [
    { ca: alien.cert },
    () => (process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'),
    () => delete process.env.NODE_TLS_REJECT_UNAUTHORIZED,
  ],
};

const { checkServerIdentity } = tls;

for (const [what, [initial, change, undo]] of Object.entries(CHANGES)) {
  test(`${what}`, { timeout }, async (t) => {
    const own = { ...identity(served), ca, ALPNProtocols: ['x/1', 'http/1.1'] };
    const server = await tlsServer(t, { ...own, requestCert: true, rejectUnauthorized: false });
    const [before, after, again] = await asHttps(t, async (make) => {
      const agent = make({ ...initial, keepAlive: false, maxCachedSessions: 0 });
      const ask = () => outcome(agent, { port: server.port });
      const seen = [await ask()];
      change(agent.options);
      seen.push(await ask());
      undo(agent.options);
      seen.push(await ask());
      return seen;
    });
    assert.notDeepEqual(after, before);
    assert.deepEqual(again, before);
  });
}

for (const [what, [initial, change, undo]] of Object.entries(CHANGES)) {
  // By what the process says a connection is judged once and for all.
  if (what.startsWith('the ')) continue;
  test(`an idle connection is not for a request with another: ${what}`, { timeout }, async (t) => {
    const own = { ...identity(served), ca, ALPNProtocols: ['x/1', 'http/1.1'] };
    const server = await tlsServer(t, { ...own, requestCert: true, rejectUnauthorized: false });
    const agent = new HttpsAgent(initial);
    t.after(() => agent.destroy());
    const isReused = async () => (await outcome(agent, { port: server.port })).reused === true;
    assert.deepEqual([await isReused(), await isReused()], [false, true]);
    change(agent.options);
    assert.equal(await isReused(), false);
    undo(agent.options);
    assert.equal(await isReused(), true);
  });
}

test('a request with options of its own, between two without', { timeout }, async (t) => {
  const server = await tlsServer(t, {
    ...identity(served),
    ca,
    requestCert: true,
    rejectUnauthorized: false,
  });
  const seen = await asHttps(t, async (make) => {
    const agent = make({ ca, keepAlive: false, maxCachedSessions: 0 });
    const bodies = [];
    for (const options of [{}, { cert: alice.cert, key: alice.key }, { servername: 'c.test' }, {}]) {
      const { body, error } = await outcome(agent, { port: server.port, ...options });
      bodies.push(body ?? error);
    }
    return bodies;
  });
  assert.deepEqual(seen[3], seen[0]);
  assert.equal(JSON.parse(seen[1]).client, 'Alice');
});
