'use strict';

// What agent.stats() tells, out of what the native side has counted.

/** The native side's rows (src/pool/status.rs) as an object for each origin. */
function parseStats(text, { requests }) {
  const stats = {};
  let origin;
  for (const row of text.trimEnd().split('\n')) {
    const [name, value] = row.split('\t');
    if (name === 'origin') {
      stats[value] = origin = { queued: queuedFor(value, requests), learnedLimit: undefined, closes: {} };
      continue;
    }
    if (origin === undefined) break; // Nothing was counted yet.
    const [first, second] = name.split('.');
    if (second !== undefined) (origin[first] ??= {})[second] = Number(value);
    else origin[first] = value.includes(' ') ? histogram(value) : Number(value);
  }
  return stats;
}

function histogram(text) {
  const [count, p50, p90, p99, max] = text.split(' ').map(Number);
  return { count, p50, p90, p99, max };
}

/** Requests that wait for a socket to an origin, by the names of the books. */
function queuedFor(origin, requests) {
  const prefix = `${origin.replace(/[[\]]/g, '')}:`;
  let count = 0;
  for (const name of Object.keys(requests)) {
    if (name.startsWith(prefix) || name.endsWith(`:${origin}`)) count += requests[name].length;
  }
  return count;
}

module.exports = { parseStats };
