'use strict';

// Programs check a certificate once, when its connection is made, and trust the socket from then on. So no
// request may go to another certificate under the same socket, and none may go out before the check.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const { createHash } = require('node:crypto');
const { subscribe, unsubscribe } = require('node:diagnostics_channel');
const { once } = require('node:events');
const https = require('node:https');
const { test } = require('node:test');
const { inspect, promisify } = require('node:util');
const { HttpsAgent } = require('..');
const { block, blockUntil, now, send, startServer, until, warm } = require('./helpers/blocked');
const { asHttps, identity } = require('./helpers/tls-oracle');
const { authority } = require('./helpers/x509');

const timeout = 30_000;
const root = authority('Root');
const certificates = { first: root.server(['ip:127.0.0.1']), second: root.server(['ip:127.0.0.1']) };
const identities = { first: identity(certificates.first), second: identity(certificates.second) };
const nameOf = Object.fromEntries(
  Object.entries(certificates).map(([name, { raw }]) => [
    createHash('sha256').update(raw).digest('hex'),
    name,
  ]),
);
const VERSIONS = ['TLSv1.2', 'TLSv1.3'];

/** A server that has two certificates, and shows the first. */
const start = (t, maxVersion) => startServer(t, { identities, maxVersion });

function makeAgent(t, options) {
  const agent = new HttpsAgent({ ca: root.cert, freeSocketTimeout: 0, ...options });
  t.after(() => agent.destroy());
  return agent;
}

function certificateOf(socket) {
  return nameOf[createHash('sha256').update(socket.getPeerCertificate().raw).digest('hex')];
}

/** Sends a request as a program does that pins: what it saw on 'secureConnect' is what it believes. */
async function sendPinned(agent, server, options) {
  const pending = send(agent, server, options);
  const { request } = pending;
  let socket;
  request.on('socket', (one) => {
    socket = one;
    if (!request.reusedSocket) socket.once('secureConnect', () => (socket.pinned = certificateOf(socket)));
  });
  const result = await pending;
  // Whatever came of it: where it arrived it was expected.
  for (const { connection } of server.events('request', options.id)) {
    const [{ identity: shown }] = server.events('secure').filter((event) => event.connection === connection);
    assert.equal(shown, socket.pinned, 'a request went to a certificate that its program has not seen');
  }
  return { ...result, socket };
}

/** Runs in a process of its own: an uncaught exception is the test runner's otherwise. */
function throwing(port, ca) {
  const https = require('node:https');
  const { HttpsAgent } = require('..');
  const checkServerIdentity = () => {
    throw new Error('thrown');
  };
  const agent = new HttpsAgent({ ca, checkServerIdentity });
  const request = https.request({ host: '127.0.0.1', port, agent, method: 'POST' }).on('error', () => {});
  process.once('uncaughtException', (error) => {
    console.log(error.message);
    process.stdin.on('end', () => setTimeout(() => request.destroy(), 100)).resume();
  });
  request.end('body');
}

/** A request on a connection that ends while JavaScript is blocked, for so long that another one is there. */
async function beRepeated(agent, server) {
  await warm(agent, server);
  const pending = send(agent, server, { id: 'it', act: 'close/cue,ok' });
  await until(() => server.arrivals('it') === 1);
  server.post({ cue: 'it' });
  assert.ok(blockUntil(() => server.events('accept').length === 2));
  // Its handshake.
  block(200);
  return { pending };
}

for (const maxVersion of VERSIONS) {
  for (const method of ['GET', 'POST']) {
    for (const how of ['close', 'half', 'reset']) {
      const what = `${method}, the idle connection lost by ${how}`;

      test(`${what}, another certificate since (${maxVersion})`, { timeout }, async (t) => {
        const server = await start(t, maxVersion);
        const agent = makeAgent(t);
        const first = await sendPinned(agent, server, { id: 'first' });
        await server.command({ identity: 'second' });
        server.post({ end: how });
        assert.ok(blockUntil(() => server.events('closed').length === 1));
        const it = await sendPinned(agent, server, { id: 'it', method });
        // The socket was handed out before anybody could know; it cannot be the new server's.
        assert.equal(it.socket, first.socket);
        assert.equal(it.error?.code, 'ECONNRESET');
        assert.equal(it.error.reason, how === 'reset' ? 'peer-reset' : 'peer-closed-idle');
        const { bytesWritten, retry } = it.error.connection;
        assert.deepEqual([bytesWritten, retry], [0, 'not sent again: another connection could not be had']);
        assert.equal(server.arrivals('it'), 0);
        const next = await sendPinned(agent, server, { id: 'next', method });
        assert.deepEqual([next.body, next.socket.pinned], ['ok:next', 'second']);
      });

      test(`${what}, the same certificate (${maxVersion})`, { timeout }, async (t) => {
        const server = await start(t, maxVersion);
        const agent = makeAgent(t);
        const first = await sendPinned(agent, server, { id: 'first' });
        server.post({ end: how });
        assert.ok(blockUntil(() => server.events('closed').length === 1));
        const { error, body, socket, request } = await sendPinned(agent, server, { id: 'it', method });
        assert.deepEqual([error, body, request.attempts], [undefined, 'ok:it', 1]);
        assert.equal(socket, first.socket);
        assert.equal(certificateOf(socket), 'first');
      });
    }
  }

  test(
    `a connection lost before a byte of its request, another certificate since (${maxVersion})`,
    { timeout },
    async (t) => {
      const server = await start(t, maxVersion);
      const agent = makeAgent(t);
      await warm(agent, server);
      const request = https.request({ host: '127.0.0.1', port: server.port, agent, method: 'POST' });
      await once(request, 'socket');
      await server.command({ identity: 'second' });
      server.post({ end: 'close' });
      await until(() => Object.values(agent.stats())[0].connections.busy === 0);
      request.end('body');
      const [error] = await once(request, 'error');
      assert.deepEqual([error.reason, error.connection.bytesWritten], ['peer-closed-idle', 0]);
    },
  );

  for (const how of ['close', 'half', 'reset']) {
    test(`no repetition goes to another certificate, ${how} (${maxVersion})`, { timeout }, async (t) => {
      const server = await start(t, maxVersion);
      const agent = makeAgent(t);
      await sendPinned(agent, server, { id: 'first' });
      await server.command({ identity: 'second' });
      const { error, request } = await sendPinned(agent, server, { id: 'it', act: `${how},ok` });
      assert.equal(error?.code, 'ECONNRESET');
      assert.equal(error.message, how === 'reset' ? 'read ECONNRESET' : 'socket hang up');
      assert.deepEqual([request.attempts, server.arrivals('it')], [1, 1]);
      const [{ opened, notOpened }] = Object.values(agent.stats());
      assert.deepEqual([opened, notOpened], [1, 1]);
    });

    test(`a repetition goes to the same certificate, ${how} (${maxVersion})`, { timeout }, async (t) => {
      const server = await start(t, maxVersion);
      const agent = makeAgent(t);
      await sendPinned(agent, server, { id: 'first' });
      const { body, request } = await sendPinned(agent, server, { id: 'it', act: `${how},ok` });
      assert.deepEqual([body, request.attempts, server.arrivals('it')], ['ok:it', 2, 2]);
    });
  }

  test(
    `idle connections are not exchanged if their certificates differ (${maxVersion})`,
    { timeout },
    async (t) => {
      const server = await start(t, maxVersion);
      const agent = makeAgent(t);
      const slow = sendPinned(agent, server, { id: 'slow', act: 'ok/cue' });
      await until(() => server.arrivals('slow') === 1);
      await server.command({ identity: 'second' });
      await sendPinned(agent, server, { id: 'quick' });
      await server.command({ cue: 'slow' });
      await slow;
      await until(() => Object.values(agent.freeSockets).flat().length === 2);
      server.post({ end: 'close', connections: [1] });
      assert.ok(blockUntil(() => server.events('closed').length === 1));
      const both = await Promise.all(
        ['a', 'b'].map((id) => sendPinned(agent, server, { id, method: 'POST' })),
      );
      const answered = both.filter(({ body }) => body);
      assert.equal(answered.length, 1, 'only the second connection stands');
      assert.equal(answered[0].socket.pinned, 'second');
    },
  );

  for (const refuse of [true, false]) {
    const what = refuse ? 'destroys' : 'keeps';
    test(`a program that ${what} the socket on 'secureConnect' (${maxVersion})`, { timeout }, async (t) => {
      const came = await asHttps(t, async (make) => {
        const server = await start(t, maxVersion);
        const agent = make({ ca: root.cert });
        const pending = send(agent, server, { id: 'it', method: 'POST', body: 'a secret' });
        pending.request.on('socket', (socket) => {
          socket.once('secureConnect', () => refuse && socket.destroy());
        });
        const { error, body } = await pending;
        if (refuse) await until(() => server.events('gone').length > 0);
        return { code: error?.code, body, came: server.arrivals('it') };
      });
      assert.deepEqual(
        came,
        refuse
          ? { code: 'ECONNRESET', body: undefined, came: 0 }
          : { code: undefined, body: 'ok:it', came: 1 },
      );
    });
  }

  test(
    `no byte of a request before checkServerIdentity was called (${maxVersion})`,
    { timeout },
    async (t) => {
      const server = await start(t, maxVersion);
      let called;
      const checkServerIdentity = (name, { raw }) => {
        called = now();
        assert.equal(name, '127.0.0.1');
        assert.equal(nameOf[createHash('sha256').update(raw).digest('hex')], 'first');
      };
      const agent = makeAgent(t, { checkServerIdentity });
      const pending = send(agent, server, { id: 'it', method: 'POST' });
      await new Promise((resolve) => setImmediate(resolve));
      // Off the loop the connection and the handshake are made, but not more.
      if (called === undefined) {
        assert.ok(blockUntil(() => server.events('accept').length === 1));
        block(200);
        assert.equal(server.arrivals('it'), 0);
      }
      assert.equal((await pending).body, 'ok:it');
      assert.ok(server.events('request', 'it')[0].at > called);
    },
  );

  test(`what checkServerIdentity refuses gets nothing (${maxVersion})`, { timeout }, async (t) => {
    await asHttps(t, async (make) => {
      const server = await start(t, maxVersion);
      const refusal = Object.assign(new Error('not this one'), { code: 'NOT_PINNED' });
      const agent = make({ ca: root.cert, checkServerIdentity: () => refusal });
      const { error } = await send(agent, server, { id: 'it', method: 'POST' });
      assert.equal(error, refusal);
      await until(() => server.events('gone').length > 0);
      return server.arrivals('it');
    });
  });

  test(`an exception of checkServerIdentity (${maxVersion})`, { timeout }, async (t) => {
    const server = await start(t, maxVersion);
    const running = promisify(execFile)(
      process.execPath,
      ['-e', `(${throwing})(${server.port}, ${JSON.stringify(root.cert)})`],
      { cwd: __dirname, env: { ...process.env, NODE_TEST_CONTEXT: undefined } },
    );
    await until(() => server.events('secure').length > 0);
    running.child.stdin.end();
    const { stdout } = await running;
    assert.equal(stdout, 'thrown\n');
    assert.equal(server.events('secure').length, 1);
    assert.equal(server.events('request').length, 0);
  });

  test(`checkServerIdentity is called once for each connection (${maxVersion})`, { timeout }, async (t) => {
    const server = await start(t, maxVersion);
    const calls = [];
    const agent = makeAgent(t, { maxSockets: 1, checkServerIdentity: () => void calls.push(now()) });
    for (let n = 0; n < 3; n++) await warm(agent, server);
    assert.equal(calls.length, 1);
    assert.equal(server.events('accept').length, 1);

    const { body, request } = await send(agent, server, { id: 'it', act: 'close,ok' });
    assert.deepEqual([body, request.attempts], ['ok:it', 2]);
    assert.equal(calls.length, 2);
    assert.ok(server.events('request', 'it')[1].at > calls[1], 'it was repeated before the check');
  });

  test(
    `a repetition waits for checkServerIdentity while JavaScript is blocked (${maxVersion})`,
    { timeout },
    async (t) => {
      const server = await start(t, maxVersion);
      let calls = 0;
      const agent = makeAgent(t, { maxSockets: 1, checkServerIdentity: () => void calls++ });
      const { pending } = await beRepeated(agent, server);
      assert.deepEqual([calls, server.arrivals('it')], [1, 1]);
      const { body, request } = await pending;
      assert.deepEqual([body, request.attempts, calls, server.arrivals('it')], ['ok:it', 2, 2, 2]);
    },
  );

  for (const isDeaf of [false, true]) {
    test(
      `a repetition whose connection is lost before checkServerIdentity has passed it${isDeaf ? ', and no other can be had' : ''} (${maxVersion})`,
      { timeout },
      async (t) => {
        const server = await start(t, maxVersion);
        const agent = makeAgent(t, { maxSockets: 1, checkServerIdentity: () => undefined });
        let told = 0;
        const onRetried = () => told++;
        subscribe('offloop:request:retried', onRetried);
        t.after(() => unsubscribe('offloop:request:retried', onRetried));
        const { pending } = await beRepeated(agent, server);
        server.post({ deaf: isDeaf, end: 'close' });
        assert.ok(blockUntil(() => server.events('closed').length === 2));
        const { body, error, request } = await pending;
        const expected = isDeaf ? [undefined, 'ECONNRESET', 2, 1] : ['ok:it', undefined, 2, 1];
        assert.deepEqual([body, error?.code, request.attempts, told], expected);
      },
    );
  }

  test(`a repetition that checkServerIdentity refuses (${maxVersion})`, { timeout }, async (t) => {
    const server = await start(t, maxVersion);
    let calls = 0;
    const checkServerIdentity = () => (++calls > 1 ? new Error('no more') : undefined);
    const agent = makeAgent(t, { maxSockets: 1, checkServerIdentity });
    await warm(agent, server);
    const { error, request } = await send(agent, server, { id: 'it', act: 'close,ok' });
    assert.equal(error?.message, 'socket hang up');
    assert.deepEqual([request.attempts, calls, server.arrivals('it')], [1, 2, 1]);
  });

  for (const passing of [false, 0, '', NaN, null, undefined]) {
    test(`a check that results in ${inspect(passing)} passes (${maxVersion})`, { timeout }, async (t) => {
      await asHttps(t, async (make) => {
        const server = await start(t, maxVersion);
        const agent = make({ ca: root.cert, checkServerIdentity: () => passing });
        const { error, body } = await send(agent, server, { id: 'it' });
        return { code: error?.code, body };
      });
    });
  }

  test(`a socket without rejectUnauthorized is pinned too (${maxVersion})`, { timeout }, async (t) => {
    const server = await start(t, maxVersion);
    const agent = makeAgent(t, { ca: undefined, rejectUnauthorized: false });
    await sendPinned(agent, server, { id: 'first' });
    await server.command({ identity: 'second' });
    server.post({ end: 'close' });
    assert.ok(blockUntil(() => server.events('closed').length === 1));
    const { error } = await sendPinned(agent, server, { id: 'it' });
    assert.equal(error?.code, 'ECONNRESET');
    assert.equal(server.arrivals('it'), 0);
  });
}
