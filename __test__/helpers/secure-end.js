'use strict';

// TLS for helpers/raw-server.js, on a wire that lets it do what OpenSSL's end would not.

const tls = require('node:tls');
const { CIPHERS, TlsWire } = require('./tls-wire');

/**
 * `identities`: `{ name: { key, cert } }`, the first of which is in force until another is named; the rest are
 * options of the server. `note` writes down 'secure', a handshake that has succeeded, and 'client-alert'.
 */
function secureEnds({ identities, maxVersion, ca, requestCert = false, ...options }, note) {
  const contexts = {};
  for (const [name, { key, cert }] of Object.entries(identities)) {
    contexts[name] = tls.createSecureContext({
      key,
      cert,
      ca,
      maxVersion,
      ciphers: CIPHERS,
      sessionIdContext: name,
    });
  }
  let [identity] = Object.keys(identities);

  return {
    set identity(name) {
      identity = name;
    },

    accept(raw, number) {
      const own = identity;
      const wire = new TlsWire(raw, () => note('client-alert', { connection: number }));
      const secureContext = contexts[own];
      const end = { isServer: true, secureContext, requestCert, rejectUnauthorized: false };
      const socket = new tls.TLSSocket(wire, { ...end, ...options });
      socket.on('keylog', (line) => wire.takeSecret(line));
      socket.on('secure', () => {
        const { subject } = socket.getPeerCertificate() ?? {};
        note('secure', {
          connection: number,
          identity: own,
          resumed: socket.isSessionReused(),
          servername: socket.servername || null,
          client: subject?.CN ?? null,
          protocol: socket.getProtocol(),
          alpn: socket.alpnProtocol || null,
        });
      });
      return { socket, wire };
    },

    /** Ways not to come to a connection. */
    refuse(raw, way, gone) {
      raw.on('error', () => {}).on('close', gone);
      raw.on('end', () => raw.end());
      const [action, moment] = way.split('-');
      if (moment === undefined) refusals[action](raw);
      else raw.once('data', () => refusals[action](raw));
    },
  };
}

/** At once, or with `-hello` when the client has spoken. */
const refusals = {
  reset: (raw) => raw.resetAndDestroy(),
  close: (raw) => raw.end(),
  plain: (raw) => raw.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'),
  // A fatal alert: handshake_failure.
  alert: (raw) => raw.end(Buffer.from([21, 3, 3, 0, 2, 2, 40])),
  silence: (raw) => raw.resume(),
};

module.exports = { secureEnds };
