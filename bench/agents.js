'use strict';

// The agents compared. Each is loaded only in its own process, so one that is not installed or not built
// does not stand in the way of measuring the others.

/** The agent that the ratios refer to. */
const BASELINE = 'builtin';

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
    load() {
      const { HttpAgent } = require('..');
      const { version } = require('../package.json');
      return { version, http: (options) => new HttpAgent(options) };
    },
  },
};

module.exports = { AGENTS, BASELINE };
