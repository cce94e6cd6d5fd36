'use strict';

const assert = require('node:assert');
const { test } = require('node:test');
const required = require('..');

test('import gives the same classes as require, by default and by name', async () => {
  const imported = await import('../index.mjs');
  assert.deepStrictEqual(Object.keys(imported).sort(), ['HttpAgent', 'HttpsAgent', 'default']);
  assert.strictEqual(imported.default, required);
  assert.strictEqual(imported.HttpAgent, required.HttpAgent);
  assert.strictEqual(imported.HttpsAgent, required.HttpsAgent);
});

test('the package is found by its name, both ways', async () => {
  assert.strictEqual(require('offloop'), required);
  const imported = await import('offloop');
  assert.strictEqual(imported.default, required);
  assert.deepStrictEqual(Object.keys(imported).sort(), ['HttpAgent', 'HttpsAgent', 'default']);
  assert.strictEqual(require('offloop/package.json').name, 'offloop');
});

test('nothing else can be reached by the name of the package', () => {
  assert.throws(() => require('offloop/lib/agent/agent.js'), { code: 'ERR_PACKAGE_PATH_NOT_EXPORTED' });
});

test('what is required has nothing but the classes', () => {
  assert.deepStrictEqual(Object.keys(required).sort(), ['HttpAgent', 'HttpsAgent', 'default']);
});
