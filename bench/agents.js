'use strict';

const path = require('node:path');

// What is compared. Each is loaded only in its own process, so one that is not installed or not built
// does not stand in the way of measuring the others.

/** The agent that the ratios refer to. */
const BASELINE = 'builtin';

/** The agent of `--before`: another build of offloop. */
const BEFORE = 'before';

/**
 * @typedef {object} Candidate
 * @property {string} title
 * @property {'http' | 'undici'} api which call site it takes: `http.request` with an agent, or `undici.request`
 * @property {(before?: string) => { version: string, http: Function, https: Function }} load the constructors by
 * scheme; `before` is the folder of the other build
 */

/** @type {Record<string, Candidate>} */
const AGENTS = {
  builtin: {
    title: 'http.Agent',
    api: 'http',
    load() {
      const { Agent } = require('node:http');
      const { Agent: SecureAgent } = require('node:https');
      return {
        version: process.version,
        http: (options) => new Agent(options),
        https: (options) => new SecureAgent(options),
      };
    },
  },
  agentkeepalive: {
    title: 'agentkeepalive',
    api: 'http',
    load() {
      const { version } = require('agentkeepalive/package.json');
      return { version, ...constructors(require('agentkeepalive')) };
    },
  },
  undici: {
    title: 'undici (another API)',
    api: 'undici',
    load() {
      const { Agent } = require('undici');
      const { version } = require('undici/package.json');
      const open = (options) => new Agent(options);
      return { version, http: open, https: open };
    },
  },
  offloop: {
    title: 'offloop',
    api: 'http',
    load: () => loadOffloop(path.join(__dirname, '..')),
  },
  [BEFORE]: {
    title: 'before',
    api: 'http',
    load: (before) => loadOffloop(before),
  },
};

function loadOffloop(folder) {
  const { version } = require(path.join(folder, 'package.json'));
  return { version, ...constructors(require(folder)) };
}

function constructors({ HttpAgent, HttpsAgent }) {
  return { http: (options) => new HttpAgent(options), https: (options) => new HttpsAgent(options) };
}

module.exports = { AGENTS, BASELINE, BEFORE };
