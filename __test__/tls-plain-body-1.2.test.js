'use strict';

// A body that comes in pieces needs no parser over TLS 1.2 either. All of plain-body.test.js once more.

const { overTls } = require('./helpers/blocked');

overTls('TLSv1.2', require.resolve('./plain-body.test'), require.resolve('./helpers/traces'));
