'use strict';

// What the process as a whole says about TLS: its roots, and settings of OpenSSL's that only Node's own
// TLS can follow. Settings of the command line and the environment are those of the start, as for Node.

const crypto = require('crypto');
const fs = require('fs');
const tls = require('tls');

const { native } = require('./binding');
const process = require('./node-process');
const { derOf } = require('./tls-pem');

const { NODE_EXTRA_CA_CERTS, NODE_OPTIONS = '', OPENSSL_CONF } = process.env;

/** Options of Node's that change its TLS in a way that rustls cannot follow. */
const FLAGS = [
  '--enable-fips',
  '--force-fips',
  '--openssl-config',
  '--openssl-legacy-provider',
  '--openssl-shared-config',
  '--tls-keylog',
  '--trace-tls',
  '--use-openssl-ca',
];

const given = [...NODE_OPTIONS.split(/\s+/), ...process.execArgv].map((argument) =>
  argument.split('=', 1)[0].replaceAll('_', '-'),
);
const flag = FLAGS.find((name) => given.includes(name));
const usesSystem = given.includes('--use-system-ca');

/** Programs put their own into the place of these, to add roots or to watch. */
const { checkServerIdentity, connect, createSecureContext } = tls;

/** Why no TLS of this process can be rustls's, or undefined. */
function processReason() {
  if (flag !== undefined) return flag;
  if (OPENSSL_CONF) return 'OPENSSL_CONF';
  if (crypto.getFips() !== 0) return 'FIPS';
  if (usesSystem && tls.getCACertificates === undefined) return '--use-system-ca';
  if (tls.connect !== connect) return 'a replaced tls.connect';
  if (tls.createSecureContext !== createSecureContext) return 'a replaced tls.createSecureContext';
  return undefined;
}

let listed;
let anchors;

/** Node's roots, read once; anew only if the program has set others (`tls.setDefaultCACertificates`). */
function defaultAnchors() {
  // It gives the same array each time, as long as it is the same.
  const list = tls.getCACertificates?.('default') ?? tls.rootCertificates;
  if (list !== listed || anchors === undefined) {
    const extra = tls.getCACertificates === undefined ? extraCertificates() : [];
    anchors = new native.TrustAnchors(
      [...list, ...extra].map((pem) => derOf(pem)[0]),
      false,
    );
    listed = list;
  }
  return anchors;
}

/** Where Node does not list them. It warns by itself of a file that cannot be read. */
function extraCertificates() {
  if (!NODE_EXTRA_CA_CERTS) return [];
  try {
    const text = fs.readFileSync(NODE_EXTRA_CA_CERTS, 'latin1');
    return text.match(/-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/g) ?? [];
  } catch {
    return [];
  }
}

/** Whether `function` is Node's own identity check. */
function isNodesCheck(check) {
  return check === checkServerIdentity;
}

let warned = false;

/**
 * NODE_TLS_REJECT_UNAUTHORIZED=0, of which Node warns once per process, in tls.connect(). It is called for
 * that alone, so that the warning is Node's, and comes once.
 */
function allowsUnauthorized() {
  if (process.env.NODE_TLS_REJECT_UNAUTHORIZED !== '0') return false;
  if (!warned) {
    warned = true;
    const { Duplex } = require('stream');
    const socket = connect({ socket: new Duplex({ read() {}, write() {} }) });
    socket.on('error', () => {});
    socket.destroy();
  }
  return true;
}

module.exports = { allowsUnauthorized, defaultAnchors, isNodesCheck, processReason };
