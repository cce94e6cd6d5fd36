'use strict';

// What a program puts into the place of a method of Node's agents is called for these agents, too, whether it was there
// before the package or came while that ran: it may be a guard, or keep the requests of tenants apart.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { echoServer } = require('./helpers/echo-server');
const { inProcess } = require('./helpers/own-process');
const { authority } = require('./helpers/x509');

const timeout = 60_000;
const root = authority('Root');
const leaf = root.server(['ip:127.0.0.1']);

/**
 * Four requests, one after another, with Node's agent and then with ours: what came of each, over how many connections,
 * and how often the replacement was called. `replace`, if there is one, is run behind four others.
 */
async function both({ secure, at, ca, replace }) {
  const { HttpAgent, HttpsAgent } = require('..');
  const { closed, exchange } = require('./helpers/request');
  const client = require(secure ? 'node:https' : 'node:http');
  const reasons = [];
  process.on('warning', ({ code, message }) => {
    if (code === 'OFFLOOP_NODE_SOCKET')
      reasons.push(/^connections with (.*) use Node's own/.exec(message)[1]);
  });

  async function outcome(agent, sockets) {
    try {
      const { socket, body } = await exchange({ ...at, agent }, undefined, client.request);
      sockets.add(socket);
      return JSON.parse(body).port;
    } catch (error) {
      return error.message;
    }
  }

  async function run(Agent) {
    const agent = new Agent({ keepAlive: true, ca });
    const outcomes = [];
    const sockets = new Set();
    globalThis.calls = 0;
    for (const tenant of ['a', 'b', 'a', 'b']) {
      globalThis.tenant = tenant;
      outcomes.push(await outcome(agent, sockets));
    }
    const ports = outcomes.filter(Number.isInteger);
    const errors = outcomes.filter((one) => !ports.includes(one));
    const seen = { errors, connections: new Set(ports).size, calls: globalThis.calls };
    agent.destroy();
    await Promise.all([...sockets].map(closed));
    return seen;
  }

  const agents = [client.Agent, secure ? HttpsAgent : HttpAgent];
  if (replace !== undefined) {
    for (const Agent of agents) await run(Agent);
    eval(`(${replace})`)(client.Agent.prototype);
  }
  const [node, ours] = [await run(agents[0]), await run(agents[1])];
  return { node, ours, reasons };
}

/** The text of one that calls Node's, and counts. */
const watching = (method) => `(prototype) => {
  const { ${method}: original } = prototype;
  prototype.${method} = function (...args) {
    globalThis.calls++;
    return original.apply(this, args);
  };
}`;

const WATCHED = ['addRequest', 'createSocket', 'keepSocketAlive', 'removeSocket', 'reuseSocket'];

/** Each gets the prototype of http.Agent or https.Agent. */
const replacements = {
  ...Object.fromEntries(WATCHED.map((method) => [`${method} that watches`, watching(method)])),
  'createConnection that refuses': (prototype) => {
    prototype.createConnection = () => {
      globalThis.calls++;
      throw new Error('refused');
    };
  },
  'createConnection whose listener refuses': (prototype) => {
    const { createConnection } = prototype;
    prototype.createConnection = function (options, callback) {
      globalThis.calls++;
      return createConnection.call(this, { ...options }, callback).once('connect', function () {
        if (globalThis.tenant === 'a') this.destroy(new Error('refused'));
      });
    };
  },
  'createConnection that is bound': (prototype) => {
    const { createConnection } = prototype;
    const found = {
      connect(...args) {
        globalThis.calls++;
        return createConnection.apply(this.agent, args);
      },
    };
    prototype.createConnection = function (...args) {
      return found.connect.apply({ agent: this }, args);
    };
  },
  'getName that keeps tenants apart': (prototype) => {
    const { getName } = prototype;
    prototype.getName = function (options) {
      globalThis.calls = 1;
      return `${getName.call(this, options)}:${globalThis.tenant}`;
    };
  },
  'keepSocketAlive that keeps none': (prototype) => {
    prototype.keepSocketAlive = () => {
      globalThis.calls++;
      return false;
    };
  },
  'connect of net.Socket that watches': () => {
    const { prototype } = require('node:net').Socket;
    const { connect } = prototype;
    prototype.connect = function (...args) {
      globalThis.calls++;
      return connect.apply(this, args);
    };
  },
  'connect of net.Socket that refuses': () => {
    require('node:net').Socket.prototype.connect = () => {
      globalThis.calls++;
      throw new Error('refused');
    };
  },
  'ClientRequest.onSocket that watches': () => {
    const { prototype } = require('node:http').ClientRequest;
    const { onSocket } = prototype;
    prototype.onSocket = function (...args) {
      globalThis.calls++;
      return onSocket.apply(this, args);
    };
  },
};

for (const secure of [false, true]) {
  const name = secure ? 'https' : 'http';
  const server = (t) => echoServer(t, secure ? { cert: leaf.cert, key: leaf.key } : {});

  for (const [title, replace] of Object.entries(replacements)) {
    // Of what throws there is nothing else to say.
    const warnings = /^conn|^createConnection /.test(title) && !title.endsWith('that refuses') ? 1 : 0;
    const check = ({ node, ours, reasons }) => {
      assert.ok(node.calls > 0, 'a test of nothing');
      assert.deepEqual(ours, node);
      assert.equal(reasons.length, warnings, reasons.join());
    };

    test(`${name}: a ${title}, there before the package`, { timeout }, async (t) => {
      const { at } = await server(t);
      const before = `() => (${replace})(require('node:${name}').Agent.prototype)`;
      check(await inProcess(both, { secure, at, ca: root.cert }, { before }));
    });

    test(`${name}: a ${title}, there later`, { timeout }, async (t) => {
      const { at } = await server(t);
      check(await inProcess(both, { secure, at, ca: root.cert, replace: String(replace) }));
    });
  }
}

test('a net.createConnection has a say where http.Agent asks it', { timeout }, async (t) => {
  const { at } = await echoServer(t);
  const before = () => {
    const net = require('node:net');
    const { createConnection } = net;
    net.createConnection = (...args) => {
      globalThis.calls++;
      return createConnection(...args);
    };
  };
  const { node, ours, reasons } = await inProcess(both, { at }, { before });
  assert.deepEqual(ours, node);
  assert.equal(reasons.length, node.calls > 0 ? 1 : 0, reasons.join());
});

/** A replacement whose function has its original as a member. */
const marked = (mark) => `() => {
  const prototype = require('node:http').Agent.prototype;
  const { createConnection } = prototype;
  prototype.createConnection = function (...args) {
    globalThis.calls++;
    return createConnection.apply(this, args);
  };
  prototype.createConnection[${mark}] = createConnection;
}`;

test("New Relic's createConnection does not send connections to Node's sockets", { timeout }, async (t) => {
  const { at } = await echoServer(t);
  const { node, ours, reasons } = await inProcess(both, { at }, { before: marked("Symbol('original')") });
  assert.equal(node.calls, 1);
  assert.deepEqual(ours, { ...node, calls: 0 });
  assert.deepEqual(reasons, []);
});

test("a createConnection with shimmer's mark is called: guards have it too", { timeout }, async (t) => {
  const { at } = await echoServer(t);
  const { node, ours } = await inProcess(both, { at }, { before: marked("'__original'") });
  assert.equal(node.calls, 1);
  assert.deepEqual(ours, node);
});

/** Tracers put theirs around connect(): two of them tell what is under it, the third is known by its text. */
const traced = (mark) => `() => {
  const { prototype } = require('node:net').Socket;
  const { connect } = prototype;
  const startTCPCh = { hasSubscribers: true };
  prototype.connect = function (...args) {
    ${mark === undefined ? 'if (!startTCPCh.hasSubscribers) return;' : ''}
    globalThis.calls++;
    return connect.apply(this, args);
  };
  prototype.connect[${mark}] = connect;
}`;

for (const [name, mark] of [
  ['OpenTelemetry', "'__original'"],
  ['New Relic', "Symbol('original')"],
  ['Datadog', undefined],
]) {
  test(`what ${name} puts around connect does not send connections to Node's sockets`, async (t) => {
    const { at } = await echoServer(t);
    const { node, ours, reasons } = await inProcess(both, { at }, { before: traced(mark) });
    assert.equal(node.calls, 1);
    assert.deepEqual(ours, { ...node, calls: 0 });
    assert.deepEqual(reasons, []);
  });
}

for (const secure of [false, true]) {
  const name = secure ? 'https' : 'http';
  /** A Node that is newer than this package, and has other texts. */
  const newer = () => {
    const versions = { ...process.versions, node: '99.0.0' };
    Object.defineProperty(process, 'versions', { value: versions, configurable: true });
    Function.prototype.toString = () => 'function () { [other code] }';
  };
  const server = (t) => echoServer(t, secure ? { cert: leaf.cert, key: leaf.key } : {});

  test(`${name}: connections are still Rust's in a Node whose text has changed`, { timeout }, async (t) => {
    const { at } = await server(t);
    const { node, ours, reasons } = await inProcess(both, { secure, at, ca: root.cert }, { before: newer });
    assert.deepEqual(ours, node);
    assert.deepEqual(reasons, []);
  });

  test(`${name}: what has been replaced is called there, too`, { timeout }, async (t) => {
    const { at } = await server(t);
    const replace = replacements['createConnection that refuses'];
    const before = `() => {
      (${replace})(require('node:${name}').Agent.prototype);
      (${newer})();
    }`;
    const { node, ours, reasons } = await inProcess(both, { secure, at, ca: root.cert }, { before });
    assert.equal(node.calls, 4);
    assert.deepEqual(ours, node);
    assert.deepEqual(reasons, []);
  });
}
