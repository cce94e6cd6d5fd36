'use strict';

// Stress runs in several threads at once, some of which end in the middle; that must be nobody else's business:
//   node stress-threads.js [seconds] [seed] [TLSv1.2 | TLSv1.3]
// Each thread plays against a server of its own (stress/thread.js), and so does the main thread.

const { once } = require('node:events');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { Worker } = require('node:worker_threads');
const { openSockets, until } = require('./blocked');
const { generator } = require('./generator');
const { runProgram } = require('./stress/program');
const { stress } = require('./stress/run');
const { startWatch } = require('./stress/watch');

/** Threads at a time, beside the main one. */
const THREADS = 2;
/** Ends in the middle have this many ms, the start of a thread and its server included. */
const SHORTEST = 150;
const LONGEST = 900;
/** Seconds that a thread plays which is let end. */
const WHOLE = 1;
/** ms until the sockets of threads that have ended must be gone. */
const SOON = 5000;

/** Has threads follow each other until it is `end`; the ends of all are in `ends`, by their kinds. */
async function playThreads(random, options, end, { ends, violations }) {
  while (performance.now() < end) {
    const how = random.pick(['whole', 'terminate', 'terminate', 'exit']);
    const after = how === 'whole' ? undefined : random.integer(SHORTEST, LONGEST);
    const workerData = { ...options, seconds: WHOLE, seed: random.integer(1, 2 ** 21), how, after };
    const worker = new Worker(path.join(__dirname, 'stress', 'thread.js'), {
      workerData,
      env: { ...process.env, TMPDIR: options.folder },
    });
    let isTold = false;
    worker.on('message', (texts) => {
      isTold = true;
      for (const text of texts) violations.push(`a thread: ${text}`);
    });
    worker.on('error', (error) => violations.push(`a thread of seed ${workerData.seed}: ${error.stack}`));
    const exited = once(worker, 'exit');
    if (how === 'terminate') setTimeout(() => worker.terminate(), after);
    const [code] = await exited;
    // One that is ended may have been through before.
    if (how === 'whole' && (code !== 0 || !isTold))
      violations.push(`a thread of seed ${workerData.seed} ended with ${code}, and told ${isTold}`);
    ends[how] = (ends[how] ?? 0) + 1;
  }
}

async function play({ seconds, seed, version }) {
  const sockets = openSockets();
  // Who is terminated leaves files behind.
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'stress-'));
  const threads = { ends: {}, violations: [] };
  const end = performance.now() + seconds * 1000;
  const playing = Array.from({ length: THREADS }, (_, number) =>
    playThreads(generator(seed * 31 + number), { version, folder }, end, threads),
  );
  const report = await stress(seconds, seed, { version, watch: startWatch(), isAlone: false });
  await Promise.all(playing);
  await until(() => openSockets() <= sockets, SOON).catch(() =>
    threads.violations.push(`${openSockets() - sockets} sockets are left of threads that have ended`),
  );
  fs.rmSync(folder, { recursive: true, force: true });
  report.violations.push(...threads.violations);
  report.counts = { ...report.counts, ...threads.ends };
  return report;
}

runProgram(play);
