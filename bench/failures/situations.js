'use strict';

const { stat } = require('node:fs/promises');
const { performance } = require('node:perf_hooks');
const { setTimeout: sleep } = require('node:timers/promises');

const settings = require('./settings');

const { IDLE_LIMIT, SPREAD, STALL_BEYOND, PARKING, QUIET, PAUSE_AFTER_FAILURE } = settings;

/**
 * How requests come to meet the server's idle limit: until `signal.aborted`, and resolves once the last of them
 * has ended. The first request of a caller only opens its connection; it is no trial.
 * @callback Situation
 * @param {Array<(id: number) => Promise<number>>} callers each with an agent, and so a connection, of its own
 * @param {import('./attempts').Attempts} attempts
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */

/**
 * Each caller waits for as long as the limit, give or take, and sends again.
 * @type {Situation}
 */
async function atTheLimit(callers, attempts, signal) {
  const caller = async (send, index) => {
    // Not in step: each trial is to meet a loop that is at leisure.
    await sleep((IDLE_LIMIT * index) / callers.length);
    let round = index;
    while (!signal.aborted) {
      let answered = await attempts.make('opening', send);
      while (answered) {
        // Every millisecond of the spread as often as the others.
        await sleep(IDLE_LIMIT - SPREAD + (round++ % (2 * SPREAD + 1)));
        if (signal.aborted) return;
        answered = await attempts.make('trial', send);
      }
      await sleep(PAUSE_AFTER_FAILURE);
    }
  };
  await Promise.all(callers.map(caller));
  await sleep(QUIET);
}

/**
 * All callers have a connection; then JavaScript computes until the server has closed them all, and sends in
 * the same tick.
 * @type {Situation}
 */
async function afterAStall(callers, attempts, signal) {
  while (!signal.aborted) {
    const isOpen = await Promise.all(callers.map((send) => attempts.make('opening', send)));
    await sleep(PARKING);
    // So that it happens in an I/O callback, as in the handler of a request that a service serves. After a
    // timer's callback Node looks at the sockets before it runs what request puts off with setImmediate.
    await stat(__filename);
    stall(IDLE_LIMIT + STALL_BEYOND);
    await Promise.all(
      callers.filter((_, index) => isOpen[index]).map((send) => attempts.make('trial', send)),
    );
    await sleep(QUIET);
  }
}

function stall(duration) {
  const end = performance.now() + duration;
  while (performance.now() < end);
}

module.exports = {
  SITUATIONS: {
    limit: { title: 'at the idle limit', callers: settings.CALLERS_AT_LIMIT, run: atTheLimit },
    stall: { title: 'after a stall', callers: settings.CALLERS_PER_STALL, run: afterAStall },
  },
};
