'use strict';

// The lane: what ClientRequest and its users know as the socket. A real Duplex whose bytes come
// from and go to a connection in Rust, with the members and events of net.Socket.

const { addAbortSignal } = require('stream');

const { parserFor } = require('./attach');
const channels = require('./channels');
const crossing = require('./crossing');
const EarlyOutput = require('./early-output');
const Ending = require('./ending');
const errors = require('./errors');
const Exchange = require('./exchange');
const { nameOf } = require('./facts');
const { immediately } = require('./immediate');
const Inactivity = require('./inactivity');
const LaneConnection = require('./lane-connection');
const { isLearning } = require('./node-client');
const process = require('./node-process');
const Parking = require('./parking');
const { byteLength } = require('./pieces');
const Place = require('./place');
const plainResponse = require('./plain-response');
const ReadWindow = require('./read-window');
const { op, opFlag, event, closeReason } = require('./records');
const { numberOf } = require('./routes');
const Sender = require('./sender');
const SocketShape = require('./socket-shape');
const WriteWindow = require('./write-window');

class Lane extends SocketShape {
  /** The agent, the plan of its connection (connect.js) and where that leads (route.js). */
  #agent;
  #plan;
  #route;

  #place;
  #connection;
  /** Why the connection is gone, and what errors say of that. */
  #ending = new Ending(this);
  #resetOnDestroy = false;

  #exchange;
  #parking;
  #inactivity;

  #input;
  /** The request has neither Node's listeners nor a parser (attach.js), and whether the next may go without. */
  #light = false;
  #plain = false;
  /** What is to come of a response whose head Rust has read (plain-body.js). */
  _plainBody = null;

  #early = new EarlyOutput();
  #sender;
  #output;
  /** What is written stays here, until it is known where it goes. */
  #held = false;
  #finalCallback;
  /** What has come waits for a reader. */
  #isUnread = false;
  /** The listener of a write that waits for the connection. */
  #unwritten;

  constructor(agent, plan, options) {
    super(options);
    this.#agent = agent;
    this.#plan = plan;
    this.#route = plan.route;
    this.#place = new Place(this, true);
    this.#connection = new LaneConnection(this, plan, this.#place, this.#ending);
    this.#input = new ReadWindow(this.#place, plan.route.native.readAhead);
    this.#sender = new Sender(this, plan.route, this.#place, this.#connection, this.#early);
    this.#output = new WriteWindow(this.#sender);
    this.#parking = new Parking(this, agent, this.#place, this.#input, this.#ending);
    this.#exchange = new Exchange(this, plan, {
      place: this.#place,
      connection: this.#connection,
      ending: this.#ending,
      parking: this.#parking,
      early: this.#early,
      sender: this.#sender,
      input: this.#input,
      output: this.#output,
    });
    this.#inactivity = new Inactivity(this, agent, this.#place, this.#connection, this.#input, this.#output);
    if (options.signal) addAbortSignal(options.signal, this);
  }

  // ---- What the agent and connect.js do with a lane.

  /**
   * Has Rust connect. `resolver`: the number of what has a say in it; `flags`: where (opFlag.GUARD_*);
   * `addresses`: if JavaScript resolved; `dnsCacheTtl`: how long these serve other connects, in ms.
   */
  _open(resolver, flags, addresses, dnsCacheTtl) {
    if (this.destroyed || this._isOpened) return;
    if (addresses?.length > 1) this.autoSelectFamilyAttemptedAddresses = [];
    this.#place.open(numberOf(this.#route), resolver, flags, addresses, dnsCacheTtl);
    this.#parking.tellLate();
    this._pump();
  }

  /** As _open, now and not with this tick, unless JavaScript resolves the name. */
  _openNow() {
    if (!this._isOpened) this.#plan.startNow(this);
  }

  /** Hands over what `request` keeps for the lane that it is about to get. */
  _writeEarly(request, output) {
    if (this._isOpened && this._isInRust) this.#exchange.sendEarly(request, output);
  }

  /** Whether Rust knows of it. */
  get _isOpened() {
    return this.#place.isOpened;
  }

  /** The same as long as the same request has the lane. */
  get _epoch() {
    return this.#place.epoch;
  }

  /** Whether it has moved to where a request has waited, and is there still. */
  _isAt(place) {
    return this.#place.isAt(place);
  }

  /** Whether it has a place there: not if it is destroyed, or on a socket of Node's (lane-over-node.js). */
  get _isInRust() {
    return !this.#place.isLeft && !this.#held;
  }

  /** The request that is about to get the lane has been sent on a connection that the lane will go on with. */
  _skipOpening() {
    this.#exchange.skipOpening();
  }

  /** Others wait in `queue`, and may have the connection when this exchange is over. */
  _yieldTo(queue) {
    this.#exchange.yieldTo(queue);
  }

  /** Whether no request has been sent that did not come for the lane; what can be taken back of one is. */
  _owesNothing() {
    return this.#exchange.owesNothing();
  }

  /** The request that gets the lane had waited for it. */
  _noteWait(ms) {
    if (this._isOpened) this.#place.row(op.WAITED, Math.round(ms), 0);
  }

  /** A lookup in JavaScript has failed, or what it found is blocked. */
  _refuse(error) {
    const { CONNECT_FAILED, LOOKUP_FAILED } = closeReason;
    this.#ending.note(error.code === 'ERR_IP_BLOCKED' ? CONNECT_FAILED : LOOKUP_FAILED);
    this.destroy(error);
  }

  /** The limit for the next time the lane is parked, in ms; `hint`: what the server says (idle-limit.js). */
  _setIdleLimit(ms, hint) {
    this.#parking.setLimit(ms, hint);
  }

  /** Between requests. */
  get _isIdle() {
    return this.#parking.isParked;
  }

  /** The request that is about to get the lane; it may be destroyed before it does. */
  _meanFor(request) {
    this.#exchange.meanFor(request);
  }

  /** Runs in the async context of the request that has the lane, as net.Socket's handle does. */
  _inContext(method, ...args) {
    this.#exchange.context.runInAsyncScope(method, this, ...args);
  }

  _endContext() {
    this.#exchange.endContext();
  }

  // ---- The request on the lane. ClientRequest and the agent set _httpMessage at the two moments
  // that matter: when a request is put on the socket, and when the socket goes back into the pool.

  get _httpMessage() {
    return this.#exchange.request;
  }

  set _httpMessage(request) {
    if (request === this.#exchange.request) return;
    this.#light = false;
    this._plainBody = null;
    if (request !== null && isLearning()) this._learnListeners();
    this.#exchange.change(request);
  }

  /** The request that has the lane, or is about to get it. */
  get _request() {
    return this.#exchange.nextRequest;
  }

  /** The request goes out a second time. */
  _resent() {
    this.#exchange.noteResent();
  }

  /** Whether a request may get the lane without Node's listeners and parser. */
  get _mayBeLight() {
    const { data, readable, newListener, removeListener } = this._events;
    return (
      this.#plain &&
      (data ?? readable ?? newListener ?? removeListener) === undefined &&
      this.readableFlowing === true &&
      this.readableLength === 0
    );
  }

  /** The request gets it so. `isFirst`: it had nothing of the lane before. */
  _becomeLight(request, isFirst) {
    this._httpMessage = request;
    this.#light = true;
    this._noteListeners(isFirst);
  }

  get _isLight() {
    return this.#light;
  }

  // ---- What Rust reports.

  _received(chunk) {
    if (this.#parking.isParked) {
      // Nobody asked for this. Rust has seen it too, and will not use the connection again.
      this.#parking.lose(closeReason.UNEXPECTED_DATA);
      return;
    }
    this.#count(chunk.length);
    this.#plain = false;
    if (this.#light) this._becomeParsed();
    this.#exchange.context.runInAsyncScope(pushChunk, this, chunk);
  }

  /** Bytes come that Node's parser has to read. */
  _becomeParsed() {
    this.#exchange.context.runInAsyncScope(this.#getParser, this);
  }

  #getParser() {
    this.#light = false;
    const { request } = this.#exchange;
    const parser = parserFor(request);
    Object.assign(parser, { socket: this, outgoing: request });
    this._plainBody?.moveTo(parser);
    this.parser = parser;
    request.parser = parser;
  }

  /** The head of a response, and what has come of its body: the arguments are those of plainResponse.parse(). */
  _receivedResponse(bytes, from, length, parts, at, size, own) {
    if (this.#parking.isParked || !plainResponse.isReady(this, this.#exchange.request, parts, at)) {
      this._received(own ? bytes : crossing.copyOut(from, length));
      return;
    }
    this.#count(length);
    this.#plain = true;
    if (isLearning()) this._learnListeners();
    const response = plainResponse.parse(bytes, from, length, parts, at, size, own);
    this.#exchange.context.runInAsyncScope(takeResponse, this, response);
  }

  /** More of its body; the arguments are the same. */
  _receivedBody(bytes, from, length, parts, at, size, own) {
    const body = this._plainBody;
    if (body?.mayTake(this, parts, at)) {
      this.#count(length);
      this.#exchange.context.runInAsyncScope(takeBody, this, bytes, from, parts, at, size, own);
      return;
    }
    const chunk = own ? bytes : crossing.copyOut(from, length);
    if (body !== null) {
      if (this.#light) this._becomeParsed();
      body.expect(this, chunk, parts, at, size);
    }
    this._received(chunk);
  }

  #count(length) {
    this.#input.count(length);
    this._unrefTimer();
  }

  _acknowledge(more) {
    if (this.destroyed) return;
    if (more) this.#input.acknowledge();
    this.#isUnread = !more;
    this.#tellUnread();
  }

  /** As with net.Socket, a process does not go on for a response that it does not read, once its request has left. */
  #tellUnread() {
    this.#place.setUnread(this.#isUnread && this.#exchange.hasSentAll() && this.#output.hasLeft());
  }

  _reported(code, flags, argument, text) {
    if (!this.#parking.takes(code, argument))
      this.#exchange.context.runInAsyncScope(this.#handle, this, code, flags, argument, text);
  }

  #handle(code, flags, argument, text) {
    switch (code) {
      case event.END:
        this.#ending.lose(text);
        this._endReading();
        break;
      case event.ERROR: {
        const [syscall] = text.split('\n', 1);
        this.#ending.lose(text.slice(syscall.length + 1));
        this.destroy(errors.errnoException(argument, syscall));
        break;
      }
      case event.WRITTEN:
        this.#output.reported(argument);
        this._unrefTimer();
        this._pump();
        if (this.#isUnread) this.#tellUnread();
        break;
      case event.FINISHED: {
        const callback = this.#finalCallback;
        this.#finalCallback = undefined;
        callback?.();
        break;
      }
      case event.DEAD:
        this.#agent._giveAway(this);
        break;
      case event.SECURED:
        if (!this.#connection.takeSame()) this._secureReport(code, flags, argument, text);
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
        this.#connection.report(code, flags, argument, text);
    }
  }

  /** Publishes on one of channels.js. */
  _tell(channel, more) {
    channel.publish({ agent: this.#agent, socket: this, ...more });
  }

  /** Reports of TLS (tls-lane.js). */
  _secureReport() {}

  /** Nothing more comes. */
  _endReading() {
    this.push(null);
    // Without this, 'end' would wait for a reader.
    this.read(0);
  }

  // ---- What lanes over TLS do with it.

  get _connection() {
    return this.#connection;
  }

  /** Hands nothing more to Rust, and asks back what it has (HANDED_BACK). */
  _hold() {
    this.#held = true;
    this.#connection.judge(false);
  }

  /**
   * Lets go of Rust: what is written goes another way from now on. Returns the pieces and the callbacks of
   * what has not been handed over yet.
   */
  _detach() {
    this.#place.leave(closeReason.TLS_FAILED);
    const final = this.#finalCallback;
    this.#finalCallback = undefined;
    return { pieces: this.#output.takePieces(), written: this.#output.takeCallback(), final };
  }

  _exportKeyingMaterial(length, label, context) {
    return this.#place.exportKeyingMaterial(length, label, context);
  }

  /** A loss that is known on this side: rows as those of Rust, the number of the reason first. */
  _noteLoss(reason, facts = '') {
    this.#ending.lose(`reason\t${reason}${facts && '\n'}${facts}`);
  }

  // ---- Writing.

  write(chunk, encoding, callback) {
    // It may be the last of the request, which ends behind it.
    if (this.#isUnread) immediately(() => this.#tellUnread());
    if (!this.#light || !this.#isAllEarly(chunk)) return super.write(chunk, encoding, callback);
    // The stream would find nothing to write, and call back in the next tick.
    if (callback) process.nextTick(callback, null);
    return true;
  }

  /** Whether this is all that the request has written so far, and has left; from now on it is written. */
  #isAllEarly(chunk) {
    return (
      this.#early.isOnePieceOf(this.#exchange.request) &&
      this.writableLength === 0 &&
      chunk.length < this.writableHighWaterMark &&
      this.writable &&
      this.#early.takes(chunk)
    );
  }

  _write(chunk, encoding, callback) {
    if (this.#early.takes(chunk)) chunk = '';
    if (this.#connection.isEstablished && !this.#held && this.#output.takes(chunk)) {
      this.#output.write(chunk, encoding);
      callback();
    } else {
      this._writev([{ chunk, encoding }], callback);
    }
  }

  _writev(chunks, callback) {
    if (this.#early.isOwed) chunks = chunks.filter(({ chunk }) => !this.#early.takes(chunk));
    this.#output.queue(chunks, callback);
    if (!this.#connection.isEstablished && this.#unwritten === undefined) this.#awaitConnection();
    this._pump();
  }

  /** A write that waits for the connection hears of its end with 'close', by a listener, as net.Socket's does. */
  #awaitConnection() {
    this.#unwritten = () => {
      const code = 'ERR_SOCKET_CLOSED_BEFORE_CONNECTION';
      const message = 'Socket closed before the connection was established';
      this.#output.takeCallback()?.(errors.coded(Error, code, message));
    };
    this.once('close', this.#unwritten);
  }

  #endWait() {
    if (this.#unwritten === undefined || !this.#connection.isEstablished) return;
    this.removeListener('close', this.#unwritten);
    this.#unwritten = undefined;
  }

  /** While it connects, the bytes are in Rust already, but no kernel has them: the write is not done. */
  _pump() {
    this.#endWait();
    if (this._isOpened && !this.#held && !this.destroyed) this.#output.pump(this.#connection.isEstablished);
  }

  _final(callback) {
    if (this.#place.isLeft) return callback();
    if (!this._isOpened) {
      this.once('connect', () => this._final(callback));
      return undefined;
    }
    this.#finalCallback = callback;
    this.#place.row(op.SHUTDOWN, 0, 0);
    return undefined;
  }

  _read() {
    this._acknowledge(true);
  }

  // ---- The end.

  _destroy(error, callback) {
    this.connecting = false;
    this._clearTimer();
    this.#ending.begin(error, {
      agentIsEnding: this.#agent._isEnding(),
      timeout: this.#inactivity.reason,
      // Node gives the parser back before it destroys the socket of a response that it cannot read.
      isRefused:
        this.#exchange.request !== null && this.#input.received !== 0 && this.parser === null && !this.#light,
      ask: this.#connection.isEstablished && !this.#place.isLeft ? () => this.#place.facts() : undefined,
    });
    this.#place.leave(this.#ending.reason, this.#resetOnDestroy ? opFlag.RESET : 0);
    if (this._isIdle) this.#agent._idleLaneGone();
    if (this.#connection.isEstablished && channels.closed.hasSubscribers)
      this._tell(channels.closed, { reason: nameOf(this.#ending.reason) });
    this.#endWait();
    const pending = this.#unwritten === undefined ? this.#output.takeCallback() : undefined;
    this.#output.clear();
    if (pending !== undefined) {
      process.nextTick(pending, error ?? errors.coded(Error, 'ERR_SOCKET_CLOSED', 'Socket is closed'));
    }
    callback(error);
    immediately(emitClose, this, Boolean(error));
  }

  /** Closes with RST. As with Node's sockets, only TCP's own: neither over TLS nor Unix sockets. */
  resetAndDestroy() {
    if (this.destroyed) {
      this.destroy(errors.coded(Error, 'ERR_SOCKET_CLOSED', 'Socket is closed'));
    } else if (this.#route.native.path !== undefined || this.#route.secure !== undefined) {
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
    this.#parking.followTimeout(msecs);
    return this;
  }

  _onTimeout() {
    if (this.#inactivity.isProved()) this._tellTimeout();
  }

  _tellTimeout() {
    this.#agent._noteTimeout();
    this._inContext(this.emit, 'timeout');
  }

  // ---- The rest of net.Socket.

  get bytesRead() {
    return this.#input.bytesRead;
  }

  get bytesWritten() {
    const buffered = this.destroyed ? [] : (this.writableBuffer ?? []);
    const early = this.#early.byteLength;
    return this.#output.bytesWritten + this.#output.waiting + byteLength(buffered) - early;
  }

  get _bytesDispatched() {
    return this.#output.bytesWritten;
  }

  setNoDelay(enable) {
    this.#connection.options.setNoDelay(enable);
    return this;
  }

  setKeepAlive(enable, initialDelay) {
    this.#connection.options.setKeepAlive(enable, initialDelay);
    return this;
  }

  /** Whether the process waits for this lane. */
  ref() {
    this.#place.setRef(true);
    return this;
  }

  unref() {
    this.#place.setRef(false);
    return this;
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

function takeResponse(response) {
  try {
    plainResponse.handOver(this, response);
  } finally {
    this._acknowledge(true);
  }
}

function takeBody(...args) {
  try {
    this._plainBody.take(this, ...args);
  } finally {
    this._acknowledge(true);
  }
}

function emitClose(lane, hadError) {
  lane._endContext();
  lane._inContext(lane.emit, 'close', hadError);
}

module.exports = Lane;
