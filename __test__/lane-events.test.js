'use strict';

// The events of a lane come as net.Socket's do: the same names, arguments and order, and the socket
// looks the same while each is handled.

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const { test } = require('node:test');
const {
  closedPort,
  httpServer,
  rawServer,
  replying,
  respond,
  sameAsNode,
  seeingAgent,
  traceEvents,
} = require('./helpers/lane-server');

const options = { timeout: 20_000 };

/** What a listener can ask the socket. */
function look(socket, event) {
  // While this is emitted for an only address, net.Socket says that it is open, and shows where it was bound.
  if (event === 'connectionAttemptFailed') return [];
  const { connecting, pending, destroyed, readyState, remoteAddress, remotePort, remoteFamily } = socket;
  const { localAddress, localFamily, _hadError } = socket;
  return [
    { connecting, pending, destroyed, readyState, _hadError },
    // What is left of the addresses after the end differs: net.Socket forgets some, and remembers some.
    destroyed ? {} : { remoteAddress, remotePort, remoteFamily, localAddress, localFamily },
  ];
}

/** Runs one request and returns the events of its socket until that has closed, with the request's own. */
async function trace(t, Agent, requestOptions, act = () => {}, agentOptions = {}) {
  const log = [];
  let closed;
  const agent = seeingAgent(t, Agent, agentOptions, (socket) => {
    traceEvents(socket, log, look);
    closed = once(socket, 'close').catch(() => once(socket, 'close'));
  });
  const request = http.request({ host: '127.0.0.1', ...requestOptions, agent });
  request.on('error', (error) => log.push(['request error', error.code, error.message]));
  request.on('timeout', () => log.push(['request timeout']));
  request.on('response', (response) => {
    log.push(['response', response.statusCode]);
    response.on('error', (error) => log.push(['response error', error.code, error.message]));
    response.on('end', () => log.push(['response end']));
    response.resume();
  });
  act(request, agent);
  request.end();
  await closed;
  // Behind a whole response both sides end at once: whether the peer's end is seen before the close is chance.
  const ended = log.findIndex(([name]) => name === 'response end');
  return log.filter(([name], at) => name !== 'end' || ended === -1 || at < ended);
}

/** The same with a timeout of the socket, until that has run out on a connection: where the machine stands still it does sooner. */
async function traceTimeout(...args) {
  for (;;) {
    const log = await trace(...args);
    const [connected, late] = ['ready', 'timeout'].map((name) => names(log).indexOf(name));
    if (connected !== -1 && connected < late) return log;
  }
}

/** The events whose listeners are counted. */
const COUNTED = ['error', 'end', 'timeout', 'data', 'drain', 'close', 'free', 'agentRemove'];

const names = (log) => log.map(([name]) => name);

test('a request to an address, closed by the server', options, async (t) => {
  const server = await httpServer(t, (req, res) => res.setHeader('Connection', 'close').end('hello'));
  const log = await sameAsNode((Agent) => trace(t, Agent, { port: server.port }));
  assert.deepStrictEqual(names(log).slice(0, 3), ['connectionAttempt', 'connect', 'ready']);
  assert.deepStrictEqual(log.at(-1).slice(0, 2), ['close', false]);
});

test('a request to a name', options, async (t) => {
  const server = await httpServer(t, (req, res) => res.setHeader('Connection', 'close').end());
  const log = await sameAsNode((Agent) =>
    trace(t, Agent, { host: 'localhost', family: 4, port: server.port }),
  );
  assert.deepStrictEqual(names(log).slice(0, 3), ['lookup', 'connectionAttempt', 'connect']);
});

test('a name with several addresses, of which the first refuses', options, async (t) => {
  const server = await httpServer(t, (req, res) => res.setHeader('Connection', 'close').end());
  const lookup = (host, { all }, callback) => {
    assert.strictEqual(all, true);
    const found = [
      { address: '127.0.0.9', family: 4 },
      { address: '127.0.0.1', family: 4 },
    ];
    setImmediate(callback, null, found);
  };
  const log = await sameAsNode((Agent) =>
    trace(t, Agent, { host: 'several.test', port: server.port, lookup, autoSelectFamily: true }),
  );
  assert.deepStrictEqual(names(log).slice(0, 7), [
    'lookup',
    'lookup',
    'connectionAttempt',
    'connectionAttemptFailed',
    'connectionAttempt',
    'connect',
    'ready',
  ]);
});

test(
  "who has the socket learns of the end of a lookup that answers at once: by an address or by 'lookup'",
  options,
  async (t) => {
    const server = await httpServer(t, (req, res) => res.end());
    const answers = {
      all: (host, query, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }]),
      one: (host, query, callback) => callback(null, '127.0.0.1', 4),
    };
    for (const [autoSelectFamily, lookup] of [
      [true, answers.all],
      [false, answers.one],
    ]) {
      const outcome = await sameAsNode(async (Agent) => {
        const agent = seeingAgent(t, Agent);
        const at = { host: 'name.test', port: server.port, lookup, autoSelectFamily };
        const request = http.get({ ...at, agent }, (response) => response.resume());
        let knows;
        request.on('socket', (socket) => {
          // Its timers do the same with the socket as got's.
          knows = socket.address().address !== undefined;
          socket.once('lookup', (error) => (knows = error === null));
        });
        await once(request, 'close');
        return knows;
      });
      assert.strictEqual(outcome, true);
    }
  },
);

test('an address that refuses', options, async (t) => {
  const port = await closedPort();
  const log = await sameAsNode((Agent) => trace(t, Agent, { port }));
  assert.deepStrictEqual(names(log).slice(-3), ['error', 'request error', 'close']);
});

test('a name that does not resolve', options, async (t) => {
  const log = await sameAsNode((Agent) => trace(t, Agent, { host: 'does-not-exist.invalid', port: 80 }));
  assert.strictEqual(names(log)[0], 'lookup');
});

test('a connection that ends before the response', options, async (t) => {
  const server = await rawServer(t, (socket) => socket.once('data', () => socket.end()));
  const log = await sameAsNode((Agent) => trace(t, Agent, { port: server.port }));
  assert.ok(log.some(([name, code]) => name === 'request error' && code === 'ECONNRESET'));
});

test('a connection that ends within the response', options, async (t) => {
  const half = 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf';
  const server = await rawServer(t, (socket) => socket.once('data', () => socket.end(half)));
  const log = await sameAsNode((Agent) => trace(t, Agent, { port: server.port }));
  assert.ok(names(log).includes('response error'));
});

test('a connection that is reset before the response', options, async (t) => {
  const server = await rawServer(t, (socket) => socket.once('data', () => socket.resetAndDestroy()));
  const log = await sameAsNode((Agent) => trace(t, Agent, { port: server.port }));
  const error = log.find(([name]) => name === 'error');
  assert.strictEqual(error[1].message, 'read ECONNRESET');
  assert.deepStrictEqual(log.at(-1).slice(0, 2), ['close', true]);
});

test('a timeout, after which the request is destroyed', options, async (t) => {
  const server = await httpServer(t, () => {});
  const log = await sameAsNode((Agent) =>
    traceTimeout(t, Agent, { port: server.port, timeout: 50 }, (request) =>
      request.on('timeout', () => request.destroy()),
    ),
  );
  assert.ok(names(log).includes('timeout'));
});

test('a timeout of the agent', options, async (t) => {
  const server = await httpServer(t, () => {});
  const log = await sameAsNode((Agent) =>
    traceTimeout(
      t,
      Agent,
      { port: server.port },
      (request) => request.on('timeout', () => request.destroy(new Error('enough'))),
      { timeout: 50 },
    ),
  );
  assert.ok(names(log).includes('timeout'));
});

test('a request that is destroyed before it has connected', options, async (t) => {
  const server = await httpServer(t, () => {});
  await sameAsNode(async (Agent) => {
    const log = await trace(t, Agent, { port: server.port }, (request) =>
      request.on('socket', () => request.destroy()),
    );
    // Node has begun to connect by then; we begin at the end of the tick.
    return log.filter(([name]) => name !== 'connectionAttempt');
  });
});

test('a request that is destroyed once it has connected', options, async (t) => {
  const server = await httpServer(t, () => {});
  await sameAsNode((Agent) =>
    trace(t, Agent, { port: server.port }, (request) =>
      request.on('socket', (socket) => socket.on('connect', () => request.destroy(new Error('no')))),
    ),
  );
});

test('a kept connection that the agent destroys', options, async (t) => {
  const server = await httpServer(t, (req, res) => res.end('x'));
  const log = await sameAsNode((Agent) =>
    trace(t, Agent, { port: server.port }, (request, agent) => agent.on('free', () => agent.destroy())),
  );
  assert.deepStrictEqual(names(log).slice(-2), ['response end', 'close']);
});

test('a connection that is upgraded, and ended by the server', options, async (t) => {
  const reply = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n';
  const server = await rawServer(t, (socket) => {
    replying(reply)(socket);
    socket.once('data', () => setImmediate(() => socket.end('bye')));
  });
  await sameAsNode((Agent) => {
    const headers = { Connection: 'Upgrade', Upgrade: 'x' };
    return trace(t, Agent, { port: server.port, headers }, (request) =>
      request.on('upgrade', (response, socket) => socket.resume()),
    );
  });
});

test('a bare connection, ended by either side', options, async (t) => {
  const server = await rawServer(t, (socket) => socket.on('end', () => socket.end()).resume(), {
    allowHalfOpen: true,
  });
  for (const allowHalfOpen of [false, true]) {
    await sameAsNode(async (Agent) => {
      const agent = seeingAgent(t, Agent);
      const socket = agent.createConnection({ host: '127.0.0.1', port: server.port, allowHalfOpen });
      const log = traceEvents(socket, [], look);
      socket.on('finish', () => log.push(['finish', ...look(socket)]));
      socket.on('connect', () => socket.end('bye')).resume();
      await once(socket, 'close');
      return log;
    });
  }
});

test('listeners and callbacks see the socket at the same times', options, async (t) => {
  const server = await httpServer(t, (req, res) => res.end('x'));
  await sameAsNode(async (Agent) => {
    const agent = seeingAgent(t, Agent);
    const log = [];
    for (let round = 0; round < 3; round++) {
      const request = http.request({ host: '127.0.0.1', port: server.port, agent });
      log.push(['called', request.socket]);
      for (const name of ['socket', 'finish', 'response', 'close'])
        request.on(name, () =>
          log.push([
            name,
            request.reusedSocket,
            request.socket.connecting,
            COUNTED.map((event) => request.socket.listenerCount(event)),
          ]),
        );
      const response = respond(request);
      const free = once(agent, 'free');
      request.end(() => log.push('ended'));
      await response;
      await free;
    }
    return log;
  });
});

/** The events of a request beside those of its new connection. `act` is given the request when it is on its socket. */
async function traceRequest(t, Agent, { path = '/', method = 'GET', port }, act = () => {}) {
  const log = [];
  const agent = seeingAgent(t, Agent, {}, (socket) => {
    for (const event of ['connect', 'ready', 'close']) socket.on(event, () => log.push(`socket ${event}`));
  });
  const request = http.request({ host: '127.0.0.1', port, path, method, agent });
  for (const event of ['finish', 'error', 'close']) {
    request.on(event, () => log.push([event, request.writableFinished, request.writableLength > 0]));
  }
  request.on('response', (response) => response.resume());
  if (method === 'POST') request.write('body', (error) => log.push(['written', error?.code]));
  request.end((error) => log.push(['ended', error?.code]));
  request.on('socket', () => process.nextTick(act, request));
  await new Promise((resolve) => request.on('close', resolve));
  for (let i = 0; i < 3; i++) await new Promise(setImmediate);
  return log;
}

test('what is written on a new connection is done between its events', options, async (t) => {
  const { port } = await httpServer(t, (req, res) => res.end());
  for (const method of ['GET', 'POST']) {
    const log = await sameAsNode((Agent) => traceRequest(t, Agent, { method, port }));
    assert.deepStrictEqual([log[0], log.includes('socket ready')], ['socket connect', true]);
  }
});

test('a request that is destroyed while it connects does not finish before its error', options, async (t) => {
  const { port } = await httpServer(t, (req, res) => res.end());
  for (const method of ['GET', 'POST']) {
    const destroy = (request) => request.destroy();
    const log = await sameAsNode((Agent) => traceRequest(t, Agent, { method, port }, destroy));
    assert.deepStrictEqual(log[0], 'socket close');
    assert.deepStrictEqual(log[1].slice(0, 2), ['error', false]);
  }
});
