'use strict';

// The workload against the demo's own server. Every agent gets the same one.

const { sleep, stall } = require('./clock');
const settings = require('./settings');

/** @returns the stalls, in order */
async function runOwnWorkload({ port }, client, progress) {
  const { burst } = settings;
  const call = caller(client, port);
  const stalls = [];
  const block = (ms) => stalls.push(stall(ms));

  /** Leaves `burst` idle connections in a pool. */
  const fill = (pool) => Promise.all(times(burst, () => call({ pool, method: 'GET' })));

  const background = startBackground(call);

  progress(`requests made right after a stall (${settings.stallsBeforeReuse.length} stalls)`);
  for (const ms of settings.stallsBeforeReuse) {
    await Promise.all([fill('plain'), fill('limited')]);
    await sleep(settings.parkingTime);
    block(ms);
    // In the same tick: the server's FINs lie in the kernel, and no timer and no socket has had its turn.
    const calls = times(burst, (i) => [
      call({ pool: 'plain', method: i % 2 ? 'POST' : 'GET' }),
      call({ pool: 'limited', method: i % 2 ? 'POST' : 'GET' }),
    ]);
    await Promise.all(calls.flat());
    await sleep(settings.pause);
  }

  progress(`requests in flight in a stall, closed unanswered (${settings.stallsInFlight.length} stalls)`);
  for (const ms of settings.stallsInFlight) {
    await fill('plain');
    await sleep(settings.parkingTime);
    // Fewer than there are idle connections (the background takes some), so that each finds one.
    const calls = times(burst - 2, (i) => {
      return call({
        pool: 'plain',
        method: i % 3 === 2 ? 'POST' : 'GET',
        unanswered: i % 2 ? 'reset' : 'fin',
      });
    });
    // Time for the requests to reach the server, and not for its closes to come back.
    await sleep(settings.parkingTime);
    block(ms);
    await Promise.all(calls);
    await sleep(settings.pause);
  }

  progress(`idle limits that fall into a stall (${settings.stallsOverIdleLimit.length} stalls)`);
  for (const ms of settings.stallsOverIdleLimit) {
    await fill('limited');
    await sleep(settings.parkingTime);
    block(ms);
    await sleep(settings.pause);
  }

  await background.stop();
  return stalls;
}

/** A steady load, GET and POST in turn, on the pool without an idle limit of its own. */
function startBackground(call) {
  const calls = [];
  const timer = setInterval(() => {
    calls.push(call({ pool: 'plain', method: calls.length % 2 ? 'POST' : 'GET' }));
  }, settings.backgroundInterval);
  return {
    stop() {
      clearInterval(timer);
      return Promise.all(calls);
    },
  };
}

/** RPC calls whose answers can be told apart, so that a response that reached the wrong request is noticed. */
function caller(client, port) {
  let count = 0;
  return ({ pool, method, unanswered }) => {
    const a = ++count;
    const b = 1000;
    const target = method === 'GET' ? `/rpc/sum?a=${a}&b=${b}` : '/rpc';
    return client.send({
      pool,
      method,
      url: new URL(target, `http://127.0.0.1:${port}`),
      body: method === 'GET' ? undefined : JSON.stringify({ method: 'sum', params: [a, b] }),
      headers: unanswered && { 'x-demo-unanswered': unanswered },
      check: (id, text) => text === JSON.stringify({ id, result: a + b }),
    });
  };
}

function times(count, make) {
  return Array.from({ length: count }, (_, i) => make(i));
}

module.exports = { runOwnWorkload };
