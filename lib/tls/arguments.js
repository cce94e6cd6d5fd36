'use strict';

// Checks of arguments, with Node's errors.

const errors = require('../errors');

function checkString(value, name) {
  if (typeof value !== 'string') throw errors.invalidArgType(name, 'of type string', value);
}

/** A whole number above 0 of 32 bits. */
function checkUint32(value, name) {
  if (typeof value !== 'number') throw errors.invalidArgType(name, 'of type number', value);
  if (!Number.isInteger(value)) throw errors.outOfRange(name, 'an integer', value);
  if (value < 1 || value > 0xffffffff) throw errors.outOfRange(name, '>= 1 && <= 4294967295', value);
}

function checkBytes(value, name) {
  if (!ArrayBuffer.isView(value)) {
    throw errors.invalidArgType(name, 'an instance of Buffer, TypedArray, or DataView', value);
  }
}

module.exports = { checkBytes, checkString, checkUint32 };
