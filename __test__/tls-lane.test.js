'use strict';

// The socket of a request over TLS: its events, their order, and what it tells at each, against https.Agent.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const https = require('node:https');
const tls = require('node:tls');
const { test } = require('node:test');
const { HttpsAgent } = require('..');
const Lane = require('../lib/lane/lane');
const { asHttps, identity, tlsServer } = require('./helpers/tls-oracle');
const { authority } = require('./helpers/x509');

const timeout = 30_000;
const root = authority('Root');
const middle = root.authority('Middle');
const leaf = middle.server(['dns:localhost', 'ip:127.0.0.1']);
const alice = root.client('Alice');
const ca = root.cert;

const LABEL = 'EXPERIMENTAL_offloop';
const CONTEXT = Buffer.from('context');

/** Answers with what has to be the same on both ends. */
function tellKeys({ socket }, response) {
  response.end(
    JSON.stringify({
      bare: socket.exportKeyingMaterial(32, LABEL).toString('hex'),
      bound: socket.exportKeyingMaterial(20, LABEL, CONTEXT).toString('hex'),
      cipher: socket.getCipher(),
      protocol: socket.getProtocol(),
    }),
  );
}

function start(t, options) {
  return tlsServer(t, { ...identity(leaf, middle), ...options }, tellKeys);
}

/** Certificates as values that can be compared; a whole one is compared by its bytes. */
function describeX509(certificate) {
  if (certificate === undefined) return undefined;
  const chain = [];
  for (let one = certificate; one && chain.length < 5; one = one.issuerCertificate)
    chain.push(one.fingerprint256);
  return chain;
}

function attempt(call) {
  try {
    return call();
  } catch (error) {
    return { thrown: [error.constructor.name, error.code, error.message] };
  }
}

/** All that the socket can be asked, apart from what is another for each connection, and what rustls does not tell. */
function describeSocket(socket) {
  const { encrypted, authorized, authorizationError, alpnProtocol, servername, secureConnecting } = socket;
  const { connecting, pending, readyState, destroyed } = socket;
  return {
    ...{ encrypted, authorized, authorizationError, alpnProtocol, servername, secureConnecting },
    ...{ connecting, pending, readyState, destroyed },
    protocol: attempt(() => socket.getProtocol()),
    cipher: attempt(() => socket.getCipher()),
    isSessionReused: attempt(() => socket.isSessionReused()),
    peer: attempt(() => socket.getPeerCertificate()),
    detailed: attempt(() => socket.getPeerCertificate(true)),
    peerX509: attempt(() => describeX509(socket.getPeerX509Certificate())),
    own: attempt(() => socket.getCertificate()),
    ownX509: attempt(() => describeX509(socket.getX509Certificate())),
    // Of a socket that is gone Node says that it cannot read a property of null.
    key: !destroyed && attempt(() => typeof socket.exportKeyingMaterial(32, LABEL)),
    // Before the handshake this ends the process in Node 24 and 26.
    ephemeral: !secureConnecting && attempt(() => Object.keys(socket.getEphemeralKeyInfo() ?? {})),
  };
}

// Whether the server's end comes before the client's close is a matter of chance.
const EVENTS = ['lookup', 'connect', 'secureConnect', 'ready', 'close', 'error', 'timeout'];

/** A request on a socket that is watched from its first moment on; `at`: what it tells at each event. */
async function watch(agent, options) {
  const events = [];
  const { createConnection } = agent;
  let seen;
  agent.createConnection = function (...args) {
    const socket = createConnection.apply(this, args);
    seen = socket;
    const { emit } = socket;
    socket.emit = function (name, ...rest) {
      if (EVENTS.includes(name)) events.push([name, describeSocket(socket)]);
      return emit.call(this, name, ...rest);
    };
    return socket;
  };
  const request = https.get({
    host: 'localhost',
    family: 4,
    agent,
    headers: { Connection: 'close' },
    ...options,
  });
  const result = once(request, 'response').then(
    async ([response]) => JSON.parse(Buffer.concat(await response.toArray())),
    (error) => ({ error: error.code }),
  );
  if (!seen) await once(request, 'socket');
  const early = describeSocket(seen);
  const gone = new Promise((resolve) => seen.once('close', resolve));
  const body = await result;
  await gone;
  return { early, events, body, socket: seen };
}

const names = ({ events }) => events.map(([name]) => name);
const at = ({ events }, name) => events.find(([one]) => one === name)[1];

const CLIENTS = {
  plain: { ca },
  'with a certificate': { ca, key: alice.key, cert: alice.cert },
  'without a check': { rejectUnauthorized: false },
  'with another servername': { ca, servername: 'localhost' },
  'with protocols': { ca, ALPNProtocols: ['http/1.1'] },
};

for (const version of ['TLSv1.2', 'TLSv1.3']) {
  const limits = { minVersion: version, maxVersion: version };

  for (const [what, options] of Object.entries(CLIENTS)) {
    test(`${what}: the same events, telling the same (${version})`, { timeout }, async (t) => {
      const server = await start(t, { ...limits, ca, requestCert: true, rejectUnauthorized: false });
      const seen = await asHttps(t, async (make) => {
        const { early, events, body } = await watch(make(options), { port: server.port });
        // What both ends derive is of the connection, and compared below.
        return { early, events, cipher: body.cipher, protocol: body.protocol };
      });
      assert.ok(names(seen).includes('secureConnect'));
    });
  }

  test(`what is written is done behind the events of the handshake (${version})`, { timeout }, async (t) => {
    const server = await start(t, limits);
    for (const isRefused of [false, true]) {
      const log = await asHttps(t, async (make) => {
        const log = [];
        const note = (name) => () => log.push(name);
        const at = { host: 'localhost', family: 4, port: server.port, agent: make({ ca }) };
        const request = https.request({ ...at, method: 'POST' });
        for (const event of ['finish', 'error', 'response', 'close']) request.on(event, note(event));
        request.on('response', (response) => response.resume());
        request.on('socket', (socket) => {
          if (isRefused) socket.on('secureConnect', () => request.destroy());
          for (const event of ['connect', 'ready', 'secureConnect', 'secure']) socket.on(event, note(event));
        });
        request.write('body', () => log.push('written'));
        request.end();
        await new Promise((resolve) => request.on('close', resolve));
        return log;
      });
      assert.strictEqual(log.includes('response'), !isRefused);
    }
  });

  test(`a certificate that is refused: the same events (${version})`, { timeout }, async (t) => {
    const server = await start(t, limits);
    const { body } = await asHttps(t, async (make) => {
      const { early, events, body } = await watch(make(), { port: server.port });
      return { early, events, body };
    });
    assert.deepEqual(body, { error: 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY' });
  });

  test(`a resumed session: the same events (${version})`, { timeout }, async (t) => {
    const server = await start(t, limits);
    const reused = await asHttps(t, async (make) => {
      const agent = make({ ca });
      await watch(agent, { port: server.port });
      const { events } = await watch(agent, { port: server.port });
      // Of a session that was resumed rustls still has the certificates, and OpenSSL not always.
      const told = ({ isSessionReused, protocol, cipher, authorized, authorizationError }) => {
        return { isSessionReused, protocol, cipher, authorized, authorizationError };
      };
      return { events: events.map(([name, state]) => [name, name === 'secureConnect' && told(state)]) };
    });
    assert.equal(at(reused, 'secureConnect').isSessionReused, true);
  });

  test(`both ends export the same keys (${version})`, { timeout }, async (t) => {
    const server = await start(t, limits);
    await asHttps(t, async (make) => {
      const agent = make({ ca });
      let own;
      const request = https.get({ host: 'localhost', family: 4, port: server.port, agent });
      const [socket] = await once(request, 'socket');
      const early = attempt(() => socket.exportKeyingMaterial(32, LABEL));
      socket.once('secureConnect', () => {
        own = {
          bare: socket.exportKeyingMaterial(32, LABEL).toString('hex'),
          bound: socket.exportKeyingMaterial(20, LABEL, CONTEXT).toString('hex'),
        };
      });
      const [response] = await once(request, 'response');
      const { bare, bound } = JSON.parse(Buffer.concat(await response.toArray()));
      assert.deepEqual(own, { bare, bound });
      return {
        early,
        wrong: [
          attempt(() => socket.exportKeyingMaterial('32', LABEL)),
          attempt(() => socket.exportKeyingMaterial(-1, LABEL)),
          attempt(() => socket.exportKeyingMaterial(32, 32)),
          attempt(() => socket.exportKeyingMaterial(32, LABEL, 'context')),
          ...[undefined, 'x', 1n, 1.5, 2 ** 31].map((size) => attempt(() => socket.setMaxSendFragment(size))),
        ],
      };
    });
  });

  test(
    `keys are exported beside a request that has left before its tick has ended (${version})`,
    { timeout },
    async (t) => {
      const server = await start(t, limits);
      await asHttps(t, async (make) => {
        const at = { host: 'localhost', family: 4, port: server.port, agent: make({ ca, keepAlive: true }) };
        const get = () =>
          new Promise((resolve, reject) => {
            https.get(at, (response) => response.resume().on('close', resolve)).on('error', reject);
          });
        await Promise.all([get(), get()]);
        let key;
        const first = https.get(at);
        first.on('socket', (socket) => (key = attempt(() => socket.exportKeyingMaterial(16, LABEL).length)));
        const second = get();
        const [response] = await once(first, 'response');
        response.resume();
        await Promise.all([once(response, 'close'), second]);
        return { key, isReused: first.reusedSocket };
      });
    },
  );

  test(`the chain ends with itself (${version})`, { timeout }, async (t) => {
    const server = await start(t, limits);
    await asHttps(t, async (make) => {
      const seen = await watch(make({ ca }), { port: server.port });
      const { detailed, peerX509 } = at(seen, 'secureConnect');
      assert.equal(detailed.subject.CN, 'localhost');
      const last = detailed.issuerCertificate.issuerCertificate;
      assert.equal(last.subject.CN, 'Root');
      assert.equal(last.issuerCertificate, last);
      assert.ok(peerX509.length > 0);
    });
  });

  test(`keylog lines, on the socket and on the agent (${version})`, { timeout }, async (t) => {
    const server = await start(t, limits);
    const secrets = new Set();
    server.on('keylog', (line) => secrets.add(line.toString()));
    const labels = await asHttps(t, async (make) => {
      const agent = make({ ca });
      const lines = [];
      agent.on('keylog', (line, socket) => lines.push([line.toString(), socket.encrypted]));
      await watch(agent, { port: server.port });
      for (const [line, encrypted] of lines) {
        assert.ok(secrets.has(line), 'the server has another secret');
        assert.equal(encrypted, true);
      }
      return lines.map(([line]) => line.split(' ')[0]).sort();
    });
    assert.ok(labels.length > 0);
  });
}

test('it has all that the documentation has for a socket of TLS', { timeout }, async (t) => {
  const server = await start(t);
  await asHttps(t, async (make) => {
    const agent = make({ ca });
    const { socket } = await watch(agent, { port: server.port });
    return Object.getOwnPropertyNames(tls.TLSSocket.prototype)
      .filter((name) => /^(get|set|is|export|renegotiate|disable|enable|address)/.test(name))
      .map((name) => [name, typeof socket[name]]);
  });
});

test('resetAndDestroy is refused, and changes nothing', { timeout }, async (t) => {
  const server = await start(t);
  // With a listener for 'session' the lane goes on over a socket of Node's.
  for (const event of ['secure', 'session']) {
    await asHttps(t, async (make) => {
      const agent = make({ ca });
      const { createConnection } = agent;
      const seen = [];
      let socket;
      const reset = (when) => {
        seen.push([when, attempt(() => socket.resetAndDestroy() === socket), socket.destroyed]);
      };
      agent.createConnection = function (...args) {
        socket = createConnection.apply(this, args);
        socket.on(event, () => {});
        reset('made');
        for (const name of ['connect', 'secureConnect', 'free']) socket.on(name, reset.bind(null, name));
        return socket;
      };
      const request = https.get({ host: 'localhost', family: 4, port: server.port, agent });
      const [response] = await once(request, 'response');
      reset('response');
      const free = once(socket, 'free');
      await response.toArray();
      await free;
      if (socket instanceof Lane) assert.equal(socket._nodeSocket !== undefined, event === 'session');
      socket.destroy();
      reset('destroyed');
      await once(socket, 'close');
      reset('closed');
      return seen;
    });
  }
});

test('signal destroys it', { timeout }, async (t) => {
  const server = await start(t);
  // Not against https.Agent: with a signal that has been aborted Node ends with a failed assertion when the server answers.
  for (const when of ['before', 'connecting', 'secured']) {
    const controller = new AbortController();
    if (when === 'before') controller.abort();
    const agent = new HttpsAgent({ ca });
    t.after(() => agent.destroy());
    const { signal } = controller;
    const socket = agent.createConnection({ host: '127.0.0.1', port: server.port, ca, signal });
    if (when === 'secured') await once(socket, 'secureConnect');
    const failed = new Promise((resolve) => socket.on('error', resolve));
    controller.abort();
    const { name, code } = await failed;
    assert.deepEqual([when, name, code], [when, 'AbortError', 'ABORT_ERR']);
  }
});
