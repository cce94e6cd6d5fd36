'use strict';

// Preloaded by test.js into the process of each test file. What a failed test leaves alive (a server, a worker, a
// child) keeps that process running, and Node limits the time of a file in some versions only. Here it ends in time,
// as a failure, and says what was alive. One whose loop is blocked cannot; test.js ends it by its number.

const fs = require('node:fs');
const path = require('node:path');
const { isMainThread } = require('node:worker_threads');

const { NODE_TEST_CONTEXT, OFFLOOP_TEST_FILES: folder, OFFLOOP_TEST_LIMIT: limit } = process.env;

// Workers are given it too, and so is the process that runs the files.
if (isMainThread && NODE_TEST_CONTEXT !== undefined && folder !== undefined) {
  const file = path.relative(process.cwd(), process.argv[1]);
  const note = path.join(folder, String(process.pid));
  fs.writeFileSync(note, file);
  process.on('exit', () => fs.rmSync(note, { force: true }));
  const { exit } = process;
  setTimeout(() => {
    const alive = [...new Set(process.getActiveResourcesInfo())].join(', ');
    fs.writeSync(2, `offloop: ${file} ended after ${limit} ms; alive: ${alive || 'nothing'}\n`);
    exit.call(process, 1);
  }, Number(limit)).unref();
}
