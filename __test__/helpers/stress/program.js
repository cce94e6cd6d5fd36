'use strict';

// The command line of the stress runs. Each is a program of its own: what handlers throw reaches nobody else, and it has to
// end by itself.

/** ms after which a process that has nothing left to do must have ended. */
const EXIT_WITHIN = 3000;

/** Runs `play({ seconds, seed, first, version })`, and prints its report. */
async function runProgram(play) {
  const [, , seconds = 30, start = String(Math.floor(Math.random() * 2 ** 21)), version] = process.argv;
  const [seed, first] = start.split(':').map(Number);
  console.log(`seed ${seed}`);
  try {
    const report = await play({ seconds: Number(seconds), seed, first, version: version || undefined });
    const { requests, outcomes, counts, violations } = report;
    console.log(`${requests} requests`, outcomes, counts);
    for (const text of violations) console.log(text);
    process.exitCode = violations.length > 0 ? 1 : 0;
  } catch (error) {
    console.log(error);
    process.exitCode = 1;
  }
  setTimeout(() => {
    console.log('the process does not end by itself');
    process.exit(1);
  }, EXIT_WITHIN).unref();
}

module.exports = { runProgram };
