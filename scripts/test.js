'use strict';

// npm test: the unit tests of the Rust half, then every test file of __test__.
//   npm test -- [--js] [part of a file's name]...
// --js leaves out the Rust half, and so does a name.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { run, say } = require('./run.js');
const { setup } = require('./setup.js');

const DIR = '__test__';

/**
 * The longest that one file may take, in ms, whatever its tests leave alive (time-limit.js): ten times what the slowest
 * takes on two processors of its own.
 */
const FILE_TIMEOUT = Number(process.env.OFFLOOP_TEST_LIMIT ?? 400_000);
/** ms after which a file that has not ended by itself then is blocked, and killed. */
const GRACE = 10_000;

function testFiles(names) {
  const all = fs.readdirSync(path.join(__dirname, '..', DIR)).filter((name) => /\.test\.m?js$/.test(name));
  const wanted = names.map((name) => path.basename(name));
  const chosen = all.filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)));
  if (chosen.length === 0) throw new Error(`no test file in ${DIR} is named like ${names.join(' ')}`);
  // Explicit paths: what a folder or a pattern means to node --test differs between Node's versions.
  return chosen.sort().map((name) => path.join(DIR, name));
}

async function runJavaScript(files) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'offloop-tests-'));
  const watch = setInterval(() => killBlocked(folder), 1000);
  try {
    const options = ['--test-concurrency=2', '--test-reporter=spec', '--require', './scripts/time-limit.js'];
    const env = { ...process.env, OFFLOOP_TEST_FILES: folder, OFFLOOP_TEST_LIMIT: String(FILE_TIMEOUT) };
    return await run(null, process.execPath, ['--test', ...options, ...files], { env });
  } finally {
    clearInterval(watch);
    fs.rmSync(folder, { recursive: true });
  }
}

/** Each file that runs has a note there: its name is that of the process. */
function killBlocked(folder) {
  for (const pid of fs.readdirSync(folder)) {
    const note = path.join(folder, pid);
    const { mtimeMs } = fs.statSync(note, { throwIfNoEntry: false }) ?? {};
    if (!(Date.now() - mtimeMs > FILE_TIMEOUT + GRACE)) continue;
    try {
      say(`${fs.readFileSync(note, 'utf8')} is blocked, and killed`);
      fs.rmSync(note);
      process.kill(Number(pid), 'SIGKILL');
    } catch (err) {
      // It has ended meanwhile, or crashed and left its note.
      if (err.code !== 'ENOENT' && err.code !== 'ESRCH') throw err;
    }
  }
}

function runRust() {
  // Not --release: overflow checks and debug assertions are half of what these tests are for.
  return run('testing the Rust half', 'cargo', ['test', ...(process.env.CI ? ['--locked'] : [])]);
}

async function main(args) {
  const names = args.filter((arg) => arg !== '--js');
  const files = testFiles(names);
  await setup();
  const rust = args.length === 0 ? await runRust() : { status: 0 };
  const js = await runJavaScript(files);
  if (rust.status !== 0) say('cargo test failed; see above');
  process.exitCode = rust.status || js.status;
}

main(process.argv.slice(2)).catch((err) => {
  say(err.message);
  process.exitCode = 1;
});
