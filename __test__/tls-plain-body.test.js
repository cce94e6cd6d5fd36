'use strict';

// A body that comes in pieces needs no parser over TLS either. All of plain-body.test.js once more.

const { describe } = require('node:test');
const { overTls } = require('./helpers/blocked');

for (const version of ['TLSv1.2', 'TLSv1.3']) {
  const files = ['./plain-body.test', './helpers/traces'].map((file) => require.resolve(file));
  describe(version, () => overTls(version, ...files));
}
