'use strict';

// What was known of a request when JavaScript ended it. Rust says it when it closes the lane, or the place in a queue:
// mostly before the error is made that tells of it, and all that are ended in a tick at once.

const { nextTick } = require('../node/clock');

/** Of a request of which nothing was sent; and of one of which nobody can say. As in src/pool/facts.rs (records.test.js). */
const NOTHING_LEFT = 'bytesWritten\t0\nbytesRead\t0';
const UNKNOWN = 'bytesRead\t0';

const MAX_NUMBER = 0x7fffffff;

let crossing;
let lastNumber = 0;

/** The native side is there. */
function begin(native) {
  crossing = native;
}

class Account {
  #number;
  #tell;
  #text;
  #isTaken = false;

  /** `close` is given its number, and says whether nothing has left; if not, it asks Rust for it. `tell`: see take(). */
  constructor(close, tell) {
    lastNumber = (lastNumber % MAX_NUMBER) + 1;
    this.#number = lastNumber;
    this.#tell = tell;
    if (close(lastNumber)) this.#text = NOTHING_LEFT;
    // Before the errors of this tick.
    nextTick(() => this.take());
  }

  /**
   * As text (facts.js), of what holds from now on; undefined: nobody can say. It is given to `tell` as well, once: when the
   * tick has ended at the latest.
   */
  take() {
    if (this.#isTaken) return this.#text;
    this.#isTaken = true;
    this.#text ??= crossing.account(this.#number) ?? undefined;
    this.#tell(this.#text);
    return this.#text;
  }
}

module.exports = { Account, NOTHING_LEFT, UNKNOWN, begin };
