'use strict';

// The layers of lib/ (docs/architecture.md): a module requires those of its own folder, of the folders below, and those
// that stand in lib/ itself.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');

const LIB = path.join(__dirname, '..', 'lib');

/** From the top. Those of one row know nothing of each other. */
const LAYERS = [
  ['agent'],
  ['lane'],
  ['request', 'response'],
  ['connect'],
  ['tls'],
  ['crossing'],
  ['node'],
  [''],
];

const folderOf = (file) => path.dirname(path.relative(LIB, file)).replace(/^\.$/, '');
const layerOf = (folder) => LAYERS.findIndex((folders) => folders.includes(folder));

test('a module requires nothing from above', () => {
  const modules = fs.readdirSync(LIB, { recursive: true }).filter((name) => name.endsWith('.js'));
  assert.ok(modules.length > 70);
  for (const name of modules) {
    const file = path.join(LIB, name);
    const from = folderOf(file);
    assert.notEqual(layerOf(from), -1, name);
    for (const [, target] of fs.readFileSync(file, 'utf8').matchAll(/require\('(\.[^']*)'\)/g)) {
      const to = folderOf(path.join(path.dirname(file), target));
      const isOurs = !to.startsWith('..');
      assert.ok(!isOurs || to === from || layerOf(to) > layerOf(from), `${name} requires ${target}`);
    }
  }
});
