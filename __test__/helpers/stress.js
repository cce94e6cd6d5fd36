'use strict';

// Random requests against a server that does everything wrong:
//   node stress.js [seconds] [seed[:round]] [TLSv1.2 | TLSv1.3]
// Over TCP unless a version of TLS is given; from that round on, if one is named. Prints the seed, and what it found
// against the rules; exit status 1 if it found something. Part of the suite by ../stress.test.js, for a few seconds.
//
// What happens is planned before (stress/plan.js), done (stress/round.js, stress/call.js) and judged (stress/judge.js) by
// what the server has seen (stress/evidence.js). Several threads at once are in stress-threads.js.

const { runProgram } = require('./stress/program');
const { stress } = require('./stress/run');
const { startWatch } = require('./stress/watch');

runProgram(({ seconds, seed, first, version }) =>
  stress(seconds, seed, { first, version, watch: startWatch() }),
);
