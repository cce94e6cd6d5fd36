'use strict';

// The rest of a body whose head Rust has read (plain-response.js). Rust says where the data is in what comes
// (src/exchange/rest.rs), and it is given to the function of Node's that its parser gives it to. If nobody but Node
// reads the socket and it flows, the bytes go past its stream. If not they take that way, and what Rust has said of
// them is kept until Node's listener for 'data' gives them to the parser. So a program may come to read, pause or
// leave the socket at any time. Where these are not the bytes that were due, or Rust leaves them to Node, the parser
// itself is brought to where the body is, and reads them and all that follow: no byte is read by both.

const bodyPlace = require('./body-place');
const { copyOf } = require('../crossing/chunks');
const { functionsOf, listeners } = require('../node/client');

/** Bytes of the flags, behind which the place stands. */
const FLAGS = 2;
const COMPLETE = 1;
const UNCLEAR = 2;
/** Bytes of where one piece of data begins and ends. */
const SPAN = 8;

/** Of a connection that is kept: where it ends with the response Rust takes no body that is not whole. */
const STATUS_LINE = 'HTTP/1.1 200 OK\r\n';
const ANY_RESPONSE = Buffer.from(`${STATUS_LINE}Content-Length: 1\r\n\r\nx`);
const NOTHING = Buffer.alloc(0);
const ignore = () => {};

class PlainBody {
  /** Node's, or what stands in for it. */
  #parser;
  /** Where the body is. */
  #place;
  /** What goes through the stream. */
  #due = [];
  /** The function that a handler has thrown out of: to a parser that is an error which what follows meets. */
  #thrownBy;
  /** Data is being handed over. */
  #isReading = false;

  constructor(parser, place) {
    this.#parser = parser;
    this.#place = place;
  }

  /** Whether the bytes of which `parts` has the places from `at` on may go past the stream of `lane`. */
  mayTake(lane, parts, at) {
    const hasParser = lane._isLight || lane.parser === this.#parser;
    const isClear = (parts[at] & UNCLEAR) === 0 && this.#thrownBy === undefined && this.#due.length === 0;
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
    if (!this.#read(lane, known, bytes, from, parts, at, size, own)) return;
    lane._plainBody = null;
    if (lane.parser === parser) {
      // Node's listener for 'data' gives it back.
      parser.execute = complete;
      listeners.data.call(lane, NOTHING);
    } else {
      known.onComplete.call(parser);
      if (lane._isLight) letGo(lane);
    }
  }

  /** `bytes` are about to go through the stream of `lane`; of their places `parts` has `size` bytes from `at` on. */
  expect(lane, bytes, parts, at, size) {
    if (lane.parser !== this.#parser) lane._plainBody = null;
    // What was due has come to somebody else.
    else if (this.#due.length > 0 && lane.readableLength === 0) this.#leave(lane, this.#parser);
    else this.#due.push({ bytes, parts: Buffer.from(parts.subarray(at, at + size)) });
  }

  /** From now on Node's listener for 'data' asks for a parser. */
  moveTo(parser) {
    parser.incoming = this.#parser.incoming;
    parser.execute = execute;
    this.#parser = parser;
  }

  /** What `parser` does with bytes that Node's listener for 'data' gives it, if they are for it. */
  execute(lane, parser, bytes) {
    if (parser !== this.#parser) return undefined;
    // A handler of its data has emitted them on the socket: they stand at no place of the body.
    if (this.#isReading) this.noteThrown('onBody');
    const due = this.#due.shift();
    if (due?.bytes !== bytes || (due.parts[0] & UNCLEAR) !== 0 || this.#thrownBy !== undefined) {
      this.#leave(lane, parser);
      return parser.execute(bytes);
    }
    const known = functionsOf(parser);
    if (this.#read(lane, known, bytes, 0, due.parts, 0, due.parts.length, lane._isReadByNode)) {
      lane._plainBody = null;
      parser.execute = known.execute;
      known.onComplete.call(parser);
    }
    return bytes.length;
  }

  /** Hands over the data of clear bytes; returns whether the body is complete. */
  #read(lane, { onBody }, bytes, from, parts, at, size, own) {
    const spans = at + FLAGS + bodyPlace.SIZE;
    // Before the handlers: they may let the event loop turn, and the next batch overwrites this.
    const isComplete = (parts[at] & COMPLETE) !== 0;
    this.#place.move(parts, at + FLAGS);
    const pieces = cut(bytes, from, parts, spans, at + size - spans, own);
    let hasThrown = true;
    this.#isReading = true;
    try {
      for (const piece of pieces) {
        onBody.call(this.#parser, piece);
        if (lane._plainBody !== this) break;
      }
      hasThrown = false;
    } finally {
      this.#isReading = false;
      if (hasThrown) this.noteThrown('onBody');
    }
    return isComplete && lane._plainBody === this;
  }

  /** What follows is for `parser`, which is a fresh one: it is brought to where the body is. */
  #leave(lane, parser) {
    const known = functionsOf(parser);
    const { incoming } = parser;
    lane._plainBody = null;
    parser.execute = known.execute;
    if (this.#thrownBy !== undefined) {
      fail(parser, known, this.#thrownBy);
    } else {
      parser[known.onHeadersAt] = ignore;
      parser[known.onBodyAt] = ignore;
      parser.execute(Buffer.from(STATUS_LINE + this.#place.text));
      parser[known.onHeadersAt] = known.onHeaders;
      parser[known.onBodyAt] = known.onBody;
    }
    parser.incoming = incoming;
  }
}

/** The rest of a body, which is at `place`, is to come on the lane. */
function begin(lane, parser, place) {
  if (parser === lane.parser) parser.execute = execute;
  return (lane._plainBody = new PlainBody(parser, place));
}

/** The pieces of `bytes`, from `from` on, of which `parts` has the places in `size` bytes from `at` on. `own`: one may be `bytes`. */
function cut(bytes, from, parts, at, size, own) {
  const pieces = new Array(size / SPAN);
  for (let i = 0; i < pieces.length; i++, at += SPAN) {
    const start = from + parts.readUInt32LE(at);
    const end = from + parts.readUInt32LE(at + 4);
    const isAll = own && start === 0 && end === bytes.length;
    pieces[i] = isAll ? bytes : copyOf(bytes, start, end);
  }
  return pieces;
}

/** Has a fresh parser meet a handler that throws out of the function with this name. */
function fail(parser, known, name) {
  const place = known[`${name}At`];
  parser[known.onHeadersAt] = ignore;
  parser[place] = () => {
    throw undefined;
  };
  try {
    known.execute.call(parser, ANY_RESPONSE);
  } catch {
    // As it was told to.
  }
  parser[place] = known[name];
  parser[known.onHeadersAt] = known.onHeaders;
}

/** In the place of a parser's own, until the body is complete. */
function execute(bytes) {
  // Node gives the parser to somebody else if the connection ends before that.
  const result = this.socket?._plainBody?.execute(this.socket, this, bytes);
  if (result !== undefined) return result;
  this.execute = functionsOf(this).execute;
  return this.execute(bytes);
}

/** In the place of a parser's own, once: the body is complete. */
function complete() {
  const known = functionsOf(this);
  this.execute = known.execute;
  known.onComplete.call(this);
  return 0;
}

/** Whether what has come may go past the stream of the socket. */
function isReadByNodeAlone(lane) {
  return (
    lane._isReadByNode &&
    lane.readableFlowing === true &&
    lane.readableLength === 0 &&
    lane.readableEncoding === null
  );
}

/** What Node's listener for 'data' does behind the last byte, where there is no parser to be given back. */
function letGo(lane) {
  lane.removeListener('data', listeners.data);
  lane.removeListener('end', listeners.end);
  lane.removeListener('drain', listeners.drain);
}

module.exports = { begin, cut, execute, isReadByNodeAlone, letGo };
