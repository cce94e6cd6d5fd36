'use strict';

// Node puts six listeners on a socket for each request, and takes them off again. On a lane they stand for
// nothing as long as nobody looks: what Rust has read whole comes past them. So they are noted, and come to
// be when anybody looks at the listeners, adds one, or emits what they listen for: then they are there, in
// Node's order, before whatever else is done.

const { Duplex } = require('stream');

const { learnListener, listeners } = require('./node-client');

const ERROR = 1;
const DATA = 2;
const END = 4;
const CLOSE = 8;
const DRAIN = 16;
const TIMEOUT = 32;
/** Once, and of an idle lane. */
const IDLE_ERROR = 64;

const OF_A_REQUEST = ERROR | DATA | END | CLOSE | DRAIN;

/** In the order in which Node adds them. */
const ORDER = [
  [ERROR, 'error'],
  [DATA, 'data'],
  [END, 'end'],
  [CLOSE, 'close'],
  [DRAIN, 'drain'],
  [TIMEOUT, 'timeout'],
];

/** The bits of an event. */
const BITS = {
  __proto__: null,
  error: ERROR | IDLE_ERROR,
  data: DATA,
  end: END,
  close: CLOSE,
  drain: DRAIN,
  timeout: TIMEOUT,
};

class LightListeners extends Duplex {
  #noted = 0;
  #learns = false;

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

  /** Whether Node's own listener for 'data' is the only one. */
  get _isReadByNode() {
    return (this.#noted & DATA) !== 0 || this._events.data === listeners.data;
  }

  #attach() {
    const noted = this.#noted;
    this.#noted = 0;
    for (const [bit, event] of ORDER) if (noted & bit) super.on(event, listeners[event]);
    if (noted & IDLE_ERROR) super.once('error', listeners.idleError);
  }

  #learn(event, listener) {
    learnListener(event, listener);
    // The last of each time.
    this.#learns = event !== 'drain' && event !== 'timeout';
  }

  #look(event) {
    if (this.#noted !== 0 && BITS[event] !== undefined) this.#attach();
  }

  on(event, listener) {
    if (this.#noted !== 0) {
      if (listener === listeners.timeout && event === 'timeout') {
        this.#noted |= TIMEOUT;
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
      const bit = BITS[event] & this.#noted;
      if (bit !== 0 && listener === listeners[bit === IDLE_ERROR ? 'idleError' : event]) {
        this.#noted &= ~bit;
        return this;
      }
      this.#look(event);
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
    this.#look(event);
    return super.emit(event, ...args);
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
