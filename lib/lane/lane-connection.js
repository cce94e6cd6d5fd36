'use strict';

// The connection under a lane: what Rust reports of it while it comes to be, and when another takes its place. The
// users of the lane hear of it as those of a net.Socket do. Listeners that guard a connect (connect.js) have their
// say in these events.

const channels = require('../channels');
const { connectFailure, endpoint, failedAttempt, lookupResults } = require('./connect-reports');
const errors = require('../errors');
const { nameOf } = require('../request/facts');
const { closeReason, event, eventFlag, op, rebound } = require('../crossing/records');
const SocketOptions = require('./socket-options');

class LaneConnection {
  #parts;
  /** What a program has set; most set nothing. */
  #options;
  /** It stands, with its handshake; or it did, and is gone. */
  #isEstablished = false;
  /** A guard has refused the connection that was to come: nothing is sent on it. */
  #isDenied = false;
  /** Why the guards refused another connection, if there is an error that says so. */
  #refusal;
  /** The lane has moved, to where the connection is that it had. */
  #isSame = false;

  constructor(parts) {
    this.#parts = parts;
  }

  /** What a program sets on the socket. */
  get options() {
    return (this.#options ??= new SocketOptions(this.#parts));
  }

  /** The lane goes on over a socket of Node's: what was set holds there, and what will be is set there. */
  goToNode(socket) {
    this.#options?.tellNodes(socket);
    this.#options = socket;
  }

  get isEstablished() {
    return this.#isEstablished;
  }

  get isDenied() {
    return this.#isDenied;
  }

  get #isSecure() {
    return this.#parts.route.secure !== undefined;
  }

  /** The lane goes on with that of a request which waited. `received`: bytes, of the exchange before. */
  moveTo(place, received) {
    this.#parts.place.moveTo(place, this.#isEstablished, received);
    this.#isSame = false;
  }

  /** The handshake is over, and a write is done once it is handed over. */
  establish() {
    const { lane } = this.#parts;
    this.#isEstablished = true;
    lane._unrefTimer();
    if (channels.opened.hasSubscribers) lane._tell(channels.opened);
  }

  /** Somebody listens for the end of the handshake. */
  gate() {
    if (this.#parts.place.isOpened && !this.#isEstablished) this.#parts.place.row(op.GATE, 0, 0);
  }

  /** The word of a guard on the connection whose handshake is over. */
  judge(passes) {
    this.#isDenied = !passes;
    this.#parts.place.row(passes ? op.PROCEED : op.REFUSE, 0, 0);
  }

  /** Calls what may refuse the connection. If it throws it has, for all that anybody knows: nothing may be sent. */
  ask(guard) {
    try {
      return guard();
    } catch (error) {
      this.#parts.lane.destroy(error);
      throw error;
    }
  }

  #askListeners(event, ...args) {
    this.ask(() => this.#parts.lane.emit(event, ...args));
  }

  /** Whether it is the connection that the lane had before it moved; asked for once. */
  takeSame() {
    const isSame = this.#isSame;
    this.#isSame = false;
    return isSame;
  }

  /** Reports of connecting; they come in the async context of the request. */
  report(code, flags, argument, text) {
    switch (code) {
      case event.CONNECTED:
        this.#onConnected(flags, argument, text);
        break;
      case event.REBOUND:
        this.#onRebound(flags, argument, text);
        break;
      case event.AHEAD:
        this.#onAhead(argument, text);
        break;
      case event.LOOKUP:
        this.#onLookup(argument, text);
        break;
      case event.ATTEMPT:
        this.#onAttempt(argument, text);
        break;
      case event.ATTEMPT_FAILED:
        this.#parts.lane.emit('connectionAttemptFailed', ...failedAttempt(text));
        break;
      case event.ATTEMPT_TIMEOUT:
        this.#parts.lane.emit('connectionAttemptTimeout', ...endpoint(text));
        break;
      case event.CONNECT_FAILED:
        this.#onFailed(flags, argument, text);
        break;
      case event.RESOLVE:
        this.#onResolve(argument);
        break;
      case event.PROBE:
        this.#onProbe(argument);
        break;
    }
  }

  #onConnected(flags, attempt, addresses) {
    const { lane } = this.#parts;
    lane._setAddresses(addresses);
    if (this.#isEstablished) {
      // Another connection, whose handshake a listener guards.
      this.#askListeners('connect');
      this.#pass(flags, attempt);
      return;
    }
    lane.connecting = false;
    if (!this.#isSecure) this.#isEstablished = true;
    lane._unrefTimer();
    this.#askListeners('connect');
    // As with net.Socket, what has been written is done before 'ready'.
    lane._pump();
    try {
      lane.emit('ready');
    } finally {
      // It is no guard: what throws there stops nothing.
      if (!this.#isSecure && channels.opened.hasSubscribers) lane._tell(channels.opened);
      this.#pass(flags, attempt);
      lane._pump();
    }
  }

  /** Another connection is under the lane; its users see other addresses, and nothing else. */
  #onRebound(flags, argument, text) {
    const { lane } = this.#parts;
    const [why, lost] = [argument & 0xff, argument >> 8];
    const [addresses] = text.split('\n', 1);
    // The lane's own connect failed for a request that was gone by then.
    if (!this.#isEstablished) {
      this.#onConnected(flags, 0, addresses);
      return;
    }
    lane._setAddresses(addresses);
    const request = lane._httpMessage;
    if (request !== null && why !== rebound.IDLE && !this.#isDenied) {
      // What fails from here on fails on a connection of its own.
      request.reusedSocket = false;
      if (why === rebound.RETRY) lane._resent();
    }
    this.#tellOfRebound(why, lost, request);
    this.#options?.tellAnew();
    if (flags & eventFlag.GATED) this.#askListeners('connect');
    this.#pass(flags, 0);
  }

  /** `lost`: the number of the reason why the connection before is gone. */
  #tellOfRebound(why, lost, request) {
    const { lane } = this.#parts;
    if (channels.closed.hasSubscribers) lane._tell(channels.closed, { reason: nameOf(lost) });
    if (why !== rebound.IDLE) {
      if (channels.opened.hasSubscribers) lane._tell(channels.opened);
    } else if (channels.reused.hasSubscribers) lane._tell(channels.reused, { request });
  }

  /** The request was sent while it waited, on the connection of the lane that had `slot`. */
  #onAhead(slot, text) {
    const [epoch, addresses] = text.split('\n');
    if (this.#parts.place.wasAt(slot, Number(epoch))) {
      this.#isSame = true;
      // It was another lane's meanwhile, as Rust has it.
      this.#options?.tellAnew();
    } else if (this.#isEstablished) this.#onRebound(0, rebound.IDLE, addresses);
    else this.#onConnected(0, 0, addresses);
  }

  #onLookup(errno, text) {
    const { lane } = this.#parts;
    const { host, native } = this.#parts.route;
    if (errno !== 0) {
      this.#askListeners('lookup', errors.lookupException(errno, host), undefined, undefined, host);
      return;
    }
    const found = lookupResults(text);
    if (native.firstOnly) found.length = 1;
    for (const { address, family } of found) {
      this.#askListeners('lookup', null, address, family, host);
      if (lane.destroyed) return;
    }
    if (found.length > 1) lane.autoSelectFamilyAttemptedAddresses = [];
  }

  #onAttempt(attempt, text) {
    const [address, port, family] = endpoint(text);
    this.#askListeners('connectionAttempt', address, port, family);
    this.#parts.lane.autoSelectFamilyAttemptedAddresses?.push(`${address}:${port}`);
    this.#pass(0, attempt);
  }

  /** Lets a guarded connect go on, unless a listener has destroyed the lane. */
  #pass(flags, attempt) {
    if (flags & eventFlag.GATED || attempt !== 0) this.#parts.place.row(op.PROCEED, attempt, 0);
  }

  #onFailed(flags, errno, text) {
    const { lane } = this.#parts;
    if (errno !== 0) {
      this.#parts.ending.note(closeReason.LOOKUP_FAILED);
      lane.destroy(errors.lookupException(errno, this.#parts.route.host));
      return;
    }
    this.#parts.ending.note(closeReason.CONNECT_FAILED);
    if (text === '') {
      // Refused on this side. What the request met is the loss of the connection that it was given.
      if (this.#refusal) lane.destroy(this.#refusal);
      else lane._endReading();
      return;
    }
    const error = connectFailure(flags, text);
    if (error.code === 'ETIMEDOUT') this.#parts.ending.note(closeReason.CONNECT_TIMEOUT);
    lane.destroy(error);
  }

  #onResolve(serial) {
    this.#parts.plan.resolveAgain(this.#parts.lane, (addresses, refusal) => {
      const { lane } = this.#parts;
      if (lane.destroyed) return;
      this.#refusal = refusal;
      if (addresses?.length > 1 && lane.connecting) lane.autoSelectFamilyAttemptedAddresses = [];
      this.#parts.place.resolved(serial, addresses);
    });
  }

  /** Another connection is tried, which is not to come under the lane: nobody hears of it. */
  #onProbe(serial) {
    const { lane, place, plan } = this.#parts;
    plan.resolveUnheard(lane, (addresses) => {
      if (!lane.destroyed) place.resolved(serial, addresses);
    });
  }

  /** As soon as there is a connection, unless the lane is gone. */
  onceEstablished(callback) {
    const { lane } = this.#parts;
    if (lane.destroyed) return;
    if (this.#isEstablished) callback();
    else lane.once(this.#isSecure ? 'secureConnect' : 'connect', callback);
  }
}

module.exports = LaneConnection;
