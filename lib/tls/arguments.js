'use strict';

// Checks of arguments, with Node's errors; those of numbers are in errors.js.

const errors = require('../errors');

function checkString(value, name) {
  if (typeof value !== 'string') throw errors.invalidArgType(name, 'of type string', value);
}

function checkBytes(value, name) {
  if (!ArrayBuffer.isView(value)) {
    throw errors.invalidArgType(name, 'an instance of Buffer, TypedArray, or DataView', value);
  }
}

module.exports = { checkBytes, checkString };
