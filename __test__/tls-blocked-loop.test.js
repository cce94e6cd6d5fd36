'use strict';

// The event loop stands still, over TLS. All of blocked-loop.test.js once more.

const { describe } = require('node:test');
const { overTls } = require('./helpers/blocked');

for (const version of ['TLSv1.2', 'TLSv1.3']) {
  describe(version, () => overTls(version, require.resolve('./blocked-loop.test')));
}
