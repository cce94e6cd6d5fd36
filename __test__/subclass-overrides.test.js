'use strict';

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const net = require('node:net');
const { Duplex } = require('node:stream');
const { test } = require('node:test');
const { HttpAgent } = require('..');
const { echoServer } = require('./helpers/echo-server');
const { asNode, books, closed, exchange, exchangeAndIdle, nextTurn, ourAgent } = require('./helpers/request');

/** A class of the caller's over Node's agent or ours, whichever the scenario is run with. */
const extend = (make, methods) => (options) => {
  const agent = make(options);
  const Base = agent.constructor;
  const Derived = class extends Base {};
  for (const [name, method] of Object.entries(methods(Base.prototype))) Derived.prototype[name] = method;
  return Object.setPrototypeOf(agent, Derived.prototype);
};

/** A stream over a socket, as tunnels and test doubles are. */
class Wrapped extends Duplex {
  constructor(socket) {
    super();
    this.socket = socket;
    socket.on('data', (data) => this.push(data)).on('end', () => this.push(null));
    socket.on('close', () => this.destroy());
  }
  _read() {}
  _write(chunk, encoding, callback) {
    this.socket.write(chunk, encoding, callback);
  }
  _destroy(error, callback) {
    this.socket.destroy();
    callback(error);
  }
  setKeepAlive() {}
  setTimeout() {}
  ref() {}
  unref() {}
}

for (const [title, create] of [
  ['returns a socket', (options) => net.connect(options)],
  ['returns any stream', (options) => new Wrapped(net.connect(options))],
  [
    'hands a socket to its callback later',
    (options, callback) => {
      const socket = net.connect(options, () => callback(null, socket));
    },
  ],
  [
    'does both',
    (options, callback) => {
      const socket = net.connect(options, () => callback(null, socket));
      return socket;
    },
  ],
]) {
  test(`createConnection that ${title}`, { timeout: 20_000 }, async (t) => {
    const server = await echoServer(t);
    const [, reused] = await asNode(t, async (make) => {
      let calls = 0;
      const agent = extend(make, () => ({
        createConnection(options, callback) {
          calls++;
          return create({ host: options.host, port: options.port }, callback);
        },
      }))();
      const first = await exchangeAndIdle({ ...server.at, path: '/1', agent });
      const second = await exchangeAndIdle({ ...server.at, path: '/2', agent });
      return [
        [first, second].map(({ body }) => JSON.parse(body).url),
        [second.socket === first.socket, second.request.reusedSocket, calls],
        books(agent),
      ];
    });
    assert.deepStrictEqual(reused, [true, true, 1]);
  });
}

for (const [title, methods] of [
  [
    'createConnection hands to its callback',
    () => ({
      createConnection(options, callback) {
        process.nextTick(callback, new Error('no connection'));
      },
    }),
  ],
  [
    'createSocket hands to its callback',
    () => ({
      createSocket(request, options, callback) {
        process.nextTick(callback, new Error('no connection'));
      },
    }),
  ],
]) {
  test(`an error that ${title} reaches the request`, { timeout: 20_000 }, async (t) => {
    const server = await echoServer(t);
    const trace = await asNode(t, async (make) => {
      const agent = extend(make, methods)();
      const trace = [];
      const request = http.get({ ...server.at, agent });
      request.on('error', ({ message }) => trace.push(message));
      await closed(request);
      return [...trace, 'close', books(agent).total];
    });
    assert.deepStrictEqual(trace, ['no connection', 'close', 0]);
  });
}

test('an error that createConnection throws is thrown by http.request()', { timeout: 20_000 }, async (t) => {
  await asNode(t, async (make) => {
    const agent = extend(make, () => ({
      createConnection() {
        throw new Error('thrown');
      },
    }))();
    try {
      http.get({ host: 'h', agent }).on('error', () => {});
    } catch ({ message }) {
      return message;
    }
    return undefined;
  });
});

test(
  'super.createConnection returns a socket at once, and options may be changed',
  { timeout: 20_000 },
  async (t) => {
    const server = await echoServer(t);
    const [, ports] = await asNode(t, async (make) => {
      const seen = [];
      const agent = extend(make, (base) => ({
        createConnection(options, callback) {
          const socket = base.createConnection.call(this, { ...options, ...server.at }, callback);
          seen.push(socket instanceof Duplex, socket.connecting, typeof callback);
          return socket;
        },
      }))();
      const { socket } = await exchangeAndIdle({ host: 'absent.invalid', port: 1, agent });
      return [seen, socket.remotePort, Object.keys(agent.freeSockets)];
    });
    assert.strictEqual(ports, server.at.port);
  },
);

test('the socket of super.createConnection is ours', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  class Own extends HttpAgent {
    createConnection(options, callback) {
      return super.createConnection(options, callback);
    }
  }
  const agent = new Own();
  t.after(() => agent.destroy());
  const { socket } = await exchangeAndIdle({ ...server.at, agent });
  assert.strictEqual(socket instanceof net.Socket, false);
  assert.strictEqual(socket.constructor.name, 'Lane');
});

test(
  'what createConnection has written to its socket is not missing on another connection',
  { timeout: 20_000 },
  async (t) => {
    const GREETING = 'PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n';
    const scenario = async (make) => {
      const seen = [];
      const server = net.createServer((socket) => {
        const requests = [];
        seen.push(requests);
        socket.on('error', () => {});
        socket.on('data', (data) => {
          requests.push(String(data).split(' HTTP', 1)[0]);
          if (String(data).includes('/last')) socket.destroy();
          else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
        });
      });
      await once(server.listen(0, '127.0.0.1'), 'listening');
      t.after(() => server.close());
      const agent = extend(make, ({ createConnection }) => ({
        createConnection(...args) {
          const socket = createConnection.apply(this, args);
          socket.write(GREETING);
          return socket;
        },
      }))({ keepAlive: true });
      const at = { port: server.address().port, host: '127.0.0.1', agent };
      const codes = [];
      for (const path of ['/1', '/2', '/last', '/3']) {
        const whole = path === '/last' ? exchange : exchangeAndIdle;
        codes.push(
          await whole({ ...at, path }).then(
            () => 'whole',
            ({ code }) => code,
          ),
        );
      }
      return { codes, seen };
    };
    assert.deepStrictEqual(await asNode(t, scenario), {
      codes: ['whole', 'whole', 'ECONNRESET', 'whole'],
      seen: [[`${GREETING}GET /1`, 'GET /2', 'GET /last'], [`${GREETING}GET /3`]],
    });
  },
);

test('createConnection takes the forms of net.connect()', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const { host, port } = server.at;
  const seen = await asNode(t, async (make) => {
    const agent = make();
    const seen = [];
    for (const args of [
      [{ host, port }],
      [port, host],
      [port, host, { noDelay: true }],
      [String(port), host],
      [port, { host }],
    ]) {
      for (const withCallback of [false, true]) {
        let called = 0;
        const socket = agent.createConnection(...args, ...(withCallback ? [() => called++] : []));
        await once(socket, 'connect');
        seen.push([socket.remoteAddress, socket.remotePort, called]);
        socket.destroy();
      }
    }
    return seen;
  });
  assert.strictEqual(seen.length, 10);
});

test('a stream that cannot be idle serves one request', { timeout: 20_000 }, async (t) => {
  const agent = extend(ourAgent.bind(null, t), () => ({
    createConnection() {
      const stream = new Duplex({ read() {}, write: (chunk, encoding, callback) => callback() });
      stream.push('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello');
      return stream;
    },
  }))();
  const { body, socket } = await exchange({ agent });
  assert.strictEqual(String(body), 'hello');
  if (!socket.destroyed) await once(socket, 'close');
  await nextTurn();
  assert.deepStrictEqual(books(agent), { sockets: {}, freeSockets: {}, requests: {}, total: 0 });
});

test('createConnection of one instance', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  await asNode(t, async (make) => {
    const agent = make();
    const asked = [];
    agent.createConnection = (options, callback) => {
      asked.push([
        options.host,
        options.port === server.at.port,
        options.keepAlive,
        options.keepAliveInitialDelay,
      ]);
      asked.push([
        options.noDelay,
        options.path,
        options._agentKey === agent.getName(options),
        typeof callback,
      ]);
      return net.connect(server.at);
    };
    const { body } = await exchangeAndIdle({ ...server.at, agent });
    return [asked, JSON.parse(body).method];
  });
});

test('createConnection of a request is not asked when there is an agent', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const called = await asNode(t, async (make) => {
    const agent = make();
    let called = 0;
    const createConnection = () => {
      called++;
      return net.connect(server.at);
    };
    const { body } = await exchange({ ...server.at, agent, createConnection });
    return [called, JSON.parse(body).method];
  });
  assert.deepStrictEqual(called, [0, 'GET']);
});

test('createSocket is called for each new socket', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const [calls] = await asNode(t, async (make) => {
    const calls = [];
    const agent = extend(make, (base) => ({
      createSocket(request, options, callback) {
        calls.push([request.path, options.port === server.at.port, typeof callback]);
        return base.createSocket.call(this, request, options, callback);
      },
    }))();
    for (const path of ['/1', '/2']) await exchangeAndIdle({ ...server.at, path, agent });
    return [calls, books(agent)];
  });
  assert.strictEqual(calls.length, 1);
});

test('keepSocketAlive that says no', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  await asNode(t, async (make) => {
    let asked = 0;
    const agent = extend(make, () => ({
      keepSocketAlive() {
        asked++;
        return false;
      },
    }))();
    const { socket } = await exchange({ ...server.at, agent });
    await closed(socket);
    return [asked, books(agent)];
  });
});

test('keepSocketAlive that sets a limit of its own', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const events = await asNode(t, async (make) => {
    const agent = extend(make, () => ({
      keepSocketAlive(socket) {
        socket.setKeepAlive(true, this.keepAliveMsecs);
        socket.unref();
        socket.setTimeout(80);
        return true;
      },
    }))();
    const { socket } = await exchangeAndIdle({ ...server.at, agent });
    const events = [];
    socket.on('timeout', () => events.push('timeout'));
    socket.on('close', () => events.push('close'));
    const { timeout } = socket;
    await closed(socket);
    return [timeout, events, books(agent)];
  });
  assert.deepStrictEqual(events.slice(0, 2), [80, ['timeout', 'close']]);
});

test('one that lets ours decide first, and then sets less', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  class Own extends HttpAgent {
    keepSocketAlive(socket) {
      const kept = super.keepSocketAlive(socket);
      socket.setTimeout(80);
      return kept;
    }
  }
  const agent = new Own({ freeSocketTimeout: 60_000 });
  t.after(() => agent.destroy());
  const { socket } = await exchangeAndIdle({ ...server.at, agent });
  await closed(socket);
  assert.strictEqual(agent.totalSocketCount, 0);
});

test('reuseSocket is called with the socket and the request', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const [, calls] = await asNode(t, async (make) => {
    const calls = [];
    const agent = extend(make, (base) => ({
      reuseSocket(socket, request) {
        calls.push([request.path, request.reusedSocket, socket.destroyed]);
        return base.reuseSocket.call(this, socket, request);
      },
    }))();
    const done = [];
    for (const path of ['/1', '/2']) done.push((await exchangeAndIdle({ ...server.at, path, agent })).body);
    return [done.map((body) => JSON.parse(body).url), calls];
  });
  assert.deepStrictEqual(calls, [['/2', false, false]]);
});

test('getName decides what is the same pool', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const [names, reused] = await asNode(t, async (make) => {
    const agent = extend(make, (base) => ({
      getName(options) {
        return `${base.getName.call(this, options)}:${options.tenant ?? ''}`;
      },
    }))();
    const reused = [];
    for (const tenant of ['a', 'b', 'a']) {
      reused.push((await exchangeAndIdle({ ...server.at, tenant, agent })).request.reusedSocket);
    }
    return [Object.keys(agent.freeSockets), reused];
  });
  assert.strictEqual(names.length, 2);
  assert.deepStrictEqual(reused, [false, false, true]);
});

test('addRequest and removeSocket', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  await asNode(t, async (make) => {
    const calls = [];
    const agent = extend(make, (base) => ({
      addRequest(request, options) {
        calls.push(['addRequest', request.path]);
        return base.addRequest.call(this, request, options);
      },
      removeSocket(socket, options) {
        calls.push(['removeSocket', socket.destroyed, options.port === server.at.port]);
        return base.removeSocket.call(this, socket, options);
      },
    }))();
    const { socket } = await exchangeAndIdle({ ...server.at, agent });
    socket.destroy();
    await closed(socket);
    await nextTurn();
    return calls;
  });
});

test('two agents with one pool name share nothing', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const [one, other] = [ourAgent(t), ourAgent(t)];
  await exchangeAndIdle({ ...server.at, agent: one });
  const { request } = await exchangeAndIdle({ ...server.at, agent: other });
  assert.strictEqual(request.reusedSocket, false);
});
