'use strict';

// OFFLOOP_LOG=debug has the native side log to stderr (src/log.rs). Read when an agent is used first.

function startLog(native) {
  const filter = process.env.OFFLOOP_LOG;
  if (!filter) return;
  const problem = native.startLog(filter);
  if (problem) {
    process.emitWarning(`nothing is logged: OFFLOOP_LOG=${filter} is no filter: ${problem}`, {
      type: 'OffloopWarning',
      code: 'OFFLOOP_LOG',
    });
  }
}

module.exports = { startLog };
