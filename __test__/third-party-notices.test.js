'use strict';

// What the binary is made of comes with its licences (scripts/notices.js).

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const notices = require('../scripts/notices.js');

const HOW = 'to be made again: npm run notices';

function read() {
  const [packages, library] = fs
    .readFileSync(notices.FILE, 'utf8')
    .replaceAll('\r\n', '\n')
    .split(`\n${notices.LIBRARY}, of `);
  return { packages, library };
}

test('the notices are those of the present Cargo.lock', () => {
  const [, digest] = /^Cargo\.lock: sha256 (\w+)$/m.exec(read().packages);
  assert.equal(digest, notices.lockDigest(), HOW);
});

test('they name each package that is linked, and have its licences', (t) => {
  let made;
  try {
    made = notices.packagesPart();
  } catch (err) {
    // Those of other systems have not been fetched, or there is no cargo at all.
    if (err.status !== 101 && err.code !== 'ENOENT') throw err;
    t.skip('cargo has not got all packages');
    return;
  }
  assert.equal(read().packages, made, HOW);
});

test('they have the licences of what the compiler adds', () => {
  const { library } = read();
  assert.match(library, /^rustc 1\.\d+\.\d+ /);
  for (const of of ['The library itself', 'Its tables of Unicode', 'hashbrown ', 'gimli ', 'rustc-demangle '])
    assert.ok(library.includes(`\n${of}`), of);
});
