'use strict';

// Requests at the head of a queue go on while JavaScript blocks. Node's agent has the queue (agent.requests), and
// gives the next request a lane when it has seen the end of a response. Here the requests that a queue begins
// with are handed over to Rust as they are finished. There each has a slot, as lanes do, and is sent when a
// connection becomes free and JavaScript does not see to it (src/pool/passing_on.rs). When Node gives the request a
// lane, the lane moves into that slot: what Rust has of the request is the lane's from then on.

const channels = require('../channels');
const { UNKNOWN } = require('../crossing/account');
const { wholeOf } = require('../crossing/chunks');
const crossing = require('../crossing/crossing');
const { optionOf } = require('../defaults');
const { sendsEarly } = require('./early');
const { isResent } = require('./facts');
const { immediately } = require('../node/immediate');
const process = require('../node/process');
const Place = require('../crossing/place');
const { opFlag, closeReason } = require('../crossing/records');
const { policyOf } = require('./retry-policy');

/** On a request that waits: what Rust has of it; null before it is handed over. */
const kWaiting = Symbol('waiting');
/** On an agent: what it has handed over, by the names of the books. */
const kQueues = Symbol('queues');

/**
 * Lists of agent.requests that get new sockets, of a server that closes each connection, say. Nothing passes on there, and to take
 * back what was handed over costs a question. So nothing is, until one of the sockets becomes free.
 */
const withoutReuse = new WeakSet();

let lastNumber = 0;

/** A request that has a place and no lane yet. Has those members of a lane that the crossing calls. */
class Waiting {
  #request;
  #queue;
  #isQueued = true;
  #lane;
  /** What has come for the lane, and the epoch of which that speaks. */
  #reports = [];
  /** It could not be taken back, and nobody can say whether it has been sent. */
  isInDoubt = false;

  constructor(agent, request, queue) {
    this.#request = request;
    this.#queue = queue;
    queue.count++;
    /** What it will write to its lane. */
    this.pieces = request.outputData.map(({ data: chunk, encoding }) => ({ chunk, encoding }));
    this.place = new Place(this, false);
    const flagsOf = (bytes) => flagsFor(agent, request, bytes);
    this.bytes = this.place.wait(queue.number, request.outputData, flagsOf);
  }

  /** The queue that the connection serves behind it, where that may be. */
  get queueNumber() {
    return this.#queue.number;
  }

  /** Takes it back; undefined then. Or it has been sent, or may have been: this is what is known of it (facts.js). */
  withdraw() {
    // Nobody is asked, and waited for, twice.
    const facts = this.isInDoubt ? undefined : this.place.withdraw();
    this.isInDoubt = facts === undefined;
    if (facts !== '') return facts ?? UNKNOWN;
    this.depart();
    return undefined;
  }

  /** It ends here: nobody is to have its answer. The account of it. */
  end() {
    const account = this.place.close(closeReason.ABORTED, 0, (facts) => noteResent(this.#request, facts));
    this.depart();
    return account;
  }

  /** The same of one that could not be taken back: `sent` is what withdraw() has said. What is known of it now. */
  giveUp(sent) {
    noteResent(this.#request, sent);
    if (!this.isInDoubt) return this.end().take() ?? sent;
    this.place.leave(closeReason.ABORTED);
    this.depart();
    return sent;
  }

  /** It has left the agent's queue. */
  depart() {
    if (!this.#isQueued) return;
    this.#isQueued = false;
    if (--this.#queue.count === 0) this.#queue.end();
  }

  /** Its place is the lane's. What has come already comes to it in turns of the loop, as all else does. */
  giveTo(lane) {
    this.depart();
    this.#lane = lane;
    if (this.#reports.length === 0) this.place.giveTo(lane);
    else immediately(report, this);
  }

  /** Gives the lane the next of what has come. */
  report() {
    const lane = this.#lane;
    // What is kept for a lane that is gone from here is nobody's, and the place is another one's by now.
    if (!lane._isAt(this.place)) return;
    const { epoch, method, args } = this.#reports.shift();
    if (this.#reports.length === 0) this.place.giveTo(lane);
    // A handler that throws must not cost it the rest.
    else immediately(report, this);
    // Another request may have the lane by now: as in the crossing, it does not hear of this.
    if (epoch === lane._epoch) lane[method](...args);
  }

  /** It may not be there. If it is not, or has not been sent, it is a request like others. */
  _broken(what) {
    if (this.#lane !== undefined) this.#lane._broken(what);
    else if (this.withdraw() === undefined) forget(this.#request);
  }

  #keep(method, ...args) {
    this.#reports.push({ epoch: this.#lane?._epoch ?? this.place.epoch, method, args });
  }

  _received(chunk) {
    this.#keep('_received', chunk);
  }

  /** What is known of the bytes is of use only where it has come to. Node's parser reads them. */
  _receivedResponse(...args) {
    this._received(wholeOf(...args));
  }

  _receivedBody(...args) {
    this._receivedResponse(...args);
  }

  _reported(...args) {
    this.#keep('_reported', ...args);
  }
}

function report(waiting) {
  waiting.report();
}

function flagsFor(agent, request, bytes) {
  const policy = policyOf(request);
  const { maxReplayBytes = optionOf(agent.options, 'maxReplayBytes') } = policy;
  const flags = request.shouldKeepAlive ? 0 : opFlag.LAST;
  return bytes > maxReplayBytes ? flags : flags | policy.flagsFor(request);
}

/** A request has got into the queue. */
function join(agent, request, name) {
  if (
    !(optionOf(agent.options, 'maxSentAhead') > 0) ||
    !sendsEarly(agent, request) ||
    Object.hasOwn(request, 'end')
  )
    return;
  request[kWaiting] = null;
  if (request.writableEnded) handOver(agent, name);
  else {
    // As the other own members of requests that wait (queue.js).
    request.end = function (...args) {
      Object.getPrototypeOf(this).end.apply(this, args);
      if (this[kWaiting] === null && this.writableEnded) handOver(agent, name);
      return this;
    };
  }
}

/** Hands over, in the middle of a tick that may last, those at the head of a queue that can be. */
function handOver(agent, name) {
  const { length } = agent.requests[name] ?? [];
  // Behind so many it is for refill().
  if (length > optionOf(agent.options, 'maxSentAhead') && hasMany(agent, name)) return;
  if (isDue(agent, name)) crossing.sendEarly(advance, agent, name);
}

/** The same for what is left when one has gone: not for each, but for many when few are there. */
function refill(agent, name) {
  if (hasMany(agent, name) || !isDue(agent, name)) return;
  // Behind the tick in which that one writes to its lane.
  process.nextTick(() => {
    advance(agent, name);
    crossing.endWithTick();
  });
}

/** Whether more than half of those that may be are handed over. */
function hasMany(agent, name) {
  return countOf(agent, name) * 2 > optionOf(agent.options, 'maxSentAhead');
}

function isDue(agent, name) {
  const list = agent.requests[name];
  const next = list?.[countOf(agent, name)];
  return next !== undefined && isReady(next) && !withoutReuse.has(list);
}

/** How many of a queue are handed over. */
function countOf(agent, name) {
  return agent[kQueues]?.get(name)?.count ?? 0;
}

function isReady(request) {
  return (
    request[kWaiting] === null &&
    request.writableEnded &&
    !request.destroyed &&
    request.outputSize <= crossing.INLINE_MAX &&
    request.method !== 'CONNECT' &&
    // A listener may write to the socket before Node does.
    request.listenerCount('socket') === 0
  );
}

function advance(agent, name) {
  const list = agent.requests[name];
  const sockets = agent.sockets[name];
  // Somebody else may have plans with sockets that become free.
  if (list === undefined || sockets === undefined || agent.listenerCount('free') > 1) return;
  if (!sockets.every((socket) => socket._isInRust)) return;
  const queue = queueOf(agent, name);
  const most = Math.min(list.length, optionOf(agent.options, 'maxSentAhead'));
  // None overtakes another: behind one that cannot be handed over all wait for JavaScript.
  while (queue.count < most && isReady(list[queue.count])) {
    const request = list[queue.count];
    request[kWaiting] = new Waiting(agent, request, queue);
  }
  if (queue.count === 0) queue.end();
  else for (const lane of sockets) lane._yieldTo(queue.number);
}

function queueOf(agent, name) {
  const queues = (agent[kQueues] ??= new Map());
  let queue = queues.get(name);
  if (queue === undefined) {
    lastNumber = (lastNumber + 1) & 0x7fffffff;
    queues.set(name, (queue = { number: lastNumber, count: 0, end: () => queues.delete(name) }));
  }
  return queue;
}

/** What Rust has of a request, if it has anything. */
function waitingOf(request) {
  return request[kWaiting] ?? undefined;
}

/** From here on it is a request like others. */
function forget(request) {
  request[kWaiting] = undefined;
}

/**
 * Node has given the request a socket, which is its own a tick later; `list`: those behind it in the queue. What is known of the
 * request, as text (facts.js), if it cannot go on with that.
 */
function meet(request, socket, list) {
  if (list !== undefined) {
    if (socket._isOpened) withoutReuse.delete(list);
    else withoutReuse.add(list);
  }
  const waiting = waitingOf(request);
  if (waiting === undefined) return forget(request);
  waiting.depart();
  const isFit = socket._isInRust === true;
  if (isFit && socket._isOpened) return undefined;
  const sent = waiting.withdraw();
  if (sent === undefined) return forget(request);
  if (isFit && !waiting.isInDoubt) return socket._skipOpening();
  // A socket of Node's cannot go on with what was sent elsewhere. And what may wait yet must not be sent twice, nor wait
  // for ever for a connection that the socket would not make.
  const facts = waiting.giveUp(sent);
  socket.destroy();
  forget(request);
  return facts;
}

/** The request will not get a lane. The account of it, if it was handed over. */
function end(request) {
  const waiting = waitingOf(request);
  forget(request);
  return waiting?.end();
}

/** It cannot go on with the lane that it gets. What is known if it has been sent, as text (facts.js); else nothing. */
function takeOut(request) {
  const waiting = waitingOf(request);
  forget(request);
  const sent = waiting.withdraw();
  return sent === undefined ? undefined : waiting.giveUp(sent);
}

/** No lane will say any more that it has gone out a second time. */
function noteResent(request, facts) {
  if (facts === undefined || !isResent(facts) || request.attempts > 1) return;
  request.attempts = 2;
  if (channels.retried.hasSubscribers)
    channels.retried.publish({ agent: request.agent, socket: undefined, request });
}

module.exports = { end, forget, join, meet, refill, takeOut, waitingOf };
