'use strict';

// A worker thread that uploads one large buffer again and again, until it is terminated. Says 'writing' each time
// that it begins.

const { parentPort, workerData } = require('node:worker_threads');
const http = require('node:http');
const { HttpAgent } = require('../..');

const agent = new HttpAgent();
const body = Buffer.alloc(workerData.size, 'lent ');

function upload() {
  const headers = { 'Content-Length': body.length };
  const request = http.request({ host: '127.0.0.1', port: workerData.port, agent, method: 'POST', headers });
  request.on('socket', () => parentPort.postMessage('writing'));
  request.on('response', (response) => response.resume().on('end', upload));
  request.end(body);
}

for (let count = 0; count < 4; count++) upload();
