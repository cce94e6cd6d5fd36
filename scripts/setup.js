'use strict';

// Makes a checkout ready to run, from nothing but Node and Rust: the development dependencies and the
// native addon, each only if it is missing or out of date. Called before the tests, the demo and the
// benchmarks, so it has to cost nothing when there is nothing to do.

const fs = require('node:fs');
const path = require('node:path');
const { LOCK, build, isCurrent } = require('./build.js');
const { exclusively } = require('./lock.js');
const { run, say } = require('./run.js');

const ROOT = path.join(__dirname, '..');

/** Whether node_modules holds what package-lock.json asks for, by the list that npm keeps in it. */
function isInstalled() {
  const installed = installedPackages();
  // Optional ones are those of other platforms, which npm leaves out.
  return Object.entries(packagesOf(path.join(ROOT, 'package-lock.json'))).every(
    ([where, { optional, version }]) =>
      where === '' || installed[where]?.version === version || (optional && !installed[where]),
  );
}

function installedPackages() {
  try {
    return packagesOf(path.join(ROOT, 'node_modules', '.package-lock.json'));
  } catch {
    return {}; // missing, or cut short when npm was killed
  }
}

const packagesOf = (file) => JSON.parse(fs.readFileSync(file, 'utf8')).packages;

async function install() {
  say('installing the development dependencies (npm ci)');
  const args = ['ci', '--include=dev', '--loglevel=error'];
  // Under `npm run` this names npm itself; otherwise npm is in PATH, on Windows as a batch file.
  const npm = process.env.npm_execpath;
  const [command, first, shell] = /npm-cli\.c?js$/.test(npm ?? '')
    ? [process.execPath, [npm], false]
    : ['npm', [], process.platform === 'win32'];
  const { status } = await run('installing', command, [...first, ...args], { shell });
  if (status !== 0) throw new Error(`npm ci failed (status ${status}); what it says stands above`);
}

async function setup() {
  if (isInstalled() && isCurrent()) return;
  await exclusively(LOCK, async () => {
    // Asked again: whoever held the lock until now may have done it all.
    if (!isInstalled()) await install();
    if (!isCurrent()) await build();
  });
}

module.exports = { setup };

if (require.main === module) {
  setup().catch((err) => {
    say(err.message);
    process.exitCode = 1;
  });
}
