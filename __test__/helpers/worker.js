'use strict';

// A worker thread that sends requests: `{ port, count }`; with `count` 0 until it is terminated. Says
// 'answered' at the first answer, and how many were right at the end.

const { parentPort, workerData } = require('node:worker_threads');
const { HttpAgent } = require('../..');
const { send } = require('./blocked');

const { port, count, name } = workerData;
const agent = new HttpAgent({ maxSockets: 8 });
let sent = 0;
let right = 0;
let open = 0;

function next() {
  if (count > 0 && sent === count) return;
  const id = `${name}-${sent++}`;
  open++;
  send(agent, { port }, { id, act: ['ok', 'chunked', 'ok/2', 'close,ok'][sent % 4] }).then(({ body }) => {
    open--;
    if (body === `ok:${id}`) right++;
    if (right === 1) parentPort.postMessage('answered');
    next();
    // The worker ends by itself with nothing but idle connections left.
    if (open === 0) parentPort.postMessage({ right });
  });
}

for (let i = 0; i < 16; i++) next();
