'use strict';

// How long a connection may be idle before it is closed on our side: less than the server's limit,
// so that a request never meets its FIN.

/** The hint that servers send: `Keep-Alive: timeout=5, max=100` (RFC 2068 section 19.7.1.1). */
const TIMEOUT = /(?:^|[\s,;])timeout\s*=\s*"?(\d+)/i;
const MAX = /(?:^|[\s,;])max\s*=\s*"?(\d+)/i;

/** The margin under the hint is a tenth of it, within these bounds in ms. */
const MARGIN_MIN = 100;
const MARGIN_MAX = 1000;

/** The limit in ms that a server's hint sets; Infinity without one, 0 if it takes no other request. */
function hintedLimit(hint, buffer) {
  if (!hint) return Infinity;
  if (Number(MAX.exec(hint)?.[1] ?? 1) === 0) return 0;
  const timeout = TIMEOUT.exec(hint)?.[1];
  if (timeout === undefined) return Infinity;
  const announced = Number(timeout) * 1000;
  const margin = buffer ?? Math.min(MARGIN_MAX, Math.max(MARGIN_MIN, announced / 10));
  return Math.max(0, announced - margin);
}

/** The limit in ms for a socket whose request has just ended; 0 if it is not to be kept. */
function idleLimit(options, ownLimit, socket) {
  const hint = hintOf(socket._httpMessage?.res);
  const limit = Math.min(ownLimit, hintedLimit(hint, options.agentKeepAliveTimeoutBuffer));
  return options.timeout > 0 ? Math.min(limit, options.timeout) : limit;
}

/** The response's hint, several joined. `headers` would be made for this alone: Node makes it lazily. */
function hintOf(response) {
  const raw = response?.rawHeaders;
  if (raw === undefined) return '';
  let hint = '';
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i];
    if (name.length === 10 && name.toLowerCase() === 'keep-alive') hint += `${raw[i + 1]}, `;
  }
  return hint;
}

module.exports = { idleLimit, hintedLimit };
