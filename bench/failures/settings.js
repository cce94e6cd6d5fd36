'use strict';

// All times in ms.
module.exports = {
  /** The server closes a connection that has been idle for this long, and says so to nobody. */
  IDLE_LIMIT: 100,
  /** A pause at the limit is this much shorter or longer at most. */
  SPREAD: 5,
  /** A stall of the loop outlasts the limit by this much: the close is long in the kernel when it ends. */
  STALL_BEYOND: 100,
  /** Between the last response and the stall: time for the agents to park their connections. */
  PARKING: 5,
  /** After a round or slice, until every connection is closed and known to be: what comes next opens its own. */
  QUIET: 150,

  /** Connections that come to the limit one by one. */
  CALLERS_AT_LIMIT: 100,
  /** Connections per stall: they have to be opened within the limit, through the slowest call site too. */
  CALLERS_PER_STALL: 50,

  PAUSE_AFTER_FAILURE: 10,
  /** A request without an end after this long is given up, and has failed. */
  DEADLINE: 5_000,
};
