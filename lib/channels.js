'use strict';

// The channels of diagnostics_channel on which requests are told of. Nothing is computed for a channel that
// nobody has subscribed to.

const { channel } = require('diagnostics_channel');

module.exports = {
  /** { agent, request, waiting }: a request has to wait for a socket, as the last of so many. */
  queued: channel('offloop:request:queued'),
};
