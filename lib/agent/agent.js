'use strict';

// The agent: Node's own http.Agent keeps the books (sockets, freeSockets, requests, limits, names),
// in whichever Node runs. What it calls a socket is a lane here.

const { channel } = require('diagnostics_channel');
// Looked up now: a program may put our classes into their place later.
const { Agent: NodeAgent } = require('http');
const { Agent: NodeHttpsAgent } = require('https');
const { addAbortSignal } = require('stream');

require('../binding').native; // A binary that is missing is told at once, not with the first request.
const { Plan, normalizeArgs } = require('../connect/connect');
const crossing = require('../crossing/crossing');
const { Decisions } = require('../connect/decisions');
const { optionOf } = require('../defaults');
const { toDuration } = require('../durations');
const { leaveEarly, mayLeaveEarly } = require('../request/early');
const { warnNodeSocket } = require('../fallback');
const { hintOf, idleLimit, marginOf, nativeHint, nodeMargin } = require('./idle-limit');
const { addShortly } = require('./add');
const { attach } = require('../lane/attach');
const Lane = require('../lane/lane');
const { isLearningIdle, learnIdleListener } = require('../node/client');
const { isNodesCallback } = require('../node/created-callback');
const { isNodes } = require('../node/functions');
const nodeSocket = require('../lane/node-socket');
const keepAliveStatus = require('./keepalive-status');
const { agentOptions, liveOptions } = require('./options');
const queue = require('../request/queue');
const { passOn, releaseLane } = require('./release');
const { setPolicy } = require('../request/retry-policy');
const { Route, connectReason, nodeReason } = require('../connect/route');
const { isolation, knownName, secureConnection, unnumbered } = require('./secure-connection');
const { parseStats } = require('./status');
const { surroundings } = require('../connect/surroundings');

const kId = Symbol('id');
/** Busy lanes that are no longer in the books. */
const kPlaceless = Symbol('placeless');
const kIdleLaneGone = Symbol('idleLaneGone');
/** The lane that addRequest has given to its request. */
const kGiven = Symbol('given');
/** Node's own listener for 'free'. */
const kOnFree = Symbol('onFree');
const kEnding = Symbol('ending');
/** The socket for the request that is being added: null until it is there, undefined at other times. */
const kChosen = Symbol('chosen');

/** Node's channel for each new client socket. */
const clientSockets = channel('net.client.socket');

/** What the options of an agent's connections come to. Not on the agent: a deep copy of one is an agent, too. */
const decisions = new WeakMap();

let lastId = 0;

/**
 * Makes one of our classes out of one of Node's. A function and not a class, since it can be called
 * without `new`, and `HttpAgent.call(this, options)` has to work for those who inherit the old way.
 */
function defineAgent(Base, name) {
  const Agent = {
    [name]: function (options) {
      if (!(this instanceof Agent)) return new Agent(options);
      Base.call(this, agentOptions(options));
      this.options = liveOptions(this.options);
      this[kId] = lastId = (lastId + 1) >>> 0;
      this[kIdleLaneGone] = false;
      this[kGiven] = undefined;
      this[kEnding] = false;
      this[kChosen] = undefined;
      this[kPlaceless] = new Set();
      this[kOnFree] = this._events.free;
      keepAliveStatus.begin(this);
      return undefined;
    },
  }[name];
  Object.setPrototypeOf(Agent, Base);
  Agent.prototype = Object.create(Base.prototype, {
    constructor: { value: Agent, writable: true, configurable: true },
  });
  define(Agent.prototype, pooling(Base));
  keepAliveStatus.define(Agent.prototype);
  return Agent;
}

function define(prototype, methods) {
  for (const [name, value] of Object.entries(methods)) {
    Object.defineProperty(prototype, name, { value, writable: true, configurable: true, enumerable: false });
  }
}

/** What both agents do their own way. */
function pooling(Base) {
  const methods = {
    addRequest(request, options, ...legacy) {
      if (options?.agent === false && request.agent === this) serveOnce(this, request);
      if (this[kIdleLaneGone]) forgetDestroyed(this);
      request.attempts = 1;
      setPolicy(request, options?.retry, this.options.retry);
      this[kGiven] = undefined;
      // Who is called on the way may add a request, too.
      const outer = this[kChosen];
      this[kChosen] = null;
      const mayBeShort =
        options !== null && typeof options === 'object' && isNodes.addRequest(Base.prototype.addRequest);
      let isAdded;
      let chosen;
      try {
        isAdded = mayBeShort && addShortly(this, request, options);
        if (!isAdded) Base.prototype.addRequest.call(this, request, options, ...legacy);
      } finally {
        chosen = this[kChosen];
        this[kChosen] = outer;
      }
      if (chosen instanceof Lane) chosen._meanFor(request);
      else if (chosen !== null) nodeSocket.watchRequest(request, chosen);
      else if (!isAdded && !queue.isEmpty(this)) queue.watch(this, request);
      if (this[kGiven] !== undefined && mayLeaveEarly(this, request)) {
        leaveEarly(request, this[kGiven]);
      }
      this[kGiven] = undefined;
    },

    reuseSocket(socket, request) {
      choose(this, socket);
      Base.prototype.reuseSocket.call(this, socket, request);
      const isOurs =
        this.reuseSocket === methods.reuseSocket && isNodes.reuseSocket(Base.prototype.reuseSocket);
      if (socket instanceof Lane && isOurs) this[kGiven] = socket;
    },

    emit(event, socket, ...rest) {
      if (event !== 'free') return Base.prototype.emit.call(this, event, socket, ...rest);
      keepAliveStatus.countRequest(this);
      if (socket instanceof Lane && !socket._mayServeAnother()) {
        socket.destroy();
        return true;
      }
      if (!queue.isEmpty(this)) {
        // Node asks keepSocketAlive() only where nobody waits.
        const hint = hintOf(socket._httpMessage?.res);
        if (hint.timeout === 0 || hint.max === 0) {
          socket.destroy();
          return true;
        }
        if (socket instanceof Lane) socket._tellHint(nativeHint(hint, marginOf(this.options)));
        if (this._events.free === this[kOnFree] && passOn(this, socket, ...rest)) return true;
      } else if (this._events.free === this[kOnFree] && this.removeSocket === methods.removeSocket) {
        if (isNodes.removeSocket(Base.prototype.removeSocket) && releaseLane(this, socket, ...rest))
          return true;
      }
      Base.prototype.emit.call(this, event, socket, ...rest);
      if (isLearningIdle()) learnIdleListener(socket.rawListeners('error').at(-1)?.listener);
      return true;
    },

    /** Decides whether the socket is kept for another request, and for how long. */
    keepSocketAlive(socket) {
      if (!this._keepFor(socket)) return false;
      return keepsAsNode(Base.prototype) || Base.prototype.keepSocketAlive.call(this, socket);
    },

    /** Sets the limits of an idle socket; false if it cannot be one. */
    _keepFor(socket) {
      const buffer = marginOf(this.options);
      const timeout = this.options.timeout || 0;
      const hint = hintOf(socket._httpMessage?.res);
      let limit = idleLimit(this._idleLimit(), this._idleLimit('maxFreeSocketTimeout'), hint, buffer);
      if (timeout > 0) limit = Math.min(limit, timeout);
      const nodes = socket instanceof Lane && !socket._isUpgraded ? socket._nodeSocket : socket;
      if (nodes !== undefined && !canBeIdle(nodes)) return false;
      socket.unref();
      if (nodes === undefined) {
        if (socket.timeout !== timeout) socket.setTimeout(timeout);
        socket._setIdleLimit(limit, nativeHint(hint, buffer));
        return limit > 0 && hint.timeout !== 0 && hint.max !== 0;
      }
      if (hint.max === 0) return false;
      if (buffer === undefined && hint.timeout !== undefined)
        limit = Math.min(limit, hint.timeout - nodeMargin(hint.timeout));
      const left = Math.min(limit, timeToLive(this.options, nodes));
      if (left <= 0) return false;
      socket.setKeepAlive(true, this.keepAliveMsecs);
      const idle = left < 0x7fffffff ? Math.ceil(left) : 0;
      if (socket.timeout !== idle) socket.setTimeout(idle);
      return true;
    },

    /** The agent's own limit of an idle connection in ms; the option may be changed while it runs. */
    _idleLimit(name = 'freeSocketTimeout') {
      const value = optionOf(this.options, name);
      const ms = typeof value === 'number' ? value : toDuration(value, name);
      return ms === 0 ? Infinity : ms;
    },

    /**
     * Node gives the place of a closed socket to a request that waits. A socket that has left the books
     * before its 'close' has no place to give: a newer one may be in it.
     */
    removeSocket(socket, options) {
      if (socket.destroyed) noteClose(this, socket);
      if (!queue.isEmpty(this) && isPlaceless(this, socket, this.getName(options))) return;
      Base.prototype.removeSocket.call(this, socket, options);
    },

    /**
     * The connection under a busy lane is dead, and its request can go nowhere else. It may wait for the peer,
     * but not in a place that another request could use: it leaves the books as an upgraded socket does.
     */
    _giveAway(lane) {
      const request = lane._httpMessage;
      // From here on nobody would take it back.
      if (request !== null) request.shouldKeepAlive = false;
      this[kPlaceless].add(lane);
      lane.once('close', () => this[kPlaceless].delete(lane));
      lane.emit('agentRemove');
    },

    destroy() {
      this[kEnding] = true;
      nodeSocket.ending(this);
      try {
        for (const lane of this[kPlaceless]) lane.destroy();
        Base.prototype.destroy.call(this);
      } finally {
        this[kEnding] = false;
      }
    },

    /** What has been counted, by origin (index.d.ts has the members). */
    stats() {
      return parseStats(crossing.stats(this[kId]), this);
    },

    /** A request got its socket, having waited for it. */
    _waited(request, socket, ms) {
      if (!(socket instanceof Lane)) {
        nodeSocket.watchRequest(request, socket);
        return;
      }
      socket._meanFor(request);
      socket._noteWait(ms);
    },

    /** Puts the request on it, as its `onSocket` does. */
    _serve(request, socket, onSocket) {
      if (socket instanceof Lane) attach(request, socket, onSocket);
      else onSocket.call(request, socket);
    },

    /** A socket has run into its timeout. */
    _noteTimeout() {
      keepAliveStatus.count(this, 'timeoutSocketCount');
    },

    /** Whether it is destroy() that ends the sockets now. */
    _isEnding() {
      return this[kEnding];
    },

    /** An idle lane was destroyed, and may still stand in the books for a moment. */
    _idleLaneGone() {
      this[kIdleLaneGone] = true;
    },
  };
  return methods;
}

/** Whether an agent of Node's decides on idle sockets by its own functions; that of https may ask that of http. */
function keepsAsNode({ keepSocketAlive }) {
  const { keepSocketAlive: ofHttp } = NodeAgent.prototype;
  return (
    isNodes.keepSocketAlive(ofHttp) &&
    (keepSocketAlive === ofHttp || isNodes.keepSecureSocketAlive(keepSocketAlive))
  );
}

/** Node tells of a socket that was destroyed once, with its 'close'. */
function noteClose(agent, socket) {
  keepAliveStatus.count(agent, 'closeSocketCount');
  if (socket.errored) keepAliveStatus.count(agent, 'errorSocketCount');
}

function decisionsOf(agent) {
  let known = decisions.get(agent);
  if (known === undefined) decisions.set(agent, (known = new Decisions()));
  return known;
}

/** A createConnection that counts what it makes. */
function counting(createConnection) {
  return function (...args) {
    let socket;
    try {
      socket = createConnection.apply(this, args);
    } catch (error) {
      keepAliveStatus.count(this, 'createSocketErrorCount');
      throw error;
    }
    if (socket) keepAliveStatus.count(this, 'createSocketCount');
    return socket;
  };
}

/** Whether the pool is full without this socket. */
function isPlaceless(agent, socket, name) {
  const [busy, idle] = [agent.sockets[name] ?? [], agent.freeSockets[name] ?? []];
  const isFull =
    busy.length + idle.length >= agent.maxSockets || agent.totalSocketCount >= agent.maxTotalSockets;
  return isFull && !busy.includes(socket) && !idle.includes(socket);
}

/** `agent: false` makes an agent for one request. Node's closes the connection after it, so must ours. */
function serveOnce(agent, request) {
  agent.keepAlive = false;
  request.shouldKeepAlive = false;
  request._last = true;
  // Headers given as an array, and Expect, have been written already, and Expect is in the queue.
  const header = request._header;
  if (header && !request._removedConnection) {
    request._header = header.replace(/\r\nConnection: keep-alive\r\n(?=[^]*$)/, '\r\nConnection: close\r\n');
    const [queued] = request.outputData;
    if (queued?.data === header) {
      queued.data = request._header;
      request.outputSize += request._header.length - header.length;
    }
  }
}

/** Node hands out the last idle socket without a look at whether it was destroyed. */
function forgetDestroyed(agent) {
  agent[kIdleLaneGone] = false;
  for (const name of Object.keys(agent.freeSockets)) {
    const alive = agent.freeSockets[name].filter((socket) => !socket.destroyed);
    if (alive.length > 0) agent.freeSockets[name] = alive;
    else delete agent.freeSockets[name];
  }
}

function timeToLive(options, socket) {
  const socketActiveTTL = optionOf(options, 'socketActiveTTL');
  return socketActiveTTL > 0 ? socketActiveTTL - nodeSocket.ageOf(socket) : Infinity;
}

/** Whether it has what an idle socket needs: a stream that a program has made itself need not be one. */
function canBeIdle(socket) {
  return ['setKeepAlive', 'setTimeout', 'ref', 'unref'].every((name) => typeof socket[name] === 'function');
}

/** A socket is made for a request that waits, too. Then nobody is adding one. */
function choose(agent, socket) {
  if (agent[kChosen] === null) agent[kChosen] = socket;
}

/** A connection by Node's own code. */
function nodeConnection(Base, agent, args) {
  const socket = Base.prototype.createConnection.apply(agent, args);
  if (socket) {
    nodeSocket.opened(socket);
    choose(agent, socket);
  }
  return socket;
}

function countTimeouts(agent, socket) {
  socket?.on('timeout', () => agent._noteTimeout());
}

const HttpAgent = defineAgent(NodeAgent, 'HttpAgent');

define(HttpAgent.prototype, {
  createConnection: counting(function (...args) {
    const [options, callback] = normalizeArgs(args);
    const { reason, route } = decisionsOf(this).of(
      options.path || options.host,
      [options, this.options, surroundings],
      (...sources) => decide(this, ...sources),
    );
    if (reason !== undefined || !crossing.isReady()) {
      const socket = nodeConnection(NodeAgent, this, args);
      countTimeouts(this, socket);
      if (reason) warnNodeSocket(reason);
      return socket;
    }
    const plan = new Plan(route);
    const lane = new Lane(this, plan, options);
    if (callback !== null && !isNodesCallback(callback)) {
      plan.onConnect = callback;
      lane.once('connect', callback);
    }
    if (this.createConnection === HttpAgent.prototype.createConnection) this[kGiven] = lane;
    startLane(this, lane, plan, options);
    return lane;
  }),
});

/** `{ route }`, or the reason why these options are for Node's own sockets (see decisions.js, which watches all but the first). */
function decide(agent, options, defaults, surroundings) {
  const reason = nodeReason(agent, options, surroundings) ?? connectReason(surroundings);
  return reason === undefined
    ? { route: new Route(agent[kId], options, defaults, surroundings) }
    : { reason };
}

function startLane(agent, lane, plan, options) {
  choose(agent, lane);
  if (options.signal) addAbortSignal(options.signal, lane);
  if (options.timeout) lane.setTimeout(options.timeout);
  if (clientSockets.hasSubscribers) clientSockets.publish({ socket: lane });
  try {
    plan.start(lane);
  } catch (error) {
    lane.destroy(); // A lookup function has thrown; the lane gives its slot back.
    throw error;
  }
}

const HttpsAgent = defineAgent(NodeHttpsAgent, 'HttpsAgent');

define(HttpsAgent.prototype, {
  createConnection: counting(function (...args) {
    const byNode = (given) => nodeConnection(NodeHttpsAgent, this, given);
    const { socket, lane, plan, options } = secureConnection(
      this,
      { id: this[kId], decisions: decisionsOf(this) },
      args,
      byNode,
    );
    if (lane === undefined) {
      countTimeouts(this, socket);
      return socket;
    }
    startLane(this, lane, plan, options);
    return lane;
  }),

  /** Node's name, and behind it what else a connection must not be shared over. */
  getName(options) {
    return (
      (this._hasOwnGetName ? knownName(options) : undefined) ??
      NodeHttpsAgent.prototype.getName.call(this, unnumbered(options)) + isolation(options)
    );
  },
});

const { createConnection, getName } = HttpsAgent.prototype;

/** No subclass, and nobody else, has a say in the names of the pools, and in what is connected to. */
Object.defineProperties(HttpsAgent.prototype, {
  _hasOwnCreateConnection: {
    get() {
      return this.createConnection === createConnection;
    },
  },
  _hasOwnGetName: {
    get() {
      return (
        this.getName === getName &&
        isNodes.getName(NodeAgent.prototype.getName) &&
        isNodes.getSecureName(NodeHttpsAgent.prototype.getName)
      );
    },
  },
});

module.exports = { HttpAgent, HttpsAgent };
