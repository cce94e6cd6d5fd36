'use strict';

// Node's own clock: nextTick() and timers. Programs put a clock of their own into its place for their tests, in
// `process` and in the module 'timers'. Node's sockets go on then, and so must these: what is Node's is kept. Where
// the package is first loaded under such a clock it is taken when it is back, and until then something else of Node's
// stands in for what would leave requests hanging.

const timers = require('timers');
const { MessageChannel } = require('worker_threads');

const process = require('./process');

/** Settled, and so a queue that no clock takes the place of: its callbacks run when the tick is over, too. */
const settled = Promise.resolve();

/** Node's functions, once they have been seen. */
const own = { nextTick: undefined, setImmediate: undefined, setTimeout: undefined };
let { clearTimeout } = timers;

/**
 * What is in the place of one of them, unless it is a stopped clock's: Sinon, Jest and Vitest have theirs from one library
 * (fake-timers), which marks them. Node's own is told by its source, and kept. A tracer's passes on to Node's.
 */
function find(from, name) {
  const found = from[name];
  if (found.clock !== undefined) return undefined;
  if (Function.prototype.toString.call(found).startsWith(`function ${name}(`)) {
    own[name] = found;
    if (name === 'setTimeout') ({ clearTimeout } = timers);
  }
  return found;
}

find(process, 'nextTick');
find(timers, 'setImmediate');
find(timers, 'setTimeout');

/** Calls back when this tick has ended. */
function nextTick(callback) {
  const queue = own.nextTick ?? find(process, 'nextTick');
  if (queue === undefined) settled.then(callback);
  else queue(callback);
}

/** Does at once what Node's code in `act` leaves for the next tick: a clock of the program's may never come to that. */
function atOnce(act) {
  const { nextTick: given } = process;
  process.nextTick = (callback, ...args) => callback(...args);
  try {
    act();
  } finally {
    process.nextTick = given;
  }
}

/** Calls back in this turn of the loop, behind what has come. */
function setImmediate(callback, ...args) {
  const queue = own.setImmediate ?? find(timers, 'setImmediate');
  if (queue !== undefined) {
    queue(callback, ...args);
    return;
  }
  const { port1, port2 } = new MessageChannel();
  port1.once('message', () => {
    port1.close();
    callback(...args);
  });
  port2.postMessage(null);
}

/** Nothing of Node's stands in for a timer, so this one may be of the program's clock. */
function setTimeout(callback, ms, ...args) {
  const set = own.setTimeout ?? find(timers, 'setTimeout') ?? timers.setTimeout;
  return set(callback, ms, ...args);
}

module.exports = { atOnce, clearTimeout: (timer) => clearTimeout(timer), nextTick, setImmediate, setTimeout };
