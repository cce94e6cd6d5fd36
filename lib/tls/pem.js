'use strict';

// Certificates and keys out of the forms in which options give them. Whatever cannot be read is for Node,
// whose error comes out then.

const { X509Certificate, createPrivateKey } = require('crypto');

/** Also the older labels that OpenSSL takes; `TRUSTED` brings settings along that only OpenSSL knows. */
const BLOCK =
  /-----BEGIN (TRUSTED |X509 )?CERTIFICATE-----([^]*?)-----END (?:TRUSTED |X509 )?CERTIFICATE-----/g;

/** The DER of each certificate in PEM text or bytes. Throws for what is none. */
function derOf(pem) {
  const text = typeof pem === 'string' ? pem : bytesOf(pem).toString('latin1');
  return Array.from(text.matchAll(BLOCK), ([, label, base64]) => {
    if (label === 'TRUSTED ') throw new TypeError('a certificate with trust settings');
    return Buffer.from(base64, 'base64');
  });
}

function isPem(value) {
  return typeof value === 'string' || ArrayBuffer.isView(value);
}

function bytesOf(value) {
  if (ArrayBuffer.isView(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  throw new TypeError('neither a string nor bytes');
}

/** The certificates of `ca`, or undefined if some of them are no anchors: then OpenSSL has its own way. */
function readAnchors(ca) {
  const list = [ca].flat();
  const all = list.flatMap((one) => {
    const found = derOf(one);
    if (found.length === 0) throw new TypeError('no certificate');
    return found;
  });
  const isRoot = (certificate) =>
    certificate.checkIssued(certificate) && certificate.verify(certificate.publicKey);
  return all.every((der) => isRoot(new X509Certificate(der))) ? all : undefined;
}

/** Keys that rustls takes too, by Node's name for them. */
const KEY_TYPES = new Set(['rsa', 'ec', 'ed25519']);

/**
 * The client's own certificate: `{ certificates, key }`, in DER and as a KeyObject; undefined for what only
 * OpenSSL can use.
 */
function readIdentity({ cert, key, passphrase }) {
  const chains = [cert].flat();
  const keys = [key].flat();
  if (chains.length !== 1 || keys.length !== 1) return undefined;
  const certificates = derOf(chains[0]);
  const [given] = keys;
  if (key === given && !isPem(key)) throw new TypeError('an object has its place in an array');
  const pem = given?.pem ?? given;
  const privateKey = createPrivateKey({
    key: pem,
    format: 'pem',
    passphrase: given?.passphrase ?? passphrase,
  });
  if (!KEY_TYPES.has(privateKey.asymmetricKeyType)) return undefined;
  if (certificates.length === 0 || !new X509Certificate(certificates[0]).checkPrivateKey(privateKey)) {
    throw new TypeError('the key is not that of the certificate');
  }
  return { certificates, key: privateKey };
}

module.exports = { bytesOf, derOf, readAnchors, readIdentity };
