'use strict';

const { closedLoop } = require('./closed-loop');
const idle = require('./idle-connections');
const { BULK_METRICS, IDLE_METRICS, REQUEST_METRICS, STALL_METRICS } = require('./metrics');
const { ARRIVAL, PORTS, SMALL } = require('./server/content');
const stalled = require('./stalled-loop');
const { cert } = require('../__test__/helpers/certificate');

const KIB = 1024;
const MIB = 1024 * KIB;

// So long that no connection is closed while the others have their turn.
const LONG = 600_000; // ms

/**
 * @typedef {object} Case
 * @property {string} id what `--only` matches
 * @property {string} title
 * @property {'http' | 'https'} scheme which constructor of the agent is used
 * @property {object} agentOptions given to every agent alike; what they leave out is the agent's own default
 * @property {object} dispatcherOptions the same in undici's words
 * @property {number} concurrency requests under way at any time
 * @property {{ method: string, path: string }} request what `http.request` is given, besides agent and address
 * @property {{ bytes: number, chunk?: number }} [requestBody] streamed if in chunks, otherwise given to `end` whole
 * @property {{ status: number, bytes: number, text?: boolean }} expect any other response counts as a failure
 * @property {(benchCase: Case, target: Target, duration: number) => Promise<object>} measure one slice; returns its
 * figures by the metrics' keys, and `failures`
 * @property {import('./metrics').Metric[]} metrics
 * @property {(benchCase: Case) => string | undefined} [obstacle] why it cannot be measured here, if so
 * @property {'own'} [server] which server it needs, if not any
 * @property {boolean} [wholeRequests] the window ends with the last request, not in the middle of some
 * @property {number} [unitsPerRequest] of the unit of `rate` and CPU
 * @property {number} [connections] how many are opened
 * @property {string[]} [nodeOptions] of the processes of the candidates
 * @property {boolean} [slow] takes long: fewer turns, each in a process of its own
 */

/**
 * @typedef {object} Target
 * @property {import('./call-sites').Exchange} exchange with the first port
 * @property {import('./call-sites').Exchange[]} exchanges with each port
 */

/** @type {Case} */
const base = {
  scheme: 'http',
  agentOptions: { keepAlive: true },
  dispatcherOptions: {},
  request: { method: 'GET', path: '/' },
  expect: { status: 200, bytes: SMALL.length },
  measure: closedLoop,
  metrics: REQUEST_METRICS,
};

/** Over TLS. */
const secure = {
  scheme: 'https',
  agentOptions: { keepAlive: true, ca: cert },
  dispatcherOptions: { connect: { ca: cert } },
};

/** Each byte of which costs more than its request. */
const bulk = {
  concurrency: 4,
  metrics: BULK_METRICS,
  wholeRequests: true,
  unitsPerRequest: 64,
};

/**
 * A large upload is served by our own server: nginx, which has no use for the body, answers before it has read it, and
 * that would be another case.
 */
const upload = { ...bulk, server: 'own', request: { method: 'POST', path: '/' } };

const idleBase = {
  concurrency: 5000 / (PORTS - 1),
  connections: 5000,
  nodeOptions: idle.NODE_OPTIONS,
  measure: idle.idleConnections,
  metrics: IDLE_METRICS,
  obstacle: idle.obstacle,
  slow: true,
};

const patient = { keepAlive: true, freeSocketTimeout: LONG };
const patientDispatcher = { keepAliveTimeout: LONG, keepAliveMaxTimeout: LONG };

const getSmall = (concurrency) => ({
  ...base,
  id: `get-small-${concurrency}`,
  title: `GET small, ${concurrency} at a time`,
  concurrency,
});

/** @type {Case[]} */
const CASES = [
  getSmall(1),
  getSmall(10),
  getSmall(50),
  getSmall(200),
  {
    ...getSmall(200),
    id: 'get-queued-200',
    title: 'GET small, 200 at a time over 50 connections',
    agentOptions: { keepAlive: true, maxSockets: 50 },
    dispatcherOptions: { connections: 50 },
  },
  {
    ...base,
    id: 'post-1k-50',
    title: 'POST 1 KiB, 50 at a time',
    concurrency: 50,
    request: { method: 'POST', path: '/' },
    requestBody: { bytes: KIB },
  },
  {
    ...base,
    id: 'get-64k-50',
    title: 'GET 64 KiB, 50 at a time',
    concurrency: 50,
    request: { method: 'GET', path: `/bytes/${64 * KIB}` },
    expect: { status: 200, bytes: 64 * KIB },
  },
  {
    ...base,
    server: 'own',
    id: 'post-64k-50',
    title: 'POST 64 KiB, 50 at a time',
    concurrency: 50,
    request: { method: 'POST', path: '/' },
    requestBody: { bytes: 64 * KIB },
  },
  {
    ...base,
    ...bulk,
    id: 'download-64m-4',
    title: '64 MiB down, 4 at a time',
    request: { method: 'GET', path: `/bytes/${64 * MIB}` },
    expect: { status: 200, bytes: 64 * MIB },
  },
  {
    ...base,
    ...upload,
    id: 'upload-64m-4',
    title: '64 MiB up in chunks, 4 at a time',
    requestBody: { bytes: 64 * MIB, chunk: 64 * KIB },
  },
  {
    ...base,
    ...upload,
    id: 'upload-64m-whole-4',
    title: '64 MiB up in one piece, 4 at a time',
    requestBody: { bytes: 64 * MIB },
  },
  { ...base, ...secure, id: 'https-get-small-50', title: 'HTTPS GET small, 50 at a time', concurrency: 50 },
  {
    // A new connection for each request, and none resumes a session.
    ...base,
    ...secure,
    id: 'handshakes-10',
    title: 'full TLS handshakes, 10 at a time',
    concurrency: 10,
    agentOptions: { keepAlive: false, maxCachedSessions: 0, ca: cert },
    dispatcherOptions: { pipelining: 0, connect: { ca: cert, maxCachedSessions: 0 } },
  },
  {
    ...base,
    ...idleBase,
    id: 'idle-5000',
    title: '5,000 idle connections',
    agentOptions: patient,
    dispatcherOptions: patientDispatcher,
  },
  {
    ...base,
    ...idleBase,
    id: 'idle-tls-5000',
    title: '5,000 idle TLS connections',
    scheme: 'https',
    agentOptions: { ...patient, ca: cert },
    dispatcherOptions: { ...patientDispatcher, connect: { ca: cert } },
  },
  {
    ...base,
    id: 'stalled-loop',
    title: 'loop stalled 50 ms in every 100 ms',
    request: { method: 'GET', path: '/arrival' },
    expect: { status: 200, bytes: ARRIVAL, text: true },
    server: 'own',
    measure: stalled.stalledLoop,
    metrics: STALL_METRICS,
    obstacle: stalled.obstacle,
  },
];

module.exports = { CASES };
