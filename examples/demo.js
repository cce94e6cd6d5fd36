'use strict';

// The demo's entry: the same http.request workload, with the event loop blocked again and again, through
// three agents, one after another, each in a process of its own. See --help, and demo/ for the parts.

const { agentNames } = require('./demo/agents');
const { judgeByServer, judgeByClient } = require('./demo/judge');
const { summarise } = require('./demo/figures');
const { parseOptions, UsageError, help } = require('./demo/options');
const { startServer, runWorkload, checkReachable } = require('./demo/processes');
const { readOwn, readUrl } = require('./demo/reading');
const { renderTable } = require('./demo/table');
const settings = require('./demo/settings');

const startedAt = Date.now();

function progress(text) {
  const seconds = ((Date.now() - startedAt) / 1000).toFixed(1).padStart(5);
  console.log(`[${seconds} s] ${text}`);
}

async function demoOwnServer(names) {
  const server = await startServer();
  progress(
    `server listening on 127.0.0.1:${server.port}; it closes idle connections after ` +
      `${settings.serverIdleLimit} ms and says so to nobody (no Keep-Alive header)`,
  );
  const columns = [];
  try {
    for (const name of names) {
      const client = await runWorkload(name, { kind: 'own', port: server.port }, (text) => {
        progress(`${name}: ${text}`);
      });
      const log = await server.takeLog();
      columns.push(summarise(name, client, judgeByServer(client.records, log), log));
    }
  } finally {
    server.stop();
  }
  console.log(`\n${renderTable(columns, { ownServer: true })}\n`);
  console.log(readOwn(columns));
  return columns;
}

async function demoUrl(names, options) {
  await checkReachable(options.url);
  progress(`${options.url.href}: reachable; ${options.requests} requests, stalls of ${options.stall} ms`);
  const columns = [];
  for (const name of names) {
    const job = {
      kind: 'url',
      url: options.url.href,
      methods: options.methods,
      requests: options.requests,
      stall: options.stall,
    };
    const client = await runWorkload(name, job, (text) => progress(`${name}: ${text}`));
    columns.push(summarise(name, client, judgeByClient(client.records)));
  }
  console.log(`\n${renderTable(columns, { ownServer: false })}\n`);
  console.log(readUrl(columns, options));
  return columns;
}

/** Failures that offloop exists to end, and those that nothing explains: either fails the demo. */
function exitCode(columns) {
  const offloop = columns.find((column) => column.name === 'offloop');
  return offloop && offloop.avoidable + offloop.other > 0 ? 1 : 0;
}

async function main() {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) {
    console.log(help);
    return 0;
  }
  const names = agentNames.filter((name) => options.only.length === 0 || options.only.includes(name));
  const columns = options.url ? await demoUrl(names, options) : await demoOwnServer(names);
  return exitCode(columns);
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error) => {
    if (error instanceof UsageError) {
      console.error(`demo: ${error.message}\nTry: npm run demo -- --help`);
      process.exitCode = 2;
    } else {
      console.error(`demo: ${error.message}`);
      process.exitCode = 1;
    }
  },
);
