'use strict';

// When a request is sent again, over TLS 1.2. All of retry-rules.test.js once more.

const { overTls } = require('./helpers/blocked');

overTls('TLSv1.2', require.resolve('./retry-rules.test'));
