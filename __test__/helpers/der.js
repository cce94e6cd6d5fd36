'use strict';

// A writer of DER (ITU-T X.690), as far as certificates need it. Each function returns a whole element.

/** An element with this tag, whose content is the elements or bytes given. */
function element(tag, ...content) {
  const body = Buffer.concat(content.flat());
  const { length } = body;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), body]);
  const digits = Buffer.from(length.toString(16).padStart(length > 0xff ? 4 : 2, '0'), 'hex');
  return Buffer.concat([Buffer.from([tag, 0x80 | digits.length]), digits, body]);
}

const sequence = (...content) => element(0x30, ...content);
const set = (...content) => element(0x31, ...content);
const octets = (...content) => element(0x04, ...content);
const boolean = (value) => element(0x01, Buffer.from([value ? 0xff : 0]));
const nothing = () => element(0x05);
const utf8 = (text) => element(0x0c, Buffer.from(text));

/** `[n] EXPLICIT`, or a constructed `[n] IMPLICIT`. */
const tagged = (number, ...content) => element(0xa0 | number, ...content);
/** `[n] IMPLICIT` of something primitive. */
const primitive = (number, bytes) => element(0x80 | number, bytes);

/** An integer that is not negative: a number, or the bytes of a large one. */
function integer(value) {
  const bytes = Buffer.isBuffer(value)
    ? value
    : Buffer.from(value.toString(16).padStart(value > 0xff ? 4 : 2, '0'), 'hex');
  return element(0x02, bytes[0] & 0x80 ? Buffer.from([0]) : [], bytes);
}

/** All bits of the bytes, or the first `count` of them. */
function bits(bytes, count = bytes.length * 8) {
  return element(0x03, Buffer.from([bytes.length * 8 - count]), bytes);
}

/** An object identifier from its dotted form. */
function oid(dotted) {
  const [first, second, ...rest] = dotted.split('.').map(Number);
  const bytes = [first * 40 + second];
  for (const arc of rest) {
    const septets = [arc & 0x7f];
    for (let left = arc >>> 7; left > 0; left >>>= 7) septets.unshift(0x80 | (left & 0x7f));
    bytes.push(...septets);
  }
  return element(0x06, Buffer.from(bytes));
}

/** A time as RFC 5280, section 4.1.2.5 wants it: two digits for the year up to 2049. */
function time(date) {
  const digits = date.toISOString().replace(/[-:T]|\.\d+/g, '');
  return date.getUTCFullYear() < 2050
    ? element(0x17, Buffer.from(digits.slice(2)))
    : element(0x18, Buffer.from(digits));
}

module.exports = {
  bits,
  boolean,
  integer,
  nothing,
  octets,
  oid,
  primitive,
  sequence,
  set,
  tagged,
  time,
  utf8,
};
