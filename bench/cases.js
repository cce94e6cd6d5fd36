'use strict';

const { closedLoop } = require('./closed-loop');
const { SMALL } = require('./server/content');

/**
 * @typedef {object} Case
 * @property {string} id what `--only` matches
 * @property {string} title
 * @property {boolean} quick whether `--quick` runs it too
 * @property {'http'} scheme which constructor of the agent is used
 * @property {object} agentOptions given to every agent alike; what they leave out is the agent's own default
 * @property {number} concurrency requests under way at any time
 * @property {{ method: string, path: string }} request what `http.request` is given, besides agent and address
 * @property {{ status: number, bytes: number }} expect any other response counts as a failure
 * @property {import('./closed-loop').Load} load how requests are made
 */

function getSmall(concurrency) {
  return {
    id: `get-small-${concurrency}`,
    title: `GET small, ${concurrency} at a time`,
    quick: true,
    scheme: 'http',
    agentOptions: { keepAlive: true },
    concurrency,
    request: { method: 'GET', path: '/' },
    expect: { status: 200, bytes: Buffer.byteLength(SMALL) },
    load: closedLoop,
  };
}

/** @type {Case[]} */
const CASES = [getSmall(1), getSmall(50)];

module.exports = { CASES };
