'use strict';

// Handshakes that fail, against https.Agent: one clear error, and no second try at a server that has closed.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { HttpsAgent } = require('..');
const { send, startServer, until } = require('./helpers/blocked');
const { asHttps, describeError, identity, outcome, tlsServer } = require('./helpers/tls-oracle');
const { authority } = require('./helpers/x509');

const timeout = 30_000;
const root = authority('Root');
const leaf = root.server(['ip:127.0.0.1']);
const ca = root.cert;

/** What a server does instead of a handshake, and how many connections it may cost at most. */
const GREETINGS = {
  reset: 1,
  'reset-hello': 1,
  close: 1,
  'close-hello': 1,
  // These are rustls's to refuse, so Node is asked.
  plain: 2,
  'plain-hello': 2,
  'alert-hello': 2,
};

for (const [greeting, most] of Object.entries(GREETINGS)) {
  for (const method of ['GET', 'POST']) {
    test(`${method} to a server that greets with ${greeting}`, { timeout }, async (t) => {
      await asHttps(t, async (make) => {
        const server = await startServer(t, { identities: { right: identity(leaf) } });
        const agent = make({ ca });
        await server.command({ greeting });
        const { error } = await send(agent, server, { id: 'it', method });
        // Time for one more, if there were one: the request after it is the last.
        await server.command({ greeting: '' });
        const { body } = await send(agent, server, { id: 'next', method: 'POST' });
        assert.equal(body, 'ok:next');
        await until(() => server.events('secure').length === 1);
        const refused = server.events('accept').length - 1;
        assert.ok(refused >= 1 && refused <= most, `${refused} connections`);
        assert.equal(agent.totalSocketCount, 1);
        // How far the client has come by then is a matter of chance.
        if (greeting === 'reset') return error.code;
        return { ...describeError(error), ...('port' in error && { port: error.port === server.port }) };
      });
    });
  }
}

test(
  'many requests to a server that resets its handshakes: one connection and one error each',
  { timeout },
  async (t) => {
    const server = await startServer(t, { identities: { right: identity(leaf) } });
    const agent = new HttpsAgent({ ca });
    t.after(() => agent.destroy());
    await server.command({ greeting: 'reset-hello' });
    const requests = [];
    for (let n = 0; n < 20; n++) requests.push(send(agent, server, { id: `it-${n}` }));
    for (const { error } of await Promise.all(requests)) assert.equal(error?.code, 'ECONNRESET');
    await until(() => server.events('gone').length === 20);
    await server.command({ greeting: '' });
    await send(agent, server, { id: 'last' });
    assert.equal(server.events('accept').length, 21);
  },
);

test('a server that never answers the handshake: destroying the request ends it', { timeout }, async (t) => {
  await asHttps(t, async (make) => {
    const server = await startServer(t, { identities: { right: identity(leaf) } });
    const agent = make({ ca });
    await server.command({ greeting: 'silence' });
    const pending = send(agent, server, { id: 'it', timeout: 200 });
    pending.request.on('timeout', () => pending.request.destroy());
    const { error } = await pending;
    await until(() => server.events('gone').length === 1);
    assert.equal(server.events('accept').length, 1);
    return describeError(error);
  });
});

/** Servers and clients that have nothing in common: options of the server, options of the agent. */
const MISMATCHES = {
  'versions, an old server': [{ maxVersion: 'TLSv1.2' }, { minVersion: 'TLSv1.3' }],
  'versions, an old client': [{ minVersion: 'TLSv1.3' }, { maxVersion: 'TLSv1.2' }],
  'ciphers of TLS 1.2': [
    { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' },
    { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' },
  ],
  'ciphers of TLS 1.3': [
    { minVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' },
    { minVersion: 'TLSv1.3', ciphers: 'TLS_AES_256_GCM_SHA384' },
  ],
  curves: [{ ecdhCurve: 'P-256' }, { ecdhCurve: 'P-384' }],
  'protocols of the application': [{ ALPNProtocols: ['h2'] }, { ALPNProtocols: ['http/1.1'] }],
  'kinds of keys': [
    { maxVersion: 'TLSv1.2' },
    { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' },
  ],
  signatures: [{ sigalgs: 'ecdsa_secp256r1_sha256' }, { sigalgs: 'rsa_pss_rsae_sha256' }],
};

for (const [what, [serverOptions, agentOptions]] of Object.entries(MISMATCHES)) {
  test(`nothing in common: ${what}`, { timeout }, async (t) => {
    const { error } = await asHttps(t, async (make) => {
      const server = await tlsServer(t, { ...identity(leaf), ...serverOptions });
      const seen = await outcome(make({ ca, ...agentOptions }), { port: server.port });
      assert.ok(server.accepted <= 2, `${server.accepted} connections`);
      return seen;
    });
    assert.match(error.code, /^(ERR_SSL_|EPROTO)/);
  });
}

/** What both ends can agree on, so that the failures above are not failures of anything. */
const AGREEMENTS = {
  'TLS 1.2 with AES-256': { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' },
  'TLS 1.2 with ChaCha20': { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-CHACHA20-POLY1305' },
  'TLS 1.3 with AES-128': { minVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' },
  'TLS 1.3 with ChaCha20': { minVersion: 'TLSv1.3', ciphers: 'TLS_CHACHA20_POLY1305_SHA256' },
  'P-384': { ecdhCurve: 'P-384' },
  X25519: { ecdhCurve: 'X25519' },
  'a choice of curves': { ecdhCurve: 'P-521:P-384' },
  'one signature': { sigalgs: 'ecdsa_secp256r1_sha256' },
  'CBC, which only OpenSSL speaks': { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA256' },
};

for (const [what, options] of Object.entries(AGREEMENTS)) {
  test(`in common: ${what}`, { timeout }, async (t) => {
    const { status } = await asHttps(t, async (make) => {
      const server = await tlsServer(t, { ...identity(leaf), ...options });
      return outcome(make({ ca, ...options }), { port: server.port });
    });
    assert.equal(status, 200);
  });
}
