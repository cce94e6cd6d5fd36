'use strict';

// A name with several addresses (RFC 8305): one that fails gives way to the next at once, one that does
// not answer gets the next beside it, and the first to connect wins.

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const net = require('node:net');
const { test } = require('node:test');
const { HttpAgent } = require('..');
const {
  blackHole,
  closedPort,
  failure,
  get,
  httpServer,
  respond,
  sameAsNode,
  seeingAgent,
  traceEvents,
} = require('./helpers/lane-server');

const options = { timeout: 30_000 };
const NO_HOLE = 'no black hole can be made here';

/** A lookup that finds `addresses`, in this order, and counts. */
function finding(...addresses) {
  return (host, { all, family }, callback) => {
    const found = addresses
      .map((address) => ({ address, family: net.isIP(address) }))
      .filter((one) => !family || one.family === family);
    setImmediate(() => (all ? callback(null, found) : callback(null, found[0].address, found[0].family)));
  };
}

function tracingAgent(t, Agent = HttpAgent, agentOptions = {}) {
  const log = [];
  const agent = seeingAgent(t, Agent, agentOptions, (socket) => traceEvents(socket, log));
  return {
    agent,
    log: () => log.map(([name, ...args]) => (name.startsWith('connectionA') ? `${name} ${args[0]}` : name)),
  };
}

test('addresses that refuse give way to the next', options, async (t) => {
  const server = await httpServer(t, (req, res) => res.end('ok'));
  const lookup = finding('127.0.0.7', '127.0.0.8', '127.0.0.1', '127.0.0.9');
  const where = { host: 'many.test', port: server.port, lookup, autoSelectFamily: true };
  await sameAsNode(async (Agent) => {
    const { agent, log } = tracingAgent(t, Agent);
    const { body, usedSocket } = await get({ ...where, agent });
    return [body, usedSocket.remoteAddress, usedSocket.autoSelectFamilyAttemptedAddresses, log()];
  });
});

test('families take turns', options, async (t) => {
  const server = await httpServer(t, (req, res) => res.end('ok'));
  const lookup = finding('::1', '::1', '127.0.0.1');
  const { agent, log } = tracingAgent(t);
  const { usedSocket } = await get({
    host: 'both.test',
    port: server.port,
    lookup,
    agent,
    autoSelectFamily: true,
  });
  assert.strictEqual(usedSocket.remoteAddress, '127.0.0.1');
  assert.deepStrictEqual(log().slice(3, 6), [
    'connectionAttempt ::1',
    'connectionAttemptFailed ::1',
    'connectionAttempt 127.0.0.1',
  ]);
});

test('an address that does not answer gets the next one beside it', options, async (t) => {
  const server = await httpServer(t, (req, res) => res.end('ok'));
  if (!(await blackHole(t, '127.0.0.2', server.port))) return t.skip(NO_HOLE);
  const lookup = finding('127.0.0.2', '127.0.0.1');
  const where = { host: 'hole.test', port: server.port, lookup, autoSelectFamily: true };
  return sameAsNode(async (Agent) => {
    const { agent, log } = tracingAgent(t, Agent);
    const start = Date.now();
    const { body, usedSocket } = await get({ ...where, autoSelectFamilyAttemptTimeout: 60, agent });
    const took = Date.now() - start;
    assert.ok(took >= 59, `${took} ms`);
    return [body, usedSocket.remoteAddress, log()];
  });
});

test('autoSelectFamilyAttemptTimeout is how long an attempt is alone', options, async (t) => {
  const server = await httpServer(t, (req, res) => res.end('ok'));
  if (!(await blackHole(t, '127.0.0.2', server.port))) return t.skip(NO_HOLE);
  const lookup = finding('127.0.0.2', '127.0.0.1');
  const where = { host: 'hole.test', port: server.port, lookup, autoSelectFamily: true };
  const start = Date.now();
  await get({ ...where, autoSelectFamilyAttemptTimeout: 400, agent: seeingAgent(t, HttpAgent) });
  assert.ok(Date.now() - start >= 399, `${Date.now() - start} ms`);
  return undefined;
});

test('a slow first address still wins when the next one refuses', options, async (t) => {
  const hole = await blackHole(t, '127.0.0.2');
  if (!hole) return t.skip(NO_HOLE);
  const { port } = hole;
  const { agent, log } = tracingAgent(t);
  const where = {
    host: 'hole.test',
    port,
    lookup: finding('127.0.0.2', '127.0.0.3'),
    agent,
    autoSelectFamily: true,
  };
  const request = http.get({ ...where, autoSelectFamilyAttemptTimeout: 20 });
  const response = respond(request);
  const [socket] = await once(request, 'socket');
  await once(socket, 'connectionAttemptFailed');
  // Node would have failed by now. The system sends its SYN again after a second.
  hole.open();
  assert.strictEqual((await response).body, 'hole');
  assert.deepStrictEqual(log().slice(2, 7), [
    'connectionAttempt 127.0.0.2',
    'connectionAttemptTimeout 127.0.0.2',
    'connectionAttempt 127.0.0.3',
    'connectionAttemptFailed 127.0.0.3',
    'connect',
  ]);
  return undefined;
});

test('autoSelectFamily: false tries the first address alone', options, async (t) => {
  const server = await httpServer(t, (req, res) => res.end('ok'));
  const where = { host: 'many.test', port: server.port, autoSelectFamily: false };
  await sameAsNode(async (Agent) => {
    const refused = tracingAgent(t, Agent);
    const lookup = finding('127.0.0.7', '127.0.0.1');
    const { code, address } = await failure(http.get({ ...where, lookup, agent: refused.agent }));
    const good = tracingAgent(t, Agent);
    const { body } = await get({ ...where, lookup: finding('127.0.0.1', '127.0.0.7'), agent: good.agent });
    return [code, address, refused.log(), body, good.log()];
  });
});

test('family decides which addresses are tried', options, async (t) => {
  const server = await httpServer(t, (req, res) => res.end('ok'));
  await sameAsNode(async (Agent) => {
    const log = [];
    for (const family of [4, 'IPv4', 0, undefined]) {
      const agent = seeingAgent(t, Agent);
      const { body, usedSocket } = await get({ host: 'localhost', port: server.port, family, agent });
      log.push(body, usedSocket.remoteFamily);
    }
    return log;
  });
  const six = await sameAsNode(async (Agent) => {
    const agent = seeingAgent(t, Agent);
    const error = await failure(http.get({ host: '::1', port: await closedPort(), family: 6, agent }));
    return [error.code, error.address];
  });
  assert.strictEqual(six[1], '::1');
});

test('family and hints reach the lookup', options, async (t) => {
  const server = await httpServer(t, (req, res) => res.end('ok'));
  const { ADDRCONFIG, V4MAPPED } = require('node:dns');
  await sameAsNode(async (Agent) => {
    const queries = [];
    for (const given of [
      {},
      { family: 4 },
      { hints: ADDRCONFIG | V4MAPPED },
      { family: 6, hints: V4MAPPED },
    ]) {
      const lookup = (host, query, callback) => {
        queries.push([host, { ...query }]);
        const found = { address: '127.0.0.1', family: 4 };
        setImmediate(() =>
          query.all ? callback(null, [found]) : callback(null, found.address, found.family),
        );
      };
      await get({ host: 'asked.test', port: server.port, lookup, ...given, agent: seeingAgent(t, Agent) });
    }
    return queries;
  });
});

test('hints reach the system', options, async (t) => {
  const server = await httpServer(t, (req, res) => res.end('ok'));
  const { ALL, V4MAPPED } = require('node:dns');
  await sameAsNode(async (Agent) => {
    const log = [];
    for (const given of [
      { family: 6, hints: V4MAPPED },
      { family: 4, hints: V4MAPPED | ALL },
    ]) {
      const { agent } = tracingAgent(t, Agent);
      const request = http.get({ host: 'localhost', port: server.port, ...given, agent });
      log.push(
        await new Promise((resolve) => {
          request.on('error', ({ code, address }) => resolve([code, address]));
          request.on('response', (response) => {
            const { remoteAddress } = response.socket;
            response.resume().on('end', () => resolve(remoteAddress));
          });
        }),
      );
    }
    return log;
  });
});
