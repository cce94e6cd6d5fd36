'use strict';

const assert = require('node:assert');
const { execFile } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { after, before, describe, it } = require('node:test');
const { promisify } = require('node:util');

const { Child } = require('../bench/child.js');
const { CALL_SITES } = require('../bench/failures/call-sites.js');
const { Attempts, MIXED_UP } = require('../bench/failures/attempts.js');
const { IDLE_LIMIT } = require('../bench/failures/settings.js');
const { addUp, tally } = require('../bench/failures/tally.js');

const BENCH = path.join(__dirname, '..', 'bench');

const post = (id) => {
  const body = JSON.stringify({ jsonrpc: '2.0', method: 'ping', params: [], id });
  return `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
};

describe('the server of the failures', () => {
  let server;
  before(() => {
    server = new Child(path.join(BENCH, 'failures', 'server.js'));
  });
  after(() => server.stop());

  it('counts each id as often as it was processed, and the connections', async () => {
    const port = await server.ask('listen');
    for (const id of [7, 8, 7]) {
      const socket = net.connect(port, '127.0.0.1');
      socket.write(post(id));
      await once(socket, 'data');
      socket.destroy();
    }
    const { connections, processed } = await server.ask('close', port);
    assert.strictEqual(connections, 3);
    assert.deepStrictEqual(processed, { 7: 2, 8: 1 });
  });

  it('does not count what it has not read whole', async () => {
    const port = await server.ask('listen');
    const socket = net.connect(port, '127.0.0.1');
    socket.write(post(7));
    await once(socket, 'data');
    socket.end(post(8).slice(0, -1));
    await once(socket.resume(), 'close');
    assert.deepStrictEqual((await server.ask('close', port)).processed, { 7: 1 });
  });

  it('closes an idle connection at its limit and not before, and gives no hint', async () => {
    const port = await server.ask('listen');
    const socket = net.connect(port, '127.0.0.1');
    const since = performance.now();
    socket.write(post(7));
    const [response] = await once(socket, 'data');
    assert.doesNotMatch(String(response), /keep-alive:/i);
    await once(socket.resume(), 'end');
    // A timer may be a millisecond early.
    assert.ok(performance.now() - since > IDLE_LIMIT - 2);
    await server.ask('close', port);
  });
});

describe('the call sites', () => {
  let server;
  let port;
  before(async () => {
    server = http.createServer(async (req, res) => {
      let text = '';
      for await (const chunk of req) text += chunk;
      const id = req.method === 'GET' ? Number(/id=(\d+)/.exec(req.url)[1]) : JSON.parse(text).id;
      // An even id gets the answer to the one before it.
      res.end(JSON.stringify({ jsonrpc: '2.0', id: id - (id % 2 === 0 ? 1 : 0), result: req.method }));
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    ({ port } = server.address());
  });
  after(() => server.close());

  for (const [site, { api, methods, prepare }] of Object.entries(CALL_SITES)) {
    for (const method of methods) {
      it(`${site} sends a ${method}, and tells whose response it got`, async () => {
        const agent =
          api === 'http'
            ? new http.Agent({ keepAlive: true })
            : new (require('undici').Client)(`http://127.0.0.1:${port}`);
        const attempts = new Attempts();
        const send = prepare(agent, port, method);
        const answered = [await attempts.make('opening', send), await attempts.make('trial', send)];
        agent.destroy();
        assert.deepStrictEqual(answered.toSorted(), [false, true]);
        const { trials, openings, failures, openingFailures, failedIds } = attempts.result();
        assert.deepStrictEqual([trials, openings, failedIds.length], [1, 1, 1]);
        assert.deepStrictEqual({ ...failures, ...openingFailures }, { [MIXED_UP]: 1 });
      });
    }
  }
});

describe('the tally', () => {
  const slice = (trials, failures, failedIds) => ({
    trials,
    openings: 10,
    failures,
    openingFailures: {},
    failedIds,
  });

  it('tells what failed, what of it was processed, and what was processed twice', () => {
    const slices = [
      slice(600, { ECONNRESET: 2, 'socket hang up': 1 }, [3, 5, 9]),
      slice(400, { ECONNRESET: 1 }, [11]),
    ];
    const figures = tally(slices, { connections: 12, processed: { 1: 1, 2: 2, 3: 1, 4: 3, 5: 2 } });
    assert.strictEqual(figures.failed, 4);
    assert.strictEqual(figures.trials, 1000);
    assert.strictEqual(figures.perTenThousand, 40);
    assert.ok(figures.interval.low < 40 && figures.interval.high > 40);
    assert.strictEqual(figures.failedLater, 1);
    assert.strictEqual(figures.lost, 2);
    assert.strictEqual(figures.twice, 3);
    assert.strictEqual(figures.connections, 12);
    assert.strictEqual(figures.requests, 1020);
    assert.deepStrictEqual(figures.failures, { ECONNRESET: 3, 'socket hang up': 1 });
  });

  it('adds rows up by their requests, not by their shares', () => {
    const total = addUp([
      { failed: 1, trials: 10 },
      { failed: 0, trials: 990 },
    ]);
    assert.strictEqual(total.perTenThousand, 10);
  });

  it('has no share of nothing', () => {
    assert.strictEqual(addUp([{ failed: 0, trials: 0 }]).perTenThousand, null);
  });
});

describe('node bench/run.js --failures', () => {
  const run = promisify(execFile);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'offloop-failures-'));
  after(() => fs.rmSync(folder, { recursive: true }));

  // Every GET is answered, however late the server closes: what the load of the machine changes is only by which rule.
  it('shows no failure of GETs after a stall through offloop, and one slice of them is a round', async () => {
    const json = path.join(folder, 'report.json');
    const args = ['--failures', '--only', '^get-stall-http', '--agents', 'offloop', '--turns', '2'];
    const { stdout } = await run(process.execPath, [
      path.join(BENCH, 'run.js'),
      ...args,
      ...['--slice', '1', '--json', json],
    ]);
    const { rows, problems, totals } = JSON.parse(fs.readFileSync(json, 'utf8'));
    const { offloop } = rows[0].agents;
    assert.deepStrictEqual(problems, []);
    assert.strictEqual(offloop.trials, 100);
    assert.strictEqual(offloop.requests, 200);
    assert.deepStrictEqual(offloop.failures, {});
    assert.strictEqual(totals['GET after a stall'].offloop.trials, 100);
    assert.match(stdout, /^offloop +0 \(0-\d+\) +0 +100 /m);
  });

  it('refuses what it does not know', async () => {
    for (const args of [
      ['--agents', 'nobody'],
      ['--agents', 'before'],
      ['--server', 'own'],
      ['--only', 'get-stall-jayson'],
      ['--only', 'http', '--agents', 'undici'],
      ['--json', path.join(folder, 'none', 'report.json')],
      ['--before', folder],
    ]) {
      const { code, stderr } = await run(process.execPath, [
        path.join(BENCH, 'run.js'),
        '--failures',
        ...args,
      ]).then(assert.fail, (error) => error);
      assert.strictEqual(code, 2, args.join(' '));
      assert.match(stderr, new RegExp(args[0]));
    }
  });
});
