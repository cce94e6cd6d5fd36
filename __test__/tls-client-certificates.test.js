'use strict';

// Client certificates, against https.Agent: which of them the server gets to see, and what the client hears
// of a server that wants another. TLS 1.3 tells it only after the handshake.

const assert = require('node:assert/strict');
const { constants, generateKeyPairSync } = require('node:crypto');
const { test } = require('node:test');
const { HttpsAgent } = require('..');
const { asHttps, describePeer, identity, outcome, tlsServer } = require('./helpers/tls-oracle');
const { Certificate, authority } = require('./helpers/x509');

const timeout = 30_000;
const root = authority('Root');
const middle = root.authority('Middle');
const alien = authority('Alien');
const leaf = root.server(['ip:127.0.0.1']);
const alice = root.client('Alice');
const below = middle.client('Below');
const ca = root.cert;
const PAST = { from: new Date('2001-01-01'), to: new Date('2002-01-01') };

const as = (client, ...above) => identity(client, ...above);
const encrypted = alice.privateKey.export({
  type: 'pkcs8',
  format: 'pem',
  cipher: 'aes-256-cbc',
  passphrase: 'secret',
});
const bytes = ({ key, cert }) => ({ key: Buffer.from(key), cert: Buffer.from(cert) });
const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;

/** Options of the agent, and who the server takes it for; undefined: the request fails. */
const CLIENTS = {
  none: [{}, undefined],
  'of the authority': [as(alice), 'Alice'],
  'as buffers': [bytes(alice), 'Alice'],
  'as arrays': [{ key: [alice.key], cert: [alice.cert] }, 'Alice'],
  'with the key as objects of an array': [{ key: [{ pem: alice.key }], cert: alice.cert }, 'Alice'],
  'with an encrypted key': [{ key: encrypted, passphrase: 'secret', cert: alice.cert }, 'Alice'],
  'with an encrypted key in an array': [
    { key: [{ pem: encrypted, passphrase: 'secret' }], cert: alice.cert },
    'Alice',
  ],
  'with a wrong passphrase': [{ key: encrypted, passphrase: 'wrong', cert: alice.cert }, undefined],
  'without the passphrase': [{ key: encrypted, cert: alice.cert }, undefined],
  'with the key of another': [
    { key: other.export({ type: 'pkcs8', format: 'pem' }), cert: alice.cert },
    undefined,
  ],
  'without a key': [{ cert: alice.cert }, undefined],
  'a key alone': [{ key: alice.key }, undefined],
  'with its intermediate': [as(below, middle), 'Below'],
  'without its intermediate': [as(below), undefined],
  'of another authority': [as(alien.client('Mallory')), undefined],
  'signed by itself': [as(new Certificate({ subject: 'Alice' })), undefined],
  expired: [as(root.client('Late', PAST)), undefined],
  'for servers': [as(root.client('Server', { purposes: ['server'] })), undefined],
  RSA: [as(root.client('RSA', { key: 2048 })), 'RSA'],
  'P-384': [as(root.client('P-384', { key: 'P-384' })), 'P-384'],
  Ed25519: [as(root.client('Ed25519', { key: 'ed25519' })), 'Ed25519'],
  'of version 1': [as(new Certificate({ issuer: root, subject: 'Old', version: 1 })), 'Old'],
};

for (const version of ['TLSv1.2', 'TLSv1.3']) {
  for (const [what, [options, expected]] of Object.entries(CLIENTS)) {
    test(`a client certificate: ${what} (${version})`, { timeout }, async (t) => {
      const limits = { minVersion: version, maxVersion: version };
      const server = await tlsServer(t, { ...identity(leaf), ca, requestCert: true, ...limits });
      const seen = await asHttps(t, async (make) => {
        const seen = await outcome(make({ ca, ...options }), { port: server.port });
        // Node's server closes without a word, and where that meets the request is a matter of chance.
        return seen.error?.code === 'ECONNRESET' ? { ...seen, error: 'ECONNRESET' } : seen;
      });
      assert.equal(seen.body && JSON.parse(seen.body).client, expected);
    });
  }

  test(`a server that asks and takes any answer (${version})`, { timeout }, async (t) => {
    const limits = { minVersion: version, maxVersion: version };
    const asking = { ca, requestCert: true, rejectUnauthorized: false, ...limits };
    const server = await tlsServer(t, { ...identity(leaf), ...asking });
    for (const options of [{}, as(alice), as(alien.client('Mallory'))]) {
      const { status } = await asHttps(t, (make) => outcome(make({ ca, ...options }), { port: server.port }));
      assert.equal(status, 200);
    }
  });

  test(`a server that does not ask is shown nothing (${version})`, { timeout }, async (t) => {
    const server = await tlsServer(t, { ...identity(leaf), ca, minVersion: version, maxVersion: version });
    const { body } = await asHttps(t, (make) => outcome(make({ ca, ...as(alice) }), { port: server.port }));
    assert.equal(JSON.parse(body).client, null);
  });

  test(`a refused certificate costs one connection a request (${version})`, { timeout }, async (t) => {
    const limits = { minVersion: version, maxVersion: version };
    const server = await tlsServer(t, { ...identity(leaf), ca, requestCert: true, ...limits });
    const agent = new HttpsAgent({ ca });
    t.after(() => agent.destroy());
    for (let round = 1; round <= 3; round++) {
      const { error } = await outcome(agent, { port: server.port, method: 'POST' });
      assert.notEqual(error, undefined);
      // One more if Node is asked for the error.
      assert.ok(server.accepted <= 2 * round, `${server.accepted} connections after ${round} requests`);
    }
  });
}

/** Answers with the client's name, which it asks for only now. */
function askLate({ socket }, response) {
  socket.renegotiate({ requestCert: true, rejectUnauthorized: false }, (error) => {
    if (error) socket.destroy();
    else response.end(JSON.stringify(describePeer(socket)));
  });
}

for (const [what, options, expected] of [
  ['a client that has one', as(alice), 'Alice'],
  ['a client that has none', {}, null],
]) {
  test(`a certificate that is asked for after the handshake: ${what}`, { timeout }, async (t) => {
    // Else OpenSSL would take up the first handshake's session, which has no certificate.
    const secureOptions = constants.SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION;
    const limits = { maxVersion: 'TLSv1.2', secureOptions };
    const server = await tlsServer(t, { ...identity(leaf), ca, ...limits }, askLate);
    const { body } = await asHttps(t, (make) => outcome(make({ ca, ...options }), { port: server.port }));
    assert.equal(JSON.parse(body).client, expected);
  });
}
