'use strict';

// How far a body has come that Rust reads (`Place` in src/exchange/rest.rs). It is told with each piece, and wanted only
// where a parser has to read on, so it is kept as numbers and not as text.

/** Bytes of one: what is due, how many digits of a size have come, and in eight bytes a number. */
const SIZE = 10;

/** What is due, if anything is. */
const kind = {
  NOTHING: 0,
  BODY: 1,
  SIZE: 2,
  SIZE_LF: 3,
  DATA: 4,
  DATA_CR: 5,
  DATA_LF: 6,
  LAST_CR: 7,
  LAST_LF: 8,
};

/** The shortest beginning of a chunked body behind which this is due. `number`: the size so far, or what is left of a chunk. */
const PREFIX = {
  [kind.SIZE]: (number, digits) => (digits === 0 ? '' : number.padStart(digits, '0')),
  [kind.SIZE_LF]: (number) => `${number}\r`,
  [kind.DATA]: (number) => `${number}\r\n`,
  [kind.DATA_CR]: () => '1\r\nx',
  [kind.DATA_LF]: () => '1\r\nx\r',
  [kind.LAST_CR]: () => '0\r\n',
  [kind.LAST_LF]: () => '0\r\n\r',
};

class BodyPlace {
  #kind;
  #digits;
  #low;
  #high;

  /** The one that stands at `at`. */
  constructor(parts, at) {
    this.move(parts, at);
  }

  move(parts, at) {
    this.#kind = parts[at];
    this.#digits = parts[at + 1];
    this.#low = parts.readInt32LE(at + 2);
    this.#high = parts.readInt32LE(at + 6);
  }

  /** Behind this, which may stand in any head, a parser is there. */
  get text() {
    const number = BigInt.asUintN(32, BigInt(this.#low)) | (BigInt(this.#high) << 32n);
    if (this.#kind === kind.BODY) return `Content-Length: ${number}\r\n\r\n`;
    return `Transfer-Encoding: chunked\r\n\r\n${PREFIX[this.#kind](number.toString(16), this.#digits)}`;
  }
}

/** Whether anything of the body is due. */
const isDue = (parts, at) => parts[at] !== kind.NOTHING;

module.exports = { BodyPlace, SIZE, isDue };
