'use strict';

const assert = require('node:assert');
const { describe, it } = require('node:test');

const { CASES } = require('../bench/cases.js');
const { BLOCKS, replaceBlock } = require('../bench/publish/blocks.js');
const { CHARTS, render } = require('../bench/publish/charts.js');
const { summarise } = require('../bench/summary.js');
const { judge } = require('../bench/verdicts.js');

const AGENTS = ['builtin', 'agentkeepalive', 'undici', 'offloop'];

/** A report in which each figure of a candidate is 100 times its factor, and a little more in the second turn. */
function reportOf(factors) {
  const cases = CASES.map(({ id, title, metrics }) => {
    const turn = (more) =>
      Object.fromEntries(
        AGENTS.map((agent) => [
          agent,
          Object.fromEntries(
            metrics.map(({ key }) => [key, 100 * factors[agent] * (agent === 'offloop' ? more : 1)]),
          ),
        ]),
      );
    const turns = [turn(1), turn(1.25)];
    return {
      id,
      title,
      agents: AGENTS,
      others: 0.07,
      summary: summarise(turns, AGENTS, metrics),
      verdicts: judge(id, turns),
      failures: Object.fromEntries(AGENTS.map((agent) => [agent, {}])),
    };
  });
  return {
    node: 'v20.0.0',
    system: 'System & Co., 2 CPUs, load 0.10 at start',
    server: ['a server'],
    mainCpuSource: 'a clock',
    versions: Object.fromEntries(AGENTS.map((agent) => [agent, '1.0.0'])),
    turns: 2,
    slice: 100,
    cases,
    notMeasured: [{ title: 'another case', obstacle: 'no server' }],
  };
}

const REPORT = reportOf({ builtin: 1, agentkeepalive: 0.75, undici: 1.5, offloop: 2 });

/** As far as our charts go: elements with quoted attributes, and text without a stray "<" or "&". */
function assertWellFormed(xml) {
  const open = [];
  const token =
    /<(?<end>\/)?(?<name>[A-Za-z]+)(?:\s+[\w:-]+="[^"<]*")*\s*(?<empty>\/)?>|<!\[CDATA\[[^]*?\]\]>|&(?:#\d+|amp|lt|gt|quot);|[^<&]/gy;
  for (const { groups, index } of xml.matchAll(token)) {
    if (!groups.name || groups.empty) continue;
    if (groups.end) assert.strictEqual(open.pop(), groups.name, xml.slice(index, index + 80));
    else open.push(groups.name);
  }
  const rest = xml.replace(token, '');
  assert.strictEqual(rest, '', rest.slice(0, 200));
  assert.deepStrictEqual(open, []);
}

describe('the charts', () => {
  for (const [name, chart] of Object.entries(CHARTS)) {
    it(`${name} is an SVG with its title, and the same figures make the same file`, () => {
      const { option, height } = chart(REPORT);
      const svg = render({ option, height });
      assertWellFormed(svg);
      assert.match(svg, new RegExp(`^<svg width="\\d+" height="${height}"`));
      assert.ok(
        svg.includes(option.title.text.replaceAll('&', '&amp;').replaceAll("'", '&#39;')),
        option.title.text,
      );
      // Hover rules are numbered on through the process, and mean nothing in a file.
      const unnumbered = (text) => text.replace(/zr\d+-cls-\d+/g, '');
      assert.strictEqual(unnumbered(render(chart(REPORT))), unnumbered(svg));
    });
  }

  it('have a bar as long as the ratio, and a target at its place', () => {
    const { option } = CHARTS.throughput(REPORT);
    const offloop = option.series.find(({ name, type }) => name === 'offloop' && type === 'bar');
    // Of an even number of turns it is the middle of two: 2 and 2.5.
    assert.deepStrictEqual([...new Set(offloop.data)], [2.25]);
    const targets = option.series.find(({ type }) => type === 'scatter').data;
    assert.ok(targets.some(([value, title]) => value === 3 && title === 'GET small, 50 at a time'));
    const whiskers = option.series.filter(({ type }) => type === 'custom').at(-1).data;
    assert.deepStrictEqual(whiskers[0], [2, 0, 2.5]);
  });

  it('do not let one extreme case squeeze the others', () => {
    const report = structuredClone(REPORT);
    report.cases[0].summary.undici.rate.ratio.max = 1000;
    const { option } = CHARTS.throughput(report);
    assert.ok(option.xAxis.max < 5);
  });
});

describe('the parts of documents', () => {
  it('replace what stands between their marks and nothing else', () => {
    const text = 'a\n<!-- bench:x -->\nold\n<!-- /bench:x -->\nb\n<!-- bench:y -->\n<!-- /bench:y -->\n';
    const once = replaceBlock(text, 'x', 'new');
    assert.strictEqual(
      once,
      'a\n<!-- bench:x -->\n\nnew\n\n<!-- /bench:x -->\nb\n<!-- bench:y -->\n<!-- /bench:y -->\n',
    );
    assert.strictEqual(replaceBlock(once, 'x', 'new'), once);
  });

  it('are missed when a document has no place for them', () => {
    for (const text of ['', '<!-- bench:x -->', '<!-- /bench:x --> <!-- bench:x -->']) {
      assert.throws(() => replaceBlock(text, 'x', 'new'), /bench:x/);
    }
  });

  const { targets, losses, figures, machine } = BLOCKS['docs/benchmarks.md'];

  it('say of each target whether it is met', () => {
    const text = targets(REPORT);
    assert.match(text, /^\d+ of \d+ targets are met\.$/m);
    assert.match(
      text,
      /^\| GET small, 1 at a time \| requests\/s, to http\.Agent \| ≥ x1\.1 \| 2\.25 \(2\.00-2\.50\) \| met \|$/m,
    );
    assert.match(
      text,
      /^\| GET small, 50 at a time \| requests\/s, to http\.Agent \| ≥ x3 \| .* \| \*\*not met\*\* \|$/m,
    );
    assert.match(
      text,
      /^\| 5,000 idle connections \| native memory, KiB\/connection \| ≤ 4 \| 225\.0 \| \*\*not met\*\* \|$/m,
    );
    const verdicts = REPORT.cases.flatMap((one) => one.verdicts);
    assert.strictEqual(text.match(/\*\*not met\*\*/g).length, verdicts.filter(({ met }) => !met).length);
  });

  it('list as losses what is worse by the median, in bold where every turn says so, and nothing else', () => {
    const of = (offloop) => losses(reportOf({ builtin: 1, agentkeepalive: 1, undici: 1, offloop }));
    assert.match(
      of(2),
      /^\| GET small, 1 at a time \| main thread, µs\/request \| \*\*2\.25 \(2\.00-2\.50\)\*\* \|$/m,
    );
    assert.doesNotMatch(of(2), /requests\/s/);
    assert.match(of(0.5), /^\| GET small, 1 at a time \| requests\/s \| \*\*0\.56 \(0\.50-0\.63\)\*\* \|$/m);
    assert.doesNotMatch(of(0.5), /main thread/);
    // 0.9 to 1.125: the turns do not agree.
    assert.match(
      of(0.9),
      /^\| GET small, 1 at a time \| main thread, µs\/request \| 1\.01 \(0\.90-1\.13\) \|$/m,
    );
    assert.doesNotMatch(of(0.9), /\*\*/);
  });

  it('show every case, and how noisy it was', () => {
    const text = figures(REPORT);
    for (const { title } of CASES) assert.ok(text.includes(`### ${title}\n`), title);
    assert.match(machine(REPORT), /had 7 to 7 % of its CPUs/);
    assert.match(BLOCKS['README.md'].overview(REPORT), /, and other processes with 7 to 7 % of them:/);
    assert.match(machine(REPORT), /Not measured: another case \(no server\)/);
  });
});
