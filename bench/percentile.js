'use strict';

/** Nearest rank: a value that was really met, never one in between. Null of nothing. */
function percentile(sorted, share) {
  if (sorted.length === 0) return null;
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
}

/** @param {number[]} latencies in any order */
function percentiles(latencies) {
  const sorted = Float64Array.from(latencies).sort();
  return { p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99), p999: percentile(sorted, 0.999) };
}

module.exports = { percentile, percentiles };
