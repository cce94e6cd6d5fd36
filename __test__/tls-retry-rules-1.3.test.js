'use strict';

// When a request is sent again, over TLS 1.3. All of retry-rules.test.js once more.

const { overTls } = require('./helpers/blocked');

overTls('TLSv1.3', require.resolve('./retry-rules.test'));
