'use strict';

// The request on a lane, from what it may have sent before it has the lane until it lets go of it. What a request
// leaves behind that is gone must not become the next one's.

const { AsyncResource } = require('async_hooks');

const channels = require('./channels');
const crossing = require('./crossing');
const { policyOf } = require('./retry-policy');
const { forget, waitingOf } = require('./waiting');

class Exchange {
  #lane;
  #plan;
  #place;
  #connection;
  #ending;
  #parking;
  #early;
  #sender;
  #input;
  #output;

  /** The request that has the lane; null between requests. */
  #request = null;
  /** The one that is about to get it. */
  #intended = null;
  /** The lane has had a request. */
  #hasBegun = false;
  /** No connection is made, since the request to come has one. */
  #isUnopened = false;
  /** The queue that may have the connection when the exchange is over, if Rust has been told (waiting.js). */
  #yieldsTo;
  #context;
  /** Async hooks have been told of its end. */
  #hasContextEnded = true;

  constructor(lane, plan, { place, connection, ending, parking, early, sender, input, output }) {
    this.#lane = lane;
    this.#plan = plan;
    this.#place = place;
    this.#connection = connection;
    this.#ending = ending;
    this.#parking = parking;
    this.#early = early;
    this.#sender = sender;
    this.#input = input;
    this.#output = output;
    this.#capture();
  }

  get request() {
    return this.#request;
  }

  /** The same, or the one that is about to get the lane. */
  get nextRequest() {
    return this.#request ?? this.#intended;
  }

  /** The async context of the request, in which its events come. */
  get context() {
    return this.#context;
  }

  #capture() {
    this.endContext();
    this.#context = new AsyncResource('OFFLOOP', { requireManualDestroy: true });
    this.#hasContextEnded = false;
  }

  /** Has async hooks hear, in a later turn, that the request is over. What is left to tell runs in its context still. */
  endContext() {
    if (this.#hasContextEnded) return;
    this.#hasContextEnded = true;
    this.#context.emitDestroy();
  }

  // ---- Before a request has the lane.

  /** It may be destroyed before it does. */
  meanFor(request) {
    // Newer Nodes have put it on the lane by now.
    if (this.#request !== request) this.#intended = request;
  }

  /** It has been sent on a connection that the lane will go on with. */
  skipOpening() {
    this.#isUnopened = true;
    this.#plan.begun = true;
  }

  /** Hands over what the request keeps for the lane. */
  sendEarly(request, output) {
    crossing.sendEarly(handOverEarly, this, request, output);
  }

  _handOverEarly(request, output) {
    if (this.#early.request !== request && this.#request !== request) {
      this.#early.begin(request);
      this.#lease(request);
    }
    this.#early.handOver(output, this.#output);
  }

  /**
   * Whether no request has been sent that did not come for its lane. Of a lane that is let go of: what its request
   * has sent is taken back if that is still possible.
   */
  owesNothing() {
    return !this.#early.isOwed || (this.#connection.isEstablished && this.#takeBack());
  }

  /** The lane is as it was before the request. */
  #takeBack() {
    const bytes = this.#early.byteLength;
    if (!this.#place.takeBack(bytes)) return false;
    this.#input.takeBack();
    this.#output.takeBack(bytes);
    if (this.#request === null) this.#ending.explainUnsent(this.#early.request);
    this.#intended = null;
    this.#early.clear();
    return true;
  }

  // ---- The request gets the lane, and lets go of it.

  /** `request`: null if it lets go. */
  change(request) {
    const previous = this.#request;
    this.#request = request;
    if (previous?.res === null && previous.destroyed) this.#ending.explainUnsent(previous);
    if (request !== null) this.#begin(request);
    // An upgraded socket is let go of too, but the agent no longer listens to it then.
    else if (!this.#lane.destroyed && this.#lane.listenerCount('free') > 0) {
      this.#parking.begin();
      this.endContext();
    }
  }

  #begin(request) {
    if (waitingOf(request) !== undefined) this.#takeUp(request);
    if (this.#isUnopened) {
      this.#isUnopened = false;
      this.#plan.begun = this.#place.isOpened;
      this.#lane._openNow();
    }
    // The answer to a request that is gone is nobody's.
    if (this.#early.request !== request && this.#early.isOwed) this.#lane.destroy();
    else if (this.#early.request !== request) this.#lease(request);
    this.#early.arrive();
    this.#intended = null;
    this.#capture();
  }

  #lease(request) {
    const lane = this.#lane;
    this.#sender.begin();
    this.#yieldsTo = undefined;
    if (lane.destroyed) return;
    if (!this.#hasBegun) {
      // The lane was made for this request.
      this.#hasBegun = true;
      return;
    }
    this.#parking.end();
    if (this.#place.isLeft) return;
    if (channels.reused.hasSubscribers) lane._tell(channels.reused, { request });
    const { maxReplayBytes = this.#plan.route.native.maxReplay } = policyOf(request);
    this.#place.lease(this.#connection.isEstablished, this.#input.received, maxReplayBytes);
    this.#input.reset();
    this.#output.reset();
    lane._unrefTimer();
  }

  /** Goes on with what Rust has of a request that waited: it may have been sent, and answered. */
  #takeUp(request) {
    const lane = this.#lane;
    const waiting = waitingOf(request);
    forget(request);
    if (lane.destroyed || this.#early.isOwed) {
      waiting.drop();
      return;
    }
    const isFit = lane._isInRust && !this.#connection.isDenied;
    if (!isFit || !this.#connection.isEstablished) {
      if (!this.#isUnopened && waiting.withdraw() === undefined) return;
      if (!isFit || waiting.isInDoubt) {
        waiting.drop();
        lane.destroy();
        return;
      }
    }
    this.#moveTo(waiting);
    waiting.giveTo(lane);
    this.#early.takeUp(request, waiting.pieces);
    this.#sender.skipBeginning();
    this.#yieldsTo = waiting.queueNumber;
    if (channels.reused.hasSubscribers) lane._tell(channels.reused, { request });
  }

  #moveTo({ place, bytes }) {
    this.#connection.moveTo(place, this.#input.received);
    this.#isUnopened = false;
    this.#hasBegun = true;
    this.#parking.end();
    this.#input.reset();
    this.#output.reset();
    this.#output.takeUp(bytes);
    this.#lane._unrefTimer();
  }

  // ---- While it has the lane.

  /** It goes out a second time. */
  noteResent() {
    const request = this.#request;
    if (request === null) return;
    request.attempts = 2;
    if (channels.retried.hasSubscribers) this.#lane._tell(channels.retried, { request });
  }

  /**
   * Others wait in `queue`. If the request is whole, and Rust is to find the end of its response, then they may
   * have the connection.
   */
  yieldTo(queue) {
    if (this.#yieldsTo === queue || !this.#place.isOpened) return;
    const request = this.#early.request ?? this.#request;
    if (request === null || !request.writableEnded || !request.shouldKeepAlive) return;
    if (request.method === 'CONNECT' || !this.#hasAllOf(request)) return;
    this.#yieldsTo = queue;
    this.#place.yieldTo(queue);
  }

  /** Whether the request has been handed over to Rust, to the end. */
  hasSentAll() {
    return this.#request?.writableFinished === true && this.#output.waiting === 0;
  }

  #hasAllOf(request) {
    // What it keeps may have left already.
    return this.#early.isAllOf(request) && this.#lane.writableLength === 0 && this.#output.waiting === 0;
  }
}

function handOverEarly(exchange, request, output) {
  exchange._handOverEarly(request, output);
}

module.exports = Exchange;
