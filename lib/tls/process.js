'use strict';

// What the process as a whole says about TLS: its roots, and settings of OpenSSL's that only Node's own
// TLS can follow. Settings of the command line and the environment are those of the start, as for Node.

const crypto = require('crypto');
const fs = require('fs');
const path = require('path');
const tls = require('tls');

const { native } = require('../binding');
const process = require('../node/process');
const { isNodes } = require('../node/functions');
const { environment, settings } = require('../node/process-start');
const { derOf } = require('./pem');

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

let atStart;

/** Distributions build Node so that its roots are those of OpenSSL's own store, which Node does not list. */
const IS_BUILT_FOR_STORE =
  process.config.target_defaults?.defines?.includes('NODE_OPENSSL_CERT_STORE') === true;

/** What the process was started with: `{ reason, usesStore, usesSystem }`, where `reason` keeps rustls out. */
function readStart() {
  const start = settings();
  const options = start.environments.flatMap(({ NODE_OPTIONS = '' }) => NODE_OPTIONS.split(/\s+/));
  const given = [...options, ...start.arguments].map((argument) =>
    argument.split('=', 1)[0].replaceAll('_', '-'),
  );
  const hasConfiguration = start.environments.some(({ OPENSSL_CONF }) => OPENSSL_CONF);
  return {
    reason: FLAGS.find((name) => given.includes(name)) ?? (hasConfiguration ? 'OPENSSL_CONF' : undefined),
    usesStore: IS_BUILT_FOR_STORE && !given.includes('--use-bundled-ca'),
    usesSystem: given.includes('--use-system-ca'),
  };
}

/** Why no TLS of this process can be rustls's, or undefined. */
function processReason() {
  atStart ??= readStart();
  if (atStart.reason !== undefined) return atStart.reason;
  if (crypto.getFips() !== 0) return 'FIPS';
  if (atStart.usesSystem && tls.getCACertificates === undefined) return '--use-system-ca';
  if (!isNodes.connect(tls.connect)) return 'a replaced tls.connect';
  if (!isNodes.createSecureContext(tls.createSecureContext)) return 'a replaced tls.createSecureContext';
  return undefined;
}

let listed;
let anchors;

/** Node's roots, if it says which they are; read once, and anew only if the program has set others (`tls.setDefaultCACertificates`). */
function defaultAnchors() {
  atStart ??= readStart();
  if (atStart.usesStore) return undefined;
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

/**
 * Where Node does not list them, and only if it has certainly read that file: of what others vouch for, Node decides.
 * It warns by itself of a file that cannot be read.
 */
function extraCertificates() {
  const file = environment?.NODE_EXTRA_CA_CERTS;
  // The program may have gone to another directory since.
  if (!file || !path.isAbsolute(file)) return [];
  try {
    const text = fs.readFileSync(file, 'latin1');
    return text.match(/-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/g) ?? [];
  } catch {
    return [];
  }
}

/** Whether `function` is Node's own identity check. */
function isNodesCheck(check) {
  return isNodes.checkServerIdentity(check);
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
    // It is Node's own where rustls may be used at all.
    const socket = tls.connect({ socket: new Duplex({ read() {}, write() {} }) });
    socket.on('error', () => {});
    socket.destroy();
  }
  return true;
}

module.exports = { allowsUnauthorized, defaultAnchors, isNodesCheck, processReason };
