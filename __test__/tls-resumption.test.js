'use strict';

// TLS sessions are taken up again by the next connection, as https.Agent does it: for the same name of the
// books, within one agent, unless an error came between.

const assert = require('node:assert/strict');
const https = require('node:https');
const { once } = require('node:events');
const { test } = require('node:test');
const { asHttps, identity, outcome, tlsServer } = require('./helpers/tls-oracle');
const { authority } = require('./helpers/x509');

const timeout = 30_000;
const root = authority('Root');
const leaf = root.server(['ip:127.0.0.1', 'dns:a.test', 'dns:b.test']);
const alice = root.client('Alice');
const ca = root.cert;
const closing = { headers: { Connection: 'close' } };

/** Whether a connection of its own resumes a session, as both ends see it, and how many new ones it gets. */
async function connectOnce(agent, port, { listens, ...options } = {}) {
  const request = https.request({ host: '127.0.0.1', port, agent, ...closing, ...options });
  let sessions = 0;
  let resumed;
  // rustls has no sessions to show, so these connections are Node's own.
  const listen = (socket) => {
    socket.on('session', (session) => {
      assert.ok(Buffer.isBuffer(session));
      sessions++;
    });
  };
  if (listens) request.once('socket', listen);
  const [socket] = await once(request.end(), 'socket');
  socket.once('secureConnect', () => (resumed = socket.isSessionReused()));
  const gone = once(socket, 'close');
  const [response] = await once(request, 'response');
  const body = JSON.parse(Buffer.concat(await response.toArray()));
  await gone;
  const { authorized, authorizationError } = socket;
  return { resumed, seen: body.resumed, sessions: sessions > 0, authorized, authorizationError };
}

const isResumed = ({ resumed, seen }) => {
  assert.equal(resumed, seen);
  return resumed;
};

for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
  const start = (t, options) => tlsServer(t, { ...identity(leaf), maxVersion, ...options });

  /** Connections one after another, of options that `steps` names; returns which of them resumed a session. */
  async function resumptions(t, server, agentOptions, steps) {
    return asHttps(t, async (make) => {
      const agent = make({ ca, ...agentOptions });
      const resumed = [];
      for (const step of steps) resumed.push(isResumed(await connectOnce(agent, server.port, step)));
      return resumed;
    });
  }

  test(`the next connection resumes the session (${maxVersion})`, { timeout }, async (t) => {
    const server = await start(t);
    assert.deepEqual(await resumptions(t, server, {}, [{}, {}, {}]), [false, true, true]);
  });

  test(`what a connection tells about its session (${maxVersion})`, { timeout }, async (t) => {
    const server = await start(t);
    for (const options of [{}, { ca: undefined, rejectUnauthorized: false }]) {
      await asHttps(t, async (make) => {
        const agent = make({ ca, ...options });
        const seen = [];
        for (let n = 0; n < 3; n++) seen.push(await connectOnce(agent, server.port, { listens: true }));
        return seen;
      });
    }
  });

  test(`maxCachedSessions: 0 keeps none (${maxVersion})`, { timeout }, async (t) => {
    const server = await start(t);
    const resumed = await resumptions(t, server, { maxCachedSessions: 0 }, [{}, {}, {}]);
    assert.deepEqual(resumed, [false, false, false]);
  });

  test(`maxCachedSessions: 1 keeps that of one name (${maxVersion})`, { timeout }, async (t) => {
    const server = await start(t);
    const [a, b] = [{ servername: 'a.test' }, { servername: 'b.test' }];
    const resumed = await resumptions(t, server, { maxCachedSessions: 1 }, [a, a, b, a, a, b, b]);
    assert.deepEqual(resumed.slice(0, 3), [false, true, false]);
  });

  test(`each servername has its own (${maxVersion})`, { timeout }, async (t) => {
    const server = await start(t);
    const [a, b] = [{ servername: 'a.test' }, { servername: 'b.test' }];
    assert.deepEqual(await resumptions(t, server, {}, [a, b, a, b]), [false, false, true, true]);
  });

  test(`each client certificate has its own (${maxVersion})`, { timeout }, async (t) => {
    const server = await start(t, { ca, requestCert: true, rejectUnauthorized: false });
    const { key, cert } = alice;
    assert.deepEqual(await resumptions(t, server, {}, [{}, { key, cert }, {}, { key, cert }]), [
      false,
      false,
      true,
      true,
    ]);
  });

  test(`two agents have their own (${maxVersion})`, { timeout }, async (t) => {
    const server = await start(t);
    for (let n = 0; n < 2; n++) assert.deepEqual(await resumptions(t, server, {}, [{}]), [false]);
  });

  test(`connections at once resume too (${maxVersion})`, { timeout }, async (t) => {
    const server = await start(t);
    await asHttps(t, async (make) => {
      const agent = make({ ca });
      assert.equal(isResumed(await connectOnce(agent, server.port)), false);
      const all = await Promise.all([1, 2].map(() => connectOnce(agent, server.port)));
      return all.map(isResumed);
    });
  });

  test(`an error between forgets the session (${maxVersion})`, { timeout }, async (t) => {
    let isBroken = false;
    const server = await tlsServer(t, { ...identity(leaf), maxVersion }, (request, response) => {
      if (isBroken) request.socket._parent.resetAndDestroy();
      else response.end(JSON.stringify({ resumed: request.socket.isSessionReused() }));
    });
    const resumed = await asHttps(t, async (make) => {
      const agent = make({ ca });
      const seen = [];
      for (const broken of [false, false, true, false, false]) {
        isBroken = broken;
        if (!broken) seen.push(isResumed(await connectOnce(agent, server.port)));
        else assert.equal((await outcome(agent, { port: server.port })).error.code, 'ECONNRESET');
      }
      return seen;
    });
    assert.deepEqual(resumed, [false, true, false, true]);
  });

  test(`a server that forgot the session gets a whole handshake (${maxVersion})`, { timeout }, async (t) => {
    const server = await start(t);
    const resumed = await asHttps(t, async (make) => {
      const agent = make({ ca });
      const seen = [];
      for (const forget of [false, false, true, false]) {
        if (forget) server.setTicketKeys(require('node:crypto').randomBytes(48));
        seen.push(isResumed(await connectOnce(agent, server.port)));
      }
      return seen;
    });
    assert.deepEqual(resumed, [false, true, false, true]);
  });

  test(`a resumed session is no way around the check (${maxVersion})`, { timeout }, async (t) => {
    const server = await start(t);
    const codes = await asHttps(t, async (make) => {
      const agent = make({});
      const codes = [];
      for (const rejectUnauthorized of [false, true, false, true]) {
        const { error, status } = await outcome(agent, { port: server.port, ...closing, rejectUnauthorized });
        codes.push(error?.code ?? status);
      }
      return codes;
    });
    assert.deepEqual(codes, [200, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 200, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE']);
  });

  test(`the session option (${maxVersion})`, { timeout }, async (t) => {
    const server = await start(t);
    const resumed = await asHttps(t, async (make) => {
      const agent = make({ ca, maxCachedSessions: 0 });
      const request = https.get({ host: '127.0.0.1', port: server.port, agent, ...closing });
      let session;
      request.once('socket', (socket) => socket.on('session', (one) => (session = one)));
      const [socket] = await once(request, 'socket');
      const gone = once(socket, 'close');
      const [response] = await once(request, 'response');
      response.resume();
      await gone;
      const first = isResumed(await connectOnce(agent, server.port));
      const second = isResumed(await connectOnce(agent, server.port, { session }));
      return [first, second];
    });
    assert.deepEqual(resumed, [false, true]);
  });
}
