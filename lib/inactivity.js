'use strict';

// Whether a lane whose timer has run out was inactive for that time. In the loop timers come before what the network
// has brought, so while the loop was busy bytes may have gone either way that nobody here has seen.

const { closeReason } = require('./records');

class Inactivity {
  #lane;
  #agent;
  #place;
  #connection;
  #input;
  #output;
  /** How it was last found: `{ request, reason, mark }`. */
  #last = null;

  constructor(lane, agent, place, connection, input, output) {
    this.#lane = lane;
    this.#agent = agent;
    this.#place = place;
    this.#connection = connection;
    this.#input = input;
    this.#output = output;
  }

  /** Whether it was, of a lane with a request: of a parked one Rust knows the time. */
  isProved() {
    if (this.#lane._isIdle || this.#hasMoved()) return false;
    const { _httpMessage: request, timeout } = this.#lane;
    const isRequests = request !== null && timeout !== (this.#agent.options.timeout || 0);
    const reason = isRequests ? closeReason.REQUEST_TIMEOUT : closeReason.SOCKET_TIMEOUT;
    this.#last = { request, reason, mark: this.#mark() };
    return true;
  }

  /** Why the lane ends, if for this: there was no sign of life since, and its request is the same. */
  get reason() {
    const last = this.#last;
    if (last === null || last.request !== this.#lane._httpMessage) return undefined;
    return last.mark === this.#mark() ? last.reason : undefined;
  }

  /** Rust is asked, and what has come is handed over first. */
  #hasMoved() {
    const lane = this.#lane;
    const place = this.#place;
    if (!place.isOpened) return false;
    const [epoch, mark] = [place.epoch, this.#mark()];
    const quiet = place.quiet();
    if (lane.destroyed || lane._isIdle || place.epoch !== epoch || this.#mark() !== mark) return true;
    // A large write goes on without a report for each piece.
    if (quiet >= lane.timeout) return false;
    if (quiet !== undefined) lane._unrefTimer();
    return quiet !== undefined;
  }

  /** A number that is another one after each sign of life. */
  #mark() {
    return this.#input.bytesRead + this.#output.bytesLeft + Number(this.#connection.isEstablished);
  }
}

module.exports = Inactivity;
