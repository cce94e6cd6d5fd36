'use strict';

// A response that Rust has found plain (src/exchange/plain.rs), its head whole, its body as far as it has come.
// Node's parser calls three functions of Node's with what it finds; here they are called with what Rust has found,
// so that everything that a program can see is made by Node's own code, in whichever Node runs. What is saved is the
// parser itself and the way of the bytes through the socket's stream. Where anything is not as Node left it (somebody
// else reads the socket, the parser has begun, an option of the request), the bytes take that way.

const bodyPlace = require('./body-place');
const { copyOf } = require('../crossing/chunks');
const { functionsOf, listeners } = require('../node/client');
const plainBody = require('./plain-body');

/** 16-bit integers behind the place of the body and before those of the headers, and for each header. */
const HEADING = 6;
const PER_HEADER = 4;
/** Flags among them. */
const KEEP_ALIVE = 1;
const IS_HEAD = 2;
const CHUNKED = 4;

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
 * Whether the response whose parts stand at `at` may be handed over so. The listener, and the parser if there is
 * one, are Node's, and nothing of the response or of an informational one before it has been read.
 */
function isReady(lane, request, parts, at) {
  // What Rust takes for the answer to a HEAD is one to Node.
  if (request === null || ((parts[at + bodyPlace.SIZE + 2] & IS_HEAD) !== 0) !== (request.method === 'HEAD'))
    return false;
  const { parser } = lane;
  if (parser) {
    const known = functionsOf(parser);
    if (
      known === null ||
      parser.incoming !== null ||
      parser.socket !== lane ||
      parser[known.onHeadersAt] !== known.onHeaders ||
      !isExecutedByNode(parser.execute, known)
    ) {
      return false;
    }
  } else if (!lane._isLight) {
    return false;
  }
  return (
    request.method !== 'CONNECT' &&
    request.maxHeaderSize === undefined &&
    request.insecureHTTPParser === undefined &&
    plainBody.isReadByNodeAlone(lane)
  );
}

/** Whether it is Node's own, or what is in its place until it is called again. */
function isExecutedByNode(ofParser, known) {
  return ofParser === known.execute || ofParser === execute || ofParser === plainBody.execute;
}

/**
 * The parts of the response in `bytes`: `length` bytes from `from` on. Where they are stands in `parts`, in `size` bytes
 * from `at` on. `own`: the bytes are the body's alone, and not used again; the head stands in `parts` before `at`, and so
 * much less than 0 is `from`. Else they are the crossing's.
 */
function parse(bytes, from, length, parts, at, size, own) {
  const heading = at + bodyPlace.SIZE;
  const number = (index) => parts[heading + 2 * index] | (parts[heading + 2 * index + 1] << 8);
  const headLength = number(2);
  const head = own ? parts.latin1Slice(at - headLength, at) : bytes.latin1Slice(from, from + headLength);
  const count = number(5);
  const headers = new Array(count * 2);
  for (let i = 0, index = HEADING; i < count * 2; i += 2, index += PER_HEADER) {
    headers[i] = head.slice(number(index), number(index + 1));
    headers[i + 1] = head.slice(number(index + 2), number(index + 3));
  }
  const flags = number(1);
  const spans = heading + 2 * (HEADING + count * PER_HEADER);
  let body;
  let pieces;
  if (flags & CHUNKED) pieces = plainBody.cut(bytes, from, parts, spans, at + size - spans, own);
  else if (length > headLength) body = own ? bytes : copyOf(bytes, from + headLength, from + length);
  return {
    status: number(0),
    keepAlive: (flags & KEEP_ALIVE) !== 0,
    place: bodyPlace.isDue(parts, at) ? new bodyPlace.BodyPlace(parts, at) : undefined,
    reason: head.slice(number(3), number(4)),
    headers,
    body,
    pieces,
  };
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
  run(known, new StandIn(lane, lane._httpMessage, known), response);
  if (response.place === undefined) plainBody.letGo(lane);
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

function run(known, parser, { status, keepAlive, place, reason, headers, body, pieces }) {
  const rest = place === undefined ? undefined : plainBody.begin(parser.socket, parser, place);
  let running = 'onHeaders';
  try {
    known.onHeaders.call(parser, 1, 1, headers, undefined, undefined, status, reason, false, keepAlive);
    running = 'onBody';
    if (body !== undefined) known.onBody.call(parser, body);
    else if (pieces !== undefined) for (const piece of pieces) known.onBody.call(parser, piece);
    running = undefined;
  } finally {
    if (running !== undefined) rest?.noteThrown(running);
  }
  if (rest === undefined) known.onComplete.call(parser);
}

module.exports = { handOver, isReady, parse };
