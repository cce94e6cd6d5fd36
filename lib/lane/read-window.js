'use strict';

// How much of a lane's input JavaScript has been handed, and how much of that Rust thinks is unread. A connection
// reads ahead only so far, and goes on when it is told that more has been consumed.

const { op } = require('../crossing/records');

/**
 * Bytes that the stream has consumed when Rust hears of it at the latest: what a connection may read ahead in any
 * case, or both sides would wait for each other.
 */
const REPORT_CONSUMED = 64 * 1024;

class ReadWindow {
  #place;
  #reportAt;
  #unreported = 0;
  /** Bytes of this exchange, modulo 2^32, and those of the one before: it may go on. */
  #received = 0;
  #receivedBefore = 0;

  /** All that has been read. */
  bytesRead = 0;

  /** `size`: bytes that a connection may have handed over unconsumed. */
  constructor(place, size) {
    this.#place = place;
    this.#reportAt = Math.min(size / 2, REPORT_CONSUMED);
  }

  get received() {
    return this.#received;
  }

  /** So many bytes have come. */
  count(length) {
    this.#received = (this.#received + length) | 0;
    this.#unreported += length;
    this.bytesRead += length;
  }

  /** All that has come is consumed, or on its way to be. */
  acknowledge() {
    if (this.#unreported < this.#reportAt) return;
    this.#place.row(op.CONSUMED, this.#unreported, 0);
    this.#unreported = 0;
  }

  /** A new exchange. */
  reset() {
    this.#receivedBefore = this.#received;
    this.#received = 0;
    this.#unreported = 0;
  }

  /** The exchange before goes on after all. */
  takeBack() {
    this.#received = this.#receivedBefore;
  }
}

module.exports = ReadWindow;
