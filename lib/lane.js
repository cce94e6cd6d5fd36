'use strict';

// The lane: what ClientRequest and its users know as the socket. A real Duplex whose bytes come
// from and go to a connection in Rust, with the members and events of net.Socket.

const { AsyncResource } = require('async_hooks');
const { isIP } = require('net');
const { Duplex, addAbortSignal } = require('stream');

const crossing = require('./crossing');
const errors = require('./errors');
const { op, opFlag, event, eventFlag, rebound, closeReason } = require('./records');
const { isReplayable } = require('./replayable');
const { toTimerDuration } = require('./durations');

/** Bytes that may be on their way to the kernel, unreported, before a write has to wait. */
const WRITE_WINDOW = 512 * 1024;
/** Large buffers are handed to Rust in pieces of this size, so that it never holds all of one. */
const WRITE_PIECE = 128 * 1024;
/** How many bytes pass before the next write asks for a report. */
const REPORT_EVERY = 64 * 1024;

const LIMITLESS = -1;

class Lane extends Duplex {
  /** The agent, and the plan of its connection (see connect.js). */
  #agent;
  #plan;

  #slot = -1;
  #epoch = 0;
  #opened = false;
  #connected = false;
  #addresses = '';
  #host;

  /** The request that has the lane; null between requests. */
  #message = null;
  #began = false;
  #parked = false;
  /** Idle limit in ms that keepSocketAlive has found for the next time the lane is parked. */
  #idleLimit;
  #firstWrite = true;
  #resource;
  /** Why the guards refused another connection, if there is an error that says so. */
  #refusal;

  #refed = true;
  #timer = null;
  #noDelay;
  #keepAlive;
  #keepAliveDelay;
  #resetOnDestroy = false;

  /** Bytes read in this exchange, modulo 2^32, and how many of them Rust thinks are unread. */
  #received = 0;
  #unconsumed = 0;
  #bytesRead = 0;

  /** What a write has not handed over yet, and whom to tell when it has. */
  #pieces = [];
  #writeCallback;
  #finalCallback;
  #outstanding = 0;
  #unreported = 0;
  #bytesWritten = 0;

  constructor(agent, plan, options) {
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

    this.#agent = agent;
    this.#plan = plan;
    this.#host = plan.host;
    this.#noDelay = plan.noDelay;
    this.#keepAlive = plan.keepAlive !== undefined;
    this.#keepAliveDelay = Math.trunc((plan.keepAlive ?? 0) / 1000);
    this.#capture();
    this.#slot = crossing.enter(this);
    this.#epoch = crossing.nextEpoch(this.#slot);
    this.on('end', onReadableStreamEnd);
    if (options.signal) addAbortSignal(options.signal, this);
  }

  // ---- What the agent and connect.js do with a lane.

  /** Hands the plan to Rust. `guards`: where a listener has a say; `addresses`: if JavaScript resolved. */
  _open(guards, addresses) {
    if (this.destroyed) return;
    this.#opened = true;
    if (addresses?.length > 1) this.autoSelectFamilyAttemptedAddresses = [];
    // A lookup in JavaScript that never answers holds nothing; a connect does.
    if (this.#refed) crossing.hold(1);
    crossing.open(this.#slot, this.#epoch, {
      ...this.#plan.native,
      resolver: guards.resolver,
      guardAttempt: guards.attempt,
      guardConnect: guards.connect,
      addresses,
    });
    // The request may have been given up before there was anything to park.
    if (this.#parked) this.#park();
    this.#pump();
  }

  /** The limit for the next time the lane is parked, in ms. */
  _setIdleLimit(ms) {
    this.#idleLimit = ms;
  }

  get _isParked() {
    return this.#parked;
  }

  /** Runs in the async context of the request that has the lane, as net.Socket's handle does. */
  _inContext(method, ...args) {
    this.#resource.runInAsyncScope(method, this, ...args);
  }

  // ---- The request on the lane. ClientRequest and the agent set _httpMessage at the two moments
  // that matter: when a request is put on the socket, and when the socket goes back into the pool.

  get _httpMessage() {
    return this.#message;
  }

  set _httpMessage(message) {
    const previous = this.#message;
    this.#message = message;
    if (message === previous) return;
    if (message !== null) this.#begin();
    // An upgraded socket is let go of too, but the agent no longer listens to it then.
    else if (!this.destroyed && this.listenerCount('free') > 0) this.#park();
  }

  #begin() {
    this.#firstWrite = true;
    if (this.destroyed) return;
    if (!this.#began) {
      // The lane was made for this request.
      this.#began = true;
      this.#capture();
      return;
    }
    this.#parked = false;
    this.#capture();
    // While the first connection is made nothing of a request before can be late, and what is reported of
    // the connect must not seem to be: it is this request's too.
    if (!this.connecting) this.#epoch = crossing.nextEpoch(this.#slot);
    crossing.row(op.LEASE | (opFlag.HTTP << 8), this.#slot, this.#epoch, this.#received, 0);
    this.#received = 0;
    this.#unconsumed = 0;
    this.#outstanding = 0;
    this.#unreported = 0;
    this._unrefTimer();
  }

  #park() {
    this.#parked = true;
    let limit = this.#idleLimit ?? (this.timeout > 0 ? Infinity : this.#agent._idleLimit());
    this.#idleLimit = undefined;
    if (this.timeout > 0) limit = Math.min(limit, this.timeout);
    this.#sendPark(limit);
  }

  #sendPark(limit) {
    if (!this.#opened) {
      this.#idleLimit = limit;
      return;
    }
    const ms = limit < 0x7fffffff ? Math.ceil(limit) : LIMITLESS;
    crossing.row(op.PARK, this.#slot, this.#epoch, ms, this.#received);
  }

  #capture() {
    this.#resource = new AsyncResource('OFFLOOP', { requireManualDestroy: true });
  }

  // ---- What Rust reports.

  _received(chunk) {
    if (this.#parked) {
      // Nobody asked for this. Rust has seen it too, and will not use the connection again.
      this.#loseParked(closeReason.UNEXPECTED_DATA);
      return;
    }
    this.#received = (this.#received + chunk.length) | 0;
    this.#unconsumed += chunk.length;
    this.#bytesRead += chunk.length;
    if (this.#timer !== null) this._unrefTimer();
    this.#resource.runInAsyncScope(pushChunk, this, chunk);
  }

  _acknowledge(more) {
    if (more && this.#unconsumed * 2 >= this.#plan.native.readAhead && !this.destroyed) {
      crossing.row(op.CONSUMED, this.#slot, this.#epoch, this.#unconsumed, 0);
      this.#unconsumed = 0;
    }
  }

  _reported(code, flags, argument, text) {
    // The end may have been on its way while the lane went back into the pool.
    // A request that took the lane up meanwhile gets another connection.
    if (code === event.CLOSED) {
      if (this.#parked) this.#loseParked(argument);
    } else if (this.#parked && (code === event.END || code === event.ERROR))
      this.#loseParked(closeReason.PEER_CLOSED_IDLE);
    else this.#resource.runInAsyncScope(this.#handle, this, code, flags, argument, text);
  }

  #handle(code, flags, argument, text) {
    switch (code) {
      case event.END:
        this.#onEnd();
        break;
      case event.ERROR:
        this.destroy(errors.errnoException(argument, text));
        break;
      case event.CONNECTED:
        this.#onConnected(flags, text);
        break;
      case event.REBOUND:
        this.#onRebound(flags, argument, text);
        break;
      case event.WRITTEN:
        this.#outstanding -= argument;
        this._unrefTimer();
        this.#pump();
        break;
      case event.FINISHED: {
        const callback = this.#finalCallback;
        this.#finalCallback = undefined;
        callback?.();
        break;
      }
      case event.LOOKUP:
        this.#onLookup(argument, text);
        break;
      case event.ATTEMPT:
        this.#onAttempt(argument, text);
        break;
      case event.ATTEMPT_FAILED: {
        const [address, port, family, ...failure] = text.split('\t');
        this.emit('connectionAttemptFailed', ...endpoint(address, port, family), connectError(failure));
        break;
      }
      case event.ATTEMPT_TIMEOUT:
        this.emit('connectionAttemptTimeout', ...endpoint(...text.split('\t')));
        break;
      case event.CONNECT_FAILED:
        this.#onConnectFailed(flags, argument, text);
        break;
      case event.RESOLVE:
        this.#plan.resolveAgain(this, (addresses, refusal) => {
          if (this.destroyed) return;
          this.#refusal = refusal;
          crossing.resolved(this.#slot, argument, addresses);
        });
        break;
    }
  }

  #onEnd() {
    this.push(null);
    // Without this, 'end' would wait for a reader.
    this.read(0);
  }

  #onConnected(flags, addresses) {
    this.#addresses = addresses;
    this.connecting = false;
    this.#connected = true;
    this._unrefTimer();
    this.emit('connect');
    this.emit('ready');
    this.#pass(flags, 0);
    this.#pump();
  }

  /** Another connection is under the lane; its users see other addresses, and nothing else. */
  #onRebound(flags, why, addresses) {
    // The lane's own connect failed for a request that was gone by then.
    if (!this.#connected) {
      this.#onConnected(flags, addresses);
      return;
    }
    this.#addresses = addresses;
    const request = this.#message;
    if (request !== null && why !== rebound.IDLE) {
      // What fails from here on fails on a connection of its own.
      request.reusedSocket = false;
      if (why === rebound.RETRY) request.attempts = 2;
    }
    if (this.#noDelay !== this.#plan.noDelay) this.#sendNoDelay();
    if (this.#keepAlive !== (this.#plan.keepAlive !== undefined)) this.#sendKeepAlive();
    if (flags & eventFlag.GATED) this.emit('connect');
    this.#pass(flags, 0);
  }

  /** Lets a guarded connect go on, unless a listener has destroyed the lane. */
  #pass(flags, attempt) {
    if ((flags & eventFlag.GATED || attempt !== 0) && !this.destroyed) {
      crossing.row(op.PROCEED, this.#slot, this.#epoch, attempt, 0);
    }
  }

  #onLookup(errno, text) {
    if (errno !== 0) {
      this.emit('lookup', errors.lookupException(errno, this.#host), undefined, undefined, this.#host);
      return;
    }
    let rows = text.split('\n');
    if (this.#plan.native.firstOnly) rows = rows.slice(0, 1);
    for (const row of rows) {
      const [family, address] = row.split('\t');
      this.emit('lookup', null, address, Number(family), this.#host);
      if (this.destroyed) return;
    }
    if (rows.length > 1) this.autoSelectFamilyAttemptedAddresses = [];
  }

  #onAttempt(attempt, text) {
    const [address, port, family] = text.split('\t');
    this.emit('connectionAttempt', ...endpoint(address, port, family));
    this.autoSelectFamilyAttemptedAddresses?.push(`${address}:${port}`);
    this.#pass(0, attempt);
  }

  #onConnectFailed(flags, errno, text) {
    if (errno !== 0) {
      this.destroy(errors.lookupException(errno, this.#host));
      return;
    }
    if (text === '') {
      // Refused on this side. What the request met is the loss of the connection that it was given.
      if (this.#refusal) this.destroy(this.#refusal);
      else this.#onEnd();
      return;
    }
    const failures = text.split('\n').map((row) => connectError(row.split('\t')));
    this.destroy(flags & eventFlag.AGGREGATE ? errors.aggregateException(failures) : failures[0]);
  }

  /** The connection of the idle lane is gone. Nobody is to hear an error for that. */
  #loseParked(reason) {
    if (this.destroyed) return;
    if (reason === closeReason.IDLE_TIMEOUT && this.timeout > 0) this.emit('timeout');
    this.destroy();
  }

  // ---- Writing.

  _write(chunk, encoding, callback) {
    if (
      this.#connected &&
      this.#outstanding < WRITE_WINDOW &&
      this.#pieces.length === 0 &&
      chunk.length <= WRITE_PIECE
    ) {
      this.#send(chunk, encoding);
      callback();
      return;
    }
    this.#queue([{ chunk, encoding }], callback);
  }

  _writev(chunks, callback) {
    this.#queue(chunks, callback);
  }

  #queue(chunks, callback) {
    for (const { chunk, encoding } of chunks) {
      const whole = typeof chunk !== 'string' || chunk.length <= WRITE_PIECE;
      this.#pieces.push(whole ? { chunk, encoding } : { chunk: Buffer.from(chunk, encoding), encoding: '' });
    }
    this.#writeCallback = callback;
    this.#pump();
  }

  /** Hands over what the window allows; the write is done when all of it is. */
  #pump() {
    if (!this.#opened || this.destroyed) return;
    const pieces = this.#pieces;
    let next = 0;
    while (next < pieces.length && this.#outstanding < WRITE_WINDOW) {
      const piece = pieces[next];
      if (piece.chunk.length <= WRITE_PIECE) {
        this.#send(piece.chunk, piece.encoding);
        next++;
      } else {
        this.#send(piece.chunk.subarray(0, WRITE_PIECE), '');
        piece.chunk = piece.chunk.subarray(WRITE_PIECE);
      }
    }
    if (next > 0) pieces.splice(0, next);
    // While it connects, the bytes are in Rust already, but no kernel has them.
    if (pieces.length === 0 && this.#connected && this.#outstanding < WRITE_WINDOW) {
      const callback = this.#writeCallback;
      this.#writeCallback = undefined;
      callback?.();
    }
  }

  #send(chunk, encoding) {
    let flags = 0;
    if (this.#firstWrite) {
      this.#firstWrite = false;
      if (this.#message !== null && isReplayable(this.#agent.options, this.#message))
        flags = opFlag.REPLAYABLE;
    }
    // A string's length is close enough to decide by.
    const notify = this.#unreported + chunk.length >= REPORT_EVERY;
    if (!notify) {
      const count = crossing.write(this.#slot, this.#epoch, flags, chunk, encoding, 0);
      this.#unreported += count;
      this.#outstanding += count;
      this.#bytesWritten += count;
    } else {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk;
      crossing.write(this.#slot, this.#epoch, flags, bytes, '', this.#unreported + bytes.length);
      this.#unreported = 0;
      this.#outstanding += bytes.length;
      this.#bytesWritten += bytes.length;
    }
    if (this.#timer !== null) this._unrefTimer();
  }

  _final(callback) {
    if (this.#slot === -1) return callback();
    if (!this.#opened) {
      this.once('connect', () => this._final(callback));
      return undefined;
    }
    this.#finalCallback = callback;
    crossing.row(op.SHUTDOWN, this.#slot, this.#epoch, 0, 0);
    return undefined;
  }

  _read() {
    this._acknowledge(true);
  }

  // ---- The end.

  _destroy(error, callback) {
    this.connecting = false;
    clearTimeout(this.#timer);
    if (this.#slot !== -1) {
      if (this.#opened) {
        const flags = this.#resetOnDestroy ? opFlag.RESET : 0;
        crossing.row(op.CLOSE | (flags << 8), this.#slot, this.#epoch, 0, 0);
      }
      crossing.nextEpoch(this.#slot);
      crossing.leave(this.#slot);
      this.#slot = -1;
      if (this.#refed && this.#opened) crossing.hold(-1);
    }
    if (this.#parked) this.#agent._idleLaneGone();
    const pending = this.#writeCallback;
    this.#writeCallback = undefined;
    this.#pieces = [];
    if (pending !== undefined && this.#connected) {
      process.nextTick(pending, error ?? errors.coded(Error, 'ERR_SOCKET_CLOSED', 'Socket is closed'));
    }
    callback(error);
    // A write that waits for the connection hears of its end with 'close', as net.Socket's does.
    setImmediate(emitClose, this, Boolean(error), this.#connected ? undefined : pending);
  }

  /** Ends the writing side, then closes. */
  destroySoon() {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', this.destroy);
  }

  /** Closes with RST. */
  resetAndDestroy() {
    if (this.destroyed) {
      this.destroy(errors.coded(Error, 'ERR_SOCKET_CLOSED', 'Socket is closed'));
    } else if (this.#plan.native.path !== undefined) {
      throw errors.coded(TypeError, 'ERR_INVALID_HANDLE_TYPE', 'This handle type cannot be sent');
    } else if (this.connecting) {
      this.once('connect', this.resetAndDestroy);
    } else {
      this.#resetOnDestroy = true;
      this.destroy();
    }
    return this;
  }

  // ---- Timeouts.

  /** After `msecs` without a byte in either direction 'timeout' is emitted; 0 turns it off. */
  setTimeout(msecs, callback) {
    if (this.destroyed) return this;
    this.timeout = msecs;
    const duration = toTimerDuration(msecs, 'msecs');
    if (callback !== undefined && typeof callback !== 'function') {
      throw errors.invalidArgType('callback', 'of type function', callback);
    }
    clearTimeout(this.#timer);
    this.#timer = null;
    if (duration === 0) {
      if (callback !== undefined) this.removeListener('timeout', callback);
    } else {
      this.#timer = setTimeout(onTimeout, duration, this).unref();
      if (callback !== undefined) this.once('timeout', callback);
    }
    // Rust watches the idle ones.
    if (this.#parked) this.#sendPark(duration === 0 ? this.#agent._idleLimit() : duration);
    return this;
  }

  _unrefTimer() {
    this.#timer?.refresh();
  }

  _onTimeout() {
    // Of a parked lane it is Rust that knows the time: its clock starts with the last byte.
    if (!this.#parked) this._inContext(this.emit, 'timeout');
  }

  // ---- The members of net.Socket.

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

  get bytesRead() {
    return this.#bytesRead;
  }

  get bytesWritten() {
    const { writableBuffer } = this._writableState.destroyed ? { writableBuffer: [] } : this;
    let count = this.#bytesWritten;
    for (const { chunk, encoding } of this.#pieces) count += Buffer.byteLength(chunk, encoding);
    for (const { chunk, encoding } of writableBuffer ?? []) count += Buffer.byteLength(chunk, encoding);
    return count;
  }

  get _bytesDispatched() {
    return this.#bytesWritten;
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

  #address(index) {
    return this.#addresses === '' ? undefined : this.#addresses.split('\t')[index];
  }

  /** The local address; empty while there is none. */
  address() {
    const address = this.localAddress;
    return address === undefined ? {} : { address, family: familyOf(address), port: this.localPort };
  }

  setNoDelay(enable) {
    const on = enable === undefined ? true : Boolean(enable);
    if (on !== this.#noDelay) {
      this.#noDelay = on;
      this.#sendNoDelay();
    }
    return this;
  }

  setKeepAlive(enable, initialDelay) {
    const on = Boolean(enable);
    const seconds = ~~(initialDelay / 1000);
    if (on !== this.#keepAlive || (on && seconds !== this.#keepAliveDelay)) {
      this.#keepAlive = on;
      this.#keepAliveDelay = seconds;
      this.#sendKeepAlive();
    }
    return this;
  }

  #sendNoDelay() {
    this.#sendOption(() => crossing.row(op.NO_DELAY, this.#slot, this.#epoch, Number(this.#noDelay), 0));
  }

  #sendKeepAlive() {
    this.#sendOption(() => {
      const delay = this.#keepAlive ? this.#keepAliveDelay * 1000 : LIMITLESS;
      crossing.row(op.KEEP_ALIVE, this.#slot, this.#epoch, delay, 0);
    });
  }

  #sendOption(send) {
    if (this.destroyed) return;
    if (this.#connected) send();
    else this.once('connect', send);
  }

  /** Whether the process waits for this lane. */
  ref() {
    this.#setRef(true);
    return this;
  }

  unref() {
    this.#setRef(false);
    return this;
  }

  #setRef(on) {
    if (on === this.#refed) return;
    this.#refed = on;
    if (this.#opened && !this.destroyed) crossing.hold(on ? 1 : -1);
  }
}

function pushChunk(chunk) {
  let more = true;
  try {
    more = this.push(chunk);
  } finally {
    // A handler that throws must not stop the reading.
    this._acknowledge(more);
  }
}

function onTimeout(lane) {
  lane._onTimeout();
}

function emitClose(lane, hadError, unwritten) {
  if (unwritten !== undefined) {
    const code = 'ERR_SOCKET_CLOSED_BEFORE_CONNECTION';
    const message = 'Socket closed before the connection was established';
    lane._inContext(unwritten, errors.coded(Error, code, message));
  }
  lane._inContext(lane.emit, 'close', hadError);
}

/** As net.Socket does: a clear error for who writes after the peer has ended. */
function onReadableStreamEnd() {
  if (!this.allowHalfOpen) this.write = writeAfterFin;
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

/** The arguments that Node gives to the events of a connection attempt. */
function endpoint(address, port, family) {
  return family === '0' ? [address, undefined, undefined] : [address, Number(port), Number(family)];
}

function connectError([errno, syscall, address, port, local]) {
  return errors.connectException(Number(errno), syscall, address, Number(port), local);
}

function familyOf(address) {
  return address === undefined ? undefined : `IPv${isIP(address)}`;
}

function toNumber(text) {
  return text === undefined ? undefined : Number(text);
}

module.exports = Lane;
