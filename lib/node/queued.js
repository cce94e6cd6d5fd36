'use strict';

// What Node's agent keeps on a request that waits for a socket: the options that a new one would be made with, and the
// async context in which the request goes on. Both are under symbols that are not exported, so they are learned from
// the first request that Node has put into a queue itself.

const { AsyncResource } = require('async_hooks');

/** The symbols, by their descriptions; undefined until a request was seen, null where Node has others. */
let symbols;

/** Node has put this request into a queue. */
function learnQueued(request) {
  if (symbols !== undefined) return;
  const own = Object.getOwnPropertySymbols(request);
  const [options, context] = ['requestOptions', 'requestAsyncResource'].map((name) =>
    own.find(({ description }) => description === name),
  );
  symbols =
    options === undefined || !(request[context] instanceof AsyncResource) ? null : { options, context };
}

/** Whether they are known. */
function isQueueKnown() {
  return symbols != null;
}

/** As Node does before it puts the request into a queue. */
function enterQueue(request, options) {
  request[symbols.options] = options;
  request[symbols.context] = new AsyncResource('QueuedRequest');
}

/** As Node does when it has taken the request out of the queue: calls `serve` with the request in the context that it was made in. */
function leaveQueue(request, serve, ...args) {
  const context = request[symbols.context];
  if (!context) {
    serve(request, ...args);
    return;
  }
  context.runInAsyncScope(serve, undefined, request, ...args);
  request[symbols.context] = null;
}

module.exports = { enterQueue, isQueueKnown, learnQueued, leaveQueue };
