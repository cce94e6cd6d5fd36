'use strict';

const { addFailures, countFailures } = require('../summary');
const { proportionInterval } = require('../interval');

/**
 * The figures of one candidate in one row.
 * @param {object[]} slices what the client saw
 * @param {{ connections: number, processed: Record<string, number> }} log what the server saw
 */
function tally(slices, { connections, processed }) {
  const sum = (key) => slices.reduce((total, slice) => total + slice[key], 0);
  const failures = addFailures(slices);
  const turns = slices.map((slice) => ({ failed: countFailures(slice.failures), trials: slice.trials }));
  const failedIds = slices.flatMap((slice) => slice.failedIds);
  return {
    ...share(countFailures(failures), sum('trials')),
    /** A pool may learn: the same without the first turn. */
    failedLater: turns.slice(1).reduce((total, { failed }) => total + failed, 0),
    /** Requests of which the client saw only an error, though the server had processed them. */
    lost: failedIds.filter((id) => processed[id] > 0).length,
    twice: Object.values(processed).filter((times) => times > 1).length,
    connections,
    requests: sum('trials') + sum('openings'),
    failures,
    openingFailures: addFailures(slices.map(({ openingFailures }) => ({ failures: openingFailures }))),
    turns,
  };
}

/** Several rows taken together. */
function addUp(figures) {
  const sum = (key) => figures.reduce((total, figure) => total + figure[key], 0);
  return share(sum('failed'), sum('trials'));
}

const PER = 10_000;

function share(failed, trials) {
  if (trials === 0) return { failed, trials, perTenThousand: null, interval: null };
  const { low, high } = proportionInterval(failed, trials);
  return {
    failed,
    trials,
    perTenThousand: (PER * failed) / trials,
    interval: { low: PER * low, high: PER * high },
  };
}

module.exports = { addUp, tally };
