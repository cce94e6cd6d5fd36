'use strict';

const { spawn, spawnSync } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');

const certificate = require('../../__test__/helpers/certificate');
const { PORTS, SIZES, SMALL } = require('./content');

const START_LIMIT = 3000; // ms

// Where Debian and others put it, which an ordinary user's PATH leaves out.
const SEARCH = [process.env.PATH, '/usr/sbin', '/usr/local/sbin'].join(path.delimiter);
const env = { ...process.env, PATH: SEARCH };

/** @returns {Promise<{ ports: number[], securePorts?: number[], description: string }>} */
async function start() {
  const build = readBuild();
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'offloop-bench-'));
  process.on('exit', () => fs.rmSync(directory, { recursive: true, force: true }));
  const found = await findPorts(2 * PORTS);
  const ports = found.slice(0, PORTS);
  const securePorts = build.includes('--with-http_ssl_module') ? found.slice(PORTS) : undefined;
  const file = path.join(directory, 'nginx.conf');
  for (const [name, pem] of Object.entries(certificate)) fs.writeFileSync(path.join(directory, name), pem);
  fs.mkdirSync(path.join(directory, 'bytes'));
  for (const size of SIZES)
    fs.writeFileSync(path.join(directory, 'bytes', String(size)), Buffer.alloc(size, 'x'));
  fs.writeFileSync(file, configuration(directory, ports, securePorts, build));
  const nginx = spawn('nginx', ['-p', directory, '-c', file], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  process.on('exit', () => nginx.kill('SIGKILL'));
  await waitUntilReady(nginx, ports[0]);
  const version = /nginx\/([\d.]+)/.exec(build)?.[1];
  return { ports, securePorts, description: `nginx ${version}, one process` };
}

function readBuild() {
  const { error, stderr } = spawnSync('nginx', ['-V'], { env, encoding: 'utf8' });
  if (error) throw new Error(error.code === 'ENOENT' ? 'not installed' : error.message);
  return stderr;
}

/** nginx cannot choose free ports and tell which. */
async function findPorts(count) {
  const probes = Array.from({ length: count }, () => net.createServer().listen(0, '127.0.0.1'));
  // All at once, so that none is found twice.
  await Promise.all(probes.map((probe) => once(probe, 'listening')));
  const ports = probes.map((probe) => probe.address().port);
  await Promise.all(probes.map((probe) => once(probe.close(), 'close')));
  return ports;
}

function configuration(directory, ports, securePorts, build) {
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
events { worker_connections 16384; }
http {
  ${folders.join('\n  ')}
  access_log off;
  default_type text/plain;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  server {
    ${ports.map((port) => `listen 127.0.0.1:${port};`).join('\n    ')}
    ${locations(directory)}
  }
  ${securePorts ? secureServer(directory, securePorts) : ''}
}
`;
}

/** Without sessions: each handshake is a whole one. */
function secureServer(directory, ports) {
  return `server {
    ${ports.map((port) => `listen 127.0.0.1:${port} ssl;`).join('\n    ')}
    ssl_certificate ${directory}/cert;
    ssl_certificate_key ${directory}/key;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache off;
    ssl_session_tickets off;
    ${locations(directory)}
  }`;
}

function locations(directory) {
  return `location / { return 200 "${SMALL}"; }
    location /bytes/ { root ${directory}; sendfile on; open_file_cache max=10; }`;
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
