'use strict';

// The short way to an idle lane, and into a queue. Node's addRequest copies all options of the request and of the
// agent into an object in V8's slow mode before it looks for an idle socket, which costs more than all else
// that it does (docs/architecture.md has the measurement). Where neither those options nor an overridden
// method can have a say, the same steps are taken without the copy. Everything else is Node's.

const { attach } = require('../lane/attach');
const Lane = require('../lane/lane');
const { isNodes } = require('../node/functions');
const { enterQueue, isQueueKnown } = require('../node/queued');
const { poolName } = require('./pool-name');
const queue = require('../request/queue');
const { securePoolName } = require('./secure-pool-name');

/** Puts the request on an idle lane, or into a queue, and returns true; false if Node's way has to be taken. */
function addShortly(agent, request, options) {
  const isPlain = isNodes.getName(agent.getName);
  if (!isPlain && !agent._hasOwnGetName) return false;
  if (!isPlain && isEmpty(agent.freeSockets) && isEmpty(agent.requests)) return false;
  if (options.highWaterMark != null || overrides(agent.options)) return false;
  // Node refuses a Host header that is no string.
  const hostHeader = request.getHeader('host');
  if (hostHeader !== undefined && typeof hostHeader !== 'string') return false;

  const name = isPlain ? poolName(agent, options) : securePoolName(agent, options, hostHeader);
  if (name === undefined) return false;
  return reuseIdleLane(agent, request, name) || joinQueue(agent, request, options, name);
}

function reuseIdleLane(agent, request, name) {
  const idle = agent.freeSockets[name];
  if (idle === undefined) return false;
  const fifo = agent.scheduling === 'fifo';
  const lane = fifo ? idle[0] : idle[idle.length - 1];
  if (!(lane instanceof Lane) || lane.destroyed) return false;

  if (fifo) idle.shift();
  else idle.pop();
  if (idle.length === 0) delete agent.freeSockets[name];
  agent.reuseSocket(lane, request);
  attach(request, lane, request.onSocket);
  const { timeout } = request;
  if (timeout !== undefined && timeout !== (agent.options.timeout || 0)) lane.setTimeout(timeout);
  (agent.sockets[name] ??= []).push(lane);
  return true;
}

/**
 * A queue that there is already, of a pool that has all the sockets that it may have. The first in it Node puts there; and those
 * that wait since there are too many sockets for other hosts, for which one may be made by the options that Node keeps.
 */
function joinQueue(agent, request, options, name) {
  const waiting = agent.requests[name];
  const busy = agent.sockets[name];
  if (waiting === undefined || busy === undefined || agent.freeSockets[name] !== undefined) return false;
  if (busy.length < agent.maxSockets) return false;
  if (!isQueueKnown() || !isNodes.createSocket(agent.createSocket)) return false;
  enterQueue(request, options);
  waiting.push(request);
  queue.begin(agent, request, name);
  return true;
}

function isEmpty(books) {
  for (const _ in books) return false;
  return true;
}

/** Whether options of the agent override the request's in the name of the pool, or change the socket. */
function overrides(options) {
  // One by one: V8 knows the answers from the shape of the object then.
  return (
    'host' in options ||
    'port' in options ||
    'localAddress' in options ||
    'family' in options ||
    'socketPath' in options ||
    'highWaterMark' in options
  );
}

module.exports = { addShortly };
