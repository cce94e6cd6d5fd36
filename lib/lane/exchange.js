'use strict';

// The request on a lane, from what it may have sent before it has the lane until it lets go of it. What a request
// leaves behind that is gone must not become the next one's.

const { AsyncResource } = require('async_hooks');

const channels = require('../channels');
const crossing = require('../crossing/crossing');
const { policyOf } = require('../request/retry-policy');
const { forget, takeOut, waitingOf } = require('../request/waiting');

class Exchange {
  #parts;
  /** The request that has the lane; null between requests. */
  #request = null;
  /** The one that is about to get it. */
  #intended = null;
  /** The lane has had a request. */
  #hasBegun = false;
  /** It was upgraded, or is a tunnel. */
  #isUpgraded = false;
  /** The request to come has been sent on a connection, with which the lane will go on: it makes none. */
  #isUnopened = false;
  /** The queue that may have the connection when the exchange is over, if Rust has been told (waiting.js). */
  #yieldsTo;
  #context;
  /** Async hooks have been told of its end. */
  #hasContextEnded = true;

  constructor(parts) {
    this.#parts = parts;
    this.#capture();
  }

  get request() {
    return this.#request;
  }

  /**
   * The program has the lane for itself, and may give it to another agent as the socket of requests: they are for who is
   * at the other end, and not for whom the pool could reach instead.
   */
  get isUpgraded() {
    return this.#isUpgraded;
  }

  /** The same, or the one that is about to get the lane. */
  get nextRequest() {
    return this.#request ?? this.#intended;
  }

  /** No connection is made, since the request to come has been sent on one. */
  get isUnopened() {
    return this.#isUnopened;
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
    this.#parts.plan.begun = true;
  }

  /** Hands over what the request keeps for the lane. */
  sendEarly(request, output) {
    crossing.sendEarly(handOverEarly, this, request, output);
  }

  _handOverEarly(request, output) {
    const { early } = this.#parts;
    if (early.request !== request && this.#request !== request) {
      early.begin(request);
      this.#lease(request);
    }
    early.handOver(output, this.#parts.output);
  }

  /**
   * Whether no request has been sent that did not come for its lane. Of a lane that is let go of: what its request
   * has sent is taken back if that is still possible.
   */
  owesNothing() {
    const { connection, early, ending } = this.#parts;
    if (early.isOwed) return connection.isEstablished && this.#takeBack();
    // One that was destroyed before it had the lane has had nothing to send.
    if (this.#intended?.destroyed) ending.explainWithoutLane(this.#intended);
    this.#intended = null;
    return true;
  }

  /** The lane is as it was before the request. */
  #takeBack() {
    const { early, ending, input, output, place } = this.#parts;
    const bytes = early.byteLength;
    if (!place.takeBack(bytes)) return false;
    input.takeBack();
    output.takeBack(bytes);
    if (this.#request === null) ending.explainWithoutLane(early.request);
    this.#intended = null;
    early.clear();
    return true;
  }

  // ---- The request gets the lane, and lets go of it.

  /** `request`: null if it lets go. */
  change(request) {
    const { ending, lane, parking } = this.#parts;
    const previous = this.#request;
    this.#request = request;
    if (previous?.res === null && previous.destroyed) ending.explainWithoutLane(previous);
    if (this.#isUpgraded) this.#changeWithoutPool(request);
    else if (request !== null) this.#begin(request);
    // An upgraded socket is let go of too.
    else if (previous.upgradeOrConnect) this.#isUpgraded = true;
    else if (!lane.destroyed) {
      parking.begin();
      this.endContext();
    }
  }

  #changeWithoutPool(request) {
    this.#intended = null;
    if (request === null) this.endContext();
    else this.#capture();
  }

  #begin(request) {
    const { early, ending, lane, place, plan } = this.#parts;
    const sent = waitingOf(request) === undefined ? undefined : this.#takeUp(request);
    // The answer to what it has sent will not come here.
    if (lane.destroyed || sent !== undefined) {
      ending.explainWithoutLane(request, sent);
      lane.destroy();
    } else if (this.#isUnopened) {
      this.#isUnopened = false;
      plan.begun = place.isOpened;
      lane._openNow();
    }
    // The answer to a request that is gone is nobody's.
    if (early.request !== request && early.isOwed) lane.destroy();
    else if (early.request !== request) this.#lease(request);
    early.arrive();
    this.#intended = null;
    this.#capture();
  }

  #lease(request) {
    const { connection, input, lane, output, parking, place, route, sender } = this.#parts;
    sender.begin();
    this.#yieldsTo = undefined;
    if (lane.destroyed) return;
    if (!this.#hasBegun) {
      // The lane was made for this request.
      this.#hasBegun = true;
      return;
    }
    parking.end();
    if (place.isLeft) return;
    if (channels.reused.hasSubscribers) lane._tell(channels.reused, { request });
    const { maxReplayBytes = route.native.maxReplay } = policyOf(request);
    place.lease(connection.isEstablished, input.received, maxReplayBytes);
    input.reset();
    output.reset();
    lane._unrefTimer();
  }

  /**
   * Goes on with what Rust has of a request that waited: it may have been sent, and answered. What is known of that, as text
   * (facts.js), if it cannot go on.
   */
  #takeUp(request) {
    const { connection, early, lane, sender } = this.#parts;
    const isFit = lane._isInRust && !connection.isDenied && !early.isOwed;
    const waiting = waitingOf(request);
    // A lane that connects goes on connecting for one that has not been sent.
    const mayBeTakenBack = isFit && !connection.isEstablished && !this.#isUnopened;
    if (mayBeTakenBack && waiting.withdraw() === undefined) return forget(request);
    if (!isFit || waiting.isInDoubt) return takeOut(request);
    forget(request);
    this.#moveTo(waiting);
    waiting.giveTo(lane);
    early.takeUp(request, waiting.pieces);
    sender.skipBeginning();
    this.#yieldsTo = waiting.queueNumber;
    if (channels.reused.hasSubscribers) lane._tell(channels.reused, { request });
    return undefined;
  }

  #moveTo({ place, bytes }) {
    const { connection, input, lane, output, parking } = this.#parts;
    connection.moveTo(place, input.received);
    this.#isUnopened = false;
    this.#hasBegun = true;
    parking.end();
    input.reset();
    output.reset();
    output.takeUp(bytes);
    lane._unrefTimer();
  }

  // ---- While it has the lane.

  /** It goes out a second time, and is told of once: the connection for that may be lost, or who ends it hear of it first. */
  noteResent() {
    const request = this.nextRequest;
    if (request === null || request.attempts > 1) return;
    request.attempts = 2;
    if (channels.retried.hasSubscribers) this.#parts.lane._tell(channels.retried, { request });
  }

  /**
   * Others wait in `queue`. If the request is whole, and Rust is to find the end of its response, then they may
   * have the connection.
   */
  yieldTo(queue) {
    const { early, place } = this.#parts;
    if (this.#yieldsTo === queue || !place.isOpened) return;
    const request = early.request ?? this.#request;
    if (request === null || !request.writableEnded || !request.shouldKeepAlive) return;
    if (request.method === 'CONNECT' || !this.#hasAllOf(request)) return;
    this.#yieldsTo = queue;
    place.yieldTo(queue);
  }

  /** Whether nothing of a request is to be waited for. What has not left of one that is over leaves in any case. */
  isOver() {
    if (this.#parts.parking.isParked) return true;
    return this.#request?.writableFinished === true && this.#request.res?.readableEnded === true;
  }

  #hasAllOf(request) {
    const { early, lane, output } = this.#parts;
    // What it keeps may have left already.
    return early.isAllOf(request) && lane.writableLength === 0 && output.waiting === 0;
  }
}

function handOverEarly(exchange, request, output) {
  exchange._handOverEarly(request, output);
}

module.exports = Exchange;
