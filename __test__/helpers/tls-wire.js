'use strict';

// The server's end of a TLS connection, with the records in our hands: what OpenSSL sends is decrypted and
// encrypted again under our own sequence numbers (RFC 5246, RFC 8446), so that alerts, tickets and the rest
// can be put between, a FIN can come without close_notify, and close_notify without a FIN.

const crypto = require('node:crypto');
const { Duplex } = require('node:stream');
const { reset } = require('./reset');

const CHANGE_CIPHER_SPEC = 20;
const ALERT = 21;
const HANDSHAKE = 22;
const APPLICATION_DATA = 23;

/** The only suites that are read here. */
const CIPHERS = 'TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256';
const TAG_LENGTH = 16;

/** Messages that OpenSSL does not send by itself: their type and their bytes. */
const MESSAGES = {
  // Fatal: internal_error. Warnings: user_canceled, close_notify.
  alert: [ALERT, [2, 80]],
  warning: [ALERT, [1, 90]],
  notify: [ALERT, [1, 0]],
};
const KEY_UPDATE = [24, 0, 0, 1, 0];

const hmac = (secret, ...parts) => crypto.createHmac('sha256', secret).update(Buffer.concat(parts)).digest();

/** RFC 8446, section 7.1, for at most 32 bytes. */
function expandLabel(secret, label, length) {
  const name = Buffer.from(`tls13 ${label}`);
  return hmac(secret, Buffer.from([0, length, name.length]), name, Buffer.from([0, 1])).subarray(0, length);
}

/** RFC 5246, section 5. */
function expandMaster(secret, label, seed, length) {
  const parts = [];
  let a = Buffer.concat([Buffer.from(label), seed]);
  for (let i = 0; i * 32 < length; i++) {
    a = hmac(secret, a);
    parts.push(hmac(secret, a, Buffer.from(label), seed));
  }
  return Buffer.concat(parts).subarray(0, length);
}

function sequenceBytes(sequence) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(sequence));
  return bytes;
}

function header(type, length) {
  return Buffer.from([type, 3, 3, length >> 8, length & 0xff]);
}

/** One direction of TLS 1.3, from its traffic secret on. */
class Keys13 {
  constructor(secret) {
    this.secret = secret;
    this.key = expandLabel(secret, 'key', 16);
    this.iv = expandLabel(secret, 'iv', 12);
  }

  next() {
    return new Keys13(expandLabel(this.secret, 'traffic upd', 32));
  }

  #nonce(sequence) {
    const nonce = Buffer.from(this.iv);
    for (const [i, byte] of sequenceBytes(sequence).entries()) nonce[4 + i] ^= byte;
    return nonce;
  }

  seal(sequence, type, content) {
    const head = header(APPLICATION_DATA, content.length + 1 + TAG_LENGTH);
    const cipher = crypto.createCipheriv('aes-128-gcm', this.key, this.#nonce(sequence)).setAAD(head);
    const sealed = [cipher.update(content), cipher.update(Buffer.from([type])), cipher.final()];
    return Buffer.concat([head, ...sealed, cipher.getAuthTag()]);
  }

  /** `[type, content]`; throws if the record is of other keys. */
  open(sequence, record) {
    const decipher = crypto.createDecipheriv('aes-128-gcm', this.key, this.#nonce(sequence));
    decipher.setAAD(record.subarray(0, 5)).setAuthTag(record.subarray(-TAG_LENGTH));
    const inner = Buffer.concat([decipher.update(record.subarray(5, -TAG_LENGTH)), decipher.final()]);
    const end = inner.findLastIndex((byte) => byte !== 0);
    return [inner[end], inner.subarray(0, end)];
  }
}

/** The server's direction of TLS 1.2. */
class Keys12 {
  constructor(master, clientRandom, serverRandom) {
    const block = expandMaster(master, 'key expansion', Buffer.concat([serverRandom, clientRandom]), 40);
    this.key = block.subarray(16, 32);
    this.salt = block.subarray(36, 40);
  }

  #extra(sequence, type, length) {
    return Buffer.concat([sequenceBytes(sequence), header(type, length)]);
  }

  seal(sequence, type, content) {
    const explicit = sequenceBytes(sequence);
    const cipher = crypto.createCipheriv('aes-128-gcm', this.key, Buffer.concat([this.salt, explicit]));
    cipher.setAAD(this.#extra(sequence, type, content.length));
    const sealed = Buffer.concat([explicit, cipher.update(content), cipher.final(), cipher.getAuthTag()]);
    return Buffer.concat([header(type, sealed.length), sealed]);
  }

  open(sequence, record) {
    const nonce = Buffer.concat([this.salt, record.subarray(5, 13)]);
    const decipher = crypto.createDecipheriv('aes-128-gcm', this.key, nonce);
    decipher.setAAD(this.#extra(sequence, record[0], record.length - 13 - TAG_LENGTH));
    decipher.setAuthTag(record.subarray(-TAG_LENGTH));
    return [record[0], Buffer.concat([decipher.update(record.subarray(13, -TAG_LENGTH)), decipher.final()])];
  }
}

/** Cuts a stream of bytes into whole records. */
class Records {
  #rest = Buffer.alloc(0);

  take(chunk) {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    const records = [];
    while (this.#rest.length >= 5) {
      const end = 5 + this.#rest.readUInt16BE(3);
      if (this.#rest.length < end) break;
      records.push(this.#rest.subarray(0, end));
      this.#rest = this.#rest.subarray(end);
    }
    return records;
  }
}

/** What a server's TLSSocket is put on. `onAlert` is called for each alert of the client. */
class TlsWire extends Duplex {
  #raw;
  #out = new Records();
  #in = new Records();
  #keys;
  #ownKeys;
  #theirs = 0;
  #ours = 0;
  #serverRandom;
  #master;
  #ticket;

  constructor(raw, onAlert) {
    super({ allowHalfOpen: true });
    this.#raw = raw;
    raw.on('data', (chunk) => {
      if (this.#in.take(chunk).some((record) => this.#isAlert(record))) onAlert();
      this.push(chunk);
    });
    raw.on('end', () => this.push(null));
    raw.on('error', (error) => this.destroy(error));
    raw.on('close', () => this.destroy());
  }

  /** For the 'keylog' event of the TLSSocket. */
  takeSecret(line) {
    const [label, random, secret] = line.toString().trim().split(' ');
    if (label === 'SERVER_TRAFFIC_SECRET_0') this.#useKeys(new Keys13(Buffer.from(secret, 'hex')));
    else if (label === 'CLIENT_RANDOM') this.#master = [secret, random].map((hex) => Buffer.from(hex, 'hex'));
  }

  #useKeys(keys) {
    this.#keys = this.#ownKeys = keys;
  }

  /**
   * Sends one of MESSAGES; or `ticket`: the last session ticket once more; `key-update`; `fin`, and nothing of
   * TLS before it; `plain`: bytes that are no record of this connection.
   */
  send(what, done) {
    switch (what) {
      case 'fin':
        this.#raw.end(done);
        break;
      case 'plain':
        this.#raw.write('HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n', done);
        break;
      case 'ticket':
        // OpenSSL may have sent none.
        this.#raw.write(this.#ticket ? this.#seal(HANDSHAKE, this.#ticket) : '', done);
        break;
      case 'key-update':
        this.#raw.write(this.#seal(HANDSHAKE, Buffer.from(KEY_UPDATE)), done);
        this.#ownKeys = this.#ownKeys.next();
        this.#ours = 0;
        break;
      default: {
        const [type, bytes] = MESSAGES[what];
        this.#raw.write(this.#seal(type, Buffer.from(bytes)), done);
      }
    }
  }

  resetAndDestroy() {
    reset(this.#raw); // Its 'close' ends the rest.
  }

  #seal(type, content) {
    return this.#ownKeys.seal(this.#ours++, type, content);
  }

  #isAlert(record) {
    // An encrypted alert of TLS 1.3 is known by its length.
    return record[0] === ALERT || (record[0] === APPLICATION_DATA && record.length === 5 + 3 + TAG_LENGTH);
  }

  #translate(record) {
    const [type] = record;
    if (type === HANDSHAKE && record[5] === 2) this.#serverRandom ??= Buffer.from(record.subarray(11, 43));
    // With a session that is resumed the secret is known before the server's random bytes have passed here.
    if (type === CHANGE_CIPHER_SPEC && this.#master) {
      this.#useKeys(new Keys12(...this.#master, this.#serverRandom));
      return record;
    }
    const is12 = this.#keys instanceof Keys12;
    if (this.#keys === undefined || (!is12 && type !== APPLICATION_DATA)) return record;
    let opened;
    try {
      opened = this.#keys.open(this.#theirs, record);
    } catch (error) {
      // The last records of a handshake of TLS 1.3 have keys of their own.
      if (this.#theirs === 0 && !is12) return record;
      throw error;
    }
    this.#theirs++;
    if (opened[0] === HANDSHAKE && !is12) this.#ticket = opened[1];
    return this.#seal(...opened);
  }

  _read() {}

  _write(chunk, encoding, callback) {
    if (this.#raw.writableEnded || this.#raw.destroyed) callback();
    else
      this.#raw.write(
        Buffer.concat(this.#out.take(chunk).map((record) => this.#translate(record))),
        callback,
      );
  }

  _final(callback) {
    if (this.#raw.destroyed) callback();
    else this.#raw.end(callback);
  }

  _destroy(error, callback) {
    this.#raw.destroy();
    callback(error);
  }
}

module.exports = { CIPHERS, TlsWire };
