'use strict';

// A response that Rust has read whole and found plain (src/exchange/plain.rs). Node's parser calls three
// functions of Node's with what it finds; here they are called with what Rust has found, so that everything
// that a program can see is made by Node's own code, in whichever Node runs. What is saved is the parser itself
// and the way of the bytes through the socket's stream. Where anything is not as Node left it (somebody else
// reads the socket, the parser has begun, an option of the request), the bytes take that way.

const { functionsOf, listeners } = require('./node-client');

/** 16-bit integers before those of the headers, and for each header. */
const HEADING = 5;
const PER_HEADER = 4;

/** What stands in for the bytes, and what `execute` finds. */
const NOTHING = Buffer.alloc(0);
let found;

/** What Node's functions see of a parser, where a request has none (attach.js). */
class StandIn {
  incoming = null;
  _headers = [];
  _url = '';

  constructor(lane, { joinDuplicateHeaders, maxHeadersCount }, { onIncoming }) {
    this.socket = lane;
    this.joinDuplicateHeaders = joinDuplicateHeaders;
    this.maxHeaderPairs = typeof maxHeadersCount === 'number' ? maxHeadersCount << 1 : 0;
    this.onIncoming = onIncoming;
  }
}

/**
 * Whether the response may be handed over so. The listener, and the parser if there is one, are Node's, and
 * nothing of the response or of an informational one before it has been read.
 */
function isReady(lane, request) {
  if (request === null) return false;
  const { parser } = lane;
  if (parser) {
    const known = functionsOf(parser);
    if (
      known === null ||
      parser.incoming !== null ||
      parser.socket !== lane ||
      parser[known.onHeadersAt] !== known.onHeaders ||
      (parser.execute !== known.execute && parser.execute !== execute)
    ) {
      return false;
    }
  } else if (!lane._isLight) {
    return false;
  }
  return (
    lane._isReadByNode &&
    // The answers to these have no body, whatever they say.
    request.method !== 'CONNECT' &&
    request.method !== 'HEAD' &&
    request.maxHeaderSize === undefined &&
    request.insecureHTTPParser === undefined &&
    lane.readableFlowing === true &&
    lane.readableLength === 0 &&
    lane.readableEncoding === null
  );
}

/**
 * The parts of the response in `bytes`: `length` bytes from `from` on. Where they are stands in `parts`, in `size` bytes
 * from `at` on. `own`: the bytes are not used again.
 */
function parse(bytes, from, length, parts, at, size, own) {
  const count = size / 2;
  const number = (index) => parts[at + 2 * index] | (parts[at + 2 * index + 1] << 8);
  const headLength = number(2);
  const head = bytes.latin1Slice(from, from + headLength);
  const headers = new Array(((count - HEADING) / PER_HEADER) * 2);
  for (let i = 0, index = HEADING; index < count; i += 2, index += PER_HEADER) {
    headers[i] = head.slice(number(index), number(index + 1));
    headers[i + 1] = head.slice(number(index + 2), number(index + 3));
  }
  let body;
  if (own) {
    body = bytes.subarray(headLength, length);
  } else if (length > headLength) {
    body = Buffer.allocUnsafe(length - headLength);
    bytes.copy(body, 0, from + headLength, from + length);
  }
  const reason = head.slice(number(3), number(4));
  return { status: number(0), keepAlive: number(1) === 1, reason, headers, body };
}

/** Hands over what parse() has found, in the place of the bytes. Runs in the request's async context. */
function handOver(lane, response) {
  const { parser } = lane;
  if (parser) {
    found = response;
    parser.execute = execute;
    listeners.data.call(lane, NOTHING);
    return;
  }
  const known = functionsOf();
  const standIn = new StandIn(lane, lane._httpMessage, known);
  run(known, standIn, response);
  // As Node's listener for 'data' does behind the last byte.
  lane.removeListener('data', listeners.data);
  lane.removeListener('end', listeners.end);
  lane.removeListener('drain', listeners.drain);
}

/** In the place of the parser's own, once: Node's listener for 'data' calls it. */
function execute() {
  const known = functionsOf(this);
  this.execute = known.execute;
  const response = found;
  found = undefined;
  run(known, this, response);
  return 0;
}

function run({ onHeaders, onBody, onComplete }, parser, { status, keepAlive, reason, headers, body }) {
  onHeaders.call(parser, 1, 1, headers, undefined, undefined, status, reason, false, keepAlive);
  if (body !== undefined) onBody.call(parser, body);
  onComplete.call(parser);
}

module.exports = { handOver, isReady, parse };
