'use strict';

// The package in a context of its own, as test runners load programs: with globals of theirs, and with classes of the
// language (`Error`, `Array`) that are not those of Node.

const fs = require('node:fs');
const { createRequire, isBuiltin } = require('node:module');
const path = require('node:path');
const vm = require('node:vm');

const PARAMETERS = ['module', 'exports', 'require', '__dirname', '__filename'];

/** What the package exports there; `globals` are those of the context. */
function loadInto(globals) {
  const parsingContext = vm.createContext({ Buffer, performance, URL, AbortController, ...globals });
  const modules = new Map();
  const load = (file) => {
    if (file.endsWith('.node')) return require(file);
    if (file.endsWith('.json')) return JSON.parse(fs.readFileSync(file, 'utf8'));
    if (!modules.has(file)) {
      const module = { exports: {} };
      modules.set(file, module);
      const { resolve } = createRequire(file);
      const requireFrom = (id) => (isBuiltin(id) ? require(id) : load(resolve(id)));
      const source = fs.readFileSync(file, 'utf8');
      const run = vm.compileFunction(source, PARAMETERS, { filename: file, parsingContext });
      run(module, module.exports, requireFrom, path.dirname(file), file);
    }
    return modules.get(file).exports;
  };
  return load(require.resolve('../..'));
}

module.exports = { loadInto };
