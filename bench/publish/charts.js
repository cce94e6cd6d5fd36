'use strict';

const { AGENTS, BASELINE } = require('../agents');
const { SUBJECT, TARGETS } = require('../targets');

const WIDTH = 860;
const TOP = 96;
const BOTTOM = 32;
// Without quotation marks: ECharts puts it into an attribute as it is.
const FONT = 'system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif';
const INK = '#24292f';
const FAINT = '#6e7781';
const GRID = '#d8dee4';
const TARGET = `target of ${AGENTS[SUBJECT].title}`;
const COLOURS = {
  builtin: '#8c959f',
  agentkeepalive: '#c8cfd6',
  undici: '#e3b341',
  offloop: '#1f6feb',
};

/** As SVG. @param {{ height: number, option: object }} chart in ECharts' words */
function render({ height, option }) {
  const echarts = require('echarts');
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height });
  try {
    chart.setOption(option);
    return `${chart.renderToSVGString()}\n`;
  } finally {
    chart.dispose();
  }
}

function layout({ title, subtitle, legend, labels }) {
  return {
    animation: false,
    backgroundColor: '#ffffff', // a reader's page may be dark
    textStyle: { fontFamily: FONT, color: INK, fontSize: 12 },
    title: {
      text: title,
      subtext: subtitle,
      left: 16,
      top: 12,
      itemGap: 6,
      textStyle: { fontSize: 16, fontWeight: 600, color: INK, fontFamily: FONT },
      subtextStyle: { fontSize: 12, color: FAINT, fontFamily: FONT },
    },
    legend: {
      data: legend,
      left: 16,
      top: 62,
      itemGap: 28,
      itemWidth: 14,
      itemHeight: 10,
      selectedMode: false,
      textStyle: { color: INK },
    },
    // Fixed, since without a browser the width of texts is only estimated.
    grid: { left: labels, right: 56, top: TOP, bottom: BOTTOM },
  };
}

const valueAxis = (more) => ({
  type: 'value',
  min: 0,
  splitLine: { lineStyle: { color: GRID } },
  axisLabel: { color: FAINT },
  ...more,
});

/** From top to bottom, as a reader reads. */
const categoryAxis = (data) => ({
  type: 'category',
  data,
  inverse: true,
  axisTick: { show: false },
  axisLine: { lineStyle: { color: FAINT } },
  axisLabel: { color: INK, fontSize: 12 },
});

/** Of the bars of a category, and between categories. */
const SPACING = { barGap: '15%', barCategoryGap: '28%' };

const bar = (agent, data, more) => ({
  type: 'bar',
  name: AGENTS[agent].title,
  data,
  silent: true,
  itemStyle: { color: COLOURS[agent] },
  ...SPACING,
  ...more,
});

/** From the least to the greatest of all turns, in the middle of its bar. */
function whiskers(index, count, ranges) {
  return {
    type: 'custom',
    silent: true,
    z: 5,
    data: ranges.flatMap((range, category) => (range ? [[range.min, category, range.max]] : [])),
    encode: { x: [0, 2], y: 1 },
    renderItem(_, api) {
      const { offsetCenter } = api.barLayout({ count, ...SPACING })[index];
      const [x1, y] = api.coord([api.value(0), api.value(1)]);
      const [x2] = api.coord([api.value(2), api.value(1)]);
      const line = (x, y0, xx, y1) => ({
        type: 'line',
        shape: { x1: x, y1: y0 + offsetCenter, x2: xx, y2: y1 + offsetCenter },
        style: { stroke: INK, lineWidth: 1, opacity: 0.6 },
      });
      return {
        type: 'group',
        children: [line(x1, y, x2, y), line(x1, y - 3, x1, y + 3), line(x2, y - 3, x2, y + 3)],
      };
    },
  };
}

/** Ratios to the baseline, case by case; targets as marks. */
const ratioChart = (key, title, better) => (report) => {
  const cases = report.cases.filter(({ summary }) => summary[SUBJECT][key]?.ratio);
  const agents = Object.keys(report.versions).filter((agent) => agent !== BASELINE);
  const ratioOf = (one, agent) => one.summary[agent][key].ratio;
  const targets = cases.flatMap(({ id, title: name }) =>
    TARGETS.filter((one) => one.id === id && one.metric === key && one.against === BASELINE).map((one) => [
      one.atLeast ?? one.atMost,
      name,
    ]),
  );
  // One case on a noisy machine must not squeeze all others into a corner.
  const medians = cases.flatMap((one) => agents.map((agent) => ratioOf(one, agent)?.median ?? 0));
  const max = Math.ceil((Math.max(...medians, ...targets.map(([value]) => value)) + 0.25) * 2) / 2;
  const band = agents.length * 14 + 16;
  return {
    height: TOP + BOTTOM + cases.length * band,
    option: {
      ...layout({
        title,
        subtitle: `times ${AGENTS[BASELINE].title}, ${better} is better; median of ${report.turns} turns, lines from the least to the greatest`,
        legend: [...agents.map((agent) => AGENTS[agent].title), TARGET],
        labels: 270,
      }),
      xAxis: valueAxis({ max }),
      yAxis: categoryAxis(cases.map((one) => one.title)),
      series: [
        ...agents.map((agent) =>
          bar(
            agent,
            cases.map((one) => ratioOf(one, agent)?.median ?? null),
            {
              label: {
                show: agent === SUBJECT,
                position: 'insideLeft',
                color: '#ffffff',
                fontSize: 11,
                formatter: ({ value }) => `${value.toFixed(2)}`,
              },
              ...(agent === SUBJECT && {
                markLine: {
                  silent: true,
                  symbol: 'none',
                  label: { show: false },
                  lineStyle: { color: INK, width: 1, type: 'solid' },
                  data: [{ xAxis: 1 }],
                },
              }),
            },
          ),
        ),
        ...agents.map((agent, i) =>
          whiskers(
            i,
            agents.length,
            cases.map((one) => clip(ratioOf(one, agent), max)),
          ),
        ),
        {
          type: 'scatter',
          name: TARGET,
          silent: true,
          // On the bar that it is about.
          symbolOffset: [0, offsetOf(agents.indexOf(SUBJECT), agents.length, band)],
          z: 6,
          symbol: 'diamond',
          symbolSize: 10,
          itemStyle: { color: '#cf222e' },
          data: targets,
        },
      ],
    },
  };
};

/** Of a bar from the middle of its category, in pixels. */
function offsetOf(index, count, band) {
  const share = (text) => parseFloat(text) / 100;
  const gap = share(SPACING.barGap);
  const width = (band * (1 - share(SPACING.barCategoryGap))) / (count + (count - 1) * gap);
  return (index - (count - 1) / 2) * width * (1 + gap);
}

function clip(range, max) {
  return range && { ...range, min: Math.min(range.min, max), max: Math.min(range.max, max) };
}

/** Figures themselves: `rows` of one case, a bar for each candidate. */
const figureChart =
  ({ id, rows, title, subtitle, digits }) =>
  (report) => {
    const found = report.cases.find((one) => one.id === id);
    if (found === undefined) throw new Error(`the results lack ${id}`);
    const { agents, summary } = found;
    return {
      height: TOP + BOTTOM + rows.length * (agents.length * 16 + 20),
      option: {
        ...layout({ title, subtitle, legend: agents.map((agent) => AGENTS[agent].title), labels: 60 }),
        xAxis: valueAxis(),
        yAxis: categoryAxis(rows.map(([, name]) => name)),
        series: agents.map((agent) =>
          bar(
            agent,
            rows.map(([key]) => summary[agent][key].median),
            {
              label: {
                show: true,
                position: 'right',
                color: INK,
                fontSize: 11,
                formatter: ({ value }) => value.toFixed(digits),
              },
            },
          ),
        ),
      },
    };
  };

/** What is resident for an idle connection, by where it is. */
function memoryChart(report) {
  const cases = [
    ['idle-5000', 'HTTP'],
    ['idle-tls-5000', 'TLS'],
  ].flatMap(([id, name]) => report.cases.filter((one) => one.id === id).map((one) => ({ ...one, name })));
  const rows = cases.flatMap(({ name, agents, summary }) =>
    agents.map((agent) => ({ label: `${name}: ${AGENTS[agent].title}`, figures: summary[agent] })),
  );
  const part = (name, color, value) => ({
    type: 'bar',
    name,
    stack: 'resident',
    silent: true,
    itemStyle: { color },
    barWidth: 14,
    data: rows.map(({ figures }) => Math.max(0, value(figures))),
  });
  return {
    height: TOP + BOTTOM + rows.length * 26,
    option: {
      ...layout({
        title: 'Memory of an idle connection, KiB',
        subtitle: 'resident, of 5,000 connections; less is better',
        legend: ['native', "V8's heap"],
        labels: 180,
      }),
      xAxis: valueAxis(),
      yAxis: categoryAxis(rows.map(({ label }) => label)),
      series: [
        part('native', COLOURS.offloop, ({ native }) => native.median),
        {
          ...part("V8's heap", COLOURS.agentkeepalive, ({ rss, native }) => rss.median - native.median),
          label: {
            show: true,
            position: 'right',
            color: INK,
            fontSize: 11,
            formatter: ({ dataIndex }) => rows[dataIndex].figures.rss.median.toFixed(1),
          },
        },
      ],
    },
  };
}

/** By the name of the file that they are written to. */
const CHARTS = {
  throughput: ratioChart('rate', 'Requests/s (bodies of 64 MiB: MiB/s)', 'more'),
  'main-thread-cpu': ratioChart('mainCpu', 'CPU time of the main thread per request (per MiB)', 'less'),
  'process-cpu': ratioChart('processCpu', 'CPU time of the whole process per request (per MiB)', 'less'),
  'stalled-loop': figureChart({
    id: 'stalled-loop',
    rows: [
      ['reachP50', 'p50'],
      ['reachP99', 'p99'],
    ],
    title: 'From http.request to the server, just before JavaScript computes for 50 ms',
    subtitle: 'ms, less is better',
    digits: 1,
  }),
  latency: figureChart({
    id: 'get-small-50',
    rows: [
      ['p50', 'p50'],
      ['p99', 'p99'],
      ['p999', 'p99.9'],
    ],
    title: 'Latency of a small GET, 50 at a time',
    subtitle: 'ms, less is better',
    digits: 2,
  }),
  memory: memoryChart,
};

module.exports = { CHARTS, render };
