'use strict';

// OpenSSL's names of what rustls can do, in the order in which Node prefers them.

const CIPHERS = {
  TLS_AES_256_GCM_SHA384: { rustls: 'TLS13_AES_256_GCM_SHA384' },
  TLS_CHACHA20_POLY1305_SHA256: { rustls: 'TLS13_CHACHA20_POLY1305_SHA256' },
  TLS_AES_128_GCM_SHA256: { rustls: 'TLS13_AES_128_GCM_SHA256' },
  'ECDHE-RSA-AES128-GCM-SHA256': { rustls: 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256' },
  'ECDHE-ECDSA-AES128-GCM-SHA256': { rustls: 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256' },
  'ECDHE-RSA-AES256-GCM-SHA384': { rustls: 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384' },
  'ECDHE-ECDSA-AES256-GCM-SHA384': { rustls: 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384' },
  'ECDHE-ECDSA-CHACHA20-POLY1305': { rustls: 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256' },
  'ECDHE-RSA-CHACHA20-POLY1305': { rustls: 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256' },
};

const P256 = { rustls: 'secp256r1', info: { type: 'ECDH', name: 'prime256v1', size: 256 } };
const P384 = { rustls: 'secp384r1', info: { type: 'ECDH', name: 'secp384r1', size: 384 } };

/** Node before 24 has no word for a key exchange that is no curve. */
function hybridInfo() {
  const major = Number(process.versions.node.split('.')[0]);
  return major < 24 ? {} : { type: 'TLSGroup', name: 'X25519MLKEM768', size: undefined };
}

/** `info` is what getEphemeralKeyInfo() says of it. */
const GROUPS = {
  X25519: { rustls: 'X25519', info: { type: 'ECDH', name: 'X25519', size: 253 } },
  'P-256': P256,
  prime256v1: P256,
  secp256r1: P256,
  'P-384': P384,
  secp384r1: P384,
  X25519MLKEM768: { rustls: 'X25519MLKEM768', info: hybridInfo() },
};

/** What getCipher() says, by rustls's name. */
function cipherInfo(suite) {
  const [name] = Object.entries(CIPHERS).find(([, { rustls }]) => rustls === suite) ?? [];
  if (name === undefined) return undefined;
  const isThirteen = suite.startsWith('TLS13_');
  return { name, standardName: isThirteen ? name : suite, version: isThirteen ? 'TLSv1.3' : 'TLSv1.2' };
}

function groupInfo(group) {
  return { ...Object.values(GROUPS).find(({ rustls }) => rustls === group)?.info };
}

module.exports = { CIPHERS, GROUPS, cipherInfo, groupInfo };
