'use strict';

// The channels of diagnostics_channel on which connections and requests are told of. Nothing is computed for
// a channel that nobody has subscribed to.

const { channel } = require('diagnostics_channel');

module.exports = {
  /** { agent, socket }: a connection stands, its TLS handshake included. */
  opened: channel('offloop:connection:opened'),
  /** { agent, socket, request }: the request gets a connection that has served another. */
  reused: channel('offloop:connection:reused'),
  /** { agent, socket, reason }: a connection is gone; docs/errors.md has the reasons. */
  closed: channel('offloop:connection:closed'),
  /** { agent, socket, request }: the request has been sent a second time; it has no socket if it ends in the queue. */
  retried: channel('offloop:request:retried'),
  /** { agent, request, waiting }: a request has to wait for a socket, as the last of so many. */
  queued: channel('offloop:request:queued'),
};
