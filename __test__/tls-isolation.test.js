'use strict';

// A connection that was made with one client certificate, one set of authorities, one name, one version never
// serves a request that asks for another, nor does its session. Requests that ask for the same share.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const https = require('node:https');
const { test } = require('node:test');
const tls = require('node:tls');
const { HttpsAgent } = require('..');
const { securePoolName } = require('../lib/agent/secure-pool-name');
const { blockUntil, send, startServer } = require('./helpers/blocked');
const { describePeer, identity, outcome, tlsServer } = require('./helpers/tls-oracle');
const { authority } = require('./helpers/x509');

const timeout = 30_000;
const root = authority('Root');
const alien = authority('Alien');
const served = root.server(['dns:a.test', 'dns:b.test', 'ip:127.0.0.1']);
const alice = root.client('Alice');
const bob = root.client('Bob');
const secondBob = root.client('Bob', { key: bob.privateKey });

const ca = root.cert;
const as = ({ key, cert }) => ({ key, cert });

/**
 * What requests may ask for, by what tells the ways apart: `options` of the request, and `shown`, what the
 * server has to see of them. Some of it only the client knows.
 */
const WAYS = {
  'client certificate': [
    { options: as(alice), shown: { client: 'Alice' } },
    { options: as(bob), shown: { client: 'Bob' } },
    { options: {}, shown: { client: null } },
  ],
  'client certificate of the same key and name': [
    { options: as(bob), shown: { client: 'Bob' } },
    { options: as(secondBob), shown: { client: 'Bob' } },
  ],
  ca: [{ options: { ca } }, { options: { ca: [ca, alien.cert] } }, { options: { ca: [alien.cert, ca] } }],
  servername: [
    { options: { servername: 'a.test' }, shown: { servername: 'a.test' } },
    { options: { servername: 'b.test' }, shown: { servername: 'b.test' } },
    { options: {}, shown: { servername: null } },
  ],
  'Host header': [
    { options: { headers: { Host: 'a.test' } }, shown: { servername: 'a.test' } },
    { options: { headers: { Host: 'b.test' } }, shown: { servername: 'b.test' } },
  ],
  rejectUnauthorized: [{ options: { rejectUnauthorized: true } }, { options: { rejectUnauthorized: false } }],
  maxVersion: [
    { options: { maxVersion: 'TLSv1.2' }, shown: { protocol: 'TLSv1.2' } },
    { options: { maxVersion: 'TLSv1.3' }, shown: { protocol: 'TLSv1.3' } },
  ],
  minVersion: [
    { options: { minVersion: 'TLSv1.3' }, shown: { protocol: 'TLSv1.3' } },
    { options: { minVersion: 'TLSv1.2' } },
  ],
  ciphers: [
    { options: { ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256', maxVersion: 'TLSv1.2' } },
    { options: { ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384', maxVersion: 'TLSv1.2' } },
  ],
  ecdhCurve: [{ options: { ecdhCurve: 'P-256' } }, { options: { ecdhCurve: 'P-384' } }],
  sigalgs: [
    { options: { sigalgs: 'ecdsa_secp256r1_sha256' } },
    { options: { sigalgs: 'ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256' } },
  ],
  checkServerIdentity: [
    { options: { checkServerIdentity: () => undefined } },
    { options: { checkServerIdentity: () => undefined } },
    { options: {} },
  ],
  ALPNProtocols: [
    { options: { ALPNProtocols: ['x/1', 'http/1.1'] }, shown: { alpn: 'x/1' } },
    { options: { ALPNProtocols: ['http/1.1'] }, shown: { alpn: 'http/1.1' } },
    { options: {}, shown: { alpn: null } },
  ],
  secureContext: [
    { options: { secureContext: tls.createSecureContext({ ca }) } },
    { options: { secureContext: tls.createSecureContext({ ca }) } },
    { options: {} },
  ],
  crl: [{ options: { crl: root.revoke([]) } }, { options: {} }],
};

function start(t) {
  const own = { ...identity(served), ca, ALPNProtocols: ['x/1', 'http/1.1'] };
  const options = { ...own, requestCert: true, rejectUnauthorized: false };
  return tlsServer(t, options, ({ socket }, response) => {
    response.end(JSON.stringify({ connection: socket.number, ...describePeer(socket) }));
  });
}

function makeAgent(t) {
  // What an agent is given wins over what a request asks for.
  const agent = new HttpsAgent();
  t.after(() => agent.destroy());
  return agent;
}

/** What the server saw of a request that has to succeed. */
async function ask(agent, server, options) {
  const { thrown, error, body } = await outcome(agent, { port: server.port, ca, ...options });
  assert.equal(thrown ?? error, undefined);
  return JSON.parse(body);
}

async function askAndIdle(agent, server, options) {
  const free = once(agent, 'free');
  const seen = await ask(agent, server, options);
  await free;
  return seen;
}

function check(seen, { shown }) {
  for (const [name, value] of Object.entries(shown ?? {})) assert.equal(seen[name], value, name);
}

for (const [what, ways] of Object.entries(WAYS)) {
  test(`${what}, one after another`, { timeout }, async (t) => {
    const server = await start(t);
    const agent = makeAgent(t);
    const connections = [];
    for (let round = 0; round < 3; round++) {
      for (const [i, way] of ways.entries()) {
        const seen = await askAndIdle(agent, server, way.options);
        check(seen, way);
        connections[i] ??= seen.connection;
        assert.equal(seen.connection, connections[i], 'the same options share a connection');
      }
    }
    assert.equal(new Set(connections).size, ways.length);
    assert.equal(server.accepted, ways.length);
  });

  test(`${what}, all at once`, { timeout }, async (t) => {
    const server = await start(t);
    const agent = makeAgent(t);
    const owners = new Map();
    for (let round = 0; round < 3; round++) {
      const requests = [];
      for (let n = 0; n < 4; n++) {
        for (const way of ways) requests.push(ask(agent, server, way.options).then((seen) => [way, seen]));
      }
      for (const [way, seen] of await Promise.all(requests)) {
        check(seen, way);
        if (!owners.has(seen.connection)) owners.set(seen.connection, way);
        assert.equal(owners.get(seen.connection), way, 'a connection has served two ways');
      }
    }
    assert.ok(owners.size >= ways.length);
  });

  test(`${what}, on connections that resume a session`, { timeout }, async (t) => {
    const server = await start(t);
    const agent = makeAgent(t);
    for (let round = 0; round < 3; round++) {
      for (const way of ways) {
        const { headers, ...options } = way.options;
        const closing = { ...options, headers: { ...headers, Connection: 'close' } };
        // A session that another way has made would show the identity of that way.
        check(await ask(agent, server, closing), way);
      }
    }
  });
}

const refusal = Object.assign(new Error('not mine'), { code: 'NOT_MINE' });

/** A request that is refused after one that was accepted, on the connection that stands. */
const REFUSED = {
  ca: [{ ca }, { ca: alien.cert }, 'SELF_SIGNED_CERT_IN_CHAIN'],
  servername: [{ servername: 'a.test' }, { servername: 'c.test' }, 'ERR_TLS_CERT_ALTNAME_INVALID'],
  rejectUnauthorized: [
    { ca: alien.cert, rejectUnauthorized: false },
    { ca: alien.cert, rejectUnauthorized: true },
    'SELF_SIGNED_CERT_IN_CHAIN',
  ],
  checkServerIdentity: [{}, { checkServerIdentity: () => refusal }, 'NOT_MINE'],
  'another checkServerIdentity': [
    { checkServerIdentity: () => undefined },
    { checkServerIdentity: () => refusal },
    'NOT_MINE',
  ],
  crl: [{}, { crl: root.revoke([served]) }, 'CERT_REVOKED'],
};

for (const [what, [good, bad, code]] of Object.entries(REFUSED)) {
  for (const closing of [false, true]) {
    const connection = closing ? 'with its session' : 'on its connection';
    test(`what ${what} refuses is refused ${connection} too`, { timeout }, async (t) => {
      const server = await start(t);
      let requests = 0;
      server.on('request', () => requests++);
      const agent = makeAgent(t);
      const headers = closing ? { Connection: 'close' } : {};
      for (let round = 1; round <= 3; round++) {
        await ask(agent, server, { ...good, headers });
        const { error } = await outcome(agent, { port: server.port, ca, ...bad, headers });
        assert.equal(error?.code, code);
        assert.equal(requests, round, 'the server saw a request that had to fail');
      }
    });
  }
}

/** Ways that have idle connections at once; the first loses its own while JavaScript is blocked. */
const LOST = {
  'client certificate': [as(alice), as(bob)],
  servername: [{ servername: 'a.test' }, { servername: 'b.test' }],
  ca: [{ ca }, { ca: [ca, alien.cert] }],
  rejectUnauthorized: [{ rejectUnauthorized: true }, { rejectUnauthorized: false }],
  checkServerIdentity: [{ checkServerIdentity: () => undefined }, { checkServerIdentity: () => undefined }],
  ALPNProtocols: [{ ALPNProtocols: ['x/1'] }, { ALPNProtocols: ['http/1.1'] }],
  maxVersion: [{ maxVersion: 'TLSv1.2' }, { maxVersion: 'TLSv1.3' }],
};

for (const [what, [lost, kept]] of Object.entries(LOST)) {
  test(`a lost connection is not replaced by one with another ${what}`, { timeout }, async (t) => {
    const options = { ca, requestCert: true, ALPNProtocols: ['x/1', 'http/1.1'] };
    const server = await startServer(t, { identities: { served: identity(served) }, ...options });
    const agent = makeAgent(t);
    const request = (id, way) => send(agent, server, { id, method: 'POST', ca, ...way });
    for (const [id, way] of [
      ['first', lost],
      ['second', kept],
    ]) {
      assert.equal((await request(id, way)).error, undefined);
    }
    server.post({ end: 'close', connections: [1] });
    assert.ok(blockUntil(() => server.events('closed').length === 1));
    const [one, other] = await Promise.all([request('one', lost), request('other', kept)]);
    assert.deepEqual(
      [one.error, one.body, other.error, other.body],
      [undefined, 'ok:one', undefined, 'ok:other'],
    );
    const connectionOf = (id) => server.events('request', id)[0].connection;
    assert.deepEqual([connectionOf('one'), connectionOf('other')], [3, 2]);
    const shown = (number) => {
      const { servername, client, protocol, alpn } = server
        .events('secure')
        .find((one) => one.connection === number);
      return { servername, client, protocol, alpn };
    };
    assert.deepEqual(shown(3), shown(1));
  });
}

test('two agents with the same options share nothing', { timeout }, async (t) => {
  const server = await start(t);
  const agents = [makeAgent(t), makeAgent(t)];
  const connections = [];
  for (const agent of agents) {
    for (let n = 0; n < 2; n++) {
      const { connection, resumed } = await askAndIdle(agent, server, {});
      assert.equal(resumed, false);
      connections.push(connection);
    }
  }
  assert.deepEqual(connections, [1, 1, 2, 2]);
});

test('a request that brings any option of the name has a name of its own', () => {
  const agent = new HttpsAgent();
  const always = ['host', 'port', 'localAddress', 'family', 'socketPath'];
  const options = [...String(https.Agent.prototype.getName).matchAll(/\boptions\.(\w+)/g)]
    .map(([, option]) => option)
    .filter((option) => !always.includes(option));
  assert.ok(options.length > 15, 'not the names that Node writes');
  const host = { host: 'a.test', port: 443 };
  assert.equal(securePoolName(agent, host, undefined), agent.getName({ ...host, servername: 'a.test' }));
  for (const option of options) {
    assert.equal(securePoolName(agent, { ...host, [option]: 'x' }, undefined), undefined, option);
  }
});
