'use strict';

// The lane: what ClientRequest and its users know as the socket. A real Duplex whose bytes come
// from and go to a connection in Rust, with the members and events of net.Socket.

const { Socket } = require('net');

const { discardParser } = require('./attach');
const channels = require('../channels');
const { tellDrained } = require('../request/drain');
const errors = require('../errors');
const { nameOf } = require('../request/facts');
const { immediately } = require('../node/immediate');
const Inactivity = require('./inactivity');
const { isLearning } = require('../node/client');
const process = require('../node/process');
const Parts = require('./parts');
const { NONE, byteLength } = require('./pieces');
const { op, opFlag, event, closeReason } = require('../crossing/records');
const { numberOf } = require('../connect/routes');
const SocketShape = require('./socket-shape');

class Lane extends SocketShape {
  #parts;
  /** Made when its timer has run out first. */
  #inactivity;
  /** What is to come of a response whose head Rust has read (plain-body.js). */
  _plainBody = null;
  /** What is written stays here, until it is known where it goes. */
  #isWithheld = false;
  #resetOnDestroy = false;
  /** The listener of a write that waits for the connection. */
  #unwritten;

  constructor(agent, plan, options) {
    super(options);
    this.#parts = new Parts(this, agent, plan);
  }

  // ---- What the agent and connect.js do with a lane.

  /**
   * Has Rust connect. `resolver`: the number of what has a say in it; `flags`: where (opFlag.GUARD_*);
   * `addresses`: if JavaScript resolved; `dnsCacheTtl`: how long these serve other connects, in ms.
   */
  _open(resolver, flags, addresses, dnsCacheTtl) {
    if (this.destroyed || this._isOpened) return;
    if (addresses?.length > 1) this.autoSelectFamilyAttemptedAddresses = [];
    const { parking, place, route } = this.#parts;
    place.open(numberOf(route), resolver, flags, addresses, dnsCacheTtl);
    parking.tellLate();
    this._pump();
  }

  /** As _open, now and not with this tick, unless JavaScript resolves the name. */
  _openNow() {
    if (!this._isOpened) this.#parts.plan.startNow(this);
  }

  /** Hands over what `request` keeps for the lane that it is about to get. */
  _writeEarly(request, output) {
    if (this._isOpened && this._isInRust) this.#parts.exchange.sendEarly(request, output);
  }

  /** Whether Rust knows of it. */
  get _isOpened() {
    return this.#parts.place.isOpened;
  }

  /** The same as long as the same request has the lane. */
  get _epoch() {
    return this.#parts.place.epoch;
  }

  /** Whether it has moved to where a request has waited, and is there still. */
  _isAt(place) {
    return this.#parts.place.isAt(place);
  }

  /** Whether its requests are Rust's: not if it is destroyed, upgraded, or on a socket of Node's (lane-over-node.js). */
  get _isInRust() {
    const { exchange, place } = this.#parts;
    return !place.isLeft && !this.#isWithheld && !exchange.isUpgraded;
  }

  /** Whether it is the program's, who may have given it to this agent as a socket of its own. */
  get _isUpgraded() {
    return this.#parts.exchange.isUpgraded;
  }

  /** The request that is about to get the lane has been sent on a connection that the lane will go on with. */
  _skipOpening() {
    this.#parts.exchange.skipOpening();
  }

  /** Others wait in `queue`, and may have the connection when this exchange is over. */
  _yieldTo(queue) {
    this.#parts.exchange.yieldTo(queue);
  }

  /**
   * Whether another request may have it, as this one lets go of it. What one that is gone has sent will be answered, what has
   * come behind the response that is over belongs to nobody, and a lane that has told of an end reads no more.
   */
  _mayServeAnother() {
    const { ending, exchange, input } = this.#parts;
    // Node gives it back with the last byte, unless a handler throws then. The next request brings another one.
    if (this.parser) discardParser(this);
    if (!exchange.owesNothing() || input.hasSurplus || this.readableLength > 0) return false;
    return this.destroyed || ending.reason === undefined;
  }

  /** The request that gets the lane had waited for it. */
  _noteWait(ms) {
    this.#parts.place.noteWait(ms);
  }

  /** A lookup in JavaScript has failed, or what it found is blocked. */
  _refuse(error) {
    const { CONNECT_FAILED, LOOKUP_FAILED } = closeReason;
    this.#parts.ending.note(error.code === 'ERR_IP_BLOCKED' ? CONNECT_FAILED : LOOKUP_FAILED);
    this.destroy(error);
  }

  /** The limit for the next time the lane is parked, in ms; `hint`: what the server says (idle-limit.js). */
  _setIdleLimit(ms, hint) {
    this.#parts.parking.setLimit(ms, hint);
  }

  /** The same where a request that waits is about to get the lane. */
  _tellHint(hint) {
    this.#parts.place.tellHint(hint);
  }

  /** Between requests. */
  get _isIdle() {
    return this.#parts.parking.isParked;
  }

  /** The request that is about to get the lane; it may be destroyed before it does. */
  _meanFor(request) {
    this.#parts.exchange.meanFor(request);
  }

  /** Runs in the async context of the request that has the lane, as net.Socket's handle does. */
  _inContext(method, ...args) {
    this.#parts.exchange.context.runInAsyncScope(method, this, ...args);
  }

  _endContext() {
    this.#parts.exchange.endContext();
  }

  // ---- The request on the lane. ClientRequest and the agent set _httpMessage at the two moments
  // that matter: when a request is put on the socket, and when the socket goes back into the pool.

  get _httpMessage() {
    return this.#parts.exchange.request;
  }

  set _httpMessage(request) {
    const { exchange, input } = this.#parts;
    if (request === exchange.request) return;
    input.begin();
    if (request !== null && isLearning()) this._learnListeners();
    exchange.change(request);
  }

  /** The request that has the lane, or is about to get it. */
  get _request() {
    return this.#parts.exchange.nextRequest;
  }

  /** The request goes out a second time. */
  _resent() {
    this.#parts.exchange.noteResent();
  }

  /** Whether a request may get the lane without Node's listeners and parser. */
  get _mayBeLight() {
    const { data, readable, newListener, removeListener } = this._events;
    return (
      this.#parts.input.mayBeLight &&
      (data ?? readable ?? newListener ?? removeListener) === undefined &&
      this.readableFlowing === true &&
      this.readableLength === 0
    );
  }

  /** The request gets it so. `isFirst`: it had nothing of the lane before. */
  _becomeLight(request, isFirst) {
    this._httpMessage = request;
    this.#parts.input.becomeLight();
    this._noteListeners(isFirst);
  }

  get _isLight() {
    return this.#parts.input.isLight;
  }

  /** It does need them after all. */
  _becomeParsed() {
    this.#parts.input.becomeParsed();
  }

  // ---- What Rust reports.

  _received(chunk) {
    this.#parts.input.take(chunk);
  }

  _receivedResponse(bytes, from, length, parts, at, size, own) {
    this.#parts.input.takeResponse(bytes, from, length, parts, at, size, own);
  }

  _receivedBody(bytes, from, length, parts, at, size, own) {
    this.#parts.input.takeBody(bytes, from, length, parts, at, size, own);
  }

  /** `more`: whether the stream wants more, for what has come is consumed. */
  _acknowledge(more) {
    if (this.destroyed) return;
    const { hold, input } = this.#parts;
    if (more) input.acknowledge();
    hold.setReading(more);
  }

  _reported(code, flags, argument, text) {
    const { exchange, hold, parking } = this.#parts;
    if (parking.takes(code, argument)) return;
    try {
      exchange.context.runInAsyncScope(this.#handle, this, code, flags, argument, text);
    } finally {
      hold.update();
    }
  }

  #handle(code, flags, argument, text) {
    const { agent, connection, ending, input, output } = this.#parts;
    switch (code) {
      case event.END:
        ending.lose(text);
        this._endReading();
        break;
      case event.ERROR: {
        const [what] = text.split('\n', 1);
        ending.lose(text.slice(what.length + 1));
        this.destroy(argument === 0 ? errors.internalError(what) : errors.errnoException(argument, what));
        break;
      }
      case event.WRITTEN:
        output.reported(argument);
        this._unrefTimer();
        this._pump();
        break;
      case event.FINISHED:
        output.takeFinalCallback()?.();
        break;
      case event.QUIET:
        this.#inactivity.answered(Number(text), argument);
        break;
      case event.SURPLUS:
        input.noteSurplus();
        break;
      case event.DEAD:
        agent._giveAway(this);
        break;
      case event.SECURED:
        if (!connection.takeSame()) this._secureReport(code, flags, argument, text);
        break;
      case event.KEY_LINES:
      case event.HANDSHAKE_FAILED:
      case event.UNSENT:
      case event.TLS_REFUSED:
      case event.HANDED_BACK:
      case event.TLS_ERROR:
        this._secureReport(code, flags, argument, text);
        break;
      default:
        connection.report(code, flags, argument, text);
    }
  }

  /** Rust does not know what it has been told of the request on the lane. */
  _broken(what) {
    if (!this._isOpened || this.#parts.parking.takes(event.ERROR)) return;
    this.#parts.ending.note(closeReason.INTERNAL_ERROR);
    this._inContext(this.destroy, errors.internalError(what));
  }

  /** Publishes on one of channels.js. */
  _tell(channel, more) {
    channel.publish({ agent: this.#parts.agent, socket: this, ...more });
  }

  /** Reports of TLS (tls-lane.js). */
  _secureReport() {}

  /** Nothing more comes. */
  _endReading() {
    this.push(null);
    // Without this, 'end' would wait for a reader.
    this.read(0);
    this.#parts.hold.setReading(false);
  }

  // ---- What lanes over TLS do with it.

  get _connection() {
    return this.#parts.connection;
  }

  /** Hands nothing more to Rust, and asks back what it has (HANDED_BACK). */
  _withhold() {
    this.#isWithheld = true;
    this.#parts.connection.judge(false);
  }

  /**
   * Lets go of Rust: what is written goes another way from now on. Returns the pieces and the callbacks of
   * what has not been handed over yet.
   */
  _detach() {
    const { output, place } = this.#parts;
    place.leave(closeReason.TLS_FAILED);
    // It may have run out, and nobody answers for it any more.
    this._unrefTimer();
    return {
      pieces: output.takePieces(),
      written: output.takeCallback(),
      final: output.takeFinalCallback(),
    };
  }

  _exportKeyingMaterial(length, label, context) {
    return this.#parts.place.exportKeyingMaterial(length, label, context);
  }

  /** A loss that is known on this side: rows as those of Rust, the number of the reason first. */
  _noteLoss(reason, facts = '') {
    this.#parts.ending.lose(`reason\t${reason}${facts && '\n'}${facts}`);
  }

  // ---- Writing.

  write(chunk, encoding, callback) {
    this.#parts.hold.updateSoon();
    if (!this._isLight || !this.#isAllEarly(chunk)) return super.write(chunk, encoding, callback);
    // The stream would find nothing to write, and call back in the next tick.
    if (callback) process.nextTick(callback, null);
    return true;
  }

  /** Whether this is all that the request has written so far, and has left; from now on it is written. */
  #isAllEarly(chunk) {
    const { early, exchange } = this.#parts;
    return (
      early.isOnePieceOf(exchange.request) &&
      this.writableLength === 0 &&
      chunk.length < this.writableHighWaterMark &&
      this.writable &&
      early.takes(chunk)
    );
  }

  _write(chunk, encoding, callback) {
    const { connection, early, output } = this.#parts;
    if (early.takes(chunk)) chunk = '';
    if (connection.isEstablished && !this.#isWithheld && output.takes(chunk, encoding)) {
      output.write(chunk, encoding);
      callback();
    } else {
      this._writev([{ chunk, encoding }], callback);
    }
  }

  _writev(chunks, callback) {
    const { connection, early, output } = this.#parts;
    if (early.isOwed) chunks = chunks.filter(({ chunk }) => !early.takes(chunk));
    output.queue(chunks, callback);
    if (!connection.isEstablished && this.#unwritten === undefined) this.#awaitConnection();
    this._pump();
  }

  /** A write that waits for the connection hears of its end with 'close', by a listener, as net.Socket's does. */
  #awaitConnection() {
    this.#unwritten = () => {
      const code = 'ERR_SOCKET_CLOSED_BEFORE_CONNECTION';
      const message = 'Socket closed before the connection was established';
      this.#parts.output.takeCallback()?.(errors.coded(Error, code, message));
    };
    this.once('close', this.#unwritten);
  }

  #endWait() {
    if (this.#unwritten === undefined || !this.#parts.connection.isEstablished) return;
    this.removeListener('close', this.#unwritten);
    this.#unwritten = undefined;
  }

  /** While it connects, the bytes are in Rust already, but no kernel has them: the write is not done. */
  _pump() {
    const { connection, output, place } = this.#parts;
    this.#endWait();
    if (place.isOpened && !this.#isWithheld && !this.destroyed) output.pump(connection.isEstablished);
  }

  _final(callback) {
    // Nothing can be written on it any more, so no request is to get it.
    if (!this._isIdle) {
      this._shutDown(callback);
      return;
    }
    callback();
    this.destroy();
  }

  _shutDown(callback) {
    const { hold, output, place } = this.#parts;
    if (place.isLeft) {
      callback();
    } else if (place.isOpened) {
      output.end(callback);
      place.row(op.SHUTDOWN, 0, 0);
      hold.update();
    } else {
      this.once('connect', () => this._shutDown(callback));
    }
  }

  _read() {
    this._acknowledge(true);
  }

  _drained() {
    tellDrained(this._httpMessage);
  }

  // ---- The end.

  _destroy(error, callback) {
    const { agent, connection, ending, exchange, input, output } = this.#parts;
    this.connecting = false;
    this._clearTimer();
    const circumstances = {
      agentIsEnding: agent._isEnding(),
      timeout: this.#inactivity?.reason,
      hasSurplus: input.hasSurplus,
      // Node gives the parser back before it destroys the socket for what it cannot read.
      isRefused: exchange.request !== null && this.parser === null && this._isBeingRead,
    };
    ending.begin(error, circumstances, this.#howToClose());
    if (this._isIdle) agent._idleLaneGone();
    if (connection.isEstablished && channels.closed.hasSubscribers)
      this._tell(channels.closed, { reason: nameOf(ending.reason) });
    this.#endWait();
    const pending = this.#unwritten === undefined ? output.takeCallback() : undefined;
    output.clear();
    callback(error);
    // Behind 'error', as with net.Socket: a request whose response is here already takes its last write for its end.
    if (pending !== undefined) {
      process.nextTick(pending, error?.syscall === 'write' ? error : errors.writeCanceled());
    }
    // Its 'error' comes first, also where an uncaught exception has kept the ticks waiting, until the immediates run.
    immediately(process.nextTick, emitClose, this, Boolean(error));
  }

  /** What is done with what has been written, and not been taken by the kernel. */
  #howToClose() {
    if (this.#resetOnDestroy) return opFlag.RESET;
    const isWritten = this._request?.writableFinished ?? true;
    return this.#parts.ending.isUnfinished || !isWritten ? 0 : opFlag.OVER;
  }

  /** Closes with RST. As with Node's sockets, only TCP's own: neither over TLS nor Unix sockets. */
  resetAndDestroy() {
    const { native, secure } = this.#parts.route;
    if (this.destroyed) {
      this.destroy(errors.coded(Error, 'ERR_SOCKET_CLOSED', 'Socket is closed'));
    } else if (native.path !== undefined || secure !== undefined) {
      throw errors.coded(TypeError, 'ERR_INVALID_HANDLE_TYPE', 'This handle type cannot be sent');
    } else if (this.connecting) {
      this.once('connect', this.resetAndDestroy);
    } else {
      this.#resetOnDestroy = true;
      this.destroy();
    }
    return this;
  }

  // ---- Inactivity.

  setTimeout(msecs, callback) {
    super.setTimeout(msecs, callback);
    this.#parts.parking.followTimeout(msecs);
    return this;
  }

  _onTimeout() {
    (this.#inactivity ??= new Inactivity(this.#parts)).ask();
  }

  _tellTimeout() {
    this.#parts.agent._noteTimeout();
    this._inContext(this.emit, 'timeout');
  }

  // ---- The rest of net.Socket.

  get bytesRead() {
    return this.#parts.input.bytesRead;
  }

  get bytesWritten() {
    const { early, output } = this.#parts;
    const buffered = this.destroyed ? NONE : (this.writableBuffer ?? NONE);
    return output.bytesWritten + output.waiting + byteLength(buffered) - early.byteLength;
  }

  get _bytesDispatched() {
    return this.#parts.output.bytesWritten;
  }

  setNoDelay(enable) {
    this.#parts.connection.options.setNoDelay(enable);
    return this;
  }

  setKeepAlive(...args) {
    this.#parts.connection.options.setKeepAlive(...args);
    return this;
  }

  /** In Nodes whose sockets have it. */
  setTypeOfService(tos) {
    this.#parts.connection.options.setTypeOfService(tos);
    return this;
  }

  getTypeOfService() {
    return this.#parts.connection.options.getTypeOfService();
  }

  /** The process waits for what comes. */
  ref() {
    this.#parts.hold.setRefed(true);
    return this;
  }

  unref() {
    this.#parts.hold.setRefed(false);
    return this;
  }
}

for (const name of ['setTypeOfService', 'getTypeOfService'])
  if (!(name in Socket.prototype)) delete Lane.prototype[name];

function emitClose(lane, hadError) {
  lane._endContext();
  lane._inContext(lane.emit, 'close', hadError);
  // Node's listener gives it back. But a request that is over has taken that off, and a second response has kept it busy.
  if (lane.parser) discardParser(lane);
}

module.exports = Lane;
