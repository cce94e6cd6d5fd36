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
      return { version: process.version, http: (options) => new Agent(options) };
    },
  },
  agentkeepalive: {
    title: 'agentkeepalive',
    load() {
      const { HttpAgent } = require('agentkeepalive');
      const { version } = require('agentkeepalive/package.json');
      return { version, http: (options) => new HttpAgent(options) };
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
  const { HttpAgent } = require(folder);
  const { version } = require(path.join(folder, 'package.json'));
  return { version, http: (options) => new HttpAgent(options) };
}

module.exports = { AGENTS, BASELINE, BEFORE };
