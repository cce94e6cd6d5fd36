'use strict';

// What has left of a request before it has its lane (early.js), or while it waited for one (waiting.js). When it has
// the lane it writes the same to it: by that the lane knows the pieces, and drops them.

const crossing = require('../crossing/crossing');
const { NONE, byteLength } = require('./pieces');

class EarlyOutput {
  #request = null;
  /** What has left, and has not been written by the request since. */
  #pieces = NONE;

  /** The request, until it has the lane. */
  get request() {
    return this.#request;
  }

  /** Whether something has left whose request has not come for the lane, or has more to write of it. */
  get isOwed() {
    return this.#pieces.length > 0;
  }

  get byteLength() {
    return byteLength(this.#pieces);
  }

  /** The request is about to get the lane. */
  begin(request) {
    this.#request = request;
  }

  /** The same of one that has waited; `pieces`: what has left of it. */
  takeUp(request, pieces) {
    this.#request = request;
    this.#pieces = pieces;
  }

  /** Hands over to `window` what of `output`, all that the request keeps, has not left yet. */
  handOver(output, window) {
    let pieces = this.#pieces;
    while (pieces.length < output.length) {
      const { data, encoding } = output[pieces.length];
      if (data.length > crossing.INLINE_MAX || !window.takes(data, encoding)) break;
      // Mostly there is one, and an array that something is pushed into has room for many.
      if (pieces.length === 0) this.#pieces = pieces = [{ chunk: data, encoding }];
      else pieces.push({ chunk: data, encoding });
      window.write(data, encoding);
    }
  }

  /** The request has the lane, and writes to it. */
  arrive() {
    this.#request = null;
  }

  /** Nothing has left after all. */
  clear() {
    this.#request = null;
    this.#pieces = NONE;
  }

  /** Whether all that the request keeps has left. */
  isAllOf(request) {
    return request.outputData.length === this.#pieces.length;
  }

  /** The same, and it is one piece. */
  isOnePieceOf(request) {
    return this.#pieces.length === 1 && request.outputData.length === 1;
  }

  /** Whether `chunk`, which the request writes now, is the next of what has left. */
  takes(chunk) {
    if (!this.isOwed) return false;
    const piece = this.#pieces[0].chunk;
    if (piece.length !== chunk.length) return false;
    if (piece !== chunk && (typeof chunk === 'string' || piece.buffer !== chunk.buffer)) return false;
    if (this.#pieces.length > 1) this.#pieces.shift();
    else {
      this.#pieces = NONE;
      crossing.endWithTick();
    }
    return true;
  }
}

module.exports = EarlyOutput;
