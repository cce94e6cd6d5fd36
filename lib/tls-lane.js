'use strict';

// A lane over TLS, with the members and events of tls.TLSSocket. What is behind it is a connection of
// rustls's in Rust; or a socket of Node's, if rustls has refused what Node then accepted.

const { X509Certificate } = require('crypto');

const errors = require('./errors');
const { checkBytes, checkString, checkUint32 } = require('./arguments');
const Lane = require('./lane');
const { addressesOf } = require('./facts');
const process = require('./node-process');
const { FACTS, reasonOf } = require('./node-socket');
const { closeReason, event, eventFlag, opFlag } = require('./records');
const { disconnected, tlsError } = require('./tls-errors');
const Security = require('./tls-security');

/** What errors on a socket of Node's say of the connection, as the rows of a loss (facts.js). */
const NODES = Object.entries(FACTS)
  .map((fact) => fact.join('\t'))
  .join('\n');

class TlsLane extends Lane {
  #secure;
  /** What is known of the connection; undefined before the handshake. */
  #security;
  /** Bytes that Rust has handed back. */
  #unsent = [];
  /** What has been asked of the socket before it was opened, and only Node's can do. */
  #asked = [];
  /** Node's socket, if the lane is on one. */
  #nodes;
  #connectByNode;
  #options;

  constructor(agent, plan, options, connectByNode) {
    super(agent, plan, options);
    this.#options = options;
    this.#secure = plan.route.secure;
    this.#connectByNode = connectByNode;
    this.encrypted = true;
    this.authorized = false;
    this.authorizationError = null;
    this.alpnProtocol = null;
    this.servername = null;
    this.secureConnecting = true;
    this.ssl = null;
  }

  // A listener that comes late is still heard, if the handshake is not over: it may refuse the certificate.

  on(event, listener) {
    if (event === 'secureConnect') this._connection.gate();
    return super.on(event, listener);
  }

  prependListener(event, listener) {
    if (event === 'secureConnect') this._connection.gate();
    return super.prependListener(event, listener);
  }

  // ---- What Rust is told, and what it reports.

  _open(resolver, flags, addresses, dnsCacheTtl) {
    if (this._isOpened) return;
    const reason = this.#asked[0]?.name ?? (this.listenerCount('session') > 0 && "a listener for 'session'");
    if (!reason) super._open(resolver, flags | this.#openFlags(), addresses, dnsCacheTtl);
    else if (!this.destroyed) this.#goToNode(reason);
  }

  #openFlags() {
    const keylog = this.listenerCount('keylog') > 0 ? opFlag.KEYLOG : 0;
    // A listener that destroys the socket because of what it sees stops the request, as with Node.
    const isGuarded = this.#secure.checkId !== 0 || this.listenerCount('secureConnect') > 0;
    return isGuarded ? keylog | opFlag.GUARD_SECURE : keylog;
  }

  _secureReport(code, flags, argument, payload) {
    switch (code) {
      case event.SECURED:
        this.#onSecured(flags, payload);
        break;
      case event.KEY_LINES:
        for (const line of payload.match(/.+\n/g)) this.emit('keylog', Buffer.from(line, 'latin1'));
        break;
      case event.HANDSHAKE_FAILED:
        this.#fail(argument === 0 ? disconnected(this.#options) : errors.errnoException(argument, 'read'));
        break;
      case event.UNSENT:
        this.#unsent.push(payload);
        break;
      case event.TLS_REFUSED:
        if (argument === 1) this._resent();
        this._hold();
        break;
      case event.HANDED_BACK:
        this.#goToNode();
        break;
      case event.TLS_ERROR:
        this.#onError(argument, payload);
        break;
    }
  }

  #fail(error, facts) {
    this._noteLoss(closeReason.TLS_FAILED, facts);
    this.destroy(error);
  }

  #onError(alert, text) {
    const [words] = text.split('\n', 1);
    // Rust begins with the reason, which is the same.
    const facts = text.slice(words.length + 1).replace(/^reason\t\d+\n?/, '');
    this.#fail(tlsError(alert, words), facts);
  }

  #onSecured(flags, report) {
    const isFirst = this.#security === undefined;
    const security = new Security(report);
    if (!isFirst && !security.leaf.equals(this.#security.leaf)) {
      // Rust sees to that, but for a request that was sent while it waited, for another lane as it seemed.
      this.#fail(tlsError(0, 'certificate has changed'));
      return;
    }
    this.#security = security;
    const error = this.#verify();
    const passes = error === null || !this.#secure.rejects;
    const isGated = (flags & eventFlag.SECURED_GATED) !== 0;
    if (!isFirst) {
      // Another connection with the same certificate: nothing that its users have seen changes.
      if (isGated) this._connection.judge(passes);
      return;
    }
    this.alpnProtocol = this.#security.alpn;
    this.servername = this.#secure.sni ?? false;
    this.authorized = error === null;
    if (error !== null) {
      this.authorizationError = error.code || error.message;
      if (!passes) {
        this._connection.judge(false);
        this.#fail(error);
        return;
      }
    }
    this.secureConnecting = false;
    this._connection.establish();
    this.emit('secure');
    this.emit('secureConnect');
    if (isGated && !this.destroyed) this._connection.judge(true);
  }

  /** The error that Node would have with this certificate, or null. */
  #verify() {
    const { flaw } = this.#security;
    const { check, checkId, hostname } = this.#secure;
    if (flaw !== '' && flaw !== 'name') return Object.assign(new Error(flaw), { code: flaw });
    // Rust has compared the name already, by stricter rules.
    if (flaw === '' && checkId === 0) return null;
    return check(hostname, this.getPeerCertificate(true)) ?? null;
  }

  // ---- Node's TLS in the place of rustls's.

  /** Node's socket, if there is one. */
  get _nodeSocket() {
    return this.#nodes;
  }

  #goToNode(reason) {
    const { pieces, written, final } = this._detach();
    const socket = this.#connectByNode(this, reason);
    this.#nodes = socket;
    for (const { name, args } of this.#asked) socket[name](...args);
    for (const name of ['keylog', 'session', 'OCSPResponse']) {
      socket.on(name, (...args) => this._inContext(this.emit, name, ...args));
    }
    socket.once('connect', () => this._inContext(this.#onNodesConnect));
    socket.on('data', (chunk) => this._inContext(this.#onNodesData, chunk));
    socket.on('end', () => this._inContext(this.#onNodesEnd));
    socket.on('error', (error) => this.destroy(this._isIdle ? undefined : error));
    socket.on('close', () => this.destroy());
    const send = () => {
      for (const bytes of this.#unsent) socket.write(bytes);
      this.#unsent = [];
      for (const { chunk, encoding } of pieces) socket.write(chunk, encoding || undefined);
      if (written !== undefined) socket.write('', written);
      if (final !== undefined) socket.end(final);
    };
    if (this.#security === undefined) {
      socket.once('secureConnect', () => this._inContext(this.#onNodesSecure));
      send();
    } else {
      socket.once('secureConnect', () => this._inContext(this.#onNodesReturn, send));
    }
  }

  #onNodesConnect() {
    this.#takeAddresses();
    if (!this.connecting) return;
    this.connecting = false;
    this.emit('connect');
    this.emit('ready');
  }

  /** The lane had a connection of Rust's before. Its users have seen a certificate, and trust it. */
  #onNodesReturn(send) {
    const { raw } = this.#nodes.getPeerX509Certificate() ?? {};
    if (raw?.equals(this.#security.leaf)) send();
    else this.#fail(tlsError(0, 'certificate has changed'), NODES);
  }

  #takeAddresses() {
    const addresses = Object.values(addressesOf(this.#nodes));
    if (addresses.length > 0) this._setAddresses(addresses.join('\t'));
  }

  #takeVerdict() {
    const { authorized, authorizationError, alpnProtocol, servername } = this.#nodes;
    Object.assign(this, { authorized, authorizationError, alpnProtocol, servername });
  }

  #onNodesSecure() {
    this.#takeVerdict();
    this.secureConnecting = false;
    this.emit('secure');
    this.emit('secureConnect');
  }

  #onNodesData(chunk) {
    if (this._isIdle) {
      // Nobody asked for this, as on a connection of Rust's.
      this.destroy();
      return;
    }
    this._unrefTimer();
    if (!this.push(chunk)) this.#nodes.pause();
  }

  #onNodesEnd() {
    if (this._isIdle) {
      this.destroy();
      return;
    }
    this._noteLoss(closeReason.PEER_FIN, NODES);
    this._endReading();
  }

  _write(chunk, encoding, callback) {
    if (this.#nodes === undefined) super._write(chunk, encoding, callback);
    else {
      this._unrefTimer();
      this.#nodes.write(chunk, encoding, callback);
    }
  }

  _writev(chunks, callback) {
    if (this.#nodes === undefined) {
      super._writev(chunks, callback);
      return;
    }
    this._unrefTimer();
    this.#nodes.cork();
    chunks.forEach(({ chunk, encoding }, at) => {
      this.#nodes.write(chunk, encoding, at === chunks.length - 1 ? callback : undefined);
    });
    this.#nodes.uncork();
  }

  _final(callback) {
    if (this.#nodes === undefined) super._final(callback);
    else this.#nodes.end(callback);
  }

  _read() {
    if (this.#nodes === undefined) super._read();
    else this.#nodes.resume();
  }

  _destroy(error, callback) {
    // A signal that was aborted before destroys the lane while it is being made.
    const nodes = #nodes in this ? this.#nodes : undefined;
    if (nodes !== undefined) {
      if (error && nodes.errored === error) {
        // It may have come by a write's callback as well.
        if (this.#security === undefined) this.#takeVerdict();
        this._noteLoss(reasonOf(error, nodes), NODES);
      }
      nodes.destroy();
    }
    super._destroy(error, callback);
  }

  _onTimeout() {
    // Of an idle socket of Node's nobody else knows the time.
    if (this.#nodes === undefined) super._onTimeout();
    else this._tellTimeout();
  }

  setNoDelay(enable) {
    if (this.#nodes === undefined) return super.setNoDelay(enable);
    this.#nodes.setNoDelay(enable);
    return this;
  }

  setKeepAlive(enable, initialDelay) {
    if (this.#nodes === undefined) return super.setKeepAlive(enable, initialDelay);
    this.#nodes.setKeepAlive(enable, initialDelay);
    return this;
  }

  ref() {
    this.#nodes?.ref();
    return super.ref();
  }

  unref() {
    this.#nodes?.unref();
    return super.unref();
  }

  get bytesRead() {
    return this.#nodes?.bytesRead ?? super.bytesRead;
  }

  get bytesWritten() {
    return this.#nodes?.bytesWritten ?? super.bytesWritten;
  }

  // ---- The members of tls.TLSSocket. As there, nothing is known of a socket that is destroyed.

  getPeerCertificate(detailed) {
    if (this.destroyed) return null;
    if (this.#nodes !== undefined) return this.#nodes.getPeerCertificate(detailed);
    return this.#security?.legacyCertificate(detailed) ?? {};
  }

  getPeerX509Certificate() {
    if (this.destroyed) return undefined;
    if (this.#nodes !== undefined) return this.#nodes.getPeerX509Certificate();
    return this.#security?.x509Certificate();
  }

  getCertificate() {
    return this.destroyed ? null : (this.getX509Certificate()?.toLegacyObject() ?? {});
  }

  getX509Certificate() {
    const { own } = this.#secure;
    return own === undefined || this.destroyed ? undefined : new X509Certificate(own);
  }

  getCipher() {
    return this.#ask('getCipher', () => this.#security?.cipher);
  }

  getProtocol() {
    return this.#ask('getProtocol', () => this.#security?.protocol ?? this.#secure.newest);
  }

  getEphemeralKeyInfo() {
    return this.#ask('getEphemeralKeyInfo', () => this.#security?.keyInfo ?? {});
  }

  isSessionReused() {
    return this.#ask('isSessionReused', () => this.#security?.isResumed ?? false);
  }

  #ask(name, tell) {
    if (this.destroyed) return null;
    return this.#nodes === undefined ? tell() : this.#nodes[name]();
  }

  exportKeyingMaterial(length, label, context) {
    checkUint32(length, 'length');
    checkString(label, 'label');
    if (context !== undefined) checkBytes(context, 'context');
    if (this.#nodes !== undefined) return this.#nodes.exportKeyingMaterial(length, label, context);
    const material =
      this.#security === undefined || this.destroyed
        ? null
        : this._exportKeyingMaterial(length, label, context && Buffer.from(context));
    if (material === null) {
      throw invalidState('TLS socket connection must be securely established');
    }
    return material;
  }

  // rustls does not tell these, and keeps sessions to itself.

  getSession() {
    return this.#nodes?.getSession();
  }

  getTLSTicket() {
    return this.#nodes?.getTLSTicket();
  }

  getFinished() {
    return this.#nodes?.getFinished();
  }

  getPeerFinished() {
    return this.#nodes?.getPeerFinished();
  }

  getSharedSigalgs() {
    return this.#nodes?.getSharedSigalgs();
  }

  // rustls cannot do these. Node's are asked for by options, which go to Node's own TLS.

  enableTrace() {
    this.#askNode('enableTrace');
  }

  setServername(name) {
    checkString(name, 'name');
    this.#askNode('setServername', name);
  }

  setSession(session) {
    this.#askNode('setSession', session);
  }

  setKeyCert(context) {
    this.#askNode('setKeyCert', context);
  }

  /** Before the socket is opened it can still be Node's. */
  #askNode(name, ...args) {
    if (this.#nodes !== undefined) this.#nodes[name](...args);
    else if (this._isOpened) throw invalidState(`${name}() comes too late for this socket`);
    else this.#asked.push({ name, args });
  }

  setMaxSendFragment(size) {
    return this.#nodes?.setMaxSendFragment(size) ?? false;
  }

  /** rustls never renegotiates at the server's wish. */
  disableRenegotiation() {
    this.#nodes?.disableRenegotiation();
  }

  renegotiate(options, callback) {
    if (this.#nodes !== undefined) return this.#nodes.renegotiate(options, callback);
    if (options === null || typeof options !== 'object') {
      throw errors.invalidArgType('options', 'of type object', options);
    }
    if (typeof callback === 'function') {
      const message = 'TLS session renegotiation disabled for this socket';
      process.nextTick(callback, errors.coded(Error, 'ERR_TLS_RENEGOTIATION_DISABLED', message));
    }
    return false;
  }
}

function invalidState(message) {
  return errors.coded(Error, 'ERR_TLS_INVALID_STATE', message);
}

module.exports = TlsLane;
