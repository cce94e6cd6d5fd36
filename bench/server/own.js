'use strict';

const { spawn, spawnSync } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { createInterface } = require('node:readline');

const { PORTS, SMALL } = require('./content');

const SOURCE = path.join(__dirname, 'server.rs');
const FOLDER = path.join(__dirname, '..', '..', 'target', 'bench-server');
const SUFFIX = process.platform === 'win32' ? '.exe' : '';
const BINARY = path.join(FOLDER, `server${SUFFIX}`);

/** @returns {Promise<{ ports: number[], description: string }>} */
async function start() {
  build();
  // It ends when its standard input does, so it cannot outlive this process.
  const server = spawn(BINARY, [String(PORTS), SMALL], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = await Promise.race([
    once(createInterface(server.stdout), 'line'),
    once(server, 'exit').then(([code]) => Promise.reject(new Error(`it exited (${code})`))),
  ]);
  return {
    ports: line.trim().split(' ').map(Number),
    description: 'own (bench/server/server.rs), one thread per connection',
  };
}

function build() {
  if (isNewer(BINARY, SOURCE)) return;
  fs.mkdirSync(FOLDER, { recursive: true });
  // Built beside and moved, so that a run that starts meanwhile never executes half a file.
  const fresh = path.join(FOLDER, `server-${process.pid}${SUFFIX}`);
  // rustup's folder is on the PATH only of shells that were started after it was installed.
  const cargoHome = process.env.CARGO_HOME ?? path.join(os.homedir(), '.cargo');
  const env = { ...process.env, PATH: [process.env.PATH, path.join(cargoHome, 'bin')].join(path.delimiter) };
  const args = ['--edition', '2021', '-O', '-o', fresh, SOURCE];
  const { error, status, stderr } = spawnSync('rustc', args, { env, encoding: 'utf8' });
  if (error) throw new Error(error.code === 'ENOENT' ? 'rustc is not installed' : error.message);
  if (status !== 0) throw new Error(`rustc failed\n${stderr}`);
  fs.renameSync(fresh, BINARY);
}

function isNewer(file, than) {
  const time = fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs;
  return time !== undefined && time > fs.statSync(than).mtimeMs;
}

module.exports = { start };
