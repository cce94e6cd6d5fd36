'use strict';

// Bytes that come on an idle connection, over TLS. All of unsolicited-bytes.test.js once more.

const { describe } = require('node:test');
const { overTls } = require('./helpers/blocked');

for (const version of ['TLSv1.2', 'TLSv1.3']) {
  describe(version, () => overTls(version, require.resolve('./unsolicited-bytes.test')));
}
