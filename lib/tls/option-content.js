'use strict';

// What certificates, keys and lists say in the options of a connection, to be compared with what they say
// later: a program may write to them.

const { createHash } = require('crypto');

const { bytesOf } = require('./pem');

/** Options whose bytes are not kept: the same object with the same digest is the same key. */
const SECRETS = new Set(['key', 'passphrase', 'pfx', 'session', 'ticketKeys']);

/** Whether a value may say something else later, though it is the same object. */
function isMutable(value) {
  return Array.isArray(value) || ArrayBuffer.isView(value);
}

/** What one or more options say, as a list of values. */
class Content {
  #values;

  static of(name, value) {
    return new Content(valuesOf(value, SECRETS.has(name)));
  }

  /** Of all options with these names, and of what is compared with them. */
  static ofAll(options, names, others) {
    return new Content([...others, ...names.flatMap((name) => valuesOf(options[name], SECRETS.has(name)))]);
  }

  constructor(values) {
    this.#values = values;
  }

  equals(other) {
    const [mine, its] = [this.#values, other.#values];
    return mine.length === its.length && mine.every((value, at) => isEqual(value, its[at]));
  }

  /** One that the program cannot change. */
  snapshot() {
    return new Content(this.#values.map((value) => (Buffer.isBuffer(value) ? Buffer.from(value) : value)));
  }
}

/** An option as a list of values to compare, with its shape among them. */
function valuesOf(value, isSecret) {
  if (Array.isArray(value)) return [value.length, ...value.flatMap((one) => valuesOf(one, isSecret))];
  if (ArrayBuffer.isView(value)) return [isSecret ? new Secret(value) : bytesOf(value)];
  if (value !== null && typeof value === 'object') {
    return ['{', ...valuesOf(value.pem, true), ...valuesOf(value.passphrase, true)];
  }
  return [value];
}

class Secret {
  constructor(value) {
    this.value = value;
    this.digest = createHash('sha256').update(value).digest('latin1');
  }

  equals(other) {
    return other instanceof Secret && other.value === this.value && other.digest === this.digest;
  }
}

function isEqual(one, other) {
  if (one instanceof Secret) return one.equals(other);
  if (Buffer.isBuffer(one)) return Buffer.isBuffer(other) && one.equals(other);
  return Object.is(one, other);
}

module.exports = { Content, isMutable };
