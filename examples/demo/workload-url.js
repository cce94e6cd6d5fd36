'use strict';

// The workload against a server that the user named: twice, some requests, a stall, and again as many.

const { stall } = require('./clock');
const { KernelView } = require('./kernel-view');
const { requestDeadline } = require('./settings');

const ROUNDS = 2;

/** @returns the stalls, in order */
async function runUrlWorkload(job, client, progress) {
  const url = new URL(job.url);
  const stalls = [];
  let sent = 0;

  const burst = (count) => {
    // Taken in the tick in which the requests are made: what the kernel knew by then, they could have known.
    const view = KernelView.take(
      Number(url.port || 80),
      new Set(client.records.map((record) => record.port)),
    );
    const calls = Array.from({ length: count }, async () => {
      const method = job.methods[sent % job.methods.length];
      const body = method === 'GET' ? undefined : JSON.stringify({ demo: 'offloop', number: sent });
      sent += 1;
      const record = await client.send({
        pool: 'plain',
        url,
        method,
        body,
        deadline: requestDeadline,
        note: { afterStall: stalls.length > 0 },
      });
      if (record.code !== undefined) record.known = view.stateOf(record.port);
    });
    return Promise.all(calls);
  };

  const sizes = split(job.requests, 2 * ROUNDS);
  for (let round = 0; round < ROUNDS; round += 1) {
    progress(
      `round ${round + 1} of ${ROUNDS}: ${sizes[2 * round]} requests, then a stall of ${job.stall} ms`,
    );
    await burst(sizes[2 * round]);
    // A turn of the loop, so that the agents have parked their connections.
    await new Promise((resolve) => setTimeout(resolve, 20));
    stalls.push(stall(job.stall));
    await burst(sizes[2 * round + 1]);
  }
  return stalls;
}

/** `total` in `parts` whole numbers that differ by at most one. */
function split(total, parts) {
  return Array.from({ length: parts }, (_, i) => Math.floor((total + i) / parts));
}

module.exports = { runUrlWorkload };
