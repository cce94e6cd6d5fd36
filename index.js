'use strict';

const { HttpAgent, HttpsAgent } = require('./lib/agent/agent');

module.exports = HttpAgent;
module.exports.HttpAgent = HttpAgent;
module.exports.HttpsAgent = HttpsAgent;
module.exports.default = HttpAgent;
