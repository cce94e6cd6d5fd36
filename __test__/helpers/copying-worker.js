'use strict';

// A worker thread that uses copies of the package, lets go of some, and ends some turns of its loop after they were
// collected. One has an idle connection then.

const { workerData } = require('node:worker_threads');
const { leftAfterCollection } = require('./collection');
const { loadInto } = require('./own-context');
const { exchange, exchangeAndIdle, nextTurn } = require('./request');

const { at, turns } = workerData;

async function use() {
  const { HttpAgent } = loadInto({ process, setTimeout, clearTimeout });
  const agent = new HttpAgent();
  await exchange({ ...at, agent });
  agent.destroy();
  return new WeakRef(HttpAgent.prototype.addRequest.constructor);
}

(async () => {
  const { HttpAgent } = loadInto({ process, setTimeout, clearTimeout });
  await exchangeAndIdle({ ...at, agent: new HttpAgent({ freeSocketTimeout: 0 }) });
  const contexts = [await use(), await use()];
  const left = await leftAfterCollection({ ...contexts });
  for (let i = 0; i < turns; i++) await nextTurn();
  process.exit(left.length);
})();
