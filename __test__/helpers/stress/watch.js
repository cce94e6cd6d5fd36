'use strict';

// What one thread of a stress run sees of its handlers' exceptions, and of requests that are sent again.

const { subscribe } = require('node:diagnostics_channel');
const { Given } = require('./call');
const { Deliberate } = require('./read');

/** Begins to watch, once in a thread: it catches what nobody else does. */
function startWatch() {
  const watch = { deliberate: 0, others: [], retried: new WeakSet() };
  process.on('uncaughtException', (error) => {
    if (error instanceof Deliberate) watch.deliberate++;
    // Nobody listens to a socket between a request and the pool: who destroys it then has it thrown, with http.Agent too.
    else if (error.name !== 'AbortError' && !(error instanceof Given)) watch.others.push(error);
  });
  subscribe('offloop:request:retried', ({ request }) => watch.retried.add(request));
  return watch;
}

module.exports = { startWatch };
