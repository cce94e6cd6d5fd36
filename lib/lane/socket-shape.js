'use strict';

// The part of net.Socket's shape that does not depend on what is behind it: states, addresses, the
// inactivity timer, and what happens to writes after the peer has ended.

const { isIP } = require('net');
const { Duplex } = require('stream');

const errors = require('../errors');
const { toTimerDuration } = require('../durations');
const LightListeners = require('./light-listeners');
const { clearTimeout, setTimeout } = require('../node/clock');
const process = require('../node/process');

/** What the listener for 'data' does of Node's adapter of streams (JSStreamSocket), which has no other mark. */
const ADAPTER = /\.readBuffer\(chunk\)/;

/** Of a timer: how far it is. */
const timing = { WHOLE: 0, FOR_REST: 1, OVER: 2 };

class SocketShape extends LightListeners {
  #addresses = '';
  #timer = null;
  #timing = timing.WHOLE;

  constructor(options) {
    super({
      allowHalfOpen: Boolean(options.allowHalfOpen),
      autoDestroy: true,
      emitClose: false, // After what is pending in this turn of the loop, as net.Socket does.
      decodeStrings: false,
      highWaterMark: options.highWaterMark,
      readableHighWaterMark: options.readableHighWaterMark,
      writableHighWaterMark: options.writableHighWaterMark,
    });
    this.connecting = true;
    this.timeout = undefined;
    this._hadError = false;
    this._parent = null;
    this._host = null;
    // Node 22 and later would read from a handle by themselves.
    this._handle = null;
    this.server = null;
    this._server = null;
    this.on('end', onReadableStreamEnd);
  }

  // ---- States.

  get pending() {
    return this.destroyed || this.connecting;
  }

  get _connecting() {
    return this.connecting;
  }

  get readyState() {
    if (this.connecting) return 'opening';
    if (this.readable) return this.writable ? 'open' : 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  get bufferSize() {
    return this.destroyed ? undefined : this.writableLength;
  }

  /** Ends the writing side, then closes. */
  destroySoon() {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', this.destroy);
  }

  // ---- Addresses.

  /** `local address, port, peer address, port`, separated by tabs; empty for a Unix socket. */
  _setAddresses(text) {
    this.#addresses = text;
  }

  #address(index) {
    return this.#addresses === '' ? undefined : this.#addresses.split('\t')[index];
  }

  get localAddress() {
    return this.#address(0);
  }

  get localPort() {
    return toNumber(this.#address(1));
  }

  get localFamily() {
    return familyOf(this.localAddress);
  }

  get remoteAddress() {
    return this.#address(2);
  }

  get remotePort() {
    return toNumber(this.#address(3));
  }

  get remoteFamily() {
    return familyOf(this.remoteAddress);
  }

  /** The local address; empty while there is none. */
  address() {
    const address = this.localAddress;
    return address === undefined ? {} : { address, family: familyOf(address), port: this.localPort };
  }

  // ---- Inactivity.

  /** After `msecs` without a byte in either direction 'timeout' is emitted; 0 turns it off. */
  setTimeout(msecs, callback) {
    if (this.destroyed) return this;
    this.timeout = msecs;
    const duration = toTimerDuration(msecs, 'msecs');
    if (callback !== undefined && typeof callback !== 'function') {
      throw errors.invalidArgType('callback', 'of type function', callback);
    }
    this._clearTimer();
    if (duration === 0) {
      if (callback !== undefined) this.removeListener('timeout', callback);
    } else {
      this.#startTimer(duration);
      if (callback !== undefined) this.once('timeout', callback);
    }
    return this;
  }

  /** Called for each sign of life. */
  _unrefTimer() {
    if (this.#timer === null) return;
    if (this.#timing === timing.WHOLE) this.#timer.refresh();
    else {
      this._clearTimer();
      this.#startTimer(this.timeout);
    }
  }

  /** Whether the timer has run out, and nothing has set it since. */
  get _isTimeOver() {
    return this.#timing === timing.OVER;
  }

  /** The last sign of life came so late that the timer, which has run out, has `rest` ms to go. */
  _waitOut(rest) {
    this._clearTimer();
    this.#timing = timing.FOR_REST;
    this.#startTimer(rest);
  }

  #startTimer(ms) {
    this.#timer = setTimeout(SocketShape.#onTimer, ms, this).unref();
  }

  _clearTimer() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#timing = timing.WHOLE;
  }

  #timeIsOver() {
    this.#timing = timing.OVER;
    this._onTimeout();
  }

  _onTimeout() {
    this.emit('timeout');
  }

  static #onTimer(socket) {
    socket.#timeIsOver();
  }
}

/** As net.Socket does: a clear error for who writes after the peer has ended. */
function onReadableStreamEnd() {
  // Who is above has something to say yet, as TLS its own end, and ends the lane behind that.
  if (isWrapped(this)) this.allowHalfOpen = true;
  else if (!this.allowHalfOpen) this.write = writeAfterFin;
}

/** Whether it is under Node's adapter of streams for what it does in C++: TLS, HTTP/2. (A net.Socket is that by its handle.) */
function isWrapped({ _events: { data } }) {
  return [data].flat().some((listener) => listener?.name === 'ondata' && ADAPTER.test(listener));
}

function writeAfterFin(chunk, encoding, callback) {
  if (!this.writableEnded) return Duplex.prototype.write.call(this, chunk, encoding, callback);
  const error = new Error('This socket has been ended by the other party');
  error.code = 'EPIPE';
  const done = typeof encoding === 'function' ? encoding : callback;
  if (typeof done === 'function') process.nextTick(done, error);
  this.destroy(error);
  return false;
}

function familyOf(address) {
  return address === undefined ? undefined : `IPv${isIP(address)}`;
}

function toNumber(text) {
  return text === undefined ? undefined : Number(text);
}

module.exports = SocketShape;
