'use strict';

const { spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');

const certificate = require('../../__test__/helpers/certificate');
const { SMALL } = require('./content');

const START_LIMIT = 3000; // ms

// Where Debian and others put it, which an ordinary user's PATH leaves out.
const SEARCH = [process.env.PATH, '/usr/sbin', '/usr/local/sbin'].join(path.delimiter);
const env = { ...process.env, PATH: SEARCH };

/** @returns {Promise<{ port: number, securePort?: number, description: string }>} */
async function start() {
  const build = readBuild();
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'offloop-bench-'));
  process.on('exit', () => fs.rmSync(directory, { recursive: true, force: true }));
  const port = await findPort();
  const securePort = build.includes('--with-http_ssl_module') ? await findPort() : undefined;
  const file = path.join(directory, 'nginx.conf');
  for (const [name, pem] of Object.entries(certificate)) fs.writeFileSync(path.join(directory, name), pem);
  fs.writeFileSync(file, configuration(directory, port, securePort, build));
  const nginx = spawn('nginx', ['-p', directory, '-c', file], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  process.on('exit', () => nginx.kill('SIGKILL'));
  await waitUntilReady(nginx, port);
  return { port, securePort, description: `nginx ${/nginx\/([\d.]+)/.exec(build)?.[1]}, one process` };
}

function readBuild() {
  const { error, stderr } = spawnSync('nginx', ['-V'], { env, encoding: 'utf8' });
  if (error) throw new Error(error.code === 'ENOENT' ? 'not installed' : error.message);
  return stderr;
}

/** nginx cannot choose a free port and tell which. */
function findPort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

function configuration(directory, port, securePort, build) {
  // Every module that is built in creates its folder at start, by default where only root may; but a directive of
  // a module that is not built in is an error.
  const modules = ['proxy', 'fastcgi', 'uwsgi', 'scgi'].filter(
    (name) => !build.includes(`--without-http_${name}_module`),
  );
  const folders = ['client_body', ...modules].map((name) => `${name}_temp_path ${directory}/${name};`);
  // One process, not a master and a worker: nothing is left behind when it is killed.
  return `
daemon off;
master_process off;
worker_processes 1;
pid ${directory}/nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
  ${folders.join('\n  ')}
  access_log off;
  default_type text/plain;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  server {
    listen 127.0.0.1:${port};
    location / { return 200 "${SMALL}"; }
  }
  ${securePort ? secureServer(directory, securePort) : ''}
}
`;
}

/** Without sessions: each handshake is a whole one. */
function secureServer(directory, port) {
  return `server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${directory}/cert;
    ssl_certificate_key ${directory}/key;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache off;
    ssl_session_tickets off;
    location / { return 200 "${SMALL}"; }
  }`;
}

async function waitUntilReady(nginx, port) {
  let output = '';
  let ended = false;
  nginx.stderr.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  nginx.on('error', (error) => {
    output += error.message;
  });
  nginx.on('close', () => {
    ended = true;
  });
  const deadline = Date.now() + START_LIMIT;
  while (!(await accepts(port))) {
    if (ended || Date.now() > deadline) {
      nginx.kill('SIGKILL');
      throw new Error(`it did not start: ${output.trim() || 'no message'}`);
    }
    await sleep(20);
  }
}

function accepts(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

module.exports = { start };
