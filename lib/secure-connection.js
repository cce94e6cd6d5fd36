'use strict';

// createConnection() of the HttpsAgent: a lane over TLS, or Node's own TLS for what rustls cannot do.

const { Plan, nodeReason, normalizeArgs } = require('./connect');
const { warnNodeSocket } = require('./fallback');
const TlsLane = require('./tls-lane');
const { identityOf, secureOptions } = require('./tls-options');
const { isNodesCheck, processReason } = require('./tls-process');

/** How long an origin stays with Node's TLS once rustls has refused it and Node has not (ms). */
const REFUSED_FOR = 10 * 60_000;
/** Origins of an agent that are remembered. */
const MAX_REFUSED = 1000;

/** What rustls has refused, and until when: by agent and name of the pool. */
const refused = new WeakMap();

function isRefused(agent, name) {
  const until = refused.get(agent)?.get(name);
  if (until === undefined) return false;
  if (until > Date.now()) return true;
  refused.get(agent).delete(name);
  return false;
}

function remember(agent, name) {
  let names = refused.get(agent);
  if (names === undefined) refused.set(agent, (names = new Map()));
  names.delete(name);
  names.set(name, Date.now() + REFUSED_FOR);
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
    if (value && !isNodesCheck(value)) name += `:${option}=${identityOf(value)}`;
  }
  for (const option of ['ALPNProtocols', 'allowPartialTrustChain']) {
    const value = options?.[option];
    if (value) name += `:${option}=${JSON.stringify(value)}`;
  }
  return name;
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
function secureConnection(agent, agentId, args, byNode) {
  const [options] = normalizeArgs(args);
  const name = agent.getName(options);
  // Those of its own createSocket(), and no program's: they do not change any more.
  if (options._agentKey && agent._hasOwnGetName) names.set(options, name);
  const { reason, secure } = decide(agent, options);
  if (reason !== undefined || isRefused(agent, name)) {
    const socket = byNode(args);
    if (reason) warnNodeSocket(reason);
    return { socket };
  }
  secure.maxSessions = options._agentKey ? toCount(agent.maxCachedSessions) : 0;
  const plan = new Plan(agentId, options, agent.options);
  plan.secure = secure;
  const lane = new TlsLane(agent, plan, options, (refused, reason) => {
    const socket = byNode(args);
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

function decide(agent, options) {
  const reason = nodeReason(options) ?? processReason();
  return reason === undefined ? secureOptions(agent, options) : { reason };
}

function origin({ path, host, port, servername }) {
  return path || `${servername || host || 'localhost'}:${port}`;
}

function toCount(value) {
  return value > 0 ? Math.min(Math.floor(value), 0xffffffff) : 0;
}

module.exports = { isolation, knownName, secureConnection, unnumbered };
