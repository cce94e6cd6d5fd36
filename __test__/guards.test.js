'use strict';

// Where JavaScript has a say in what is connected to, nothing is connected before it has said so. Guards
// against requests to internal addresses are built this way, so each test counts what reaches them.

const assert = require('node:assert');
const dns = require('node:dns');
const { once } = require('node:events');
const http = require('node:http');
const net = require('node:net');
const { test } = require('node:test');
const { HttpAgent } = require('..');
const {
  closedPort,
  failure,
  get,
  httpServer,
  rawServer,
  replying,
  sameAsNode,
  seeingAgent,
  until,
} = require('./helpers/lane-server');

const options = { timeout: 20_000 };
const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** Two servers of one port: `outside` may be connected to, `inside` must not. */
async function servers(t) {
  const seen = { inside: 0, outside: 0 };
  const outside = await rawServer(t, (socket) => (seen.outside++, replying(ANSWER)(socket)));
  const where = { host: '127.0.0.2', port: outside.port };
  await rawServer(t, (socket) => (seen.inside++, replying(ANSWER)(socket)), {}, where);
  return { port: outside.port, seen, outside };
}

/** Nothing is on its way any more: what was connected to this port before has been accepted. */
async function settled(port) {
  for (const host of ['127.0.0.1', '127.0.0.2']) {
    const socket = net.connect(port, host);
    await once(socket, 'connect');
    socket.destroy();
    await once(socket, 'close');
  }
}

/** A lookup that answers with what `addresses()` is by then. */
function lookupOf(addresses, calls = []) {
  return (host, query, callback) => {
    calls.push(host);
    const found = addresses().map((address) => ({ address, family: net.isIP(address) }));
    setImmediate(() =>
      query.all ? callback(null, found) : callback(null, found[0].address, found[0].family),
    );
  };
}

/** Ends the idle connections of a raw server and returns in the same turn: the agent cannot know yet. */
function closeAll(sockets) {
  for (const socket of sockets.splice(0)) socket.destroy();
}

/** A server whose connections a test can close, and that counts them. */
async function closable(t, where) {
  const sockets = [];
  let accepted = 0;
  const server = await rawServer(
    t,
    (socket) => {
      accepted++;
      sockets.push(socket);
      replying(ANSWER)(socket);
    },
    {},
    where,
  );
  return { port: server.port, sockets, accepted: () => accepted };
}

test('the lookup option decides, and is asked for each connection', options, async (t) => {
  const { port, seen } = await servers(t);
  const calls = [];
  const agent = seeingAgent(t, HttpAgent, { keepAlive: false });
  const lookup = lookupOf(() => ['127.0.0.1'], calls);
  for (let round = 0; round < 3; round++) {
    assert.strictEqual((await get({ host: 'guarded.test', port, agent, lookup })).body, 'ok');
  }
  assert.deepStrictEqual([calls.length, seen.outside, seen.inside], [3, 3, 0]);
});

test('a lookup that refuses sends nothing', options, async (t) => {
  const { port, seen } = await servers(t);
  const lookup = (host, query, callback) => setImmediate(callback, new Error('internal'));
  const agent = seeingAgent(t, HttpAgent);
  const error = await failure(http.get({ host: 'localhost', port, agent, lookup }));
  assert.strictEqual(error.message, 'internal');
  assert.deepStrictEqual(seen, { inside: 0, outside: 0 });
  // An address is not looked up, as in Node.
  assert.strictEqual((await get({ host: '127.0.0.1', port, agent, lookup })).body, 'ok');
});

test('the lookup of the agent', options, async (t) => {
  const { port, seen } = await servers(t);
  await sameAsNode(async (Agent) => {
    const calls = [];
    const agent = seeingAgent(t, Agent, { lookup: lookupOf(() => ['127.0.0.1'], calls) });
    await get({ host: 'a.test', port, agent });
    await get({ host: 'b.test', port, agent });
    return calls;
  });
  assert.strictEqual(seen.inside, 0);
});

test('a connection that one lookup allowed does not serve a request with another', options, async (t) => {
  const { port } = await servers(t);
  // The books know no lookup, so an idle lane is handed out, as with http.Agent; a replacement is not.
  const server = await closable(t);
  const strict = (host, query, callback) => setImmediate(callback, new Error('never'));
  const agent = seeingAgent(t, HttpAgent, { maxFreeSockets: 8 });
  const open = await get({ host: 'localhost', family: 4, port: server.port, agent });
  assert.strictEqual(open.body, 'ok');
  const error = await failure(http.get({ host: 'guarded.test', port, agent, lookup: strict }));
  assert.strictEqual(error.message, 'never');
});

test('a replaced dns.lookup is asked', options, async (t) => {
  const { port, seen } = await servers(t);
  const original = dns.lookup;
  t.after(() => (dns.lookup = original));
  const calls = [];
  dns.lookup = lookupOf(() => ['127.0.0.1'], calls);
  const agent = seeingAgent(t, HttpAgent);
  assert.strictEqual((await get({ host: 'no-such-name.invalid', port, agent })).body, 'ok');
  dns.lookup = (host, query, callback) => setImmediate(callback, new Error('internal'));
  const error = await failure(http.get({ host: 'localhost', port, agent }));
  assert.strictEqual(error.message, 'internal');
  // Who wraps a function may copy all that Node's has.
  const members = Object.getOwnPropertyDescriptors(original);
  dns.lookup = Object.defineProperties(
    lookupOf(() => ['127.0.0.1'], calls),
    members,
  );
  assert.strictEqual((await get({ host: 'wrapped.invalid', port, agent })).body, 'ok');
  const hosts = ['no-such-name.invalid', 'wrapped.invalid'];
  assert.deepStrictEqual([calls, seen], [hosts, { inside: 0, outside: 2 }]);
});

for (const event of ['lookup', 'connectionAttempt', 'connect']) {
  /** An agent whose createConnection attaches a listener that destroys what leads inside. */
  const guarded = (t, Agent, denied) => {
    class Guarded extends Agent {
      createConnection(connectOptions) {
        const socket = super.createConnection(connectOptions);
        socket.on(event, (...args) => {
          const address = event === 'lookup' ? args[1] : event === 'connect' ? socket.remoteAddress : args[0];
          if (denied(address)) socket.destroy(new Error(`${address} is internal`));
        });
        return socket;
      }
    }
    return seeingAgent(t, Guarded);
  };

  test(`a listener for '${event}' in createConnection destroys before a byte is sent`, options, async (t) => {
    const bytes = [];
    let accepted = 0;
    const inside = await rawServer(t, (socket) => {
      accepted++;
      socket.on('data', (chunk) => bytes.push(chunk)).on('end', () => socket.end());
    });
    const refused = async (Agent) => {
      const agent = guarded(t, Agent, (address) => address.startsWith('127.'));
      const request = http.get({ host: 'localhost', family: 4, port: inside.port, agent });
      return (await failure(request)).message;
    };
    // Node's own socket falls over when it is destroyed within this event.
    if (event === 'connectionAttempt') assert.strictEqual(await refused(HttpAgent), '127.0.0.1 is internal');
    else await sameAsNode(refused);
    await settled(inside.port).catch(() => {});
    assert.deepStrictEqual(bytes, []);
    // Only where the guard comes after the connect is there one (and the one that settled() makes).
    assert.strictEqual(accepted, event === 'connect' ? 3 : 1);
  });

  test(
    `a listener for '${event}' that allows: requests, reuse, and another connection`,
    options,
    async (t) => {
      const server = await closable(t);
      const asked = [];
      const agent = guarded(t, HttpAgent, (address) => asked.push(address) === -1);
      const go = () => get({ host: 'localhost', family: 4, port: server.port, agent });
      assert.strictEqual((await go()).body, 'ok');
      await new Promise(setImmediate);
      const second = await go();
      assert.deepStrictEqual([second.body, second.req.reusedSocket, asked.length], ['ok', true, 1]);
      await new Promise(setImmediate);
      // The server closes, and before the agent hears of it the next request goes out.
      closeAll(server.sockets);
      assert.strictEqual((await go()).body, 'ok');
      assert.deepStrictEqual([server.accepted(), asked.length], [2, 2]);
    },
  );

  test(`a listener for '${event}' that forbids the other connection`, options, async (t) => {
    const server = await closable(t);
    let allowed = true;
    const agent = guarded(t, HttpAgent, () => !allowed);
    const go = () => http.get({ host: 'localhost', family: 4, port: server.port, agent });
    const first = go();
    const [response] = await once(first, 'response');
    response.resume();
    await once(agent, 'free');
    const before = server.accepted();
    allowed = false;
    closeAll(server.sockets);
    const error = await failure(go());
    assert.strictEqual(error.message, '127.0.0.1 is internal');
    await settled(server.port).catch(() => {});
    assert.strictEqual(server.accepted() - before, event === 'connect' ? 2 : 1);
  });
}

test(
  'a listener that is gone by then guards nothing, so there is no other connection',
  options,
  async (t) => {
    const server = await closable(t);
    class Once extends HttpAgent {
      createConnection(connectOptions) {
        const socket = super.createConnection(connectOptions);
        for (const event of ['lookup', 'connectionAttempt', 'connect']) socket.once(event, () => {});
        return socket;
      }
    }
    const agent = seeingAgent(t, Once);
    const where = { host: 'localhost', family: 4, port: server.port, agent };
    http.get(where, (response) => response.resume());
    await once(agent, 'free');
    closeAll(server.sockets);
    const error = await failure(http.get(where));
    assert.strictEqual(error.code, 'ECONNRESET');
    assert.strictEqual(server.accepted(), 1);
  },
);

test(
  'the callback of createConnection is called for each connection, before a byte is sent',
  options,
  async (t) => {
    const server = await closable(t);
    let called = 0;
    class Forwarding extends HttpAgent {
      createConnection(connectOptions, callback) {
        return super.createConnection(connectOptions, (...args) => {
          called++;
          callback(...args);
        });
      }
    }
    const agent = new Forwarding();
    t.after(() => agent.destroy());
    const where = { host: 'localhost', family: 4, port: server.port, agent };
    assert.strictEqual((await get(where)).body, 'ok');
    await new Promise(setImmediate);
    closeAll(server.sockets);
    assert.strictEqual((await get(where)).body, 'ok');
    assert.deepStrictEqual([server.accepted(), called], [2, 2]);
  },
);

test('a replacement, and a retry, ask the lookup again and obey it', options, async (t) => {
  const inside = await closable(t, { host: '127.0.0.2', port: 0 });
  let asked = 0;
  for (const death of ['found dead', 'closed under the request']) {
    let requests = 0;
    const accepted = [];
    const outside = await rawServer(
      t,
      (socket) => {
        accepted.push(socket);
        socket.on('data', () => {
          if (death !== 'found dead' && ++requests === 2) socket.destroy();
          else socket.write(ANSWER);
        });
      },
      {},
      { host: '127.0.0.1', port: inside.port },
    );
    let answer = ['127.0.0.1'];
    const refusal = new Error('internal');
    const lookup = (host, query, callback) => {
      asked++;
      if (answer === null) setImmediate(callback, refusal);
      else lookupOf(() => answer)(host, query, callback);
    };
    const agent = seeingAgent(t, HttpAgent);
    const where = { host: 'guarded.test', port: outside.port, agent, lookup };
    http.get(where, (response) => response.resume());
    await once(agent, 'free');
    asked = 0;
    answer = null;
    if (death === 'found dead') closeAll(accepted);
    const error = await failure(http.get(where));
    // A request that was sent and lost tells of the loss; one that was not, of the refusal.
    assert.strictEqual(error.message, death === 'found dead' ? 'internal' : 'socket hang up');
    assert.strictEqual(asked, 1);
    answer = ['127.0.0.1'];
    assert.strictEqual((await get(where)).body, 'ok');
    assert.strictEqual(inside.accepted(), 0);
    outside.close();
    agent.destroy();
    closeAll(accepted);
    await once(outside, 'close');
  }
});

test('a lane whose lookup never answers can be destroyed', options, async (t) => {
  const lookup = () => {};
  const agent = seeingAgent(t, HttpAgent);
  const request = http.get({ host: 'guarded.test', port: await closedPort(), agent, lookup });
  const [socket] = await once(request, 'socket');
  const failed = failure(request);
  request.destroy(new Error('enough'));
  assert.strictEqual((await failed).message, 'enough');
  await until(() => Object.keys(agent.sockets).length === 0);
  assert.strictEqual(socket.destroyed, true);
});

test('a guarded lane uploads and downloads as any other', options, async (t) => {
  const server = await httpServer(t, (req, res) => req.pipe(res));
  const body = 'guarded '.repeat(50_000);
  class Guarded extends HttpAgent {
    createConnection(connectOptions) {
      const socket = super.createConnection(connectOptions);
      for (const event of ['lookup', 'connectionAttempt', 'connect']) socket.on(event, () => {});
      return socket;
    }
  }
  const agent = seeingAgent(t, Guarded);
  for (let round = 0; round < 3; round++) {
    const where = { host: 'localhost', family: 4, port: server.port, agent, method: 'POST', body };
    assert.strictEqual((await get(where)).body, body);
  }
});
