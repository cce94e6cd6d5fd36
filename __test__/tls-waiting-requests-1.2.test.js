'use strict';

// Requests that wait for a socket go on while JavaScript is blocked, over TLS 1.2. All of waiting-requests.test.js once more.

const { overTls } = require('./helpers/blocked');

overTls('TLSv1.2', require.resolve('./waiting-requests.test'));
