'use strict';

// Requests that wait for a socket. Node keeps them in agent.requests and gives each a socket when its
// turn comes; here their waiting gets an end: after a time, from a number on, or when they are destroyed.

const { performance } = require('perf_hooks');

const channels = require('../channels');
const { NOTHING_LEFT, UNKNOWN } = require('../crossing/account');
const crossing = require('../crossing/crossing');
const { toDuration } = require('../durations');
const errors = require('../errors');
const { explain, explainLater, parse } = require('./facts');
const { clearTimeout, nextTick, setTimeout } = require('../node/clock');
const { learnQueued } = require('../node/queued');
const { closeReason } = require('../crossing/records');
const waiting = require('./waiting');

/** On a request that waits, or has waited: { agent, name, since, timer, isOver, hasLeft, own }. */
const kWait = Symbol('wait');

/** Requests that are in a queue yet, but not when this tick has ended. */
const destroyed = new Set();

/** The longest span that a timer takes. */
const MAX_TIMER = 0x7fffffff;

const always = () => true;

function isEmpty({ requests }) {
  // The books have no prototype.
  for (const name in requests) if (requests[name].length > 0) return false;
  return true;
}

/** Looks after a request that Node has just added, if it has to wait. */
function watch(agent, request) {
  const { requests } = agent;
  for (const name in requests) {
    if (requests[name].at(-1) !== request) continue;
    learnQueued(request);
    begin(agent, request, name);
  }
}

/** Looks after a request that has got into the queue of this name. */
function begin(agent, request, name) {
  const { maxQueuedRequests: most = Infinity, queueTimeout = 0 } = agent.options;
  // It may have waited before.
  const { own } = request[kWait] ?? { own: ownMembers(request) };
  const wait = {
    agent,
    name,
    since: performance.now(),
    timer: undefined,
    isOver: false,
    hasLeft: false,
    own,
  };
  request[kWait] = wait;
  // Own members, so that requests which never wait pay nothing. Node calls onSocket() when it is their turn.
  request.onSocket = onSocket;
  request.destroy = destroy;
  const { length } = agent.requests[name];
  if (length > most && length - leavingFrom(agent, name) > most) {
    const message = `The queue is full: ${most} requests wait for a socket already`;
    fail(request, errors.coded(Error, 'ERR_QUEUE_FULL', message), closeReason.QUEUE_FULL);
    return;
  }
  const ms = typeof queueTimeout === 'number' ? queueTimeout : toDuration(queueTimeout, 'queueTimeout');
  if (ms > 0 && ms <= MAX_TIMER) wait.timer = setTimeout(onTimeout, Math.ceil(ms), request, ms);
  if (channels.queued.hasSubscribers) channels.queued.publish({ agent, request, waiting: length });
  waiting.join(agent, request, name);
}

/** What a program has put on the request itself, by names; undefined: nothing, as most. */
function ownMembers(request) {
  if (!Object.hasOwn(request, 'onSocket') && !Object.hasOwn(request, 'destroy')) return undefined;
  return { onSocket: request.onSocket, destroy: request.destroy };
}

/** What a member would be if the request had not waited. */
function memberOf(request, name) {
  return (request[kWait].own ?? Object.getPrototypeOf(request))[name];
}

function onTimeout(request, ms) {
  // What came while JavaScript was busy may have set a socket free.
  crossing.drain();
  if (request[kWait].isOver) return;
  const message = `Waited ${ms} ms for a socket`;
  fail(request, errors.coded(Error, 'ERR_QUEUE_TIMEOUT', message), closeReason.QUEUE_TIMEOUT);
}

/** Takes a request out of the queue. Whether it was there. */
function leave(request) {
  const { agent, name } = request[kWait];
  const list = agent.requests[name];
  if (list === undefined) return false;
  // Of many that are given up, each is at one of the ends, mostly.
  if (list[0] === request) list.shift();
  else if (list.at(-1) === request) list.pop();
  else {
    const at = list.indexOf(request);
    if (at === -1) return false;
    list.splice(at, 1);
  }
  if (list.length === 0) endQueue(agent, name);
  return true;
}

/** The same for all that have been destroyed in a tick, whose order is any: one way through each queue. */
function leaveTogether(requests) {
  const queues = new Map();
  for (const request of requests) {
    const wait = request[kWait];
    const list = wait.agent.requests[wait.name];
    if (list !== undefined) queues.set(list, wait);
  }
  for (const [list, { agent, name }] of queues) {
    let kept = 0;
    for (const request of list) {
      if (requests.has(request)) request[kWait].hasLeft = true;
      else list[kept++] = request;
    }
    list.length = kept;
    if (kept === 0) endQueue(agent, name);
  }
}

function leavingFrom(agent, name) {
  return [...destroyed].filter(
    ({ [kWait]: wait }) => wait.agent === agent && wait.name === name && !wait.isOver,
  ).length;
}

function endQueue(agent, name) {
  delete agent.requests[name];
  // Node makes this list for each request, and deletes it with the last socket in it: here none may ever come.
  if (agent.sockets[name]?.length === 0) delete agent.sockets[name];
}

function fail(request, error, reason) {
  if (!leave(request)) return;
  explainEnd(request, reason, waiting.end(request), always);
  request.onSocket(null, error);
}

/**
 * It ends without a socket. `account`: what is known if it was handed over, and so may have been sent while JavaScript was
 * blocked. `isOurs`: whether its error is the agent's, and not the program's.
 */
function explainEnd(request, reason, account, isOurs) {
  const waited = Math.round(performance.now() - request[kWait].since);
  explainLater(request, (error) => {
    const facts = account === undefined ? NOTHING_LEFT : (account.take() ?? UNKNOWN);
    explain(error, reason, { waited, ...parse(facts) }, isOurs(error));
  });
}

/** In the place of ClientRequest's own, on a request that has waited. */
function onSocket(socket, error) {
  const wait = this[kWait];
  const isFirst = !wait.isOver;
  if (isFirst) {
    wait.isOver = true;
    clearTimeout(wait.timer);
    if (socket) {
      wait.agent._waited(this, socket, performance.now() - wait.since);
      const sent = waiting.meet(this, socket, wait.agent.requests[wait.name]);
      if (sent !== undefined) explainEnd(this, closeReason.ABORTED, { take: () => sent }, always);
    }
  }
  const put = memberOf(this, 'onSocket');
  if (isFirst && socket && !error) wait.agent._serve(this, socket, put);
  else put.call(this, socket, error);
  if (isFirst) waiting.refill(wait.agent, wait.name);
}

/**
 * As above. Node leaves a destroyed request in the queue until it would be its turn. Here it leaves as soon as its program
 * cannot see the difference in the same tick.
 */
function destroy(error) {
  const isFirst = !this.destroyed;
  memberOf(this, 'destroy').call(this, error);
  if (!isFirst) return this;
  const { isOver } = this[kWait];
  const account = waiting.end(this);
  // Else it has been its lane's to say.
  if (!isOver || account !== undefined)
    explainEnd(this, closeReason.ABORTED, account, (shown) => shown !== error);
  if (!isOver) {
    destroyed.add(this);
    // One each: what it emits is in the context of who has destroyed it.
    nextTick(() => endWait(this));
  }
  return this;
}

function endWait(request) {
  // If it is not there it has left together with one before it.
  if (destroyed.has(request)) {
    if (destroyed.size === 1) request[kWait].hasLeft = leave(request);
    else leaveTogether(destroyed);
    destroyed.clear();
  }
  if (request[kWait].hasLeft) request.onSocket(null, undefined);
}

module.exports = { begin, isEmpty, watch };
