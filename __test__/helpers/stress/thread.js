'use strict';

// A thread of stress-threads.js: plays for `workerData.seconds`, or exits `after` so many ms, and tells what it found.

const { parentPort, workerData } = require('node:worker_threads');
const { stress } = require('./run');
const { startWatch } = require('./watch');

const { seconds, seed, version, how, after } = workerData;

if (how === 'exit') setTimeout(() => process.exit(), after);
stress(seconds, seed, { version, watch: startWatch(), isAlone: false }).then(({ violations }) =>
  parentPort.postMessage(violations),
);
