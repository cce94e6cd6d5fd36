'use strict';

// What others have written of the binary, and under which licences: THIRD-PARTY-NOTICES.txt, which is in each platform
// package beside the binary, since these licences ask for that.
//   node scripts/notices.js          writes it, after Cargo.lock or the compiler has changed
//   node scripts/notices.js --copy   puts it beside the binaries (npm run artifacts)

const { execFileSync } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { say } = require('./run.js');

const ROOT = path.join(__dirname, '..');
const NAME = 'THIRD-PARTY-NOTICES.txt';
const FILE = path.join(ROOT, NAME);
const RULE = '-'.repeat(80);
/** What stands behind it is of the compiler, and another one may say it in other words. */
const LIBRARY = 'The standard library of Rust';

/** What a licence is called in a crate's folder. */
const LICENCE_FILE = /^(licen[sc]es?|copying|copyright|notice|unlicense)\b/i;

/** `--offline`: what it has been built from is there. */
function cargo(command, ...args) {
  const options = { cwd: ROOT, encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'ignore'] };
  return execFileSync('cargo', [command, '--locked', '--offline', ...args], options);
}

/** The packages whose code is in the binary of one of these targets; what a macro is made of is the compiler's. */
function linked(targets) {
  const tree = ['--edges', 'normal,no-proc-macro', '--prefix', 'none', '--format', '{p}'];
  const lines = targets.flatMap((target) => cargo('tree', ...tree, '--target', target).split('\n'));
  const names = new Set(lines.map((line) => /^(\S+) v(\S+)/.exec(line)?.slice(1).join(' ')));
  const { packages } = JSON.parse(cargo('metadata', '--format-version=1'));
  return packages.filter(({ name, source, version }) => source !== null && names.has(`${name} ${version}`));
}

/** The licences of a package, and of what it has taken over from others. Of several to choose from, MIT is chosen. */
function licencesOf({ manifest_path: manifest, authors, license, name, repository }) {
  const folder = path.dirname(manifest);
  const entries = fs.readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && LICENCE_FILE.test(entry.name));
  const isOwn = ({ parentPath, path: parent }) => (parentPath ?? parent) === folder;
  const own = files.filter(isOwn);
  const mit = own.filter((file) => /mit/i.test(file.name));
  const isOfChoice = license.split(/ OR |\//).includes('MIT') && mit.length > 0;
  const chosen = [...(isOfChoice ? mit : own), ...files.filter((file) => !isOwn(file))]
    .map(({ name: file, parentPath, path: parent }) => path.join(parentPath ?? parent, file))
    .sort();
  if (own.length > 0) return chosen.map((file) => fs.readFileSync(file, 'utf8'));
  if (license !== 'MIT') throw new Error(`${name} has no file with its licence, ${license}`);
  return [mitOf(authors.length > 0 ? authors.join(', ') : `the authors of ${repository}`)];
}

/** The licence of those who have not put it into their package: our own has the same words. */
function mitOf(whose) {
  const own = fs.readFileSync(path.join(ROOT, 'LICENSE'), 'utf8');
  return own.replace(/^Copyright .*$/m, `Copyright (c) ${whose}`);
}

/** Sections of texts, each with all that it is the licence of. */
function sections(entries) {
  const titles = new Map();
  for (const [title, texts] of entries) {
    for (const text of texts) {
      const clean = text
        .replaceAll('\r\n', '\n')
        .replaceAll(/[ \t]+$/gm, '')
        .replace(/^\n+|\n+$/g, '');
      titles.set(clean, [...(titles.get(clean) ?? []), title]);
    }
  }
  return [...titles].map(([text, of]) => `${RULE}\n${of.join('\n')}\n${RULE}\n\n${text}\n`);
}

/** What our own crates are made of. */
function packagesPart() {
  const { targets } = JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8')).napi;
  const entries = linked(targets)
    .map((one) => [`${one.name} ${one.version} (${one.license})`, licencesOf(one)])
    .sort(([one], [other]) => (one < other ? -1 : 1));
  const head = `The binary of offloop contains code of the packages below, on some systems not of all of them, and of the
standard library of Rust. This file is made by scripts/notices.js.

Cargo.lock: sha256 ${lockDigest()}
`;
  return [head, ...sections(entries)].join('\n');
}

function lockDigest() {
  const lock = fs.readFileSync(path.join(ROOT, 'Cargo.lock'), 'utf8').replaceAll('\r\n', '\n');
  return crypto.createHash('sha256').update(lock).digest('hex');
}

/** What the compiler's own page says of the library and of the crates in it. */
function libraryPart() {
  const root = execFileSync('rustc', ['--print', 'sysroot'], { cwd: ROOT, encoding: 'utf8' }).trim();
  const version = execFileSync('rustc', ['--version'], { cwd: ROOT, encoding: 'utf8' }).trim();
  const read = (file) => fs.readFileSync(path.join(root, 'share/doc/rust', file), 'utf8');
  const page = read('COPYRIGHT-library.html');
  const [own, others] = page.split('id="out-of-tree-dependencies"');
  const holders = new Set([...own.matchAll(/<b>Copyright:<\/b>([^<]*)</g)].map(([, whose]) => decode(whose)));
  const entries = others
    .split('<h3>')
    .slice(1)
    .map((block) => {
      const title = decode(/^[^<]*?([\w-]+-\d[^<]*)</.exec(block)[1]).replace(/-(\d)/, ' $1');
      const license = decode(/<b>License:<\/b>([^<]*)</.exec(block)[1]);
      const files = [...block.matchAll(/<code>([^<]*)<\/code><\/summary>\s*<pre>([^<]*)<\/pre>/g)];
      const mit = files.filter(([, file]) => /mit/i.test(file));
      const chosen = mit.length > 0 ? mit : files;
      return [`${title} (${license})`, chosen.map(([, , text]) => decode(text))];
    });
  const head = `${LIBRARY}, of ${version}, and the crates that it may contain:\n`;
  const library = ['The library itself (MIT OR Apache-2.0)', [mitOf([...holders].join(';\n  '))]];
  const tables = ['Its tables of Unicode (Unicode-3.0)', [read('licenses/Unicode-3.0.txt')]];
  return [head, ...sections([library, tables, ...entries])].join('\n');
}

function decode(html) {
  const names = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
  return html
    .replaceAll(/&(?:#(\d+)|(\w+));/g, (all, code, name) =>
      code ? String.fromCodePoint(code) : (names[name] ?? all),
    )
    .trim();
}

function write() {
  fs.writeFileSync(FILE, `${packagesPart()}\n${libraryPart()}`);
}

/** Into each folder of a platform package. */
function copyInto(folder) {
  for (const name of fs.readdirSync(folder)) fs.copyFileSync(FILE, path.join(folder, name, NAME));
}

module.exports = { FILE, LIBRARY, NAME, copyInto, lockDigest, packagesPart };

if (require.main === module) {
  if (process.argv[2] === '--copy') copyInto(path.join(ROOT, 'npm'));
  else {
    write();
    say(`wrote ${NAME}`);
  }
}
