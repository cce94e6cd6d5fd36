'use strict';

// A body that comes in pieces needs no parser over TLS 1.3 either. All of plain-body.test.js once more.

const { overTls } = require('./helpers/blocked');

overTls('TLSv1.3', require.resolve('./plain-body.test'), require.resolve('./helpers/traces'));
