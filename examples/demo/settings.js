'use strict';

// All times in ms. What matters is their order: freeSocketTimeout < serverIdleLimit < every stall, so that
// whatever should happen to an idle connection falls due while JavaScript cannot act.
module.exports = {
  /** The server closes a connection that has been idle for this long. */
  serverIdleLimit: 400,
  /** The client's own idle limit, in the pool that has one: correctly set, below the server's. */
  freeSocketTimeout: 250,
  /** A client's close counts as on time up to this long after its limit, and before the server's close. */
  onTimeTolerance: 100,
  /** The server closes a request unanswered this long after it has read it: the stall has begun by then. */
  unansweredDelay: 120,
  /** A close that the server made this long before a request was made had reached the client's kernel. */
  loopbackMargin: 1,

  stallsBeforeReuse: [600, 750, 900],
  stallsInFlight: [600, 700, 800],
  stallsOverIdleLimit: [650, 850],

  /** Connections, and requests after a stall, per pool and stall. */
  burst: 8,
  /** One request every so often, in the background, all the time. */
  backgroundInterval: 10,
  /** Between the last answer and the stall: time for the agents to park their connections. */
  parkingTime: 20,
  /** Between two stalls. */
  pause: 200,

  maxSockets: 50,
  /** A request without an answer or an error after this long is given up (code NO_ANSWER). */
  requestDeadline: 5_000,
  /** A workload process that has not reported by then is killed. */
  workloadDeadline: 30_000,
  /** The server process ends by itself after this long, whatever happens. */
  serverLifetime: 120_000,
};
