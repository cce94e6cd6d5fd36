'use strict';

const CONFIDENCE = 0.95;

/**
 * A confidence interval of the median, by order statistics: from the k-th least to the k-th greatest value, k as
 * large as it may be. It misses the median only if fewer than k values fall on one side of it, and each falls
 * there with a probability of one half whatever its distribution is. Exact, so mostly a little wider than asked for.
 * @param {number[]} values independent of each other
 * @returns {{ low: number, high: number } | null} null: too few values (fewer than 6) to say anything
 */
function medianInterval(values) {
  const { length } = values;
  const allowed = (1 - CONFIDENCE) / 2;
  let fewer = 0; // the probability of fewer than k values on one side
  let ways = 1; // to choose k of them
  let k = 0;
  for (; k < length; k++) {
    fewer += ways / 2 ** length;
    if (fewer > allowed) break;
    ways *= (length - k) / (k + 1);
  }
  if (k === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return { low: sorted[k - 1], high: sorted[length - k] };
}

const Z = 1.959964; // of the normal distribution, for CONFIDENCE

/**
 * A confidence interval of a probability: Wilson's, which also holds near 0 and 1. After n trials without a
 * failure it ends at about 3.8/n.
 * @returns {{ low: number, high: number }}
 */
function proportionInterval(count, trials) {
  const share = count / trials;
  const weight = Z ** 2 / trials;
  const middle = (share + weight / 2) / (1 + weight);
  const half = (Z / (1 + weight)) * Math.sqrt((share * (1 - share)) / trials + weight / (4 * trials));
  return {
    low: count === 0 ? 0 : middle - half,
    high: count === trials ? 1 : middle + half,
  };
}

module.exports = { medianInterval, proportionInterval };
