'use strict';

// The short way to an idle lane. Node's addRequest copies all options of the request and of the agent
// into an object in V8's slow mode before it looks for an idle socket, which costs more than all else
// that it does (docs/architecture.md has the measurement). Where neither those options nor an overridden
// method can have a say, the same steps are taken without the copy. Everything else is Node's.

const { Agent: NodeAgent } = require('http');
const { isIP } = require('net');

const { attach } = require('./attach');
const Lane = require('./lane');
const { poolName } = require('./pool-name');

/** Options of the agent that override the request's in the name of the pool, or change the socket. */
const OVERRIDING = ['host', 'port', 'localAddress', 'family', 'socketPath', 'highWaterMark'];

/** Options of a request that are part of the name of a TLS pool. */
const SECURE = [
  'ALPNProtocols',
  'allowPartialTrustChain',
  'ca',
  'cert',
  'checkServerIdentity',
  'ciphers',
  'clientCertEngine',
  'crl',
  'dhparam',
  'ecdhCurve',
  'honorCipherOrder',
  'key',
  'maxVersion',
  'minVersion',
  'pfx',
  'privateKeyEngine',
  'privateKeyIdentifier',
  'pskCallback',
  'rejectUnauthorized',
  'secureContext',
  'secureOptions',
  'secureProtocol',
  'servername',
  'sessionIdContext',
  'sigalgs',
];

/** Puts the request on an idle lane and returns true; false if Node's way has to be taken. */
function reuseIdleLane(agent, request, options) {
  if (isEmpty(agent.freeSockets)) return false;
  const isPlain = agent.getName === NodeAgent.prototype.getName;
  if (options.highWaterMark != null || !(isPlain || agent._hasOwnGetName)) return false;
  for (const name of OVERRIDING) if (name in agent.options) return false;
  // Node refuses a Host header that is no string.
  const hostHeader = request.getHeader('host');
  if (hostHeader !== undefined && typeof hostHeader !== 'string') return false;

  const name = isPlain ? poolName(agent, options) : secureName(agent, options, hostHeader);
  if (name === undefined) return false;
  const idle = agent.freeSockets[name];
  if (idle === undefined) return false;
  const fifo = agent.scheduling === 'fifo';
  const lane = fifo ? idle[0] : idle[idle.length - 1];
  if (!(lane instanceof Lane) || lane.destroyed) return false;

  if (fifo) idle.shift();
  else idle.pop();
  if (idle.length === 0) delete agent.freeSockets[name];
  agent.reuseSocket(lane, request);
  attach(request, lane);
  const { timeout } = request;
  if (timeout !== undefined && timeout !== (agent.options.timeout || 0)) lane.setTimeout(timeout);
  (agent.sockets[name] ??= []).push(lane);
  return true;
}

function isEmpty(sockets) {
  for (const _ in sockets) return false;
  return true;
}

/** The name of the pool over TLS; undefined where the request has a say in it. */
function secureName(agent, options, hostHeader) {
  for (const option of SECURE) if (option in options) return undefined;
  // With the agent's own options behind those of the request; none of them stands in both.
  const view = Object.create(agent.options);
  view.host = options.host;
  view.port = options.port;
  view.localAddress = options.localAddress;
  view.family = options.family;
  view.socketPath = options.socketPath;
  if (!agent.options.servername && agent.options.servername !== '')
    view.servername = servernameOf(options.host, hostHeader);
  return agent.getName(view);
}

/** The name that Node tells the server if no option does: that of the Host header, else the host's; no address. */
function servernameOf(host, hostHeader) {
  let name = host;
  if (hostHeader) {
    const bracket = hostHeader[0] === '[' ? hostHeader.indexOf(']') : 0;
    if (bracket < 0) name = hostHeader;
    else name = bracket > 0 ? hostHeader.slice(1, bracket) : hostHeader.split(':', 1)[0];
  }
  return isIP(name) === 0 ? name : '';
}

module.exports = { reuseIdleLane };
