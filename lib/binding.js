'use strict';

// Finds and loads the native binary: the one that was built in this checkout, else the one of the
// platform package that npm installed beside this package. Whatever goes wrong comes out as one
// error that says what was looked for and what to do.

const { createRequire } = require('node:module');
const path = require('node:path');
const { version } = require('../package.json');

const PLATFORM = process.platform;
const ARCH = process.arch;

let native;

/** The C library that Node runs on, 'gnu' or 'musl' with its version if known; undefined off Linux. */
function libc() {
  if (PLATFORM !== 'linux') return undefined;
  const { report } = process;
  const { excludeNetwork } = report;
  // A report names every network interface's peers, and looks their host names up: seconds, at times.
  report.excludeNetwork = true;
  try {
    const glibc = report.getReport().header.glibcVersionRuntime;
    return glibc ? { name: 'gnu', version: glibc } : { name: 'musl' };
  } finally {
    report.excludeNetwork = excludeNetwork;
  }
}

/** The name of a platform as napi-rs spells it in file and package names, such as linux-x64-gnu. */
function triple(platform, arch, libcName) {
  if (platform === 'win32') return `${platform}-${arch}-msvc`;
  return platform === 'linux' ? `${platform}-${arch}-${libcName}` : `${platform}-${arch}`;
}

/** What to require, in this order: the file of a local build, then the platform package. */
function candidates(platform, arch, libcName) {
  const name = triple(platform, arch, libcName);
  return [path.join(__dirname, '..', `offloop.${name}.node`), `offloop-${name}`];
}

function failure(problem, looked, advice, cause) {
  const c = libc();
  const runtime = c ? `, ${c.name === 'gnu' ? 'glibc' : c.name} ${c.version ?? ''}`.trimEnd() : '';
  const message = `offloop: ${problem}
  platform: ${PLATFORM} ${ARCH}${runtime}, Node ${process.version}
  looked for: ${looked.join('\n              ')}
  ${advice}`;
  return Object.assign(new Error(message, { cause }), { code: 'ERR_OFFLOOP_BINARY' });
}

const REINSTALL =
  'Install again with optional dependencies (npm install --include=optional) on the machine that runs it, ' +
  'or run `npm run build` in a checkout of the sources. A bundler has to leave offloop out (as an external module).';

const ALLOW =
  'Allow native addons: start Node without --no-addons, and with --allow-addons beside --permission.';

/** Node's own: a bundler that puts this file into another one does not know what its `require` asks for at run time. */
const requireBinary = createRequire(__filename);

function load() {
  const override = process.env.OFFLOOP_BINARY;
  const list = override ? [override] : candidates(PLATFORM, ARCH, libc()?.name);
  let missing;
  for (const candidate of list) {
    let binding;
    try {
      binding = requireBinary(candidate);
    } catch (err) {
      if (err.code !== 'MODULE_NOT_FOUND') throw broken(candidate, err, list);
      missing ??= err;
      continue;
    }
    const found = binding.version?.() ?? 'unknown';
    if (found === version) return binding;
    const problem = `wrong native binary: ${candidate} is version ${found}, the package is ${version}.`;
    throw failure(problem, list, REINSTALL);
  }
  const advice = override ? 'OFFLOOP_BINARY has to be the absolute path of a .node file.' : REINSTALL;
  throw failure('the native binary is missing.', list, advice, missing);
}

function broken(candidate, err, list) {
  const advice = err.code === 'ERR_DLOPEN_DISABLED' ? ALLOW : REINSTALL;
  return failure(`the native binary ${candidate} does not load: ${err.message}`, list, advice, err);
}

module.exports = {
  candidates,
  libc,
  triple,
  /** The native module; it is loaded by the first access. */
  get native() {
    return (native ??= load());
  },
};
