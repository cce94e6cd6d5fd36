'use strict';

// A request gets its lane without Node's listeners and parser over TLS too. All of light-attachment.test.js once more.

const { describe } = require('node:test');
const { overTls } = require('./helpers/blocked');

for (const version of ['TLSv1.2', 'TLSv1.3']) {
  const files = ['./light-attachment.test', './helpers/traces'].map((file) => require.resolve(file));
  describe(version, () => overTls(version, ...files));
}
