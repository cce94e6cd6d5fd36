'use strict';

const http = require('node:http');
const https = require('node:https');

const { bodyOf, chunksOf } = require('./bodies');

const HOST = '127.0.0.1';

/**
 * How one request is made: resolves with the body if the response is the expected one and was read whole.
 * @callback Exchange
 * @returns {Promise<string | undefined>} the text of the response, if the case wants it
 */

/**
 * By the api of the candidate, a function that prepares the exchanges of a case.
 * @type {Record<string, (benchCase: import('./cases').Case, agent: object, port: number) => Exchange>}
 */
const CALL_SITES = {
  /**
   * The same for every agent. Waiting on a promise, as programs do, also lets Node put the connection back among the
   * idle ones before the next request asks for one; a request sent straight from the 'end' listener would open a
   * second connection.
   */
  http({ scheme, request, requestBody, expect }, agent, port) {
    const { request: send } = scheme === 'https' ? https : http;
    const { method, path } = request;
    const headers = headersOf(requestBody);
    return () =>
      new Promise((resolve, reject) => {
        // Written out, as most programs do. An object spread from others gets a shape of its own each time here, which
        // makes every look at it slow, whoever looks.
        const options = { method, path, headers, host: HOST, port, agent };
        const req = send(options, (res) => readWhole(res, res.statusCode, expect, resolve, reject));
        req.on('error', reject);
        if (requestBody?.chunk) writeChunks(req, chunksOf(requestBody));
        else req.end(requestBody && bodyOf(requestBody.bytes));
      });
  },

  undici({ scheme, request: { method, path }, requestBody, expect }, dispatcher, port) {
    const { request: send } = require('undici');
    // Parsed once: undici would parse a string again for each request.
    const url = new URL(`${scheme}://${HOST}:${port}${path}`);
    const headers = headersOf(requestBody);
    return async () => {
      const body = requestBody && (requestBody.chunk ? chunksOf(requestBody) : bodyOf(requestBody.bytes));
      const { statusCode, body: res } = await send(url, { headers, dispatcher, method, body });
      return new Promise((resolve, reject) => readWhole(res, statusCode, expect, resolve, reject));
    };
  },
};

/** With its length known a streamed body is framed as one that is given whole. */
function headersOf(body) {
  return body?.chunk ? { 'Content-Length': String(body.bytes) } : undefined;
}

/** As much as the stream takes, then the rest when it has drained. */
function writeChunks(req, chunks) {
  for (let next = chunks.next(); !next.done; next = chunks.next()) {
    if (!req.write(next.value)) {
      req.once('drain', () => writeChunks(req, chunks));
      return;
    }
  }
  req.end();
}

function readWhole(res, status, expect, resolve, reject) {
  let bytes = 0;
  let text = expect.text ? '' : undefined;
  res.on('data', (chunk) => {
    bytes += chunk.length;
    if (text !== undefined) text += chunk;
  });
  res.on('error', reject);
  res.on('end', () => {
    if (status === expect.status && bytes === expect.bytes) resolve(text);
    else reject(new Error(`unexpected response: status ${status}, ${bytes} bytes`));
  });
}

module.exports = { CALL_SITES };
