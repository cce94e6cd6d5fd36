'use strict';

// The process that owns the server: it starts it, and takes it along when it ends, also when the run is killed.

const { answer } = require('../child');

// By the names in kinds.js.
const STARTERS = { nginx: require('./nginx').start, own: require('./own').start };

// A Ctrl-C reaches the whole process group. This process must outlive it by a moment to clean up, and ends when the
// run's end closes the channel.
process.on('SIGINT', () => {});

answer({
  /** Starts the first of these kinds that can be. */
  async listen(kinds) {
    const notes = [];
    for (const kind of kinds) {
      try {
        return { ...(await STARTERS[kind]()), notes };
      } catch (error) {
        notes.push(`not ${kind}: ${error.message}`);
      }
    }
    throw new Error(`no server could be started\n${notes.join('\n')}`);
  },
});
