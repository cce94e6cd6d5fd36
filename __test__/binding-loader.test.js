'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { spawnSync } = require('node:child_process');
const { isBuiltin } = require('node:module');
const { after, test } = require('node:test');
const vm = require('node:vm');
const { candidates, libc, triple } = require('../lib/binding.js');
const { napi, version } = require('../package.json');

const ROOT = path.join(__dirname, '..');
const HERE = triple(process.platform, process.arch, libc()?.name);
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'offloop-loader-'));
after(() => fs.rmSync(folder, { recursive: true }));

/** A copy of the loader alone, as in a package without a binary; `files` are put beside it. */
function install(name, files = {}) {
  const root = path.join(folder, name);
  const all = {
    'package.json': fs.readFileSync(path.join(ROOT, 'package.json')),
    'lib/binding.js': fs.readFileSync(path.join(ROOT, 'lib/binding.js')),
    ...files,
  };
  for (const [file, content] of Object.entries(all)) {
    fs.mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
    fs.writeFileSync(path.join(root, file), content);
  }
  return root;
}

/** Loads the binary in a process of its own and returns what came of it. */
function load(root, env = {}) {
  const script = `
    let out;
    try { out = { version: require('./lib/binding.js').native.version() }; } catch (err) {
      out = { code: err.code, message: err.message, cause: err.cause?.code ?? err.cause?.message };
    }
    console.log(JSON.stringify(out));`;
  const options = { cwd: root, encoding: 'utf8', env: { ...process.env, OFFLOOP_BINARY: '', ...env } };
  const { status, stdout, stderr } = spawnSync(process.execPath, ['-e', script], options);
  assert.strictEqual(status, 0, stderr);
  return JSON.parse(stdout);
}

test('the local build comes before the platform package', () => {
  const cases = [
    ['linux', 'x64', 'gnu', 'linux-x64-gnu'],
    ['linux', 'arm64', 'musl', 'linux-arm64-musl'],
    ['darwin', 'arm64', undefined, 'darwin-arm64'],
    ['win32', 'x64', undefined, 'win32-x64-msvc'],
  ];
  for (const [platform, arch, libcName, name] of cases) {
    const [file, pkg] = candidates(platform, arch, libcName);
    assert.strictEqual(file, path.join(ROOT, `offloop.${name}.node`));
    assert.strictEqual(pkg, `offloop-${name}`);
  }
});

test('every platform package is one that the loader looks for, in the same version', () => {
  const folders = fs.readdirSync(path.join(ROOT, 'npm')).sort();
  assert.strictEqual(folders.length, napi.targets.length);
  for (const name of folders) {
    const manifest = require(`../npm/${name}/package.json`);
    const [file, pkg] = candidates(
      manifest.os[0],
      manifest.cpu[0],
      manifest.libc?.[0].replace('glibc', 'gnu'),
    );
    assert.strictEqual(manifest.name, pkg);
    assert.strictEqual(manifest.main, path.basename(file));
    assert.deepStrictEqual(manifest.files, [manifest.main, 'THIRD-PARTY-NOTICES.txt']);
    assert.strictEqual(manifest.version, version);
  }
  assert.match(
    fs.readFileSync(path.join(ROOT, 'Cargo.toml'), 'utf8'),
    new RegExp(`^version = "${version}"`, 'm'),
  );
});

test('the binary of this checkout loads, and by OFFLOOP_BINARY too', () => {
  assert.deepStrictEqual(load(ROOT), { version });
  const file = candidates(process.platform, process.arch, libc()?.name)[0];
  assert.deepStrictEqual(load(install('override'), { OFFLOOP_BINARY: file }), { version });
});

test('the platform package is used when there is no local build', () => {
  const root = install('platform-package', {
    [`node_modules/offloop-${HERE}/index.js`]: `exports.version = () => '${version}';`,
  });
  assert.deepStrictEqual(load(root), { version });
});

test("a bundler may have put a require of its own into the place of Node's", () => {
  const root = install('bundle', {
    [`node_modules/offloop-${HERE}/index.js`]: `exports.version = () => '${version}';`,
  });
  const file = path.join(root, 'bundle.js');
  const source = fs.readFileSync(path.join(ROOT, 'lib/binding.js'), 'utf8');
  // What bundlers make of a request that they cannot read in the source.
  const bundled = (id) => {
    if (isBuiltin(id)) return require(id);
    if (id === '../package.json') return { version };
    throw Object.assign(new Error(`Cannot find module '${id}'`), { code: 'MODULE_NOT_FOUND' });
  };
  const module = { exports: {} };
  const parameters = ['module', 'exports', 'require', '__dirname', '__filename'];
  vm.compileFunction(source, parameters)(module, module.exports, bundled, root, file);
  assert.strictEqual(module.exports.native.version(), version);
});

test('a missing binary says what was looked for and what to do', () => {
  const { code, message, cause } = load(install('missing'));
  assert.strictEqual(code, 'ERR_OFFLOOP_BINARY');
  assert.strictEqual(cause, 'MODULE_NOT_FOUND');
  assert.match(message, /the native binary is missing/);
  assert.ok(message.includes(`${process.platform} ${process.arch}`));
  assert.ok(message.includes(`offloop.${HERE}.node`));
  assert.ok(message.includes(`offloop-${HERE}`));
  assert.match(message, /--include=optional/);
  assert.match(message, /npm run build/);
  assert.match(message, /bundler/);
});

test('a corrupt binary is not taken for a missing one', () => {
  const root = install('corrupt', {
    [`offloop.${HERE}.node`]: 'not a shared library',
    [`node_modules/offloop-${HERE}/index.js`]: `exports.version = () => '${version}';`,
  });
  const { code, message, cause } = load(root);
  assert.strictEqual(code, 'ERR_OFFLOOP_BINARY');
  assert.strictEqual(cause, 'ERR_DLOPEN_FAILED');
  assert.ok(message.includes(`offloop.${HERE}.node does not load`));
  assert.match(message, /--include=optional/);
});

test('a Node that loads no addons says how it would', () => {
  const root = install('disabled', { [`offloop.${HERE}.node`]: '' });
  const { code, message, cause } = load(root, { NODE_OPTIONS: '--no-addons' });
  assert.strictEqual(code, 'ERR_OFFLOOP_BINARY');
  assert.strictEqual(cause, 'ERR_DLOPEN_DISABLED');
  assert.match(message, /without --no-addons/);
  assert.match(message, /--allow-addons/);
});

test('a binary that fails while it loads keeps its own error as the cause', () => {
  const root = install('throwing', {
    [`node_modules/offloop-${HERE}/index.js`]: `throw new Error('no thread left');`,
  });
  const { code, message, cause } = load(root);
  assert.strictEqual(code, 'ERR_OFFLOOP_BINARY');
  assert.strictEqual(cause, 'no thread left');
  assert.match(message, /does not load: no thread left/);
});

test('a binary of another version is refused', () => {
  for (const [name, source, found] of [
    ['older', `exports.version = () => '0.0.9';`, '0.0.9'],
    ['foreign', '', 'unknown'],
  ]) {
    const { code, message } = load(install(name, { [`node_modules/offloop-${HERE}/index.js`]: source }));
    assert.strictEqual(code, 'ERR_OFFLOOP_BINARY');
    assert.match(message, /wrong native binary/);
    assert.ok(message.includes(`is version ${found}, the package is ${version}`));
  }
});

test('OFFLOOP_BINARY is the only place that is looked at when it is set', () => {
  const root = install('only-override', {
    [`node_modules/offloop-${HERE}/index.js`]: `exports.version = () => '${version}';`,
  });
  const absent = path.join(folder, 'absent.node');
  const { code, message } = load(root, { OFFLOOP_BINARY: absent });
  assert.strictEqual(code, 'ERR_OFFLOOP_BINARY');
  assert.ok(message.includes(absent));
  assert.ok(!message.includes(`offloop-${HERE}`));
  assert.match(message, /OFFLOOP_BINARY has to be the absolute path/);
});

test('the process report is left as it was found', () => {
  const before = process.report.excludeNetwork;
  libc();
  assert.strictEqual(process.report.excludeNetwork, before);
});
