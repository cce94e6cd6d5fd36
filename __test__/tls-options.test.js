'use strict';

// Each option of docs/tls.md, row by row: what it comes to is what it comes to with https.Agent, and whether
// rustls or Node's own TLS did it is what the table says.

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const { once } = require('node:events');
const fs = require('node:fs');
const https = require('node:https');
const path = require('node:path');
const { test } = require('node:test');
const tls = require('node:tls');
const { inspect } = require('node:util');
const { HttpsAgent } = require('..');
const { asHttps, identity, outcome, tlsServer } = require('./helpers/tls-oracle');
const { authority } = require('./helpers/x509');

const timeout = 30_000;
const root = authority('Root');
const served = root.server(['dns:localhost', 'ip:127.0.0.1']);
const client = root.client('Alice');
const other = root.client('Bob', { key: 2048 });
const ca = root.cert;
const { key, cert } = client;
const encrypted = client.privateKey.export({
  type: 'pkcs8',
  format: 'pem',
  cipher: 'aes-256-cbc',
  passphrase: 'word',
});

/** What asks for Node's TLS in the warning, by the row; undefined where rustls does it. */
const rows = [
  // [row of the table, name of the test, options, who does it]
  ['ca', 'PEM', { ca }],
  ['ca', 'a Buffer', { ca: Buffer.from(ca) }],
  ['ca', 'an array of both', { ca: [ca, Buffer.from(authority('Alien').cert)] }],
  ['ca', 'several in one text', { ca: `# a comment\n${authority('Alien').cert}\n${ca}` }],
  ['ca', 'a certificate that has not issued itself', { ca: [ca, served.cert] }, 'ca'],
  ['ca', 'something else', { ca: 5 }, 'refused'],
  ['cert, key', 'PEM', { ca, cert, key }],
  ['cert, key', 'Buffers', { ca, cert: Buffer.from(cert), key: Buffer.from(key) }],
  ['cert, key', 'arrays of one', { ca, cert: [cert], key: [key] }],
  ['cert, key', 'an object with a passphrase', { ca, cert, key: [{ pem: encrypted, passphrase: 'word' }] }],
  ['cert, key', 'an object that is in no array', { ca, cert, key: { pem: key } }, 'refused'],
  ['cert, key', 'several identities', { ca, cert: [cert, other.cert], key: [key, other.key] }, 'key'],
  ['cert, key', 'a key of another certificate', { ca, cert, key: root.client('Carol').key }, 'refused'],
  ['cert, key', 'no key at all', { ca, cert, key: 'nonsense' }, 'refused'],
  ['passphrase', 'of an encrypted key', { ca, cert, key: encrypted, passphrase: 'word' }],
  ['passphrase', 'a wrong one', { ca, cert, key: encrypted, passphrase: 'other' }, 'refused'],
  ['servername', 'a name', { ca, servername: 'localhost' }],
  ['servername', 'an empty one', { ca, servername: '' }],
  ['servername', 'a name that the certificate does not have', { ca, servername: 'other.test' }],
  ['servername', 'with a final dot', { ca, servername: 'localhost.' }, 'an unusual servername'],
  ['rejectUnauthorized', 'true', { rejectUnauthorized: true }],
  ['rejectUnauthorized', 'false', { rejectUnauthorized: false }],
  ['rejectUnauthorized', 'undefined', { ca, rejectUnauthorized: undefined }],
  [
    'checkServerIdentity',
    'accepting',
    { ca, servername: 'other.test', checkServerIdentity: () => undefined },
  ],
  ['checkServerIdentity', 'refusing', { ca, checkServerIdentity: () => new Error('not this one') }],
  ['checkServerIdentity', "Node's own", { ca, checkServerIdentity: tls.checkServerIdentity }],
  ['minVersion, maxVersion', 'TLSv1.2 alone', { ca, minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' }],
  ['minVersion, maxVersion', 'TLSv1.3 alone', { ca, minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' }],
  ['minVersion, maxVersion', 'a minimum that is older', { ca, minVersion: 'TLSv1' }],
  [
    'minVersion, maxVersion',
    'a maximum that is older',
    { ca, minVersion: 'TLSv1', maxVersion: 'TLSv1.1' },
    'maxVersion',
  ],
  ['minVersion, maxVersion', 'no version', { ca, minVersion: 'TLSv9' }, 'refused'],
  ['secureProtocol', 'TLS_method', { ca, secureProtocol: 'TLS_method' }],
  ['secureProtocol', 'TLSv1_2_method', { ca, secureProtocol: 'TLSv1_2_method' }],
  ['secureProtocol', 'TLSv1_1_method', { ca, secureProtocol: 'TLSv1_1_method' }, 'secureProtocol'],
  ['secureProtocol', 'no method', { ca, secureProtocol: 'nonsense' }, 'refused'],
  [
    'secureProtocol',
    'with minVersion',
    { ca, secureProtocol: 'TLS_method', minVersion: 'TLSv1.2' },
    'refused',
  ],
  ['ALPNProtocols', 'names', { ca, ALPNProtocols: ['http/1.1'] }],
  ['ALPNProtocols', 'bytes', { ca, ALPNProtocols: Buffer.from('\x08http/1.1') }, 'ALPNProtocols'],
  ['ciphers', "rustls's, of TLS 1.3", { ca, ciphers: 'TLS_AES_128_GCM_SHA256' }],
  ['ciphers', "rustls's, of TLS 1.2", { ca, ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' }],
  ['ciphers', 'others', { ca, ciphers: 'HIGH' }, 'ciphers'],
  ['ciphers', 'none', { ca, ciphers: 'nonsense' }, 'refused'],
  ['ecdhCurve', "rustls's", { ca, ecdhCurve: 'P-384' }],
  ['ecdhCurve', 'a list of them', { ca, ecdhCurve: 'P-256:X25519' }],
  ['ecdhCurve', 'another', { ca, ecdhCurve: 'P-521' }, 'ecdhCurve'],
  ['minDHSize', 'a number', { ca, minDHSize: 2048 }],
  ['honorCipherOrder', 'true', { ca, honorCipherOrder: true }],
  ['handshakeTimeout', 'a number', { ca, handshakeTimeout: 5000 }],
  ['timeout', 'a number', { ca, timeout: 5000 }],
  ['sigalgs', 'a list', { ca, sigalgs: 'ecdsa_secp256r1_sha256' }, 'sigalgs'],
  ['crl', 'a list', { ca, crl: root.revoke([]) }, 'crl'],
  ['crl', 'one that revokes', { ca, crl: root.revoke([served]) }, 'refused'],
  ['pfx', 'nonsense', { ca, pfx: Buffer.from('nonsense') }, 'refused'],
  ['session', 'nonsense', { ca, session: Buffer.from('nonsense') }, 'session'],
  ['secureContext', 'a context', { secureContext: tls.createSecureContext({ ca }) }, 'secureContext'],
  ['secureOptions', 'a flag', { ca, secureOptions: crypto.constants.SSL_OP_NO_TICKET }, 'secureOptions'],
  ['dhparam', 'auto', { ca, dhparam: 'auto' }, 'dhparam'],
  ['requestOCSP', 'true', { ca, requestOCSP: true }, 'requestOCSP'],
  ['requestOCSP', 'false', { ca, requestOCSP: false }],
  ['sessionIdContext', 'a text', { ca, sessionIdContext: 'one' }, 'sessionIdContext'],
  ['sessionTimeout', 'a number', { ca, sessionTimeout: 100 }, 'sessionTimeout'],
  ['ticketKeys', 'bytes', { ca, ticketKeys: Buffer.alloc(48) }, 'ticketKeys'],
  ['pskCallback', 'a function', { ca, pskCallback: () => null }, 'pskCallback'],
  ['ALPNCallback', 'a function', { ca, ALPNCallback: () => undefined }, 'ALPNCallback'],
  ['SNICallback', 'a function', { ca, SNICallback: () => undefined }, 'SNICallback'],
  ['allowPartialTrustChain', 'true', { ca, allowPartialTrustChain: true }, 'allowPartialTrustChain'],
  ['enableTrace', 'false', { ca, enableTrace: false }],
  ['privateKeyEngine', 'without its identifier', { ca, privateKeyEngine: 'none' }, 'privateKeyEngine'],
  ['privateKeyIdentifier', 'without its engine', { ca, privateKeyIdentifier: 'one' }, 'refused'],
  ['clientCertEngine', 'one that is not there', { ca, clientCertEngine: 'none' }, 'refused'],
  ['certificateCompression', 'a list', { ca, certificateCompression: ['zlib'] }, 'certificateCompression'],
];

test('the table has a row for each option, and each row a test', () => {
  const table = fs.readFileSync(path.join(__dirname, '..', 'docs', 'tls.md'), 'utf8');
  const [, section] = /^## Options$([^]*?)^## /m.exec(table);
  const named = [...section.matchAll(/^\| (`[^|]*?`) +\|/gm)].map(([, cell]) => cell.replaceAll('`', ''));
  const tested = new Set(rows.map(([row]) => row));
  assert.deepEqual(
    named.filter((row) => !tested.has(row)),
    [],
  );
  assert.deepEqual(
    [...tested].filter((row) => !named.includes(row)),
    [],
  );
});

/** Warnings of ours since the last call; each comes once per process. */
const reasons = new Set();
process.on('warning', ({ code, message }) => {
  if (code === 'OFFLOOP_NODE_SOCKET') reasons.add(/^connections with (.*) use Node's own/.exec(message)[1]);
});

for (const [row, name, options, who] of rows) {
  test(`${row}: ${name}`, { timeout }, async (t) => {
    const server = await tlsServer(t, {
      ...identity(served),
      ca,
      requestCert: true,
      rejectUnauthorized: false,
      ALPNProtocols: ['http/1.1'],
    });
    let ours;
    const seen = await asHttps(t, (make) => {
      const agent = make(options);
      if (agent instanceof HttpsAgent) ours = agent;
      return outcome(agent, { port: server.port });
    });
    if (who === 'refused') {
      assert.notEqual(seen.thrown ?? seen.error, undefined);
      return;
    }
    if (who !== undefined) {
      assert.ok(reasons.has(who), `no warning of ${who}, but of ${[...reasons]}`);
      return;
    }
    const failed = (seen.thrown ?? seen.error) !== undefined;
    if (failed) return;
    // A second one, to see what it is on.
    const request = https.get({ host: '127.0.0.1', port: server.port, agent: ours });
    const [response] = await once(request, 'response');
    assert.equal(response.socket instanceof tls.TLSSocket, false, "on Node's own socket");
    assert.equal(response.socket._nodeSocket, undefined, 'rustls has refused it');
    response.resume();
    await once(response, 'end');
  });
}

/** Whether a wrong value is refused or passes is Node's to say, also where it looks as if the option were off. */
const ODD = {
  falsy: [undefined, null, 0, '', false, NaN, 0n],
  'no object': [true, 1, -1, 'x', 1n, Symbol('x')],
};
/** A timeout is the agent's, and has rules of its own. */
const FALSY = rows.flatMap(([row]) => row.split(', ')).filter((option) => option !== 'timeout');
const NO_OBJECTS = [
  'ALPNProtocols',
  'allowPartialTrustChain',
  'checkServerIdentity',
  'minDHSize',
  'pskCallback',
  'secureContext',
];

for (const [kind, options] of Object.entries({
  falsy: new Set([...FALSY, 'socket']),
  'no object': NO_OBJECTS,
})) {
  for (const option of options) {
    test(`${option} that is ${kind}`, { timeout }, async (t) => {
      const server = await tlsServer(t, identity(served));
      for (const value of ODD[kind]) {
        await asHttps(t, async (make) => {
          // Once as an option of the agent, once as one of the request.
          const { port } = server;
          const given = { ca, [option]: value };
          return [await outcome(make(given), { port }), await outcome(make({}), { port, ...given })];
        });
      }
    });
  }
}

for (const value of [[1n], [Symbol('x')], [null], [['x']], {}]) {
  test(`ALPNProtocols: ${inspect(value)}`, { timeout }, async (t) => {
    const server = await tlsServer(t, identity(served));
    await asHttps(t, (make) => outcome(make({ ca, ALPNProtocols: value }), { port: server.port }));
  });
}

test('the key exchange is the one that Node prefers', { timeout }, async (t) => {
  const server = await tlsServer(t, identity(served));
  await asHttps(t, async (make) => {
    const request = https.get({ host: '127.0.0.1', port: server.port, agent: make({ ca }) });
    const [response] = await once(request, 'response');
    const info = response.socket.getEphemeralKeyInfo();
    response.resume();
    await once(response, 'end');
    return { ...info };
  });
});
