'use strict';

const { AGENTS, BASELINE } = require('../agents');
const { CASES } = require('../cases');
const { countFailures } = require('../summary');
const { formatTarget } = require('../table');
const { SUBJECT } = require('../targets');

// The parts of documents that are written from the figures. They stand between `<!-- bench:name -->` and
// `<!-- /bench:name -->`, and what is between them is replaced.

/** @returns {string} the document with another block; the rest of it is as it was */
function replaceBlock(text, name, block) {
  const [begin, end] = [`<!-- bench:${name} -->`, `<!-- /bench:${name} -->`];
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from === -1 || to < from) throw new Error(`the document has no block ${begin} … ${end}`);
  return `${text.slice(0, from + begin.length)}\n\n${block}\n\n${text.slice(to)}`;
}

function table(heading, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(heading), line(heading.map(() => '---')), ...rows.map(line)].join('\n');
}

function metricOf(id, key) {
  return CASES.find((one) => one.id === id).metrics.find((metric) => metric.key === key);
}

function formatRatio({ median, min, max }) {
  return `${median.toFixed(2)} (${min.toFixed(2)}-${max.toFixed(2)})`;
}

/** Conditions of the run. A range of noise by case, since a median hides the case that was disturbed. */
function machine(report) {
  const { node, system, server, versions, mainCpuSource, turns, slice, cases, notMeasured } = report;
  const noise = formatNoise(cases);
  const lines = [
    `Node ${node}, ${system}.`,
    `${Object.entries(versions)
      .map(([agent, version]) => `${AGENTS[agent].title} ${version}`)
      .join(', ')}.`,
    `Servers: ${server.join('; ')}.`,
    `${turns} turns of ${slice} ms. CPU of the main thread: \`${mainCpuSource}\`.`,
    ...(noise ? [`Other processes of the machine had ${noise} of its CPUs, by case.`] : []),
    ...notMeasured.map(({ title, obstacle }) => `Not measured: ${title} (${obstacle}).`),
  ];
  return lines.map((line) => `- ${line}`).join('\n');
}

/** From the quietest case to the noisiest. */
function formatNoise(cases) {
  const shares = cases.map((one) => one.others).filter((share) => share !== null);
  if (shares.length === 0) return null;
  const [least, most] = [Math.min(...shares), Math.max(...shares)].map((share) => (share * 100).toFixed(0));
  return `${least} to ${most} %`;
}

/** Each target beside what was measured, met or not. */
function targets({ cases }) {
  const rows = cases.flatMap(({ id, title, verdicts }) =>
    verdicts.map((verdict) => {
      const metric = metricOf(id, verdict.metric);
      const of = verdict.against === null ? '' : `, to ${AGENTS[verdict.against].title}`;
      const value =
        verdict.against === null ? verdict.value.median.toFixed(metric.digits) : formatRatio(verdict.value);
      return [
        title,
        `${metric.title}${of}`,
        formatTarget(verdict),
        value,
        verdict.met ? 'met' : '**not met**',
      ];
    }),
  );
  const met = cases.flatMap(({ verdicts }) => verdicts).filter((verdict) => verdict.met).length;
  return `${met} of ${rows.length} targets are met.\n\n${table(['case', 'metric', 'target', 'measured (least-greatest)', ''], rows)}`;
}

/** Where the subject is behind the baseline: by the median, and in bold where every turn says so. */
function losses({ cases }) {
  const rows = cases.flatMap(({ id, title, summary }) =>
    CASES.find((one) => one.id === id).metrics.flatMap((metric) => {
      const { ratio } = summary[SUBJECT][metric.key];
      if (!ratio || !isBehind(ratio.median, metric)) return [];
      const isClear = isBehind(ratio.min, metric) && isBehind(ratio.max, metric);
      return [[title, metric.title, isClear ? `**${formatRatio(ratio)}**` : formatRatio(ratio)]];
    }),
  );
  if (rows.length === 0) return 'None in this run.';
  return table(['case', 'metric', `times ${AGENTS[BASELINE].title}`], rows);
}

function isBehind(ratio, { better }) {
  return better === 'more' ? ratio < 1 : ratio > 1;
}

/** All figures, case by case. */
function figures({ cases }) {
  return cases
    .map(({ id, title, agents, summary, failures, others }) => {
      const { metrics } = CASES.find((one) => one.id === id);
      const cell = ({ median, ratio }, { digits }) => {
        if (median === null) return '-';
        return ratio ? `${median.toFixed(digits)}, x${formatRatio(ratio)}` : median.toFixed(digits);
      };
      const rows = metrics.map((metric) => [
        metric.better ? `${metric.title} (${metric.better})` : metric.title,
        ...agents.map((agent) => cell(summary[agent][metric.key], metric)),
      ]);
      rows.push(['failed requests', ...agents.map((agent) => countFailures(failures[agent]))]);
      const noise =
        others === null ? '' : `\n\nOther processes had ${(others * 100).toFixed(0)} % of the CPUs.`;
      const heading = ['', ...agents.map((agent) => AGENTS[agent].title)];
      return `### ${title}\n\n${table(heading, rows)}${noise}`;
    })
    .join('\n\n');
}

/** Speed and CPU in one line for each case: for those who want to know whether to read on. */
function overview({ cases, node, system }) {
  const shown = cases.filter(({ summary }) => summary[SUBJECT].rate?.ratio);
  const rows = shown.map(({ title, summary }) => [
    title,
    ...['rate', 'mainCpu', 'processCpu'].map((key) => formatRatio(summary[SUBJECT][key].ratio)),
  ]);
  const heading = ['', 'requests/s', 'CPU, main thread', 'CPU, whole process'];
  const noise = formatNoise(shown);
  return [
    `As multiples of \`${AGENTS[BASELINE].title}\`, the least and the greatest of all turns in parentheses; Node ${node}, ${system.replace(/, load .*/, '')}, the server on the same CPUs${noise ? `, and other processes with ${noise} of them` : ''}:`,
    table(heading, rows),
  ].join('\n\n');
}

/** By document and name. */
const BLOCKS = {
  'README.md': { overview },
  'docs/benchmarks.md': { machine, targets, losses, figures },
};

module.exports = { BLOCKS, replaceBlock };
