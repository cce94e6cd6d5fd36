'use strict';

// The rows of the crossing. The other side of this table is src/binding/records.rs;
// __test__/records.test.js holds the two against each other.

/** Integers in a row, either way: head, slot, epoch, argument, length. The head is a code | flags << 8. */
const ROW_WIDTH = 5;

/** What is asked of Rust. */
const op = {
  LEASE: 1,
  WRITE: 2,
  SHUTDOWN: 3,
  PARK: 4,
  CLOSE: 5,
  CONSUMED: 6,
  PROCEED: 7,
  NO_DELAY: 8,
  KEEP_ALIVE: 9,
  HINT: 10,
  OPEN: 12,
  REFUSE: 20,
  GATE: 21,
  WAITED: 11,
  ASK_QUIET: 17,
  WAIT: 13,
  ATTACH: 14,
  YIELD: 15,
  TYPE_OF_SERVICE: 16,
};

const opFlag = {
  /** WRITE: the bytes are in a buffer of their own. */
  BLOB: 1,
  /** WRITE: the request may be sent twice. */
  REPLAYABLE: 2,
  /** WRITE: a CLOSE in the same tick takes it back. */
  EARLY: 4,
  /** WRITE: the request may be sent twice if the server has not got a byte of it. */
  UNACKNOWLEDGED: 8,
  /** WAIT: the connection is not kept for others after it. */
  LAST: 16,
  /** LEASE: for a ClientRequest. */
  HTTP: 1,
  /** CLOSE: with RST. */
  RESET: 1,
  /** CLOSE: what was written belongs to no request that is under way, and still leaves. */
  OVER: 2,
  /** OPEN: JavaScript has a say before each attempt, before the first byte, when the handshake is over. */
  GUARD_ATTEMPT: 1,
  GUARD_CONNECT: 2,
  GUARD_SECURE: 4,
  /** OPEN: 'keylog' is listened to. */
  KEYLOG: 8,
  /** OPEN: JavaScript has a say when the addresses are known, by a listener. */
  GUARD_LOOKUP: 16,
};

/** What Rust reports. */
const event = {
  DATA: 1,
  END: 2,
  ERROR: 3,
  CONNECTED: 4,
  REBOUND: 5,
  CLOSED: 6,
  WRITTEN: 7,
  FINISHED: 8,
  LOOKUP: 9,
  ATTEMPT: 10,
  ATTEMPT_FAILED: 11,
  ATTEMPT_TIMEOUT: 12,
  CONNECT_FAILED: 13,
  RESOLVE: 14,
  DEAD: 15,
  RESPONSE: 16,
  AHEAD: 17,
  RETURNED: 18,
  BODY: 19,
  BROKEN: 20,
  SURPLUS: 21,
  PROBE: 22,
  QUIET: 23,
  SECURED: 30,
  KEY_LINES: 31,
  HANDSHAKE_FAILED: 32,
  UNSENT: 33,
  TLS_REFUSED: 34,
  TLS_ERROR: 35,
  HANDED_BACK: 36,
};

const eventFlag = {
  /** DATA, SECURED, UNSENT: the bytes are in a buffer of their own; of RESPONSE and BODY, those of the body. */
  OWN_BUFFER: 1,
  /** Of any report with text: it is in a buffer of its own. */
  OWN_TEXT: 4,
  /** CONNECTED, REBOUND: nothing is written before PROCEED. */
  GATED: 1,
  /** CONNECT_FAILED: several addresses were there to try. */
  AGGREGATE: 1,
  /** SECURED: nothing is written before PROCEED. */
  SECURED_GATED: 2,
};

/** Events whose bytes are bytes to JavaScript too, and not text. */
const isBinary = (code) => code === event.DATA || code === event.SECURED || code === event.UNSENT;

/** Why a lane got another connection: the argument of REBOUND. */
const rebound = { IDLE: 0, FRESH: 1, RETRY: 2 };

/**
 * Why a connection was closed, or a request failed. In lower case, with dashes, these are the values of
 * `err.reason` (docs/errors.md).
 */
const closeReason = {
  IDLE_TIMEOUT: 1,
  PEER_CLOSED_IDLE: 2,
  PEER_RESET: 3,
  TAKEN: 4,
  TTL: 5,
  UNEXPECTED_DATA: 6,
  ABORTED: 7,
  AGENT_DESTROYED: 8,
  CONNECT_FAILED: 9,
  CONNECT_TIMEOUT: 10,
  DEAD_PEER: 11,
  INVALID_RESPONSE: 12,
  LOOKUP_FAILED: 13,
  NETWORK_ERROR: 14,
  NOT_KEPT: 15,
  PEER_FIN: 16,
  QUEUE_FULL: 17,
  QUEUE_TIMEOUT: 18,
  REQUEST_TIMEOUT: 19,
  SOCKET_TIMEOUT: 20,
  TLS_FAILED: 21,
  INTERNAL_ERROR: 22,
};

module.exports = { ROW_WIDTH, op, opFlag, event, eventFlag, isBinary, rebound, closeReason };
