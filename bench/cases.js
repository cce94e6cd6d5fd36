'use strict';

const { closedLoop } = require('./closed-loop');
const { SMALL } = require('./server/content');
const { cert } = require('../__test__/helpers/certificate');

/**
 * @typedef {object} Case
 * @property {string} id what `--only` matches
 * @property {string} title
 * @property {boolean} quick whether `--quick` runs it too
 * @property {'http' | 'https'} scheme which constructor of the agent is used
 * @property {object} agentOptions given to every agent alike; what they leave out is the agent's own default
 * @property {number} concurrency requests under way at any time
 * @property {{ method: string, path: string }} request what `http.request` is given, besides agent and address
 * @property {{ status: number, bytes: number }} expect any other response counts as a failure
 * @property {import('./closed-loop').Load} load how requests are made
 * @property {boolean} [loopDelay] whether the event loop's delay is measured, which costs a little itself
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

/** The same over TLS, on connections that stay. */
function getSecure(concurrency) {
  return {
    ...getSmall(concurrency),
    id: `https-get-small-${concurrency}`,
    title: `HTTPS GET small, ${concurrency} at a time`,
    scheme: 'https',
    agentOptions: { keepAlive: true, ca: cert },
  };
}

/** A new connection for each request, and none resumes a session. */
function handshakes(concurrency) {
  return {
    ...getSecure(concurrency),
    id: `handshakes-${concurrency}`,
    title: `full TLS handshakes, ${concurrency} at a time`,
    agentOptions: { keepAlive: false, maxCachedSessions: 0, ca: cert },
    loopDelay: true,
  };
}

/** @type {Case[]} */
const CASES = [getSmall(1), getSmall(50), getSecure(50), handshakes(10)];

module.exports = { CASES };
