'use strict';

const { isMeasured, ratios, spread } = require('./summary');
const { SUBJECT, TARGETS } = require('./targets');

/**
 * @typedef {object} Verdict a target, and
 * @property {{ median: number, min: number, max: number }} value the ratio, or the figure, over the turns
 * @property {boolean} met whether the median keeps to it
 */

/**
 * Of the targets of a case, those for which this run has what they compare.
 * @param {import('./targets').Target[]} [targets]
 * @returns {Verdict[]}
 */
function judge(id, turns, targets = TARGETS) {
  return targets
    .filter((target) => target.id === id)
    .map((target) => ({ ...target, value: measured(target, turns) }))
    .filter(({ value }) => value !== null)
    .map((verdict) => ({ ...verdict, met: isMet(verdict) }));
}

function measured({ metric, against }, turns) {
  if (against !== null) return spread(ratios(turns, metric, SUBJECT, against));
  return spread(turns.map((turn) => turn[SUBJECT]?.[metric]).filter(isMeasured));
}

function isMet({ atLeast = -Infinity, atMost = Infinity, value: { median } }) {
  return median >= atLeast && median <= atMost;
}

module.exports = { judge };
