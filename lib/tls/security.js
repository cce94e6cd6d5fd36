'use strict';

// What is known of a TLS connection that stands, as Rust reports it (src/tls/secured.rs). Certificates are
// parsed by Node, and only if somebody asks.

const { X509Certificate } = require('crypto');

const { cipherInfo, groupInfo } = require('./names');

const PROTOCOLS = { TLSv1_2: 'TLSv1.2', TLSv1_3: 'TLSv1.3' };
const NEWLINE = 10;

/** What a server has shown of itself. The connections to one destination have it together. */
class Certificates {
  bytes;
  der = [];
  #chain;

  constructor(bytes) {
    this.bytes = bytes;
    for (let at = 0; at < bytes.length;) {
      const length = bytes.readUInt32LE(at);
      this.der.push(bytes.subarray(at + 4, at + 4 + length));
      at += 4 + length;
    }
  }

  /** The server's certificate and those that lead from it to a root, as far as they are known. */
  get chain() {
    this.#chain ??= sortChain(this.der.map((der) => new X509Certificate(der)));
    return this.#chain;
  }
}

/** What each destination has shown last. */
const shown = new WeakMap();

function certificatesOf(destination, bytes) {
  let certificates = shown.get(destination);
  if (!certificates?.bytes.equals(bytes)) shown.set(destination, (certificates = new Certificates(bytes)));
  return certificates;
}

class Security {
  #certificates;
  #suite;
  #group;
  /** How many of the certificates the server has sent; a root of ours may be behind them. */
  #sent;

  /** `destination`: the object that its connections have in common. */
  constructor(destination, report) {
    const end = report.indexOf(NEWLINE);
    const [protocol, suite, group, alpn, resumed, flaw, sent] = report.latin1Slice(0, end).split('\t');
    this.protocol = PROTOCOLS[protocol];
    this.#suite = suite;
    this.#group = group;
    this.alpn = alpn || false;
    this.isResumed = resumed === '1';
    /** '', 'name' if the certificate is for another, or Node's code for why nobody vouches for it. */
    this.flaw = flaw;
    this.#sent = Number(sent);
    this.#certificates = certificatesOf(destination, report.subarray(end + 1));
  }

  /** The DER of the server's own certificate. */
  get leaf() {
    return this.#certificates.der[0];
  }

  get cipher() {
    return cipherInfo(this.#suite);
  }

  get keyInfo() {
    return groupInfo(this.#group);
  }

  /** As tls.TLSSocket's getPeerCertificate(). A root's issuer is itself. */
  legacyCertificate(detailed) {
    const { chain } = this.#certificates;
    const objects = (detailed ? chain : chain.slice(0, 1)).map((one) => one.toLegacyObject());
    if (detailed) {
      objects.forEach((object, at) => {
        const isRoot = at === objects.length - 1 && chain[at].checkIssued(chain[at]);
        const issuer = isRoot ? object : objects[at + 1];
        if (issuer !== undefined) object.issuerCertificate = issuer;
      });
    }
    return objects[0];
  }

  x509Certificate() {
    const { der } = this.#certificates;
    const sent = sortChain(der.slice(0, this.#sent).map((one) => new X509Certificate(one)));
    sent.forEach((certificate, at) => {
      Object.defineProperty(certificate, 'issuerCertificate', { value: sent[at + 1], configurable: true });
    });
    return sent[0];
  }
}

/** From the leaf upwards; what the server sent beside that is left out. */
function sortChain([leaf, ...others]) {
  const chain = [leaf];
  for (;;) {
    const top = chain.at(-1);
    if (top.checkIssued(top)) return chain;
    const issuer = others.find((other) => !chain.includes(other) && top.checkIssued(other));
    if (issuer === undefined) return chain;
    chain.push(issuer);
  }
}

module.exports = Security;
