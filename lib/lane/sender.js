'use strict';

// How the bytes of a lane go to Rust. The first of a request say whether it may be sent again; a large buffer is
// lent where nobody keeps it for that.

const crossing = require('../crossing/crossing');
const loans = require('../crossing/loans');
const { opFlag } = require('../crossing/records');
const { policyOf } = require('../request/retry-policy');

class Sender {
  #parts;
  #isFirst = true;
  /** The last. There is no other that is not back: while it is out the window lets nothing pass. */
  #loan;

  constructor(parts) {
    this.#parts = parts;
  }

  /** A request begins. */
  begin() {
    this.#isFirst = true;
  }

  /** It has begun already, while it waited. */
  skipBeginning() {
    this.#isFirst = false;
  }

  /** `report`: so many bytes are to be reported as written with these; 0: none are. Returns the number of bytes. */
  send(chunk, encoding, report) {
    return this.#parts.place.write(this.#flags(), chunk, encoding, report);
  }

  /**
   * As send(), without a copy, of as much as can be lent. What has to be kept or encrypted cannot: 0 then.
   * `unreported`: so many bytes before it are to be reported with it.
   */
  lend(chunk, unreported) {
    const { connection, lane, place, route } = this.#parts;
    const request = lane._httpMessage;
    const { native, secure } = route;
    const { maxReplayBytes = native.maxReplay } = request === null ? {} : policyOf(request);
    if (!connection.isEstablished || secure !== undefined || chunk.length <= maxReplayBytes) return 0;
    if (!loans.isFit(chunk)) return 0;
    const piece = chunk.length > loans.MAX ? chunk.subarray(0, loans.MAX) : chunk;
    this.#loan = place.lend(this.#flags(), piece, unreported + piece.length);
    return piece.length;
  }

  /** Nothing that was lent is sent any more: its writer is told that it is his again. */
  endLoan() {
    if (this.#loan !== undefined) crossing.revoke(this.#loan);
    this.#loan = undefined;
  }

  #flags() {
    const { connection, early, lane } = this.#parts;
    let flags = connection.isEstablished ? 0 : opFlag.EARLY;
    if (this.#isFirst) {
      this.#isFirst = false;
      const request = early.request ?? lane._httpMessage;
      if (request !== null) flags |= policyOf(request).flagsFor(request);
    }
    lane._unrefTimer();
    return flags;
  }
}

module.exports = Sender;
