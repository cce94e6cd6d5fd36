'use strict';

const { parseArgs } = require('node:util');
const { agentNames } = require('./agents');

const help = `Usage: npm run demo
       npm run demo -- --url http://host:port/path [options]

Runs the same http.request workload, with the event loop blocked again and again, through
${agentNames.join(', ')}, each in a process of its own. Only \`agent\` differs.

Without --url it starts a server of its own, which records what it sees. Takes about 25 s.

  --url <url>        run the client part against your own server (http:) instead
  --stall <ms>       with --url: how long each stall lasts. Make it longer than your server's
                     idle limit (Node: 5000, many others: 15000 to 75000).
                     1 to 120000, default 6000
  --requests <n>     with --url: requests per agent, 4 to 10000, default 40
  --method <m>       with --url: GET, POST or both, default GET. POST sends a small JSON body,
                     and only if you ask for it
  --only <agent>     run this agent only (may be repeated)
  --help

Exit code: 0 if offloop had no avoidable and no unexplained failure, 1 otherwise,
2 if the options are wrong.`;

/** The command line is wrong; the message says what would be right. */
class UsageError extends Error {}

function parseUrl(text) {
  let url;
  try {
    url = new URL(text);
  } catch {
    throw new UsageError(`--url ${text}: not a URL; it must look like http://host:port/path`);
  }
  if (url.protocol !== 'http:') {
    const hint = url.hostname ? '' : `; did you mean http://${text}?`;
    throw new UsageError(`--url ${text}: only http: is supported, not ${url.protocol}${hint}`);
  }
  return url;
}

function parseInteger(name, text, least, most) {
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  if (!(value >= least && value <= most)) {
    throw new UsageError(`--${name} ${text}: must be a whole number from ${least} to ${most}`);
  }
  return value;
}

const methodsByOption = { GET: ['GET'], POST: ['POST'], BOTH: ['GET', 'POST'] };

function parseMethods(text) {
  const methods = methodsByOption[text.toUpperCase()];
  if (!methods) throw new UsageError(`--method ${text}: must be GET, POST or both`);
  return methods;
}

/**
 * @param {string[]} args
 * @returns {{ help?: true, only: string[], url?: URL, methods: string[], requests: number, stall: number }}
 * @throws {UsageError}
 */
function parseOptions(args) {
  let values;
  try {
    ({ values } = parseArgs({
      args,
      options: {
        help: { type: 'boolean', short: 'h' },
        method: { type: 'string' },
        only: { type: 'string', multiple: true },
        requests: { type: 'string' },
        stall: { type: 'string' },
        url: { type: 'string' },
      },
    }));
  } catch (error) {
    throw new UsageError(error.message);
  }
  if (values.help) return { help: true };

  const only = values.only ?? [];
  for (const name of only) {
    if (!agentNames.includes(name)) {
      throw new UsageError(`--only ${name}: must be one of ${agentNames.join(', ')}`);
    }
  }
  if (values.url === undefined) {
    for (const name of ['stall', 'requests', 'method']) {
      if (values[name] !== undefined) throw new UsageError(`--${name} is for --url only`);
    }
  }
  return {
    only,
    url: values.url === undefined ? undefined : parseUrl(values.url),
    methods: parseMethods(values.method ?? 'GET'),
    requests: parseInteger('requests', values.requests ?? '40', 4, 10_000),
    stall: parseInteger('stall', values.stall ?? '6000', 1, 120_000),
  };
}

module.exports = { UsageError, help, parseOptions };
