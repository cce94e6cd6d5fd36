'use strict';

// Programs that need a process of their own: for what is set before the package is loaded, and for exceptions that
// nobody catches, which are the test runner's otherwise.

const { execFile } = require('node:child_process');
const path = require('node:path');
const { promisify } = require('node:util');

/**
 * Runs `before()`, then `program(data)`, in a Node of their own in the folder of the tests; resolves with what `program`
 * resolves with. Both are given as text, and see nothing of the file that they are in.
 */
async function inProcess(program, data, { before = () => {}, args = [], env = {} } = {}) {
  const code = `
    (${before})();
    (${program})(${JSON.stringify(data)}).then((result) => {
      console.log(JSON.stringify(result));
      process.exit();
    });`;
  const { stdout } = await promisify(execFile)(process.execPath, [...args, '-e', code], {
    timeout: 50_000,
    cwd: path.join(__dirname, '..'),
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...env },
  });
  return JSON.parse(stdout);
}

module.exports = { inProcess };
