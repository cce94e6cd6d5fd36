'use strict';

// The rest of a body whose head Rust has read (plain-response.js) and whose length is known. Nothing is left to be
// parsed in it: the bytes are counted, and given to the function of Node's that its parser gives them to. If nobody
// but Node reads the socket and it flows, they go past its stream. If not they take that way, to Node's listener for
// 'data', and come to the count as what the parser is to execute. Who takes which way is decided chunk by chunk, so
// a program may come to read, pause or leave the socket at any time. What stands behind the last byte is for the
// parser itself.

const { functionsOf, listeners } = require('./node-client');

const ANY_RESPONSE = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx');

class PlainBody {
  /** Node's, or what stands in for it. */
  #parser;
  /** Bytes that are still to come. */
  #left;
  /** A handler has thrown in the middle: to a parser of Node's that is an error which what follows meets. */
  #thrownBy;

  constructor(parser, left) {
    this.#parser = parser;
    this.#left = left;
  }

  /** Whether `bytes` may go past the stream of `lane`. */
  mayTake(lane, bytes) {
    const hasParser = lane._isLight || lane.parser === this.#parser;
    return hasParser && bytes.length <= this.#left && this.#thrownBy === undefined && isReadByNodeAlone(lane);
  }

  /** `name`: of the function that a handler has thrown out of. */
  noteThrown(name) {
    this.#thrownBy = name;
  }

  /** Takes bytes past the stream. Runs in the request's async context. */
  take(lane, bytes) {
    if (!lane._isLight) {
      listeners.data.call(lane, bytes);
      return;
    }
    if (this.#count(lane, bytes.length, functionsOf(), bytes) === 0) letGo(lane);
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
    const known = functionsOf(parser);
    if (this.#thrownBy !== undefined) {
      parser.execute = known.execute;
      fail(parser, known, this.#thrownBy);
      return parser.execute(bytes);
    }
    const length = Math.min(this.#left, bytes.length);
    if (length < bytes.length) {
      parser.execute = known.execute;
      this.#count(lane, length, known, bytes.subarray(0, length));
      const result = parser.execute(bytes.subarray(length));
      // Its errors say how far it came.
      if (result instanceof Error) result.bytesParsed += length;
      return result;
    }
    if (this.#count(lane, length, known, bytes) === 0) parser.execute = known.execute;
    return length;
  }

  /** Hands over `length` bytes; returns how many are left. */
  #count(lane, length, { onBody, onComplete }, bytes) {
    const left = (this.#left -= length);
    let hasThrown = true;
    try {
      onBody.call(this.#parser, bytes);
      hasThrown = false;
    } finally {
      if (hasThrown) this.noteThrown('onBody');
    }
    if (left === 0) {
      lane._plainBody = null;
      onComplete.call(this.#parser);
    }
    return left;
  }
}

/** The rest of a body is to come on the lane. */
function begin(lane, parser, left) {
  if (parser === lane.parser) parser.execute = execute;
  return (lane._plainBody = new PlainBody(parser, left));
}

/** Has a fresh parser meet a handler that throws out of the function with this name. */
function fail(parser, known, name) {
  const place = known[`${name}At`];
  parser[known.onHeadersAt] = () => {};
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

module.exports = { begin, execute, fail, isReadByNodeAlone, letGo };
