'use strict';

// Which requests may be sent twice when a reused connection was closed without an answer
// (docs/architecture.md, "When a request is sent again").

/** RFC 9110 section 9.2.2. */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

/** The caller's word that the server knows a repetition when it sees one. */
const IDEMPOTENCY_KEY = /^(?:x-)?idempotency-key:/im;

function isReplayable(agentOptions, request) {
  if (agentOptions.retry === false) return false;
  // The header as it goes over the wire: it may have been given as an array, which no getHeader() sees.
  return IDEMPOTENT.has(request.method) || IDEMPOTENCY_KEY.test(request._header);
}

module.exports = { isReplayable };
