'use strict';

// Pieces of output, as a stream's _writev() has them: { chunk, encoding }.

/** What a lane has of them at most times. */
const NONE = Object.freeze([]);

/** How many bytes they are. */
function byteLength(pieces) {
  return pieces.reduce((sum, { chunk, encoding }) => sum + Buffer.byteLength(chunk, encoding), 0);
}

module.exports = { NONE, byteLength };
