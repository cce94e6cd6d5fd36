'use strict';

// The same requests over TLS with https.Agent and with HttpsAgent. Node is the specification: what came of
// them is brought into plain values, and held against each other.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const https = require('node:https');
const { HttpsAgent } = require('../..');

/** Old keys and digests are the client's to refuse, so the server takes them at OpenSSL's level 0. */
const ANYTHING_GOES = 'DEFAULT@SECLEVEL=0';

/** The chain of a Certificate of helpers/x509.js as the options of a server. */
function identity(leaf, ...above) {
  return { key: leaf.key, cert: [leaf, ...above].map(({ cert }) => cert).join('') };
}

/**
 * Starts a server that tells each client who it seems to be, and ends with the test. `server.port`;
 * `server.accepted` counts the TCP connections, `server.secured` those with a handshake that succeeded here;
 * `server.errors` has the errors of the others.
 */
async function tlsServer(t, options, listener = tellIdentity) {
  const server = https.createServer({ ciphers: ANYTHING_GOES, keepAliveTimeout: 0, ...options }, listener);
  const open = new Set();
  Object.assign(server, { accepted: 0, secured: 0, errors: [] });
  server.on('connection', (socket) => {
    server.accepted++;
    open.add(socket);
    socket.on('error', () => {}).on('close', () => open.delete(socket));
  });
  server.on('secureConnection', (socket) => {
    socket.number = ++server.secured;
  });
  server.on('tlsClientError', (error) => server.errors.push(error));
  t.after(() => {
    server.close();
    for (const socket of open) socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  server.port = server.address().port;
  return server;
}

/** What this end of the connection knows about it. */
function describePeer(socket) {
  const { subject } = socket.getPeerCertificate() ?? {};
  return {
    servername: socket.servername || null,
    alpn: socket.alpnProtocol || null,
    protocol: socket.getProtocol(),
    client: subject?.CN ?? null,
    authorized: socket.authorized,
    resumed: socket.isSessionReused(),
  };
}

function tellIdentity({ socket }, response) {
  response.end(JSON.stringify(describePeer(socket)));
}

/** What a program can tell errors apart by. */
function describeError(error) {
  if (!(error instanceof Error)) return error;
  const properties = { ...error };
  delete properties.connection;
  // Elsewhere it is a word of ours for who closed the connection.
  if (!/^ERR_(TLS|SSL|OSSL)/.test(error.code)) delete properties.reason;
  // OpenSSL's message has the number of the thread in it, and lines of its source; what it says is in `reason`.
  if (error.library === undefined) properties.message = error.message;
  // The name of ours for an end by the server.
  const name = error.name === 'PeerClosedError' ? 'Error' : error.name;
  return { type: error.constructor.name, name, ...properties };
}

/** Makes a request; resolves with all that its program can see of the connection and of the answer. */
function outcome(agent, options) {
  return new Promise((resolve) => {
    const seen = { events: [] };
    let request;
    try {
      request = https.request({ host: '127.0.0.1', agent, ...options });
    } catch (error) {
      resolve({ thrown: describeError(error) });
      return;
    }
    request.on('socket', (socket) => {
      if (!request.reusedSocket) socket.once('secureConnect', () => noteVerdict(seen, socket));
    });
    request.on('error', (error) => {
      seen.error = describeError(error);
    });
    request.on('response', (response) => {
      seen.status = response.statusCode;
      seen.reused = request.reusedSocket;
      seen.body = '';
      response.setEncoding('utf8');
      response.on('data', (text) => (seen.body += text));
    });
    request.on('close', () => resolve(seen));
    request.end();
  });
}

function noteVerdict(seen, socket) {
  seen.events.push('secureConnect');
  seen.encrypted = socket.encrypted;
  seen.authorized = socket.authorized;
  seen.authorizationError = describeError(socket.authorizationError);
}

/**
 * Runs `scenario(make)` with Node's agent and with ours, where `make(options)` is a new agent, and compares
 * what it returns. Returns that.
 */
async function asHttps(t, scenario) {
  const seen = [];
  for (const Agent of [https.Agent, HttpsAgent]) {
    const make = (options) => {
      const agent = new Agent({ keepAlive: true, ...options });
      t.after(() => agent.destroy());
      return agent;
    };
    seen.push(await scenario(make));
  }
  assert.deepEqual(seen[1], seen[0]);
  return seen[1];
}

module.exports = { asHttps, describeError, describePeer, identity, outcome, tlsServer };
