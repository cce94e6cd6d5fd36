'use strict';

const { CANDIDATES } = require('./agents');
const { CALL_SITES } = require('./call-sites');
const { SITUATIONS } = require('./situations');

/**
 * @typedef {object} Row
 * @property {string} id what `--only` matches
 * @property {string} title
 * @property {string} situation a key of SITUATIONS
 * @property {string} method
 * @property {string} site a key of CALL_SITES
 */

/** @type {Row[]} */
const ROWS = Object.entries(SITUATIONS).flatMap(([situation, { title }]) =>
  ['GET', 'POST'].flatMap((method) =>
    Object.keys(CALL_SITES)
      .filter((site) => CALL_SITES[site].methods.includes(method))
      .map((site) => ({
        id: `${method.toLowerCase()}-${situation}-${site}`,
        title: `${method} ${title}, ${site}`,
        situation,
        method,
        site,
      })),
  ),
);

/** Whether the call site of a row can be given this agent. */
function takes({ site }, agent) {
  return CALL_SITES[site].api === CANDIDATES[agent].api;
}

module.exports = { ROWS, takes };
