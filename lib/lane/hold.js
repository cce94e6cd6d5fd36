'use strict';

// Whether the process waits for a lane. As with net.Socket it does for one that is refed and reads, and for what any has
// begun to do.

const { immediately } = require('../node/immediate');

class Hold {
  #parts;
  #isRefed = true;
  /** More is wanted, and may come. */
  #isReading = true;

  constructor(parts) {
    this.#parts = parts;
  }

  setRefed(on) {
    this.#isRefed = on;
    this.#tell();
  }

  setReading(on) {
    if (on === this.#isReading) return;
    this.#isReading = on;
    this.#tell();
  }

  /** It has begun something, or something is over. */
  update() {
    if (!this.#isAwaited) this.#tell();
  }

  /** It is about to write: when that has been handed over, whether it has left decides. */
  updateSoon() {
    if (!this.#isAwaited) immediately(() => this.#tell());
  }

  /** The process waits for what comes, whatever else is under way. */
  get #isAwaited() {
    return this.#isRefed && this.#isReading;
  }

  #tell() {
    const { place } = this.#parts;
    // From there no report would come.
    if (!place.isLeft) place.setHold(this.#isAwaited || this.#isBusy());
  }

  /** Whether it connects, or ends its side, or the kernel has not got all that was written. */
  #isBusy() {
    const { connection, exchange, lane, output } = this.#parts;
    if (lane.connecting || output.isEnding) return true;
    // A handshake is read, so that an unrefed socket of Node's is not waited for in it.
    if (!connection.isEstablished || exchange.isOver()) return false;
    return lane.writableLength > 0 || !output.hasLeft();
  }
}

module.exports = Hold;
