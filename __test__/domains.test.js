'use strict';

// Programs with domains (Node's deprecated module) get the same events in the same domains, and no warning of
// something that they have not done. Once loaded the module changes all of its process, so it is loaded in others.

const assert = require('node:assert');
const { execFile } = require('node:child_process');
const path = require('node:path');
const { test } = require('node:test');
const { promisify } = require('node:util');

const ROOT = path.join(__dirname, '..');

/** What a program prints that has entered one domain for good, and gives a request and its response to another. */
async function print(agent) {
  const script = `
    const domain = require('domain');
    const http = require('http');
    const { ${agent} } = require(${JSON.stringify(agent === 'Agent' ? 'http' : ROOT)});
    // Not with console.log, whose stream may run immediates too.
    const tell = (...words) => require('fs').writeSync(1, words.join(' ') + '\\n');
    process.on('warning', ({ name, code }) => tell(name, code));
    const outer = domain.create();
    outer.enter();
    outer.on('error', (error) => tell('outer', error.code));
    const server = http.createServer((request, response) => {
      response.socket.end('HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n5\\r\\nbegun\\r\\nH');
    });
    server.listen(0, '127.0.0.1', () => {
      const agent = new ${agent}({ keepAlive: true });
      const request = http.get({ host: '127.0.0.1', port: server.address().port, agent });
      const inner = domain.create();
      inner.add(request);
      inner.on('error', (error) => {
        tell('inner', error.code);
        server.close();
      });
      request.on('response', (response) => {
        inner.add(response);
        response.on('data', (data) => tell(String(data), process.domain === inner));
      });
      request.on('close', () => tell('closed', process.domain === inner));
    });`;
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', script], { timeout: 20_000 });
  return stdout;
}

test('a program with domains sees what it sees with http.Agent', { timeout: 60_000 }, async () => {
  const [ours, nodes] = await Promise.all([print('HttpAgent'), print('Agent')]);
  assert.strictEqual(ours, nodes);
  assert.match(nodes, /^inner HPE_INVALID_CHUNK_SIZE$/m);
});
