'use strict';

// A whole plain response is taken apart by Rust over TLS too. All of plain-response.test.js once more.

const { describe } = require('node:test');
const { overTls } = require('./helpers/blocked');

for (const version of ['TLSv1.2', 'TLSv1.3']) {
  const files = ['./plain-response.test', './helpers/traces'].map((file) => require.resolve(file));
  describe(version, () => overTls(version, ...files));
}
