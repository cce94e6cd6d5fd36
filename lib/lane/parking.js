'use strict';

// The time between two requests: the lane and its connection are parked. Rust watches the connection meanwhile, and
// closes it when its time is up. How long that is, the agent, the server and the lane's own timeout say here.

const { closeReason, event } = require('../crossing/records');

class Parking {
  #parts;
  #isParked = false;
  /** What keepSocketAlive has found for the next time, in ms. */
  #limit;
  /** What the server said of the connection, where it is Rust that has to keep it. */
  #hint;

  constructor(parts) {
    this.#parts = parts;
  }

  get isParked() {
    return this.#isParked;
  }

  /** For the next time: ms, and what the server says (idle-limit.js). */
  setLimit(ms, hint) {
    this.#limit = ms;
    this.#hint = hint;
  }

  /** The lane has no request from now on. */
  begin() {
    const { agent, lane } = this.#parts;
    const { timeout } = lane;
    this.#isParked = true;
    let limit = this.#limit ?? (timeout > 0 ? Infinity : agent._idleLimit());
    this.#limit = undefined;
    if (timeout > 0) limit = Math.min(limit, timeout);
    this.#tell(limit);
  }

  end() {
    this.#isParked = false;
  }

  /** Rust knows of the lane now. Its request may have been given up before there was anything to park. */
  tellLate() {
    if (this.#isParked) this.begin();
  }

  /** The lane's timeout has changed; the last that is said of the limit holds. */
  followTimeout(ms) {
    const { agent, lane } = this.#parts;
    if (this.#isParked && !lane.destroyed) this.#tell(ms > 0 ? ms : agent._idleLimit());
  }

  #tell(limit) {
    const { input, place } = this.#parts;
    if (place.isLeft) return;
    if (!place.isOpened) {
      this.#limit = limit;
      return;
    }
    place.park(limit, this.#hint, input.received);
    this.#hint = undefined;
  }

  /** Whether a report is not for a request, but of the end of a parked connection. */
  takes(code, argument) {
    // It may have been on its way while the lane went back into the pool, or was taken up again. The request then
    // gets another connection.
    if (code === event.CLOSED) {
      if (this.#isParked) this.lose(argument);
      return true;
    }
    if (!this.#isParked || !(code === event.END || code === event.ERROR || code === event.TLS_ERROR))
      return false;
    this.lose(closeReason.PEER_CLOSED_IDLE);
    return true;
  }

  /** The connection is gone. Nobody is to hear an error for that. */
  lose(reason) {
    const { agent, ending, lane } = this.#parts;
    if (lane.destroyed) return;
    ending.note(reason);
    if (reason === closeReason.IDLE_TIMEOUT && lane.timeout > 0) {
      agent._noteTimeout();
      lane.emit('timeout');
    }
    lane.destroy();
  }
}

module.exports = Parking;
