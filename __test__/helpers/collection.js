'use strict';

// What is left when garbage has been collected.

const v8 = require('node:v8');
const vm = require('node:vm');
const { nextTurn } = require('./request');

v8.setFlagsFromString('--expose-gc');
const collect = vm.runInNewContext('gc');

/** Collects garbage until all that `refs` name is gone, at most some rounds. Returns what is left. */
async function leftAfterCollection(refs) {
  let left = Object.keys(refs);
  for (let round = 0; round < 50 && left.length > 0; round++) {
    await nextTurn();
    collect();
    left = left.filter((name) => refs[name].deref() !== undefined);
  }
  return left;
}

module.exports = { collect, leftAfterCollection };
