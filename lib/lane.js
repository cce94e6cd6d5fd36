'use strict';

// The lane: what ClientRequest and its users know as the socket. A real Duplex whose bytes come
// from and go to a connection in Rust, with the members and events of net.Socket.

const { AsyncResource } = require('async_hooks');
const { addAbortSignal } = require('stream');

const { parserFor } = require('./attach');
const channels = require('./channels');
const { endpoint, failedAttempt, lookupResults, connectFailure } = require('./connect-reports');
const crossing = require('./crossing');
const Ending = require('./ending');
const errors = require('./errors');
const { nameOf } = require('./facts');
const { immediately } = require('./immediate');
const { isLearning } = require('./node-client');
const { op, opFlag, event, eventFlag, rebound, closeReason } = require('./records');
const loans = require('./loans');
const Place = require('./place');
const plainResponse = require('./plain-response');
const { policyOf } = require('./retry-policy');
const { numberOf } = require('./routes');
const SocketOptions = require('./socket-options');
const SocketShape = require('./socket-shape');
const { forget, waitingOf } = require('./waiting');
const WriteWindow = require('./write-window');

/**
 * Bytes that the stream has consumed when Rust hears of it at the latest: what a connection may read ahead in any
 * case, or both sides would wait for each other.
 */
const REPORT_CONSUMED = 64 * 1024;
/** Bytes of one write that may leave before the request has the lane: what the crossing has room for. */
const MAX_EARLY = 16 * 1024;

class Lane extends SocketShape {
  /** The agent, the plan of its connection (connect.js) and where that leads (route.js). */
  #agent;
  #plan;
  #route;

  /** Where Rust knows it. */
  #place;
  #connected = false;
  /** What is written stays here, until it is known where it goes. */
  #held = false;
  /** A guard has refused the connection that was to come under the lane: nothing is sent on it. */
  #denied = false;
  #host;

  /** The request that has the lane; null between requests. */
  #message = null;
  #intended = null;
  #began = false;
  #parked = false;
  /** Idle limit in ms that keepSocketAlive has found for the next time the lane is parked. */
  #idleLimit;
  /** What the server said of the connection, where it is Rust that has to keep it. */
  #hint;
  #firstWrite = true;
  /** The request has neither Node's listeners nor a parser (attach.js), and whether the next may go without. */
  #light = false;
  #plain = false;
  /** What is to come of a response whose head Rust has read (plain-body.js). */
  _plainBody = null;
  /** A request whose bytes leave before it has the lane, and those that it has not written to it since. */
  #early = null;
  #earlyChunks = [];
  /** The queue that may have the connection when the exchange is over, if Rust has been told (waiting.js). */
  #yieldsTo;
  /** The lane has moved, to where the connection is that it had. */
  #isSame = false;
  /** No connection is made, since the request to come has one. */
  #unopened = false;
  #resource;
  /** Why the guards refused another connection, if there is an error that says so. */
  #refusal;

  /** Why the connection is gone, and what errors say of that. */
  #ending = new Ending(this);

  #socketOptions;
  #resetOnDestroy = false;

  /** Bytes read in this exchange, modulo 2^32. */
  #received = 0;
  /** How many had been read when the request came that has the lane: it may be taken back. */
  #idleReceived = 0;
  /** How many of them Rust thinks are unread. */
  #unconsumed = 0;
  #reportConsumed;
  #bytesRead = 0;

  #output = new WriteWindow(
    (chunk, encoding, report) => this.#send(chunk, encoding, report),
    (chunk, unreported) => this.#lend(chunk, unreported),
  );
  #finalCallback;

  constructor(agent, plan, options) {
    super(options);
    this.#agent = agent;
    this.#plan = plan;
    const route = (this.#route = plan.route);
    this.#host = route.host;
    this.#reportConsumed = Math.min(route.native.readAhead / 2, REPORT_CONSUMED);
    this.#capture();
    this.#place = new Place(this, true);
    this.#socketOptions = new SocketOptions(route, this.#place, (tell) => this.#onceConnected(tell));
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
    // The request may have been given up before there was anything to park.
    if (this.#parked) this.#park();
    this.#pump();
  }

  /** As _open, now and not with this tick, unless JavaScript resolves the name. */
  _openNow() {
    if (!this._isOpened) this.#plan.startNow(this);
  }

  /** Hands over what `request` keeps for the lane that it is about to get. */
  _writeEarly(request, output) {
    if (this._isOpened && this._isInRust) crossing.sendEarly(handOverEarly, this, request, output);
  }

  _handOverEarly(request, output) {
    if (this.#early !== request && this.#message !== request) {
      this.#early = request;
      this.#lease(request);
    }
    let chunks = this.#earlyChunks;
    while (chunks.length < output.length) {
      const { data, encoding } = output[chunks.length];
      if (data.length > MAX_EARLY || !this.#output.takes(data)) break;
      // Mostly there is one, and an array that something is pushed into has room for many.
      if (chunks.length === 0) this.#earlyChunks = chunks = [{ chunk: data, encoding }];
      else chunks.push({ chunk: data, encoding });
      this.#output.write(data, encoding);
    }
  }

  /** Whether it has a place there: not if it is destroyed, or on a socket of Node's (tls-lane.js). */
  get _isInRust() {
    return !this.#place.isLeft && !this.#held;
  }

  /** The request that is about to get the lane has been sent on a connection that the lane will go on with. */
  _skipOpening() {
    this.#unopened = true;
    this.#plan.begun = true;
  }

  /**
   * Others wait in `queue`. If the request is whole, and Rust is to find the end of its response, then they may
   * have the connection.
   */
  _yieldTo(queue) {
    if (this.#yieldsTo === queue || !this._isOpened) return;
    const request = this.#early ?? this.#message;
    if (request === null || !request.writableEnded || !request.shouldKeepAlive) return;
    if (request.method === 'CONNECT' || !this.#hasAllOf(request)) return;
    this.#yieldsTo = queue;
    this.#place.yieldTo(queue);
  }

  #hasAllOf(request) {
    // What it keeps may have left already.
    const isHandedOver = request.outputData.length === this.#earlyChunks.length;
    return isHandedOver && this.writableLength === 0 && this.#output.waiting === 0;
  }

  /** Whether a request has been sent that did not come for its lane. */
  get _isOwed() {
    return this.#earlyChunks.length > 0;
  }

  /** The same of a lane that is let go of; what its request has sent is taken back if that is still possible. */
  _owesNothing() {
    return !this._isOwed || (this.#connected && this.#takeBack());
  }

  /** The lane is as it was before the request. */
  #takeBack() {
    const bytes = byteLength(this.#earlyChunks);
    if (!this.#place.takeBack(bytes)) return false;
    this.#received = this.#idleReceived;
    this.#output.takeBack(bytes);
    if (this.#message === null) this.#ending.explainUnsent(this.#early);
    this.#intended = null;
    this.#early = null;
    this.#earlyChunks = [];
    return true;
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
    this.#idleLimit = ms;
    this.#hint = hint;
  }

  /** The request that is about to get the lane; it may be destroyed before it does. */
  _meanFor(request) {
    // Newer Nodes have put it on the lane by now.
    if (this.#message !== request) this.#intended = request;
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
    this.#light = false;
    this._plainBody = null;
    if (message !== null && isLearning()) this._learnListeners();
    if (previous?.res === null && previous.destroyed) this.#ending.explainUnsent(previous);
    if (message !== null) this.#begin(message);
    // An upgraded socket is let go of too, but the agent no longer listens to it then.
    else if (!this.destroyed && this.listenerCount('free') > 0) this.#park();
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

  #begin(message) {
    if (waitingOf(message) !== undefined) this.#takeUp(message);
    if (this.#unopened) {
      this.#unopened = false;
      this.#plan.begun = this._isOpened;
      this._openNow();
    }
    // The answer to a request that is gone is nobody's.
    if (this.#early !== message && this._isOwed) this.destroy();
    else if (this.#early !== message) this.#lease(message);
    this.#early = null;
    this.#intended = null;
    this.#capture();
  }

  /** Goes on with what Rust has of a request that waited: it may have been sent, and answered. */
  #takeUp(request) {
    const waiting = waitingOf(request);
    forget(request);
    if (this.destroyed || this._isOwed) {
      waiting.drop();
      return;
    }
    const isFit = this._isInRust && !this.#denied;
    if (!isFit || !this.#connected) {
      if (!this.#unopened && waiting.withdraw() === undefined) return;
      if (!isFit) {
        waiting.drop();
        this.destroy();
        return;
      }
    }
    this.#moveTo(waiting);
    waiting.giveTo(this);
    this.#early = request;
    this.#earlyChunks = waiting.pieces;
    this.#firstWrite = false;
    this.#yieldsTo = waiting.queueNumber;
    if (channels.reused.hasSubscribers) this.#tell(channels.reused, { request });
  }

  #moveTo({ place, bytes }) {
    this.#place.moveTo(place, this.#connected, this.#received);
    this.#isSame = false;
    this.#unopened = false;
    this.#began = true;
    this.#parked = false;
    this.#received = 0;
    this.#unconsumed = 0;
    this.#output.reset();
    this.#output.bytesWritten += bytes;
    this._unrefTimer();
  }

  /** The request was sent while it waited, on the connection of the lane that had `slot`. */
  #onAhead(slot, text) {
    const [epoch, addresses] = text.split('\n');
    if (this.#place.wasAt(slot, Number(epoch))) this.#isSame = true;
    else if (this.#connected) this.#onRebound(0, rebound.IDLE, addresses);
    else this.#onConnected(0, 0, addresses);
  }

  #lease(request) {
    this.#firstWrite = true;
    this.#yieldsTo = undefined;
    if (this.destroyed) return;
    if (!this.#began) {
      // The lane was made for this request.
      this.#began = true;
      return;
    }
    this.#parked = false;
    if (this.#place.isLeft) return;
    if (channels.reused.hasSubscribers) this.#tell(channels.reused, { request });
    const { maxReplayBytes = this.#route.native.maxReplay } = policyOf(request);
    this.#place.lease(this.#connected, this.#received, maxReplayBytes);
    this.#idleReceived = this.#received;
    this.#received = 0;
    this.#unconsumed = 0;
    this.#output.reset();
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
    if (this.#place.isLeft) return;
    if (!this._isOpened) {
      this.#idleLimit = limit;
      return;
    }
    this.#place.park(limit, this.#hint, this.#received);
    this.#hint = undefined;
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
    this.#count(chunk.length);
    this.#plain = false;
    if (this.#light) this._becomeParsed();
    this.#resource.runInAsyncScope(pushChunk, this, chunk);
  }

  /** Bytes come that Node's parser has to read. */
  _becomeParsed() {
    this.#resource.runInAsyncScope(this.#getParser, this);
  }

  #getParser() {
    this.#light = false;
    const parser = parserFor(this.#message);
    Object.assign(parser, { socket: this, outgoing: this.#message });
    this._plainBody?.moveTo(parser);
    this.parser = parser;
    this.#message.parser = parser;
  }

  /** The head of a response, and what has come of its body: the arguments are those of plainResponse.parse(). */
  _receivedResponse(bytes, from, length, parts, at, size, own) {
    if (this.#parked || !plainResponse.isReady(this, this.#message, parts, at)) {
      this._received(own ? bytes : crossing.copyOut(from, length));
      return;
    }
    this.#count(length);
    this.#plain = true;
    if (isLearning()) this._learnListeners();
    const response = plainResponse.parse(bytes, from, length, parts, at, size, own);
    this.#resource.runInAsyncScope(takeResponse, this, response);
  }

  /** More of its body; the arguments are the same. */
  _receivedBody(bytes, from, length, parts, at, size, own) {
    const body = this._plainBody;
    if (body?.mayTake(this, parts, at)) {
      this.#count(length);
      this.#resource.runInAsyncScope(takeBody, this, bytes, from, parts, at, size, own);
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
    this.#received = (this.#received + length) | 0;
    this.#unconsumed += length;
    this.#bytesRead += length;
    this._unrefTimer();
  }

  _acknowledge(more) {
    if (more && this.#unconsumed >= this.#reportConsumed && !this.destroyed) {
      this.#place.row(op.CONSUMED, this.#unconsumed, 0);
      this.#unconsumed = 0;
    }
  }

  _reported(code, flags, argument, text) {
    // The end may have been on its way while the lane went back into the pool.
    // A request that took the lane up meanwhile gets another connection.
    if (code === event.CLOSED) {
      if (this.#parked) this.#loseParked(argument);
    } else if (this.#parked && (code === event.END || code === event.ERROR || code === event.TLS_ERROR))
      this.#loseParked(closeReason.PEER_CLOSED_IDLE);
    else this.#resource.runInAsyncScope(this.#handle, this, code, flags, argument, text);
  }

  #handle(code, flags, argument, text) {
    switch (code) {
      case event.END:
        this.#ending.lose(text);
        this.#onEnd();
        break;
      case event.ERROR: {
        const [syscall] = text.split('\n', 1);
        this.#ending.lose(text.slice(syscall.length + 1));
        this.destroy(errors.errnoException(argument, syscall));
        break;
      }
      case event.CONNECTED:
        this.#onConnected(flags, argument, text);
        break;
      case event.REBOUND:
        this.#onRebound(flags, argument, text);
        break;
      case event.WRITTEN:
        this.#output.reported(argument);
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
      case event.ATTEMPT_FAILED:
        this.emit('connectionAttemptFailed', ...failedAttempt(text));
        break;
      case event.ATTEMPT_TIMEOUT:
        this.emit('connectionAttemptTimeout', ...endpoint(text));
        break;
      case event.CONNECT_FAILED:
        this.#onConnectFailed(flags, argument, text);
        break;
      case event.AHEAD:
        this.#onAhead(argument, text);
        break;
      case event.DEAD:
        this.#agent._giveAway(this);
        break;
      case event.RESOLVE:
        this.#plan.resolveAgain(this, (addresses, refusal) => {
          if (this.destroyed) return;
          this.#refusal = refusal;
          this.#place.resolved(argument, addresses);
        });
        break;
      case event.SECURED:
        // Of the connection that the lane has been told of before.
        if (this.#isSame) this.#isSame = false;
        else this._secureReport(code, flags, argument, text);
        break;
      default:
        this._secureReport(code, flags, argument, text);
    }
  }

  /** Reports of TLS (tls-lane.js). */
  _secureReport() {}

  #onEnd() {
    this.push(null);
    // Without this, 'end' would wait for a reader.
    this.read(0);
  }

  #onConnected(flags, argument, addresses) {
    this._setAddresses(addresses);
    if (this.#connected) {
      // Another connection, whose handshake a listener guards.
      this.emit('connect');
      this.#pass(flags, argument);
      return;
    }
    this.connecting = false;
    if (this.#route.secure === undefined) this.#connected = true;
    this._unrefTimer();
    this.emit('connect');
    this.emit('ready');
    if (this.#route.secure === undefined && channels.opened.hasSubscribers) this.#tell(channels.opened);
    this.#pass(flags, argument);
    this.#pump();
  }

  #tell(channel, more) {
    channel.publish({ agent: this.#agent, socket: this, ...more });
  }

  /** The handshake is over, and a write is done once it is handed over. */
  _established() {
    this.#connected = true;
    if (channels.opened.hasSubscribers) this.#tell(channels.opened);
    this.#pump();
  }

  /** The word of a guard on the connection whose handshake is over. */
  _judge(passes) {
    this.#denied = !passes;
    this.#place.row(passes ? op.PROCEED : op.REFUSE, 0, 0);
  }

  /** Another connection is under the lane; its users see other addresses, and nothing else. */
  #onRebound(flags, argument, text) {
    const [why, lost] = [argument & 0xff, argument >> 8];
    const [addresses] = text.split('\n', 1);
    // The lane's own connect failed for a request that was gone by then.
    if (!this.#connected) {
      this.#onConnected(flags, 0, addresses);
      return;
    }
    this._setAddresses(addresses);
    const request = this.#message;
    if (request !== null && why !== rebound.IDLE && !this.#denied) {
      // What fails from here on fails on a connection of its own.
      request.reusedSocket = false;
      if (why === rebound.RETRY) this._resent();
    }
    this.#tellOfRebound(why, lost, request);
    this.#socketOptions.tellAnew();
    if (flags & eventFlag.GATED) this.emit('connect');
    this.#pass(flags, 0);
  }

  /** `lost`: the number of the reason why the connection before is gone. */
  #tellOfRebound(why, lost, request) {
    if (channels.closed.hasSubscribers) this.#tell(channels.closed, { reason: nameOf(lost) });
    if (why !== rebound.IDLE) {
      if (channels.opened.hasSubscribers) this.#tell(channels.opened);
    } else if (channels.reused.hasSubscribers) this.#tell(channels.reused, { request });
  }

  /** Lets a guarded connect go on, unless a listener has destroyed the lane. */
  #pass(flags, attempt) {
    if (flags & eventFlag.GATED || attempt !== 0) this.#place.row(op.PROCEED, attempt, 0);
  }

  #onLookup(errno, text) {
    if (errno !== 0) {
      this.emit('lookup', errors.lookupException(errno, this.#host), undefined, undefined, this.#host);
      return;
    }
    const found = lookupResults(text);
    if (this.#route.native.firstOnly) found.length = 1;
    for (const { address, family } of found) {
      this.emit('lookup', null, address, family, this.#host);
      if (this.destroyed) return;
    }
    if (found.length > 1) this.autoSelectFamilyAttemptedAddresses = [];
  }

  #onAttempt(attempt, text) {
    const [address, port, family] = endpoint(text);
    this.emit('connectionAttempt', address, port, family);
    this.autoSelectFamilyAttemptedAddresses?.push(`${address}:${port}`);
    this.#pass(0, attempt);
  }

  #onConnectFailed(flags, errno, text) {
    if (errno !== 0) {
      this.#ending.note(closeReason.LOOKUP_FAILED);
      this.destroy(errors.lookupException(errno, this.#host));
      return;
    }
    this.#ending.note(closeReason.CONNECT_FAILED);
    if (text === '') {
      // Refused on this side. What the request met is the loss of the connection that it was given.
      if (this.#refusal) this.destroy(this.#refusal);
      else this.#onEnd();
      return;
    }
    const error = connectFailure(flags, text);
    if (error.code === 'ETIMEDOUT') this.#ending.note(closeReason.CONNECT_TIMEOUT);
    this.destroy(error);
  }

  get _isOpened() {
    return this.#place.isOpened;
  }

  /** The request goes out a second time. */
  _resent() {
    const request = this.#message;
    if (request === null) return;
    request.attempts = 2;
    if (channels.retried.hasSubscribers) this.#tell(channels.retried, { request });
  }

  /** Between requests. */
  get _isIdle() {
    return this.#parked;
  }

  /** Somebody listens for the end of the handshake. */
  _gate() {
    if (this._isOpened && !this.#connected) this.#place.row(op.GATE, 0, 0);
  }

  /** Hands nothing more to Rust, and asks back what it has (HANDED_BACK). */
  _hold() {
    this.#held = true;
    this._judge(false);
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

  /** The connection of the idle lane is gone. Nobody is to hear an error for that. */
  #loseParked(reason) {
    if (this.destroyed) return;
    this.#ending.note(reason);
    if (reason === closeReason.IDLE_TIMEOUT && this.timeout > 0) {
      this.#agent._noteTimeout();
      this.emit('timeout');
    }
    this.destroy();
  }

  /** A loss that is known on this side: rows as those of Rust, the number of the reason first. */
  _noteLoss(reason, facts = '') {
    this.#ending.lose(`reason\t${reason}${facts && '\n'}${facts}`);
  }

  /** The request that has the lane, or is about to get it. */
  get _request() {
    return this.#message ?? this.#intended;
  }

  // ---- Writing.

  write(chunk, encoding, callback) {
    if (!this.#light || !this.#isAllEarly(chunk)) return super.write(chunk, encoding, callback);
    // The stream would find nothing to write, and call back in the next tick.
    if (callback) process.nextTick(callback, null);
    return true;
  }

  /** Whether this is all that the request has written so far, and has left; from now on it is written. */
  #isAllEarly(chunk) {
    return (
      this.#earlyChunks.length === 1 &&
      this.#message.outputData.length === 1 &&
      this.writableLength === 0 &&
      chunk.length < this.writableHighWaterMark &&
      this.writable &&
      this.#hasLeft(chunk)
    );
  }

  _write(chunk, encoding, callback) {
    if (this.#earlyChunks.length > 0 && this.#hasLeft(chunk)) chunk = '';
    if (this.#connected && !this.#held && this.#output.takes(chunk)) {
      this.#output.write(chunk, encoding);
      callback();
    } else {
      this._writev([{ chunk, encoding }], callback);
    }
  }

  _writev(chunks, callback) {
    if (this.#earlyChunks.length > 0) chunks = chunks.filter(({ chunk }) => !this.#hasLeft(chunk));
    this.#output.queue(chunks, callback);
    this.#pump();
  }

  /** Whether this is the next of what the request has handed over before it had the lane. */
  #hasLeft(chunk) {
    const early = this.#earlyChunks[0]?.chunk;
    if (early === undefined || early.length !== chunk.length) return false;
    if (early !== chunk && (typeof chunk === 'string' || early.buffer !== chunk.buffer)) return false;
    this.#earlyChunks.shift();
    if (!this._isOwed) crossing.endWithTick();
    return true;
  }

  /** While it connects, the bytes are in Rust already, but no kernel has them: the write is not done. */
  #pump() {
    if (this._isOpened && !this.#held && !this.destroyed) this.#output.pump(this.#connected);
  }

  #send(chunk, encoding, report) {
    return this.#place.write(this.#beginWrite(), chunk, encoding, report);
  }

  /** What may have to be sent again, or encrypted, is copied. */
  #lend(chunk, unreported) {
    const request = this.#message;
    const { maxReplayBytes = this.#route.native.maxReplay } = request === null ? {} : policyOf(request);
    if (!this.#connected || this.#route.secure !== undefined || chunk.length <= maxReplayBytes) return 0;
    if (!loans.isFit(chunk)) return 0;
    const piece = chunk.length > loans.MAX ? chunk.subarray(0, loans.MAX) : chunk;
    const report = unreported + piece.length;
    return this.#place.lend(this.#beginWrite(), piece, report);
  }

  /** The flags of a write. */
  #beginWrite() {
    let flags = this.#connected ? 0 : opFlag.EARLY;
    if (this.#firstWrite) {
      this.#firstWrite = false;
      const request = this.#early ?? this.#message;
      if (request !== null) flags |= this.#leave(request);
    }
    this._unrefTimer();
    return flags;
  }

  /** Which retries are allowed for a request, as flags. */
  #leave(request) {
    const policy = policyOf(request);
    const replayable = policy.allows(request) ? opFlag.REPLAYABLE : 0;
    return policy.unacknowledged ? replayable | opFlag.UNACKNOWLEDGED : replayable;
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
      // Node gives the parser back before it destroys the socket of a response that it cannot read.
      isRefused: this.#message !== null && this.#received !== 0 && this.parser === null && !this.#light,
      mark: this.#mark(),
      ask: this.#connected && !this.#place.isLeft ? () => this.#place.facts() : undefined,
    });
    this.#place.leave(this.#ending.reason, this.#resetOnDestroy ? opFlag.RESET : 0);
    if (this.#parked) this.#agent._idleLaneGone();
    if (this.#connected && channels.closed.hasSubscribers)
      this.#tell(channels.closed, { reason: nameOf(this.#ending.reason) });
    const pending = this.#output.takeCallback();
    this.#output.clear();
    if (pending !== undefined && this.#connected) {
      process.nextTick(pending, error ?? errors.coded(Error, 'ERR_SOCKET_CLOSED', 'Socket is closed'));
    }
    callback(error);
    // A write that waits for the connection hears of its end with 'close', as net.Socket's does.
    immediately(emitClose, this, Boolean(error), this.#connected ? undefined : pending);
  }

  /** Closes with RST. */
  resetAndDestroy() {
    if (this.destroyed) {
      this.destroy(errors.coded(Error, 'ERR_SOCKET_CLOSED', 'Socket is closed'));
    } else if (this.#route.native.path !== undefined) {
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
    // Rust watches the idle ones.
    if (this.#parked && !this.destroyed) this.#sendPark(msecs > 0 ? msecs : this.#agent._idleLimit());
    return this;
  }

  _onTimeout() {
    // Of a parked lane it is Rust that knows the time: its clock starts with the last byte.
    if (this.#parked || this.#hasMoved()) return;
    const request = this.#message;
    const isRequests = request !== null && this.timeout !== (this.#agent.options.timeout || 0);
    const reason = isRequests ? closeReason.REQUEST_TIMEOUT : closeReason.SOCKET_TIMEOUT;
    this.#ending.noteTimeout(request, reason, this.#mark());
    this._tellTimeout();
  }

  _tellTimeout() {
    this.#agent._noteTimeout();
    this._inContext(this.emit, 'timeout');
  }

  /**
   * Whether bytes went either way while the loop was busy and the timer ran. It is asked for where they
   * go, and what has come is handed over first.
   */
  #hasMoved() {
    if (!this._isOpened) return false;
    const [epoch, mark] = [this.#place.epoch, this.#mark()];
    const quiet = this.#place.quiet();
    if (this.destroyed || this.#parked || this.#place.epoch !== epoch || this.#mark() !== mark) return true;
    // A large write goes on without a report for each piece.
    if (quiet >= this.timeout) return false;
    if (quiet !== undefined) this._unrefTimer();
    return quiet !== undefined;
  }

  /** A number that is another one after each sign of life. */
  #mark() {
    return this.#bytesRead + this.#output.bytesLeft + Number(this.#connected);
  }

  // ---- The rest of net.Socket.

  get bytesRead() {
    return this.#bytesRead;
  }

  get bytesWritten() {
    const buffered = this.destroyed ? [] : (this.writableBuffer ?? []);
    const early = byteLength(this.#earlyChunks);
    return this.#output.bytesWritten + this.#output.waiting + byteLength(buffered) - early;
  }

  get _bytesDispatched() {
    return this.#output.bytesWritten;
  }

  setNoDelay(enable) {
    this.#socketOptions.setNoDelay(enable);
    return this;
  }

  setKeepAlive(enable, initialDelay) {
    this.#socketOptions.setKeepAlive(enable, initialDelay);
    return this;
  }

  #onceConnected(tell) {
    if (this.destroyed) return;
    if (this.#connected) tell();
    else this.once(this.#route.secure === undefined ? 'connect' : 'secureConnect', tell);
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

function byteLength(chunks) {
  return chunks.reduce((sum, { chunk, encoding }) => sum + Buffer.byteLength(chunk, encoding), 0);
}

function handOverEarly(lane, request, output) {
  lane._handOverEarly(request, output);
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

function emitClose(lane, hadError, unwritten) {
  if (unwritten !== undefined) {
    const code = 'ERR_SOCKET_CLOSED_BEFORE_CONNECTION';
    const message = 'Socket closed before the connection was established';
    lane._inContext(unwritten, errors.coded(Error, code, message));
  }
  lane._inContext(lane.emit, 'close', hadError);
}

module.exports = Lane;
