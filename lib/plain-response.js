'use strict';

// A response that Rust has read whole and found plain (src/exchange/plain.rs). Node's parser calls three
// functions of Node's with what it finds; here they are called with what Rust has found, so that everything
// that a program can see is made by Node's own code, in whichever Node runs. What is saved is the parser itself
// and the way of the bytes through the socket's stream. Where anything is not as Node left it (somebody else
// reads the socket, the parser has begun, an option of the request), the bytes take that way.

const { maxHeaderSize } = require('http');

/** The functions of a parser of Node's, by their names, and where they are. */
const NAMES = ['parserOnHeadersComplete', 'parserOnBody', 'parserOnMessageComplete'];
/** How many such functions a parser has at most. */
const PLACES = 8;

/** The head of what Rust takes apart is no longer than this. */
const MAX_HEAD = 4096;

/** 16-bit integers before those of the headers, and for each header. */
const HEADING = 5;
const PER_HEADER = 4;

/** Node's own: filled in with the first parser that is seen. `null`: this Node is not as we know it. */
let known;

/** What stands in for the bytes, and what `execute` finds. */
const NOTHING = Buffer.alloc(0);
let found;

function learn(parser, onData) {
  const places = NAMES.map((name) => {
    for (let place = 0; place < PLACES; place++) if (parser[place]?.name === name) return place;
    return -1;
  });
  if (places.includes(-1) || onData?.name !== 'socketOnData' || maxHeaderSize < MAX_HEAD) return null;
  const [onHeaders, onBody, onComplete] = places;
  return { onHeaders, onBody, onComplete, onData, native: parser.execute, headers: parser[onHeaders] };
}

/**
 * Whether the response may be handed over so. `parser` and the listener are Node's, and nothing of the response
 * or of an informational one before it has been read.
 */
function isReady(lane, request) {
  const { parser } = lane;
  if (!parser || request === null || parser.incoming !== null || parser.socket !== lane) return false;
  const onData = lane._events.data;
  known ??= learn(parser, onData);
  return (
    known !== null &&
    onData === known.onData &&
    parser[known.onHeaders] === known.headers &&
    (parser.execute === known.native || parser.execute === execute) &&
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
  found = response;
  lane.parser.execute = execute;
  known.onData.call(lane, NOTHING);
}

/** In the place of the parser's own, once: Node's listener for 'data' calls it. */
function execute() {
  this.execute = known.native;
  const { status, keepAlive, reason, headers, body } = found;
  found = undefined;
  this[known.onHeaders](1, 1, headers, undefined, undefined, status, reason, false, keepAlive);
  if (body !== undefined) this[known.onBody](body);
  this[known.onComplete]();
  return 0;
}

module.exports = { isReady, parse, handOver };
