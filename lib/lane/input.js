'use strict';

// What has come for a lane, and which way it takes. What Rust has read whole goes past the lane's stream to Node's
// functions (plain-response.js, plain-body.js); all else goes through it, to Node's parser. A parked lane has asked
// for nothing.

const { parserFor } = require('./attach');
const { wholeOf } = require('../crossing/chunks');
const { isLearning } = require('../node/client');
const plainResponse = require('../response/plain-response');
const ReadWindow = require('./read-window');
const { closeReason } = require('../crossing/records');

class Input extends ReadWindow {
  #parts;
  /** The request has neither Node's listeners nor a parser (attach.js), and whether the next may go without. */
  #isLight = false;
  #isPlain = false;
  /** More has come than the response of the exchange. */
  #hasSurplus = false;

  constructor(parts) {
    super(parts.place, parts.route.native.readAhead);
    this.#parts = parts;
  }

  get isLight() {
    return this.#isLight;
  }

  /** Whether a request may get the lane without Node's listeners and parser, as the last response has come. */
  get mayBeLight() {
    return this.#isPlain;
  }

  get hasSurplus() {
    return this.#hasSurplus;
  }

  /** What comes next is that, by what Rust has read. Without a request nobody knows what it may be. */
  noteSurplus() {
    this.#hasSurplus = this.#parts.exchange.request !== null;
  }

  reset() {
    super.reset();
    this.#hasSurplus = false;
  }

  /** The lane has another request, or none. */
  begin() {
    this.#isLight = false;
    this.#parts.lane._plainBody = null;
  }

  /** Its request has it without. */
  becomeLight() {
    this.#isLight = true;
  }

  /** Bytes come that Node's parser has to read. */
  becomeParsed() {
    const { context, request } = this.#parts.exchange;
    // What comes behind the end of its response is for nobody. Nor would anybody give a parser back.
    if (!request.res?.complete) context.runInAsyncScope(this.#takeParser, this);
  }

  #takeParser() {
    const { exchange, lane } = this.#parts;
    this.#isLight = false;
    const { request } = exchange;
    const parser = parserFor(request);
    Object.assign(parser, { socket: lane, outgoing: request });
    lane._plainBody?.moveTo(parser);
    lane.parser = parser;
    request.parser = parser;
    // A stream that does not flow looks for no listener, and it is that of Node's that lets it flow.
    lane._attachNoted();
  }

  take(chunk) {
    const { exchange, lane, parking } = this.#parts;
    if (parking.isParked) {
      // Nobody asked for this. Rust has seen it too, and will not use the connection again.
      parking.lose(closeReason.UNEXPECTED_DATA);
      return;
    }
    this.#count(chunk.length);
    this.#isPlain = false;
    if (this.#isLight) this.becomeParsed();
    exchange.context.runInAsyncScope(pushChunk, lane, chunk);
  }

  /** The head of a response, and what has come of its body: the arguments are those of plainResponse.parse(). */
  takeResponse(bytes, from, length, parts, at, size, own) {
    const { exchange, lane, parking } = this.#parts;
    if (parking.isParked || !plainResponse.isReady(lane, exchange.request, parts, at)) {
      this.take(wholeOf(bytes, from, length, parts, at, size, own));
      return;
    }
    this.#count(length);
    this.#isPlain = true;
    if (isLearning()) lane._learnListeners();
    const response = plainResponse.parse(bytes, from, length, parts, at, size, own);
    exchange.context.runInAsyncScope(handOverResponse, lane, response);
  }

  /** More of its body; the arguments are the same. */
  takeBody(bytes, from, length, parts, at, size, own) {
    const { exchange, lane } = this.#parts;
    const body = lane._plainBody;
    if (body?.mayTake(lane, parts, at)) {
      this.#count(length);
      exchange.context.runInAsyncScope(handOverBody, lane, bytes, from, parts, at, size, own);
      return;
    }
    const chunk = wholeOf(bytes, from, length, parts, at, size, own);
    if (body !== null) {
      if (this.#isLight) this.becomeParsed();
      body.expect(lane, chunk, parts, at, size);
    }
    this.take(chunk);
  }

  #count(length) {
    this.count(length);
    this.#parts.lane._unrefTimer();
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

function handOverResponse(response) {
  try {
    plainResponse.handOver(this, response);
  } finally {
    this._acknowledge(true);
  }
}

function handOverBody(...args) {
  try {
    this._plainBody.take(this, ...args);
  } finally {
    this._acknowledge(true);
  }
}

module.exports = Input;
