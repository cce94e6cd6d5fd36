'use strict';

const { spawn } = require('node:child_process');

/** How often a command that may be silent for long is said to be still running, in ms. */
const TICK = 10_000;

const say = (text) => process.stderr.write(`offloop: ${text}\n`);

/**
 * Runs a command in the root of the project with its output shown as it comes; `what` it does is
 * repeated now and then, null if it speaks for itself. Resolves to its exit status and, with `capture`,
 * to what it wrote to its standard output; rejects if it cannot be started.
 */
function run(what, command, args, { capture = false, env = process.env, shell = false } = {}) {
  return new Promise((resolve, reject) => {
    const started = Date.now();
    const stdio = ['ignore', capture ? 'pipe' : 'inherit', 'inherit'];
    const child = spawn(command, args, { cwd: `${__dirname}/..`, env, shell, stdio });
    const chunks = [];
    child.stdout?.on('data', (chunk) => chunks.push(chunk));
    // On a terminal npm and cargo show progress of their own.
    const seconds = () => Math.round((Date.now() - started) / 1000);
    const tick =
      what && !process.stderr.isTTY && setInterval(() => say(`still ${what} (${seconds()} s)`), TICK);
    child.on('error', (err) => {
      clearInterval(tick);
      reject(err);
    });
    child.on('close', (code) => {
      clearInterval(tick);
      resolve({ status: code ?? 1, stdout: Buffer.concat(chunks).toString() });
    });
  });
}

module.exports = { run, say };
