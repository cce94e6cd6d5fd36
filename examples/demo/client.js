'use strict';

// The process of one agent: node client.js <agent> <job as JSON>, started with a channel to its parent.

const { Client } = require('./request');
const { runOwnWorkload } = require('./workload-own');
const { runUrlWorkload } = require('./workload-url');

const [name, jobText] = process.argv.slice(2);
const workloads = { own: runOwnWorkload, url: runUrlWorkload };

process.on('disconnect', () => process.exit());

async function main() {
  const job = JSON.parse(jobText);
  const client = new Client(name);
  const progress = (text) => process.send({ type: 'phase', text });
  const stalls = await workloads[job.kind](job, client, progress);
  client.destroy();
  return { type: 'result', records: client.records, stalls };
}

// It stays until its parent, having the result, closes the channel: an exit could overtake the message.
main()
  .catch((error) => ({ type: 'error', text: error.stack }))
  .then((message) => process.send(message));
