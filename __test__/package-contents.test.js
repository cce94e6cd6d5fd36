'use strict';

// What npm makes a package of is all that its users have: no module may be missing there, no page that another one
// leads to, and nothing of the development may be in it.

const assert = require('node:assert');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const notices = require('../scripts/notices.js');

const ROOT = path.join(__dirname, '..');
const options = { timeout: 60_000 };

/** The files that npm packs of a folder, without the scripts that run before. */
function packed(folder) {
  const out = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    shell: process.platform === 'win32',
  });
  return JSON.parse(out)[0].files.map((file) => file.path);
}

/** The relative links of a page, as paths from the root. */
function linksOf(page) {
  const text = fs.readFileSync(path.join(ROOT, page), 'utf8');
  const targets = [...text.matchAll(/\]\(([^)#\s]+)(#[^)]*)?\)/g)].map((match) => match[1]);
  return targets
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => path.posix.join(path.posix.dirname(page), target));
}

test('the package has its modules, types and pages, and nothing else', options, () => {
  const files = packed(ROOT);
  const found = fs.readdirSync(path.join(ROOT, 'lib'), { recursive: true });
  const modules = found
    .filter((name) => name.endsWith('.js'))
    .map((name) => `lib/${name.replaceAll('\\', '/')}`);
  const pages = ['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json'];
  const face = ['index.js', 'index.mjs', 'index.d.ts', 'index.d.mts'];
  const rest = files.filter((file) => ![...modules, ...pages, ...face].includes(file));
  assert.deepEqual([...modules, ...pages, ...face].sort(), files.filter((f) => !rest.includes(f)).sort());
  assert.deepEqual(
    rest.filter((file) => !file.startsWith('docs/')),
    [],
  );
});

test('an import has the types that a require has', () => {
  const read = (file) => fs.readFileSync(path.join(ROOT, file), 'utf8');
  const declared = read('index.d.ts').matchAll(/^ {2}export (?:class|interface|type) (\w+)/gm);
  const [, exported] = /^export type \{([^}]*)\}/m.exec(read('index.d.mts'));
  const names = exported
    .split(',')
    .map((name) => name.trim())
    .filter(Boolean);
  assert.deepEqual([...names, 'HttpsAgent'].sort(), [...declared].map((match) => match[1]).sort());
});

test('the pages in the package lead to pages in the package', options, () => {
  const files = packed(ROOT);
  const pages = files.filter((file) => file.endsWith('.md'));
  const links = pages.flatMap((page) => linksOf(page).map((target) => ({ page, target })));
  assert.ok(links.length > 10, 'links were found');
  assert.deepEqual(
    links.filter(({ target }) => !files.includes(target)),
    [],
  );
});

test('a platform package has the licences of what is in it', options, (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'offloop-packages-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  fs.cpSync(path.join(ROOT, 'npm'), folder, { recursive: true });
  notices.copyInto(folder);
  for (const name of fs.readdirSync(folder)) {
    const files = packed(path.join(folder, name)).filter((file) => !file.endsWith('.node'));
    assert.deepEqual(files.sort(), ['LICENSE', 'README.md', notices.NAME, 'package.json'], name);
  }
});
