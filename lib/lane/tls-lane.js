'use strict';

// A lane over TLS, with the members and events of tls.TLSSocket. What is behind it is a connection of
// rustls's in Rust; or a socket of Node's, if rustls has refused what Node then accepted (lane-over-node.js).

const { X509Certificate } = require('crypto');

const errors = require('../errors');
const { checkBytes, checkString } = require('../tls/arguments');
const LaneOverNode = require('./lane-over-node');
const process = require('../node/process');
const { FACT_ROWS } = require('./node-socket');
const { closeReason, event, eventFlag, opFlag } = require('../crossing/records');
const { disconnected, tlsError } = require('../tls/errors');
const Security = require('../tls/security');

class TlsLane extends LaneOverNode {
  #secure;
  /** What is known of the connection; undefined before the handshake. */
  #security;
  #options;

  constructor(agent, plan, options, connectByNode) {
    super(agent, plan, options, connectByNode);
    this.#options = options;
    this.#secure = plan.route.secure;
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
    const reason = this._asked ?? (this.listenerCount('session') > 0 && "a listener for 'session'");
    if (!reason) super._open(resolver, flags | this.#openFlags(), addresses, dnsCacheTtl);
    else if (!this.destroyed) this._goToNode(reason);
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
        this._takeUnsent(payload);
        break;
      case event.TLS_REFUSED:
        if (argument === 1) this._resent();
        this._withhold();
        break;
      case event.HANDED_BACK:
        this._goToNode();
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
    const security = new Security(this.#secure, report);
    if (!isFirst && !security.leaf.equals(this.#security.leaf)) {
      // Rust sees to that, but for a request that was sent while it waited, for another lane as it seemed.
      this.#fail(tlsError(0, 'certificate has changed'));
      return;
    }
    this.#security = security;
    const error = this._connection.ask(() => this.#verify());
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
    this.#tellSecure();
    // As with Node's TLS, what has been written is done behind these events.
    this._pump();
    if (isGated && !this.destroyed) this._connection.judge(true);
  }

  /** The error that Node would have with this certificate, or null. */
  #verify() {
    const { flaw } = this.#security;
    const { check, checkId, hostname } = this.#secure;
    if (flaw !== '' && flaw !== 'name') return Object.assign(new Error(flaw), { code: flaw });
    // Rust has compared the name already, by stricter rules.
    if (flaw === '' && checkId === 0) return null;
    return check(hostname, this.getPeerCertificate(true)) || null;
  }

  // ---- Node's TLS in the place of rustls's.

  _meetNodes(socket, send) {
    if (this.#security === undefined) {
      socket.once('secureConnect', () => this._inContext(this.#onNodesSecure));
      send();
    } else {
      socket.once('secureConnect', () => this._inContext(this.#onNodesReturn, send));
    }
  }

  /** The lane had a connection of Rust's before. Its users have seen a certificate, and trust it. */
  #onNodesReturn(send) {
    const { raw } = this._nodeSocket.getPeerX509Certificate() ?? {};
    if (raw?.equals(this.#security.leaf)) send();
    else this.#fail(tlsError(0, 'certificate has changed'), FACT_ROWS);
  }

  #takeVerdict() {
    const { authorized, authorizationError, alpnProtocol, servername } = this._nodeSocket;
    Object.assign(this, { authorized, authorizationError, alpnProtocol, servername });
  }

  /** Its verdict may be why. */
  _nodesFailed() {
    if (this.#security === undefined) this.#takeVerdict();
  }

  #onNodesSecure() {
    this.#takeVerdict();
    this.secureConnecting = false;
    this.#tellSecure();
  }

  #tellSecure() {
    this._connection.ask(() => {
      // In Node the one comes of a listener for the other, which is the first.
      this.emit('secureConnect');
      this.emit('secure');
    });
  }

  // ---- The members of tls.TLSSocket. As there, nothing is known of a socket that is destroyed.

  getPeerCertificate(detailed) {
    if (this.destroyed) return null;
    if (this._nodeSocket !== undefined) return this._nodeSocket.getPeerCertificate(detailed);
    return this.#security?.legacyCertificate(detailed) ?? {};
  }

  getPeerX509Certificate() {
    if (this.destroyed) return undefined;
    if (this._nodeSocket !== undefined) return this._nodeSocket.getPeerX509Certificate();
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
    return this._nodeSocket === undefined ? tell() : this._nodeSocket[name]();
  }

  exportKeyingMaterial(length, label, context) {
    errors.checkInteger(length, 'length', 1, 0xffffffff);
    checkString(label, 'label');
    if (context !== undefined) checkBytes(context, 'context');
    if (this._nodeSocket !== undefined) return this._nodeSocket.exportKeyingMaterial(length, label, context);
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
    return this._nodeSocket?.getSession();
  }

  getTLSTicket() {
    return this._nodeSocket?.getTLSTicket();
  }

  getFinished() {
    return this._nodeSocket?.getFinished();
  }

  getPeerFinished() {
    return this._nodeSocket?.getPeerFinished();
  }

  getSharedSigalgs() {
    return this._nodeSocket?.getSharedSigalgs();
  }

  // rustls cannot do these. Node's are asked for by options, which go to Node's own TLS.

  enableTrace() {
    this._askNode('enableTrace');
  }

  setServername(name) {
    checkString(name, 'name');
    this._askNode('setServername', name);
  }

  setSession(session) {
    this._askNode('setSession', session);
  }

  setKeyCert(context) {
    this._askNode('setKeyCert', context);
  }

  setMaxSendFragment(size) {
    errors.checkInteger(size, 'size', -0x80000000, 0x7fffffff);
    return this._nodeSocket?.setMaxSendFragment(size) ?? false;
  }

  /** rustls never renegotiates at the server's wish. */
  disableRenegotiation() {
    this._nodeSocket?.disableRenegotiation();
  }

  renegotiate(options, callback) {
    if (this._nodeSocket !== undefined) return this._nodeSocket.renegotiate(options, callback);
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
