'use strict';

const path = require('node:path');

// The agents compared. Each is loaded only in its own process, so one that is not installed or not built
// does not stand in the way of measuring the others.

/** The agent that the ratios refer to. */
const BASELINE = 'builtin';

/** The agent of `--before`: another build of offloop. */
const BEFORE = 'before';

/** @param {string} before in `load`: the folder of the other build */
const AGENTS = {
  builtin: {
    title: 'http.Agent',
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
    load() {
      const { version } = require('agentkeepalive/package.json');
      return { version, ...constructors(require('agentkeepalive')) };
    },
  },
  offloop: {
    title: 'offloop',
    load: () => loadOffloop(path.join(__dirname, '..')),
  },
  [BEFORE]: {
    title: 'before',
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
