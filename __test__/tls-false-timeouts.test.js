'use strict';

// No false timeouts, over TLS. All of false-timeouts.test.js once more.

const { describe } = require('node:test');
const { overTls } = require('./helpers/blocked');

for (const version of ['TLSv1.2', 'TLSv1.3']) {
  describe(version, () => overTls(version, require.resolve('./false-timeouts.test')));
}
