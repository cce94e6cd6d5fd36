'use strict';

// The rest of a chunked body whose head Rust has read (plain-response.js). Rust says where the data is in what comes
// (src/exchange/chunked.rs), and it is given to the function of Node's that its parser gives it to. As soon as
// anything else is to be done with the bytes (somebody reads the socket, or it does not flow, or they are not plain) a
// parser is brought to where the body is, and has them and all that follow: they are read by one of the two.

const { functionsOf, listeners } = require('./node-client');
const { fail, isReadByNodeAlone, letGo } = require('./plain-body');

/** 16-bit integers before the prefix: flags, and its length. */
const HEADING = 2;
const COMPLETE = 1;
const UNCLEAR = 2;
/** Bytes of where one piece of data begins and ends. */
const SPAN = 8;
/** A smaller piece that is kept must not hold all that was read with it. */
const MIN_SHARED = 4096;

/** Of a connection that is kept: where it ends with the response Rust takes no body that is not whole. */
const ANY_HEAD = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
const NOTHING = Buffer.alloc(0);
const ignore = () => {};

class PlainChunks {
  /** Node's, or what stands in for it. */
  #parser;
  /** The function that a handler has thrown out of: to a parser that is an error which what follows meets. */
  #thrownBy;

  constructor(parser) {
    this.#parser = parser;
  }

  /** Whether the bytes that stand in `parts` at `at` may go past the stream of `lane`. */
  mayTake(lane, parts, at) {
    const hasParser = lane._isLight || lane.parser === this.#parser;
    const isClear = this.#thrownBy === undefined && (parts[at] & UNCLEAR) === 0;
    return hasParser && isClear && isReadByNodeAlone(lane);
  }

  /** `name`: of that function. */
  noteThrown(name) {
    this.#thrownBy = name;
  }

  /** The arguments are those of plainResponse.parse(). Runs in the request's async context. */
  take(lane, bytes, from, parts, at, size, own) {
    const known = functionsOf();
    const parser = this.#parser;
    const skipped = 2 * HEADING + parts[at + 2];
    const pieces = PlainChunks.cut(bytes, from, parts, at + skipped, size - skipped, own);
    let hasThrown = true;
    try {
      for (const piece of pieces) known.onBody.call(parser, piece);
      hasThrown = false;
    } finally {
      if (hasThrown) this.noteThrown('onBody');
    }
    if ((parts[at] & COMPLETE) === 0) return;
    lane._plainChunks = null;
    if (lane.parser === parser) {
      // Node's listener for 'data' gives it back.
      parser.execute = complete;
      listeners.data.call(lane, NOTHING);
    } else {
      known.onComplete.call(parser);
      if (lane._isLight) letGo(lane);
    }
  }

  /** Brings `parser`, which is a fresh one, to where the body is, before the bytes that stand in `parts` at `at`. */
  leaveTo(parser, parts, at) {
    const known = functionsOf(parser);
    if (this.#thrownBy !== undefined) {
      fail(parser, known, this.#thrownBy);
    } else {
      const from = at + 2 * HEADING;
      const prefix = parts.latin1Slice(from, from + parts[at + 2]);
      parser[known.onHeadersAt] = ignore;
      parser[known.onBodyAt] = ignore;
      parser.execute(Buffer.from(ANY_HEAD + prefix));
      parser[known.onHeadersAt] = known.onHeaders;
      parser[known.onBodyAt] = known.onBody;
    }
    parser.incoming = this.#parser.incoming;
  }

  /** A chunked body has begun on the lane, and has not come whole. */
  static begin(lane, parser) {
    return (lane._plainChunks = new PlainChunks(parser));
  }

  /** The pieces of `bytes`, from `from` on, of which `parts` has the places in `size` bytes from `at` on. */
  static cut(bytes, from, parts, at, size, own) {
    const pieces = new Array(size / SPAN);
    for (let i = 0; i < pieces.length; i++, at += SPAN) {
      const piece = bytes.subarray(from + parts.readUInt32LE(at), from + parts.readUInt32LE(at + 4));
      pieces[i] = own && piece.length >= MIN_SHARED ? piece : Buffer.from(piece);
    }
    return pieces;
  }
}

/** In the place of a parser's own, once: the body is complete. */
function complete() {
  const known = functionsOf(this);
  this.execute = known.execute;
  known.onComplete.call(this);
  return 0;
}

module.exports = PlainChunks;
