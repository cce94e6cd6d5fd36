'use strict';

const assert = require('node:assert');
const { execFile } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, describe, it } = require('node:test');
const { promisify } = require('node:util');

const run = promisify(execFile);
const RUN = path.join(__dirname, '..', 'bench', 'run.js');
const onLinux = process.platform === 'linux';

describe('node bench/run.js', () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'offloop-bench-test-'));
  after(() => fs.rmSync(folder, { recursive: true }));

  const measure = async (...args) => {
    const json = path.join(folder, 'report.json');
    const { stdout } = await run(process.execPath, [RUN, ...args, '--json', json]);
    return { stdout, report: JSON.parse(fs.readFileSync(json, 'utf8')) };
  };

  // Nine turns are more than one process is measured in.
  it('measures a case in turns, and writes the figures of each', async () => {
    const args = ['--only', '^get-small-10$', '--turns', '9', '--slice', '30', '--server', 'own'];
    const { stdout, report } = await measure(...args);
    const [{ agents, slices, failures, verdicts }] = report.cases;
    assert.deepStrictEqual(agents, ['builtin', 'agentkeepalive', 'undici', 'offloop']);
    for (const agent of agents) {
      assert.strictEqual(slices[agent].rate.length, 9);
      for (const values of Object.values(slices[agent])) assert.ok(values.every((value) => value >= 0));
      assert.ok(slices[agent].memory.every((mebibytes) => mebibytes > 1));
      assert.deepStrictEqual(failures[agent], {});
    }
    assert.strictEqual(verdicts.length, 3);
    assert.match(stdout, /^requests\/s \(more\) .* ≥ x2\.2 +(met|NOT MET)$/m);
    assert.match(stdout, /^targets: \d of 3 met$/m);
  });

  it('sends and counts bodies of 64 MiB', async () => {
    const args = ['--only', '64m', '--agents', 'builtin,undici,offloop', '--turns', '1', '--slice', '1'];
    const { report } = await measure(...args, '--server', 'own');
    assert.strictEqual(report.cases.length, 3);
    for (const { failures } of report.cases) {
      assert.deepStrictEqual(failures, { builtin: {}, undici: {}, offloop: {} });
    }
  });

  it('stalls the loop: what Node makes just before a stall leaves after it', { skip: !onLinux }, async () => {
    const args = ['--only', 'stalled', '--agents', 'builtin,offloop', '--turns', '1', '--slice', '300'];
    const { report } = await measure(...args);
    const { builtin, offloop } = report.cases[0].slices;
    // The stall is 50 ms, and load makes it no shorter.
    assert.ok(builtin.reachP50[0] >= 50, `${builtin.reachP50[0]} ms`);
    assert.ok(offloop.reachP50[0] > 0 && offloop.rate[0] > 0);
  });

  it('says why a case cannot be measured, and goes on', { skip: !onLinux }, async () => {
    const script = `ulimit -n 300 && exec "$0" "$@"`;
    const args = ['--only', 'idle-5000|small-10$', '--agents', 'builtin', '--turns', '1', '--slice', '10'];
    const { stdout } = await run('sh', ['-c', script, process.execPath, RUN, ...args, '--server', 'own']);
    assert.match(stdout, /^5,000 idle connections: not measured, a process may have 300 files open here/m);
    assert.match(stdout, /^GET small, 10 at a time/m);
  });

  it('fails if it could measure nothing', async () => {
    const args = ['--only', '^handshakes', '--agents', 'builtin', '--server', 'own'];
    const { code, stdout } = await run(process.execPath, [RUN, ...args]).then(assert.fail, (error) => error);
    assert.strictEqual(code, 1);
    assert.match(stdout, /^full TLS handshakes, 10 at a time: not measured, this server has no TLS$/m);
    assert.match(stdout, /^nothing was measured$/m);
  });

  it('is wrong used with the exit code 2', async () => {
    const { code, stderr } = await run(process.execPath, [RUN, '--only', 'nothing']).then(
      assert.fail,
      (error) => error,
    );
    assert.strictEqual(code, 2);
    assert.match(stderr, /--only nothing matches no case/);
  });
});
