'use strict';

// Whether a lane whose timer has run out was inactive for that time. In the loop timers come before what the network
// has brought, so while the loop was busy bytes may have gone either way that nobody here has seen.

const { closeReason } = require('../crossing/records');

class Inactivity {
  #parts;
  /** How it was last found: `{ request, reason, mark }`. */
  #last = null;

  constructor(parts) {
    this.#parts = parts;
  }

  /** Whether it was, of a lane with a request: of a parked one Rust knows the time. */
  isProved() {
    const { agent, lane } = this.#parts;
    if (lane._isIdle || this.#hasMoved()) return false;
    const { _httpMessage: request, timeout } = lane;
    const isRequests = request !== null && timeout !== (agent.options.timeout || 0);
    const reason = isRequests ? closeReason.REQUEST_TIMEOUT : closeReason.SOCKET_TIMEOUT;
    this.#last = { request, reason, mark: this.#mark() };
    return true;
  }

  /** Why the lane ends, if for this: there was no sign of life since, and its request is the same. */
  get reason() {
    const last = this.#last;
    if (last === null || last.request !== this.#parts.lane._httpMessage) return undefined;
    return last.mark === this.#mark() ? last.reason : undefined;
  }

  /** Rust is asked, and what has come is handed over first. */
  #hasMoved() {
    const { lane, output, place } = this.#parts;
    if (!place.isOpened) return false;
    const [epoch, mark] = [place.epoch, this.#mark()];
    const quiet = place.quiet();
    if (lane.destroyed || lane._isIdle || place.epoch !== epoch || this.#mark() !== mark) return true;
    if (quiet === undefined || quiet >= lane.timeout) return false;
    // A large write goes on without a report for each piece, and as with net.Socket the time begins anew when it has been
    // seen to. What is small leaves a little later than JavaScript has written it.
    if (output.isMoving) lane._unrefTimer();
    else lane._waitOut(lane.timeout - quiet);
    return true;
  }

  /** A number that is another one after each sign of life. */
  #mark() {
    const { connection, input, output } = this.#parts;
    return input.bytesRead + output.bytesLeft + Number(connection.isEstablished);
  }
}

module.exports = Inactivity;
