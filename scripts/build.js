'use strict';

// Builds the native addon and puts it where lib/binding.js looks first. Run by itself it always asks
// cargo; scripts/setup.js asks `isCurrent` before.

const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { libc, triple } = require('../lib/binding.js');
const { exclusively } = require('./lock.js');
const { run, say } = require('./run.js');

const ROOT = path.join(__dirname, '..');
const INPUTS = ['.cargo/config.toml', 'Cargo.lock', 'Cargo.toml', 'build.rs', 'src'];
const ADDON = path.join(ROOT, `offloop.${triple(process.platform, process.arch, libc()?.name)}.node`);
const STAMP = path.join(ROOT, 'target', 'offloop-build.json');
const LOCK = path.join(ROOT, 'target', 'setup.lock');

/** A hash of the names and contents of everything that the addon is made of. */
function fingerprint() {
  const hash = crypto.createHash('sha256').update(process.env.RUSTFLAGS ?? '');
  for (const file of INPUTS.flatMap(filesOf)) {
    hash.update(`\0${file}\0`).update(fs.readFileSync(path.join(ROOT, file)));
  }
  return hash.digest('hex');
}

function filesOf(name) {
  const stat = fs.statSync(path.join(ROOT, name), { throwIfNoEntry: false });
  if (!stat?.isDirectory()) return stat ? [name] : [];
  const entries = fs.readdirSync(path.join(ROOT, name)).sort();
  return entries.flatMap((entry) => filesOf(`${name}/${entry}`));
}

/** What was built and what came of it, so that an addon that was removed or replaced is noticed too. */
function stampOf(inputs) {
  const addon = fs.statSync(ADDON, { throwIfNoEntry: false });
  return `${inputs} ${addon?.size} ${addon?.mtimeMs}\n`;
}

function isCurrent() {
  return fs.existsSync(STAMP) && fs.readFileSync(STAMP, 'utf8') === stampOf(fingerprint());
}

/** Builds and installs the addon. The caller holds the lock. */
async function build() {
  // Taken first: a source that is edited while the compiler reads it makes the next build.
  const inputs = fingerprint();
  say('building the native addon (cargo build --release); the first time takes a minute or more');
  const args = ['build', '--release', '--message-format=json-render-diagnostics'];
  if (process.env.CI) args.push('--locked');
  const { status, stdout } = await run('building', 'cargo', args, { capture: true }).catch(withoutCargo);
  if (status !== 0) throw new Error(`cargo build failed (status ${status}); what it says stands above`);
  install(libraryOf(stdout));
  fs.writeFileSync(STAMP, stampOf(inputs));
  say(`built ${path.basename(ADDON)}`);
}

function withoutCargo(err) {
  if (err.code !== 'ENOENT') throw err;
  throw new Error(
    'there is no `cargo` in PATH. The native half of offloop is written in Rust: install it ' +
      '(https://rustup.rs), open a new shell, and run this again.',
    { cause: err },
  );
}

/** Cargo says itself where it put the library: the folder depends on the user's configuration. */
function libraryOf(messages) {
  const artifacts = messages
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
    .filter((m) => m.reason === 'compiler-artifact' && m.target.name === 'offloop');
  const library = artifacts.flatMap((m) => m.filenames).find((file) => /\.(so|dylib|dll)$/.test(file));
  if (!library) throw new Error('cargo built no shared library named offloop');
  return library;
}

/** By a rename, so that a process that has the old file loaded keeps it whole. */
function install(library) {
  const fresh = path.join(ROOT, `.offloop-${process.pid}.node`);
  fs.copyFileSync(library, fresh);
  fs.renameSync(fresh, ADDON);
}

module.exports = { LOCK, build, isCurrent };

if (require.main === module) {
  exclusively(LOCK, build).catch((err) => {
    say(err.message);
    process.exitCode = 1;
  });
}
