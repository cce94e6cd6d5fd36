'use strict';

// Whether a lane whose timer has run out was inactive for that time. In the loop timers come before what the network
// has brought, so while the loop was busy bytes may have gone either way that nobody here has seen.

const { closeReason, op } = require('../crossing/records');

class Inactivity {
  #parts;
  /** The number of the last question to Rust. */
  #question = 0;
  /** How it was last found: `{ request, reason, mark }`. */
  #last = null;

  constructor(parts) {
    this.#parts = parts;
  }

  /** The timer has run out. Rust is asked, and what has come is handed over before it answers; of a parked lane it knows. */
  ask() {
    const { lane, place } = this.#parts;
    if (lane._isIdle) return;
    if (place.isOpened) place.row(op.ASK_QUIET, ++this.#question, 0);
    else this.#tell();
  }

  /** Nothing has gone either way for so many ms; -1: there is no connection. */
  answered(question, quiet) {
    const { lane, output } = this.#parts;
    // Meanwhile something has moved, or the program has set the timer.
    if (question !== this.#question || !lane._isTimeOver || lane._isIdle) return;
    if (quiet < 0 || quiet >= lane.timeout) this.#tell();
    // A large write goes on without a report for each piece, and as with net.Socket the time begins anew when it has been
    // seen to. What is small leaves a little later than JavaScript has written it.
    else if (output.isMoving) lane._unrefTimer();
    else lane._waitOut(lane.timeout - quiet);
  }

  #tell() {
    const { agent, lane } = this.#parts;
    const { _httpMessage: request, timeout } = lane;
    const isRequests = request !== null && timeout !== (agent.options.timeout || 0);
    const reason = isRequests ? closeReason.REQUEST_TIMEOUT : closeReason.SOCKET_TIMEOUT;
    this.#last = { request, reason, mark: this.#mark() };
    lane._tellTimeout();
  }

  /** Why the lane ends, if for this: there was no sign of life since, and its request is the same. */
  get reason() {
    const last = this.#last;
    if (last === null || last.request !== this.#parts.lane._httpMessage) return undefined;
    return last.mark === this.#mark() ? last.reason : undefined;
  }

  /** A number that is another one after each sign of life. */
  #mark() {
    const { connection, input, output } = this.#parts;
    return input.bytesRead + output.bytesLeft + Number(connection.isEstablished);
  }
}

module.exports = Inactivity;
