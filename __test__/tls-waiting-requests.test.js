'use strict';

// Requests that wait for a socket go on while JavaScript is blocked, over TLS. All of waiting-requests.test.js once more.

const { describe } = require('node:test');
const { overTls } = require('./helpers/blocked');

for (const version of ['TLSv1.2', 'TLSv1.3']) {
  describe(version, () => overTls(version, require.resolve('./waiting-requests.test')));
}
