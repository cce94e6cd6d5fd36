'use strict';

// createConnection() of the HttpsAgent: a lane over TLS, or Node's own TLS for what rustls cannot do.

const { performance } = require('perf_hooks');

const { Plan, normalizeArgs } = require('../connect/connect');
const crossing = require('../crossing/crossing');
const { warnNodeSocket } = require('../fallback');
const { identityOf } = require('../identity');
const { isNodes, unwrapped } = require('../node/functions');
const { Route, nodeReason } = require('../connect/route');
const { surroundings } = require('../connect/surroundings');
const TlsLane = require('../lane/tls-lane');
const { secureOptions } = require('../tls/options');
const { bytesOf } = require('../tls/pem');
const { isNodesCheck } = require('../tls/process');

/** How long an origin stays with Node's TLS once rustls has refused it and Node has not (ms). */
const REFUSED_FOR = 10 * 60_000;
/** Origins of an agent that are remembered. */
const MAX_REFUSED = 1000;

/** What rustls has refused, and until when: by agent and name of the pool. No program sets that clock. */
const refused = new WeakMap();

function isRefused(agent, name) {
  const until = refused.get(agent)?.get(name);
  if (until === undefined) return false;
  if (until > performance.now()) return true;
  refused.get(agent).delete(name);
  return false;
}

function remember(agent, name) {
  let names = refused.get(agent);
  if (names === undefined) refused.set(agent, (names = new Map()));
  names.delete(name);
  names.set(name, performance.now() + REFUSED_FOR);
  // The oldest comes first.
  if (names.size > MAX_REFUSED) names.delete(names.keys().next().value);
}

/**
 * The part of a pool's name that Node's does not have: who has checked the certificate and how, what was
 * agreed on with the server, and what an option of the request has put into the place of all others. A
 * connection must not serve a request with another.
 */
function isolation(options) {
  let name = '';
  for (const option of ['checkServerIdentity', 'pskCallback', 'secureContext']) {
    const value = options?.[option];
    if (value && !isNodesCheck(value)) name += `:${option}=${textOf(value)}`;
  }
  for (const option of ['ALPNProtocols', 'allowPartialTrustChain']) {
    const value = options?.[option];
    if (value) name += `:${option}=${textOf(value)}`;
  }
  return name;
}

/** Tells a value from all others. What is wrong with it Node says, when it connects. */
function textOf(value) {
  if (Array.isArray(value)) return `[${value.map(textOf).join()}]`;
  if (ArrayBuffer.isView(value)) return `0x${bytesOf(value).toString('hex')}`;
  if (Object(value) === value) return `#${identityOf(value)}`;
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}

/** Names of pools by the options that Node keeps of a socket: it asks for them three times a request. */
const names = new WeakMap();

function knownName(options) {
  return names.get(options);
}

/**
 * Newer Nodes number the requests that have a `checkServerIdentity` function of their own, by a symbol, so that
 * no two of them share a connection. Here those with the same function do, so their names lack that number.
 */
function unnumbered(options) {
  if (!options?.checkServerIdentity) return options;
  const number = Object.getOwnPropertySymbols(options).find(
    ({ description }) => description === 'per-request checkServerIdentity',
  );
  return number === undefined ? options : { ...options, [number]: undefined };
}

/** The socket for the arguments of createConnection(): `{ lane, plan, options }`, or `{ socket }` of Node's. */
function secureConnection(agent, { id, decisions }, args, byNode) {
  const [options] = normalizeArgs(args);
  const { reason, route } = decisions.of(
    options.path || options.host,
    [options, agent.options, agent, surroundings],
    (...sources) => decide(agent, id, ...sources),
  );
  const name = nameOf(agent, options);
  if (reason !== undefined || isRefused(agent, name) || !crossing.isReady()) {
    const socket = byNode(args);
    if (reason) warnNodeSocket(reason);
    return { socket };
  }
  const plan = new Plan(route);
  // It keeps the options, and not `args`: the callback of Node's agent among these knows the request.
  const lane = new TlsLane(agent, plan, options, (refused, reason) => {
    const socket = byNode([options]);
    if (reason !== undefined) warnNodeSocket(reason);
    socket.once('secureConnect', () => {
      if (refused.destroyed || reason !== undefined) return;
      remember(agent, name);
      warnNodeSocket(`a server at ${origin(options)} that rustls refuses, and Node accepts`);
    });
    return socket;
  });
  return { lane, plan, options };
}

/** The name of the pool. Of options that Node's createSocket() has made it is kept: they do not change any more. */
function nameOf(agent, options) {
  const { _agentKey: key } = options;
  if (!key || !agent._hasOwnGetName) return agent.getName(options);
  // It has just put the name there, and nobody has come between.
  const name = agent._hasOwnCreateConnection ? key : agent.getName(options);
  names.set(options, name);
  return name;
}

/** `{ route }`, or the reason why these options are for Node's own TLS (see decisions.js, which watches all but the first two). */
function decide(agent, id, options, defaults, pool, surroundings) {
  const reason =
    nodeReason(agent, options, surroundings) ?? connectReason(surroundings) ?? surroundings.tlsReason;
  if (reason !== undefined) return { reason };
  const made = secureOptions(agent, options, surroundings);
  if (made.reason !== undefined) return made;
  const route = new Route(id, options, defaults, surroundings);
  route.secure = made.secure;
  const { sni, hostname, checkId } = made.secure;
  // Sessions are for the sockets that the agent has asked for.
  const maxSessions = '_agentKey' in options ? toCount(pool.maxCachedSessions) : 0;
  route.native.secure = { sni, identity: hostname, check: checkId, maxSessions };
  return { route };
}

/** Why connections are for what a program has put in the place of Node's: it may be a guard. */
function connectReason({ createSecureConnection }) {
  if (isNodes.createSecureConnection(unwrapped(createSecureConnection))) return undefined;
  return 'a replaced https.Agent.prototype.createConnection';
}

function origin({ path, host, port, servername }) {
  return path || `${servername || host || 'localhost'}:${port}`;
}

function toCount(value) {
  return value > 0 ? Math.min(Math.floor(value), 0xffffffff) : 0;
}

module.exports = { isolation, knownName, secureConnection, unnumbered };
