'use strict';

// Downloads what the server at the port that it is given sends, and prints how many bytes these were, and how often V8
// has collected the whole heap meanwhile.

const { once } = require('node:events');
const http = require('node:http');
const { PerformanceObserver, constants } = require('node:perf_hooks');
const { HttpAgent } = require('../..');

async function download(port) {
  let whole = 0;
  const observer = new PerformanceObserver((list) => {
    for (const { detail } of list.getEntries()) {
      if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) whole++;
    }
  });
  observer.observe({ entryTypes: ['gc'] });
  const agent = new HttpAgent();
  const [response] = await once(http.get({ host: '127.0.0.1', port, agent }), 'response');
  let received = 0;
  response.on('data', (chunk) => (received += chunk.length));
  await once(response, 'end');
  // What was seen last is told in a later turn.
  await new Promise((resolve) => setImmediate(resolve));
  observer.disconnect();
  agent.destroy();
  console.log(JSON.stringify({ received, whole }));
}

download(Number(process.argv[2]));
