'use strict';

// The errors of TLS connections that stand, with Node's codes.

/** Alerts by their numbers (RFC 8446 section 6, RFC 5246 section 7.2), in OpenSSL's words. */
const ALERTS = {
  10: 'ssl/tls alert unexpected message',
  20: 'ssl/tls alert bad record mac',
  21: 'tlsv1 alert decryption failed',
  22: 'tlsv1 alert record overflow',
  30: 'ssl/tls alert decompression failure',
  40: 'ssl/tls alert handshake failure',
  41: 'ssl/tls alert no certificate',
  42: 'ssl/tls alert bad certificate',
  43: 'ssl/tls alert unsupported certificate',
  44: 'ssl/tls alert certificate revoked',
  45: 'ssl/tls alert certificate expired',
  46: 'ssl/tls alert certificate unknown',
  47: 'ssl/tls alert illegal parameter',
  48: 'tlsv1 alert unknown ca',
  49: 'tlsv1 alert access denied',
  50: 'tlsv1 alert decode error',
  51: 'tlsv1 alert decrypt error',
  60: 'tlsv1 alert export restriction',
  70: 'tlsv1 alert protocol version',
  71: 'tlsv1 alert insufficient security',
  80: 'tlsv1 alert internal error',
  86: 'tlsv1 alert inappropriate fallback',
  90: 'tlsv1 alert user cancelled',
  100: 'tlsv1 alert no renegotiation',
  109: 'tlsv13 alert missing extension',
  110: 'tlsv1 unsupported extension',
  111: 'tlsv1 certificate unobtainable',
  112: 'tlsv1 unrecognized name',
  113: 'tlsv1 bad certificate status response',
  114: 'tlsv1 bad certificate hash value',
  115: 'tlsv1 alert unknown psk identity',
  116: 'tlsv13 alert certificate required',
  120: 'tlsv1 alert no application protocol',
};

/** OpenSSL before 3.2 has an older name in front of the alerts that SSL 3 had. */
const [major, minor] = process.versions.openssl.split('.').map(Number);
const PREFIX = major > 3 || (major === 3 && minor >= 2) ? 'ssl/tls' : 'sslv3';

/** An alert of the server, by its number, or what rustls found wrong. */
function tlsError(alert, text) {
  const reason = (ALERTS[alert] ?? (text || `alert number ${alert}`)).replace(/^ssl\/tls/, PREFIX);
  const number = alert === 0 ? '' : `:SSL alert number ${alert}`;
  const error = new Error(`error:SSL routines::${reason}${number}`);
  error.library = 'SSL routines';
  error.reason = reason;
  error.code = `ERR_SSL_${reason.toUpperCase().replace(/[^A-Z0-9]+/g, '_')}`;
  return error;
}

/** The server closed the connection in the handshake. */
function disconnected({ path, host, port, localAddress }) {
  const error = new Error('Client network socket disconnected before secure TLS connection was established');
  error.code = 'ECONNRESET';
  return Object.assign(error, { path, host, port, localAddress });
}

module.exports = { disconnected, tlsError };
