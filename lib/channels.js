'use strict';

// The channels of diagnostics_channel on which connections and requests are told of. Nothing is computed
// for a channel that nobody has subscribed to.

const { channel } = require('diagnostics_channel');

module.exports = {
  opened: channel('offloop:connection:opened'),
  reused: channel('offloop:connection:reused'),
  closed: channel('offloop:connection:closed'),
  retried: channel('offloop:request:retried'),
  queued: channel('offloop:request:queued'),
};
