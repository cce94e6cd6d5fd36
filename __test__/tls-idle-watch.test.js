'use strict';

// Idle connections are watched off the event loop, over TLS. All of idle-watch.test.js once more.

const { describe } = require('node:test');
const { overTls } = require('./helpers/blocked');

for (const version of ['TLSv1.2', 'TLSv1.3']) {
  describe(version, () => overTls(version, require.resolve('./idle-watch.test')));
}
