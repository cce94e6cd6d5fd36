'use strict';

// How much of a lane's output may be in Rust and not yet in the kernel. A write is done, for its
// caller, when it is handed over and the window is open: as with net.Socket, whose small writes are
// done at once too. Only a slow peer makes writes wait; and a large buffer that is not copied (loans.js), which is
// its writer's again only when it has left.

const { NONE, byteLength } = require('./pieces');

/** Bytes that may be on their way, unreported, before a write has to wait. What the kernel holds comes on top. */
const WINDOW = 256 * 1024;
/** What is longer is handed over in pieces of this size, but for what is lent (loans.js). */
const PIECE = 128 * 1024;
/** How many bytes pass before the next write asks for a report. */
const REPORT_EVERY = 64 * 1024;

/** A UTF-16 code unit has at most three bytes in UTF-8; the other encodings need less. */
const isOnePiece = (chunk, encoding) =>
  typeof chunk === 'string'
    ? chunk.length <= PIECE / 3 || Buffer.byteLength(chunk, encoding) <= PIECE
    : chunk.length <= PIECE;

class WriteWindow {
  #sender;
  #pieces = NONE;
  #callback;
  /** That of the end, while this is under way. */
  #finalCallback;
  #outstanding = 0;
  #unreported = 0;

  /** Bytes handed over in all. */
  bytesWritten = 0;
  /** How many had been when the last of what is lent was. */
  #lentUntil = 0;

  constructor(sender) {
    this.#sender = sender;
  }

  /** Whether this chunk can be handed over, and be done with, right now. */
  takes(chunk, encoding) {
    return this.#outstanding < WINDOW && this.#pieces.length === 0 && isOnePiece(chunk, encoding);
  }

  /** Queues the chunks of one write; pump() hands them over. */
  queue(chunks, callback) {
    if (this.#pieces === NONE) this.#pieces = [];
    for (const { chunk, encoding } of chunks) {
      const whole = typeof chunk !== 'string' || isOnePiece(chunk, encoding);
      this.#pieces.push(whole ? { chunk, encoding } : { chunk: Buffer.from(chunk, encoding), encoding: '' });
    }
    this.#callback = callback;
  }

  /** Hands over what the window allows. `connected`: a write that is handed over is done. */
  pump(connected) {
    const pieces = this.#pieces;
    let next = 0;
    while (next < pieces.length && this.#outstanding < WINDOW) {
      const piece = pieces[next];
      if (isOnePiece(piece.chunk, piece.encoding)) {
        this.write(piece.chunk, piece.encoding);
        next++;
      } else {
        let count = this.#tryLend(piece.chunk);
        if (count === 0) {
          count = PIECE;
          this.write(piece.chunk.subarray(0, PIECE), '');
        }
        piece.chunk = piece.chunk.subarray(count);
        if (piece.chunk.length === 0) next++;
      }
    }
    const isEmpty = next === pieces.length;
    if (isEmpty) this.#pieces = NONE;
    else if (next > 0) pieces.splice(0, next);
    const isDone = isEmpty && this.#outstanding < WINDOW && this.bytesLeft >= this.#lentUntil;
    if (connected && isDone) this.takeCallback()?.();
  }

  #tryLend(chunk) {
    const count = this.#sender.lend(chunk, this.#unreported);
    if (count > 0) {
      this.#unreported = 0;
      this.#outstanding += count;
      this.bytesWritten += count;
      this.#lentUntil = this.bytesWritten;
    }
    return count;
  }

  /** Hands one chunk over. */
  write(chunk, encoding) {
    if (chunk.length === 0) return;
    // A string's length is close enough to decide by, but the report needs the number of its bytes.
    const due = this.#unreported + chunk.length >= REPORT_EVERY;
    let count;
    if (due) {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk;
      count = this.#sender.send(bytes, '', this.#unreported + bytes.length);
      this.#unreported = 0;
    } else {
      count = this.#sender.send(chunk, encoding, 0);
      this.#unreported += count;
    }
    this.#outstanding += count;
    this.bytesWritten += count;
  }

  /** So many bytes more have left. */
  reported(bytes) {
    this.#outstanding -= bytes;
  }

  /** A new exchange: what is reported of the one before is dropped. */
  reset() {
    this.#outstanding = 0;
    this.#unreported = 0;
    this.#lentUntil = 0;
  }

  /** So many bytes have been handed over already. */
  takeUp(bytes) {
    this.bytesWritten += bytes;
    this.#outstanding += bytes;
    this.#unreported += bytes;
  }

  /** So many bytes, which were all since the reset, have not been handed over after all. */
  takeBack(bytes) {
    this.bytesWritten -= bytes;
    this.reset();
  }

  /** The callback of the write that waits; it is its taker's to call. */
  takeCallback() {
    const callback = this.#callback;
    this.#callback = undefined;
    return callback;
  }

  /** The end goes behind all that was written; `callback`: for when it has left. */
  end(callback) {
    this.#finalCallback = callback;
  }

  /** Whether it is under way. */
  get isEnding() {
    return this.#finalCallback !== undefined;
  }

  /** As takeCallback(). */
  takeFinalCallback() {
    const callback = this.#finalCallback;
    this.#finalCallback = undefined;
    return callback;
  }

  /** Whether the kernel has all that was handed over. If not, it will be reported when it has. */
  hasLeft() {
    if (this.#unreported > 0) {
      this.#sender.send('', 'latin1', this.#unreported);
      this.#unreported = 0;
    }
    return this.#outstanding === 0;
  }

  /** Nothing more of what was written goes. */
  clear() {
    this.#pieces = NONE;
    this.#sender.endLoan();
  }

  /** Bytes known to have left for the kernel; those that nobody asked about count as gone. */
  get bytesLeft() {
    return this.bytesWritten - this.#outstanding;
  }

  /** Whether there is more on its way than a small request: a report of it is to come. */
  get isMoving() {
    return this.#outstanding > this.#unreported;
  }

  /** What has not been handed over, which is its taker's from now on. */
  takePieces() {
    const pieces = this.#pieces;
    this.#pieces = NONE;
    return pieces;
  }

  /** Bytes that wait for the window. */
  get waiting() {
    return byteLength(this.#pieces);
  }
}

module.exports = WriteWindow;
