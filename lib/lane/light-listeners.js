'use strict';

// Node puts six listeners on a socket for each request, and takes them off again. On a lane they stand for
// nothing as long as nobody looks: what Rust has read whole comes past them. So they are noted, and come to
// be when anybody looks at the listeners, adds one, or emits what they listen for: then they are there, in
// Node's order, before whatever else is done.

const { Duplex } = require('stream');

const { learnListener, listeners } = require('../node/client');

const ERROR = 1;
const DATA = 2;
const END = 4;
const CLOSE = 8;
const DRAIN = 16;
const TIMEOUT = 32;
/** Once, and of an idle lane. */
const IDLE_ERROR = 64;
/** Once, of a request that has a timeout. */
const REQUEST_TIMEOUT = 128;

const ONCE = IDLE_ERROR | REQUEST_TIMEOUT;

const ANY = ~0;

const OF_A_REQUEST = ERROR | DATA | END | CLOSE | DRAIN;

/** In the order in which Node adds them. */
const ORDER = [
  [ERROR, 'error'],
  [DATA, 'data'],
  [END, 'end'],
  [CLOSE, 'close'],
  [DRAIN, 'drain'],
  [REQUEST_TIMEOUT, 'timeout'],
  [TIMEOUT, 'timeout'],
  [IDLE_ERROR, 'error'],
];

// Both are asked for each listener of each request, and V8 does not look for names that stand in the code.

function bitsOf(event) {
  switch (event) {
    case 'error':
      return ERROR | IDLE_ERROR;
    case 'data':
      return DATA;
    case 'end':
      return END;
    case 'close':
      return CLOSE;
    case 'drain':
      return DRAIN;
    case 'timeout':
      return TIMEOUT | REQUEST_TIMEOUT;
    // Whoever listens for these is told of each.
    case 'newListener':
    case 'removeListener':
      return ANY;
    default:
      return 0;
  }
}

/** The listener that a bit stands for; undefined for several bits. */
function listenerOf(bit) {
  switch (bit) {
    case ERROR:
      return listeners.error;
    case DATA:
      return listeners.data;
    case END:
      return listeners.end;
    case CLOSE:
      return listeners.close;
    case DRAIN:
      return listeners.drain;
    case TIMEOUT:
      return listeners.timeout;
    case IDLE_ERROR:
      return listeners.idleError;
    case REQUEST_TIMEOUT:
      return listeners.requestTimeout;
    default:
      return undefined;
  }
}

/** Which of Node's listeners for 'timeout' this is that is added; 0: none. */
function timeoutBitOf(listener) {
  if (listener === listeners.timeout) return TIMEOUT;
  const isRequests =
    listeners.requestTimeout !== undefined && listener?.listener === listeners.requestTimeout;
  return isRequests ? REQUEST_TIMEOUT : 0;
}

/** The one among `bits` that stands for the listener; 0: none. */
function bitOf(bits, listener) {
  if ((bits & REQUEST_TIMEOUT) !== 0 && listener === listeners.requestTimeout) return REQUEST_TIMEOUT;
  const others = bits & ~REQUEST_TIMEOUT;
  return others !== 0 && listener === listenerOf(others) ? others : 0;
}

class LightListeners extends Duplex {
  #noted = 0;
  #learns = false;
  #isBeingRead = false;

  /** The next listeners are Node's. */
  _learnListeners() {
    this.#learns = true;
  }

  /** Notes the one of those for a request that newer Nodes add before the others. */
  _noteErrorListener() {
    this.#noted |= ERROR;
  }

  /** Notes the listeners that Node adds for a request; `isFirst`: that for errors among them. */
  _noteListeners(isFirst) {
    this.#noted |= isFirst ? OF_A_REQUEST : OF_A_REQUEST & ~ERROR;
  }

  /** Notes the one that Node's agent adds for as long as the lane is idle. */
  _noteIdleListener() {
    this.#noted |= IDLE_ERROR;
  }

  /** Notes the one that Node adds for a request that has a timeout. */
  _noteRequestTimeout() {
    this.#noted |= REQUEST_TIMEOUT;
  }

  /** Whether Node's own listener for 'data' is the only one. */
  get _isReadByNode() {
    return (this.#noted & DATA) !== 0 || this._events.data === listeners.data;
  }

  /** Whether it is a listener for 'data' that runs. */
  get _isBeingRead() {
    return this.#isBeingRead;
  }

  /** What is noted comes to be. */
  _attachNoted() {
    if (this.#noted !== 0) this.#attach();
  }

  #attach() {
    const noted = this.#noted;
    this.#noted = 0;
    for (const [bit, event] of ORDER) {
      if ((noted & bit & ONCE) !== 0) super.once(event, listenerOf(bit));
      else if ((noted & bit) !== 0) super.on(event, listenerOf(bit));
    }
  }

  #learn(event, listener) {
    learnListener(event, listener);
    // The last of each time.
    this.#learns = event !== 'drain' && event !== 'timeout';
  }

  #look(event) {
    if (this.#noted !== 0 && bitsOf(event) !== 0) this.#attach();
  }

  on(event, listener) {
    if (this.#noted !== 0) {
      const bit = event === 'timeout' ? timeoutBitOf(listener) : 0;
      // Behind the other it would come to be before it.
      if (bit !== 0 && (this.#noted & TIMEOUT) === 0) {
        this.#noted |= bit;
        return this;
      }
      this.#look(event);
    }
    if (this.#learns) this.#learn(event, listener);
    return super.on(event, listener);
  }

  addListener(event, listener) {
    return this.on(event, listener);
  }

  prependListener(event, listener) {
    this.#look(event);
    return super.prependListener(event, listener);
  }

  removeListener(event, listener) {
    if (this.#noted !== 0) {
      const bit = bitOf(bitsOf(event) & this.#noted, listener);
      if (bit !== 0) {
        this.#noted &= ~bit;
        return this;
      }
      // Node takes this one off twice.
      if (listener !== listeners.requestTimeout) this.#look(event);
    }
    return super.removeListener(event, listener);
  }

  off(event, listener) {
    return this.removeListener(event, listener);
  }

  removeAllListeners(...event) {
    this.#attach();
    return super.removeAllListeners(...event);
  }

  emit(event, ...args) {
    if (event === 'data') return this.#emitData(...args);
    this.#look(event);
    const isHeard = super.emit(event, ...args);
    if (event === 'drain') this._drained();
    return isHeard;
  }

  /** There is room again, and the listeners for that have been called. */
  _drained() {}

  #emitData(...args) {
    // Node's listener for it relies on a parser, whoever emits.
    if (this._isLight) this._becomeParsed();
    this.#look('data');
    this.#isBeingRead = true;
    try {
      return super.emit('data', ...args);
    } finally {
      this.#isBeingRead = false;
    }
  }

  listenerCount(event, ...listener) {
    this.#look(event);
    return super.listenerCount(event, ...listener);
  }

  listeners(event) {
    this.#look(event);
    return super.listeners(event);
  }

  rawListeners(event) {
    this.#look(event);
    return super.rawListeners(event);
  }

  eventNames() {
    this.#attach();
    return super.eventNames();
  }
}

module.exports = LightListeners;
