'use strict';

// Errors say who ended the connection (`reason`) and what was known of it (`connection`). Code, message
// and the other members are Node's.

const assert = require('node:assert');
const { spawnSync } = require('node:child_process');
const { EventEmitter, once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const path = require('node:path');
const { inspect } = require('node:util');
const { describe, test } = require('node:test');
const { HttpAgent, HttpsAgent } = require('..');
const { NAMES } = require('../lib/request/facts');
const { send, startServer, warm } = require('./helpers/blocked');
const { atEnd, blackHole, closedPort, describeError, rawServer, until } = require('./helpers/lane-server');
const { loadInto } = require('./helpers/own-context');
const { asNode, closed, onNodes, ourAgent } = require('./helpers/request');

const patience = { timeout: 20_000 };
const LINUX = process.platform === 'linux';

/** The error of a request to a raw server, on a fresh connection or a reused one. */
async function errorOf(t, { options, reused = false, during, ...request }) {
  const server = await startServer(t);
  const agent = ourAgent(t, options);
  if (reused) await warm(agent, server);
  const sent = send(agent, server, { id: 'x', ...request });
  during?.(sent.request, agent);
  const { error } = await sent;
  assert.ok(error, 'the request has to fail');
  return error;
}

describe('the server', () => {
  test('closes: peer-fin', patience, async (t) => {
    const error = await errorOf(t, { act: 'close', method: 'POST', body: 'body', reused: true });
    assert.strictEqual(error.message, 'socket hang up');
    assert.strictEqual(error.code, 'ECONNRESET');
    assert.strictEqual(error.reason, 'peer-fin');
    const { connection } = error;
    assert.strictEqual(connection.path, 'raw');
    assert.strictEqual(connection.reused, true);
    assert.strictEqual(connection.served, 1);
    assert.ok(connection.age >= connection.idle && connection.idle >= 0, inspect(connection));
    assert.ok(connection.bytesWritten > 'POST / HTTP/1.1'.length);
    assert.strictEqual(connection.bytesRead, 0);
    if (LINUX) {
      assert.strictEqual(connection.bytesAcknowledged, connection.bytesWritten);
      assert.ok(connection.roundTrip > 0);
    }
    assert.deepStrictEqual([connection.localAddress, connection.remoteAddress], ['127.0.0.1', '127.0.0.1']);
    assert.ok(connection.localPort > 0 && connection.remotePort > 0);
    assert.match(connection.retry, /not sent again: sent, /);
  });

  test('closes a fresh connection: peer-fin', patience, async (t) => {
    const { reason, connection } = await errorOf(t, { act: 'close' });
    assert.strictEqual(reason, 'peer-fin');
    assert.strictEqual(connection.reused, false);
    assert.strictEqual(connection.served, 0);
    assert.ok(!('idle' in connection));
    assert.match(connection.retry, /fresh/);
  });

  test('resets: peer-reset', patience, async (t) => {
    const error = await errorOf(t, { act: 'reset', method: 'POST', body: 'body', reused: true });
    assert.strictEqual(error.message, 'read ECONNRESET');
    assert.strictEqual(error.reason, 'peer-reset');
    assert.strictEqual(error.connection.reused, true);
  });

  test('closes twice: the error is of the second connection', patience, async (t) => {
    const error = await errorOf(t, { act: 'close', reused: true });
    assert.strictEqual(error.reason, 'peer-fin');
    assert.strictEqual(error.connection.reused, false);
    assert.match(error.connection.retry, /had been already/);
  });

  test('closes within the response: the error of the response says so', patience, async (t) => {
    const server = await startServer(t);
    const { error } = await send(ourAgent(t), server, { id: 'x', act: 'part-body' });
    assert.strictEqual(error.message, 'aborted');
    assert.strictEqual(error.reason, 'peer-fin');
    assert.ok(error.connection.bytesRead > 0);
    assert.match(error.connection.retry, /fresh|begun/);
  });

  test('sends what is no HTTP: the parser’s own reason stays', patience, async (t) => {
    const server = await rawServer(t, (socket) => socket.once('data', () => socket.write('garbage\r\n\r\n')));
    const request = http.get({ port: server.port, host: '127.0.0.1', agent: ourAgent(t) });
    const [error] = await once(request, 'error');
    assert.match(error.code, /^HPE_/);
    assert.match(error.reason, /^(Expected HTTP|Invalid)/);
    assert.strictEqual(error.connection.reason, 'invalid-response');
    assert.strictEqual(error.connection.bytesRead, 11);
  });
});

describe('a response that came whole', () => {
  const WHOLE = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

  for (const [where, pieces] of Object.entries({
    'in one piece': [`${WHOLE}garbage`],
    'in two pieces': [WHOLE.slice(0, -1), 'kgarbage'],
    'where the connection ends': [`${WHOLE.replace('Content', 'Connection: close\r\nContent')}garbage`],
    'of HTTP/1.0': [`${WHOLE.replace('1.1', '1.0')}garbage`],
  }))
    test(`and more behind it that is no HTTP, ${where}: unexpected-data`, patience, async (t) => {
      let served;
      const { port } = await rawServer(t, (socket) => {
        served = socket;
        socket.once('data', () => socket.write(pieces[0]));
      });
      const request = http.get({ host: '127.0.0.1', port, agent: ourAgent(t) });
      const failure = once(request, 'error');
      const [response] = await once(request, 'response');
      if (pieces.length > 1) served.write(pieces[1]);
      response.resume();
      const [error] = await failure;
      assert.match(error.code, /^HPE_/);
      assert.match(error.reason, /^(Expected HTTP|Data after)/, 'the reason of the parser stays');
      assert.strictEqual(error.connection.reason, 'unexpected-data');
      assert.ok(error.connection.bytesWritten > 0 && error.connection.bytesRead > 0);
    });

  test('is destroyed by the program with an error of its own: aborted', patience, async (t) => {
    const { port } = await rawServer(t, (socket) => socket.once('data', () => socket.write(WHOLE)));
    const agent = ourAgent(t);
    const unread = http.get({ host: '127.0.0.1', port, agent }).on('error', () => {});
    const uploading = http.request({ host: '127.0.0.1', port, agent, method: 'POST' }).on('error', () => {});
    uploading.write('one');
    for (const request of [unread, uploading]) {
      const [response] = await once(request, 'response');
      const mine = new Error('mine');
      const destroyed = request === unread ? response : request;
      const failure = once(destroyed, 'error');
      destroyed.destroy(mine);
      assert.deepStrictEqual(await failure, [mine]);
      assert.strictEqual(mine.connection.reason, 'aborted');
      assert.ok(mine.connection.bytesWritten > 0 && mine.connection.bytesRead >= WHOLE.length);
    }
  });
});

describe('a response that is cut', () => {
  const cut = (t) =>
    rawServer(t, (socket) =>
      socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart')),
    );

  for (const [name, options] of Object.entries({ '': {}, ', on a socket of Node’s': onNodes })) {
    test(`before anybody reads it says so to who does then${name}`, patience, async (t) => {
      const { port } = await cut(t);
      const request = http.get({ host: '127.0.0.1', port, agent: ourAgent(t, options) });
      const [response] = await once(request, 'response');
      await closed(request);
      const error = await response.toArray().catch((reason) => reason);
      assert.strictEqual(error.message, 'aborted');
      assert.strictEqual(error.reason, 'peer-fin');
      assert.ok(error.connection.age >= 0);
    });

    test(`and is heard of after that says so${name}`, patience, async (t) => {
      const { port } = await cut(t);
      const request = http.get({ host: '127.0.0.1', port, agent: ourAgent(t, options) });
      const [socket] = await once(request, 'socket');
      await once(socket, 'connect');
      socket.pause();
      const begun = once(request, 'response');
      // All has come by then. Node's own sockets read no more where they are paused.
      if (options !== onNodes) await until(() => socket._readableState.ended);
      socket.resume();
      const [response] = await begun;
      const [error] = await once(response, 'error');
      assert.strictEqual(error.reason, 'peer-fin');
    });
  }
});

describe('a timeout after which the program gives up', () => {
  const giveUp = (request) => request.once('timeout', () => request.destroy());

  test('of the request: request-timeout', patience, async (t) => {
    const error = await errorOf(t, { act: 'hang', timeout: 500, reused: true, during: giveUp });
    assert.strictEqual(error.reason, 'request-timeout');
    assert.strictEqual(error.message, 'socket hang up');
    assert.strictEqual(error.code, 'ECONNRESET');
    assert.ok(error.connection.bytesWritten > 0);
  });

  test('set by setTimeout(): request-timeout', patience, async (t) => {
    const during = (request) => request.setTimeout(60, () => request.destroy());
    const { reason } = await errorOf(t, { act: 'hang', during });
    assert.strictEqual(reason, 'request-timeout');
  });

  test('of the agent: socket-timeout', patience, async (t) => {
    const { reason } = await errorOf(t, { options: { timeout: 60 }, act: 'hang', during: giveUp });
    assert.strictEqual(reason, 'socket-timeout');
  });

  test('with an error of its own: the facts alone', patience, async (t) => {
    const mine = new Error('too slow');
    const during = (request) => request.once('timeout', () => request.destroy(mine));
    assert.strictEqual(await errorOf(t, { act: 'hang', timeout: 60, during }), mine);
    assert.strictEqual(mine.connection.reason, 'request-timeout');
    assert.ok(!('reason' in mine));
  });

  test('is no cause of what happens later', patience, async (t) => {
    const server = await rawServer(t, (socket) => {
      socket.once('data', () => {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n');
        socket.once('data', () => socket.write('part'));
      });
    });
    const agent = ourAgent(t);
    const request = http.request({
      port: server.port,
      host: '127.0.0.1',
      method: 'POST',
      agent,
      timeout: 60,
    });
    request.write('one');
    const [response] = await once(request, 'response');
    await once(request, 'timeout');
    request.write('two');
    await once(response, 'data');
    request.destroy();
    const [error] = await once(response, 'error');
    assert.strictEqual(error.reason, 'aborted');
  });

  test('does not print as a close of the server does', patience, async (t) => {
    const timeout = await errorOf(t, { act: 'hang', timeout: 60, reused: true, during: giveUp });
    const fin = await errorOf(t, { act: 'close' });
    assert.strictEqual(String(timeout), 'Error: socket hang up');
    assert.strictEqual(String(fin), 'PeerClosedError: socket hang up');
    assert.match(inspect(timeout), /reason: 'request-timeout'[^]*bytesWritten: /);
  });
});

describe('the program', () => {
  test('destroys the request: aborted', patience, async (t) => {
    const during = (request) => request.once('finish', () => setImmediate(() => request.destroy()));
    const error = await errorOf(t, { act: 'hang', during });
    assert.deepStrictEqual([error.name, error.message], ['Error', 'socket hang up']);
    assert.strictEqual(error.reason, 'aborted');
    assert.strictEqual(error.connection.path, 'raw');
  });

  test('destroys the request before it has a socket: aborted', patience, async (t) => {
    for (const reused of [false, true]) {
      const error = await errorOf(t, { act: 'ok', reused, during: (request) => request.destroy() });
      assert.strictEqual(error.reason, 'aborted');
      const mine = new Error('mine');
      await errorOf(t, { act: 'ok', reused, during: (request) => request.destroy(mine) });
      assert.strictEqual(mine.connection.reason, 'aborted');
      assert.ok(!('reason' in mine));
    }
  });

  test('destroys a request over TLS before it has a socket: aborted', patience, async (t) => {
    const server = await rawServer(t, (socket) => socket.resume());
    const agent = new HttpsAgent();
    atEnd(t, () => agent.destroy());
    const request = https.get({ port: server.port, host: '127.0.0.1', agent });
    request.destroy();
    const [error] = await once(request, 'error');
    assert.deepStrictEqual([error.message, error.reason], ['socket hang up', 'aborted']);
    assert.deepStrictEqual([error.connection.path, error.connection.reused], ['raw', false]);
  });

  test('gives an error of its own, which keeps what it has', patience, async (t) => {
    const own = Object.assign(new Error('mine'), { reason: 'because' });
    const frozen = Object.freeze(new Error('frozen'));
    for (const mine of [own, frozen]) {
      const during = (request) => request.once('finish', () => setImmediate(() => request.destroy(mine)));
      assert.strictEqual(await errorOf(t, { act: 'hang', during }), mine);
    }
    assert.strictEqual(own.reason, 'because');
    assert.strictEqual(own.connection.reason, 'aborted');
    assert.deepStrictEqual(Object.keys(frozen), []);
  });

  test('aborts by a signal: aborted', patience, async (t) => {
    const controller = new AbortController();
    const during = (request) => request.once('finish', () => setImmediate(() => controller.abort()));
    const error = await errorOf(t, { act: 'hang', signal: controller.signal, during });
    assert.strictEqual(error.code, 'ABORT_ERR');
    assert.strictEqual(error.reason, undefined);
    assert.strictEqual(error.connection.reason, 'aborted');
  });

  test('destroys the agent: agent-destroyed', patience, async (t) => {
    const during = (request, agent) => request.once('finish', () => setImmediate(() => agent.destroy()));
    const error = await errorOf(t, { act: 'hang', during });
    assert.strictEqual(error.message, 'socket hang up');
    assert.strictEqual(error.reason, 'agent-destroyed');
  });
});

describe('connecting', () => {
  test('fails: connect-failed', patience, async (t) => {
    const request = http.get({ port: await closedPort(), host: '127.0.0.1', agent: ourAgent(t) });
    const [error] = await once(request, 'error');
    assert.strictEqual(error.code, 'ECONNREFUSED');
    assert.strictEqual(error.reason, 'connect-failed');
    assert.deepStrictEqual(error.connection, { reason: 'connect-failed', path: 'raw', reused: false });
  });

  test('finds no address: lookup-failed', patience, async (t) => {
    const request = http.get({ host: 'does-not-exist.invalid', agent: ourAgent(t) });
    const [error] = await once(request, 'error');
    assert.strictEqual(error.syscall, 'getaddrinfo');
    assert.strictEqual(error.reason, 'lookup-failed');
  });

  test('takes too long: connect-timeout', { ...patience, skip: !LINUX }, async (t) => {
    const { port } = await blackHole(t, '127.0.0.1');
    const request = http.get({ port, host: '127.0.0.1', agent: ourAgent(t, { connectTimeout: 60 }) });
    const [error] = await once(request, 'error');
    assert.strictEqual(error.code, 'ETIMEDOUT');
    assert.strictEqual(error.reason, 'connect-timeout');
  });
});

describe('a socket of Node’s own', () => {
  /** The error of a request on such a socket, the first one or a later one. */
  async function nodeErrorOf(t, { reused = false, during, ...request }) {
    const server = await startServer(t);
    const agent = ourAgent(t, onNodes);
    if (reused) await warm(agent, server);
    const sent = send(agent, server, { id: 'x', method: 'POST', body: 'body', ...request });
    during?.(sent.request, agent);
    const { error } = await sent;
    assert.strictEqual(error.connection.path, 'node');
    assert.strictEqual(error.connection.reused, reused);
    assert.strictEqual(error.connection.remoteAddress, '127.0.0.1');
    return error.reason;
  }

  for (const reused of [false, true]) {
    test(`says the same, ${reused ? 'reused' : 'fresh'}`, patience, async (t) => {
      const after = (act) => (request, agent) =>
        request.once('finish', () => setTimeout(() => act(request, agent), 20));
      assert.strictEqual(await nodeErrorOf(t, { act: 'close', reused }), 'peer-fin');
      assert.strictEqual(await nodeErrorOf(t, { act: 'reset', reused }), 'peer-reset');
      const destroy = after((request) => request.destroy());
      assert.strictEqual(await nodeErrorOf(t, { act: 'hang', during: destroy, reused }), 'aborted');
      const end = after((request, agent) => agent.destroy());
      assert.strictEqual(await nodeErrorOf(t, { act: 'hang', during: end, reused }), 'agent-destroyed');
    });
  }

  test('says the same to a request that has waited for it', patience, async (t) => {
    const server = await startServer(t);
    const agent = ourAgent(t, { ...onNodes, maxSockets: 1 });
    const first = send(agent, server, { id: 'first' });
    const second = send(agent, server, { id: 'second', act: 'close', method: 'POST', body: 'body' });
    await first;
    const { error } = await second;
    assert.deepStrictEqual([error.reason, error.connection?.path], ['peer-fin', 'node']);
  });

  test('says of what its parser cannot read that it is no HTTP', patience, async (t) => {
    const { port } = await rawServer(t, (socket) =>
      socket.once('data', () => socket.write('garbage\r\n\r\n')),
    );
    const agent = ourAgent(t, onNodes);
    const [error] = await once(http.get({ host: '127.0.0.1', port, agent }), 'error');
    assert.match(error.code, /^HPE_/);
    assert.deepStrictEqual([error.connection.reason, error.connection.path], ['invalid-response', 'node']);
  });

  test('that does not connect: connect-failed', patience, async (t) => {
    const agent = ourAgent(t, onNodes);
    const [error] = await once(http.get({ port: await closedPort(), host: '127.0.0.1', agent }), 'error');
    assert.strictEqual(error.reason, 'connect-failed');
    assert.strictEqual(error.connection.path, 'node');
  });

  test('that connects to none of several addresses: connect-failed', patience, async (t) => {
    const agent = ourAgent(t, onNodes);
    const found = ['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 }));
    const lookup = (host, options, callback) => callback(null, found);
    const port = await closedPort();
    const request = http.get({ port, host: 'name.test', agent, lookup, autoSelectFamily: true });
    const [error] = await once(request, 'error');
    assert.strictEqual(error.errors.length, 2);
    assert.strictEqual(error.reason, 'connect-failed');
    assert.strictEqual(error.connection.path, 'node');
  });
});

test('a TLS handshake that fails: tls-failed', patience, async (t) => {
  const server = await rawServer(t, (socket) => socket.once('data', () => socket.end('no TLS here')));
  const agent = new HttpsAgent();
  atEnd(t, () => agent.destroy());
  const [error] = await once(https.get({ port: server.port, host: '127.0.0.1', agent }), 'error');
  assert.strictEqual(error.connection.reason, 'tls-failed');
});

test('what Node says of the same failures stays as it is', patience, async (t) => {
  const server = await rawServer(t, (socket) =>
    socket.once('data', (bytes) => {
      const head = bytes.toString('latin1');
      if (head.includes('/fin')) socket.end();
      else if (head.includes('/reset')) socket.resetAndDestroy();
      else if (head.includes('/part')) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart');
    }),
  );
  for (const where of ['/fin', '/reset', '/part', '/destroyed']) {
    await asNode(t, async (make) => {
      const agent = make();
      const log = [];
      const request = http.get({ host: '127.0.0.1', port: server.port, path: where, agent }, (response) => {
        response.on('error', (error) => log.push('response', describeError(error))).resume();
      });
      request.on('error', (error) => log.push(describeError(error)));
      if (where === '/destroyed') request.once('finish', () => setImmediate(() => request.destroy()));
      const counts = [];
      request.on('socket', (socket) => {
        socket.on('close', () => counts.push(request.listenerCount('error'), socket.listenerCount('error')));
      });
      await closed(request);
      return [log, counts];
    });
  }
});

test('an error that nobody listens to is thrown as before', patience, async (t) => {
  const server = await startServer(t);
  const script = `
    const { HttpAgent } = require('.');
    require('http').get({ port: ${server.port}, headers: { 'x-id': 'x', 'x-do': 'close' }, agent: new HttpAgent() });
    process.on('uncaughtException', (error) => { console.log(error.message, error.reason); process.exit(0); });`;
  const { stdout } = spawnSync(process.execPath, ['-e', script], { cwd: path.join(__dirname, '..') });
  assert.strictEqual(stdout.toString().trim(), 'socket hang up peer-fin');
});

test(
  'in a context of its own, with another class of errors, it is said of Node’s too',
  patience,
  async (t) => {
    const agent = new (loadInto({ process, setTimeout, clearTimeout }).HttpAgent)();
    atEnd(t, () => agent.destroy());
    const server = await startServer(t);
    const { error } = await send(agent, server, { id: 'x', act: 'close' });
    assert.ok(error instanceof Error, 'it is of Node’s class');
    assert.strictEqual(error.reason, 'peer-fin');
    assert.strictEqual(error.connection.reused, false);
    const nobody = http.get({ port: await closedPort(), host: '127.0.0.1', agent });
    const [failure] = await once(nobody, 'error');
    assert.strictEqual(failure.reason, 'connect-failed');
  },
);

test('a successful request has no listener of ours', patience, async (t) => {
  const server = await startServer(t);
  const agent = ourAgent(t);
  for (let round = 0; round < 2; round++) {
    const { request, response } = await send(agent, server, { id: `x${round}`, act: 'ok' });
    const names = [...request.eventNames(), ...response.eventNames()].filter(
      (name) => typeof name === 'symbol',
    );
    assert.deepStrictEqual(names, []);
  }
});

test('the reasons are the same in the documentation, in the types and in the code', () => {
  const read = (...names) => fs.readFileSync(path.join(__dirname, '..', ...names), 'utf8');
  const [, union] = /export type CloseReason =([^;]*);/.exec(read('index.d.ts'));
  const inTypes = [...union.matchAll(/'([\w-]+)'/g)].map(([, name]) => name);
  const inDocs = [...read('docs', 'errors.md').matchAll(/^\| `([\w-]+)`/gm)].map(([, name]) => name);
  const inCode = [...NAMES.values()];
  assert.deepStrictEqual(inTypes.toSorted(), inCode.toSorted());
  assert.deepStrictEqual(inDocs.toSorted(), inCode.toSorted());
});

describe('who listens', () => {
  /** What is seen of a failing request: by a patch of all emitters, by one of its own, and in the lists of events. */
  async function watchFailure(t, Agent, port, act) {
    const agent = new Agent({ keepAlive: true });
    t.after(() => agent.destroy());
    const seen = [];
    const note = (emitter, event) => {
      if (emitter instanceof http.ClientRequest) seen.push(['request', event]);
      if (emitter instanceof http.IncomingMessage) seen.push(['response', event]);
    };
    const { emit } = EventEmitter.prototype;
    t.after(() => (EventEmitter.prototype.emit = emit));
    EventEmitter.prototype.emit = function (event, ...args) {
      note(this, event);
      return emit.call(this, event, ...args);
    };
    const request = http.request({ host: '127.0.0.1', port, agent, method: 'POST' });
    act(request, (event) => seen.push(['own', event]));
    const errors = [];
    request.on('response', (response) => {
      act(response, (event) => seen.push(['own', event]));
      response.on('error', (error) => errors.push(error));
    });
    request.on('error', (error) => errors.push(error));
    request.end();
    await closed(request);
    EventEmitter.prototype.emit = emit;
    seen.push(request.eventNames(), request.res?.eventNames(), Object.keys(request.res ?? {}));
    assert.deepStrictEqual(
      errors.map(({ connection }) => connection?.reason),
      Agent === http.Agent ? [undefined] : ['peer-fin'],
    );
    return seen;
  }

  const patch = (emitter, note) => {
    const { emit } = emitter;
    emitter.emit = function (event, ...args) {
      note(event);
      return emit.call(this, event, ...args);
    };
  };
  for (const [name, act] of Object.entries({
    'to all emitters': () => {},
    'by an emit of its own': patch,
    'by one that comes later': (emitter, note) =>
      emitter.once(emitter instanceof http.ClientRequest ? 'finish' : 'data', () => patch(emitter, note)),
  })) {
    test(`${name} sees the events of http.Agent`, { ...patience, concurrency: false }, async (t) => {
      for (const answer of ['', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody']) {
        const { port } = await rawServer(t, (socket) => socket.once('data', () => socket.end(answer)));
        const theirs = await watchFailure(t, http.Agent, port, act);
        assert.deepStrictEqual(await watchFailure(t, HttpAgent, port, act), theirs);
      }
    });
  }

  test("what a program emits as 'response' meanwhile is its own affair", patience, async (t) => {
    const { port } = await rawServer(t, () => {});
    const request = http.get({ host: '127.0.0.1', port, agent: ourAgent(t) });
    const seen = [];
    request.on('response', (...args) => seen.push(args));
    await once(request, 'finish');
    request.destroy();
    for (const args of [[], [null], [{}]]) request.emit('response', ...args);
    const [error] = await once(request, 'error');
    assert.deepStrictEqual(seen, [[], [null], [{}]]);
    assert.strictEqual(error.connection.reason, 'aborted');
  });
});
