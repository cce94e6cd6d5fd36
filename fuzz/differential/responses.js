'use strict';

// What a server may answer, as latin1 text: well-formed, odd and malformed. Most begin as a message that is
// nearly right, since what is wrong from the start is refused at once by every parser.

const STATUS_LINES = [
  ...Array(12).fill('HTTP/1.1 200 OK\r\n'),
  'HTTP/1.1 200\r\n',
  'HTTP/1.1 200 \r\n',
  'HTTP/1.1 404 Not Found\r\n',
  'HTTP/1.1 500 Gr\xfc\xdfe\r\n',
  'HTTP/1.1 204 No Content\r\n',
  'HTTP/1.1 304 Not Modified\r\n',
  'HTTP/1.1 999 \r\n',
  'HTTP/1.0 200 OK\r\n',
  'HTTP/1.1 200 OK\n',
  'HTTP/1.1  200 OK\r\n',
  'HTTP/1.1 200 OK \r\n',
  'HTTP/1.1 099 OK\r\n',
  'HTTP/1.1 101 Switching Protocols\r\n',
  'HTTP/2.0 200 OK\r\n',
  'ICY 200 OK\r\n',
  '\r\nHTTP/1.1 200 OK\r\n',
];

const HEADERS = [
  'X: y\r\n',
  'x: z\r\n',
  'Empty:\r\n',
  'Spaces: \t a  b \t\r\n',
  'Set-Cookie: a=1\r\n',
  'set-cookie: b=2\r\n',
  'ETag: "a"\r\n',
  'Latin: \xe9\xff\r\n',
  '__proto__: x\r\n',
  'Content-Type: Text/Plain\r\n',
  'Connection: keep-alive\r\n',
  'Connection: close\r\n',
  'Keep-Alive: timeout=5\r\n',
];

const ODD_HEADERS = [
  'X : y\r\n',
  ' X: y\r\n',
  'X: a\r\n b\r\n',
  'X: a\r\n\tb\r\n',
  'X: a\rb\r\n',
  'X: a\nY: b\r\n',
  'X: a\0b\r\n',
  'X: a\x7fb\r\n',
  'X: y\n',
  'X: y\r\r\n',
  'X Y: z\r\n',
  'X\r\n',
  ': y\r\n',
  'Connection: keep-alive, x\r\n',
  'Connection: upgrade\r\n',
  'Connection: close\r\nConnection: keep-alive\r\n',
  'Proxy-Connection: close\r\n',
  'Upgrade: x\r\n',
  'Trailer: X\r\n',
  'Keep-Alive: x, timeout="5\r\n',
];

/** What stands in for a right Content-Length. */
const ODD_LENGTHS = [
  (length) => `Content-Length: ${length}\r\nContent-Length: ${length}\r\n`,
  (length) => `Content-Length: ${length}\r\nContent-Length: ${length + 1}\r\n`,
  (length) => `Content-Length: ${length}, ${length}\r\n`,
  (length) => `Content-Length: +${length}\r\n`,
  (length) => `Content-Length: 0x${length.toString(16)}\r\n`,
  (length) => `Content-Length: 00${length}\r\n`,
  (length) => `Content-Length: ${length} \t\r\n`,
  (length) => `Content-Length: ${length} 1\r\n`,
  (length) => `Content-Length : ${length}\r\n`,
  (length) => `Content-Length:\r\n ${length}\r\n`,
  (length) => `Content-Length: ${length}\n`,
  (length) => `Content-Length: ${length + 1}\r\n`,
  (length) => `Content-Length: ${Math.max(0, length - 1)}\r\n`,
  () => 'Content-Length:\r\n',
  () => 'Content-Length: -1\r\n',
  () => 'Content-Length: 18446744073709551616\r\n',
  () => 'Content-Length: 99999999999999999999999\r\n',
];

const ODD_ENCODINGS = [
  'Transfer-Encoding: gzip, chunked\r\n',
  'Transfer-Encoding: chunked, gzip\r\n',
  'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n',
  'Transfer-Encoding: xchunked\r\n',
  'Transfer-Encoding: identity\r\n',
  'Transfer-Encoding : chunked\r\n',
  'Transfer-Encoding:\tChunked \r\n',
  'Transfer-Encoding: "chunked"\r\n',
  'Transfer-Encoding:\r\n chunked\r\n',
  'Transfer-Encoding: chun\r\n ked\r\n',
];

/** What is put into, or in the place of, bytes at random. */
const PIECES = [
  ...['\r', '\n', '\r\n', '\r\n\r\n', '\n\n', ' ', '\t', ':', ';', ',', '\0', '\x7f', '\xff', '\x0b', '"'],
  ...['0', '1', '9', 'a', 'F', 'x', '-', '+', '100', '204', 'HTTP/1.1 ', 'HTTP/1.0 ', '0\r\n\r\n'],
  ...['Content-Length: 1\r\n', 'Connection: close\r\n', 'Transfer-Encoding: chunked\r\n', 'Upgrade: x\r\n'],
];

/** A whole response, and what may be around it. */
function response(random) {
  let text = random.chance(0.4) ? plain(random) : message(random);
  if (random.chance(0.1)) text = informational(random) + text;
  if (random.chance(0.06)) text += random.pick(['!', '\r\n', ' ', '\0', FORGED, text]);
  if (random.chance(0.35)) text = mutated(random, text);
  return text.replace(NO_TIME, '$17');
}

/**
 * Hints of no time and of a second. We do not keep a connection with the one, and keep it with the other;
 * http.Agent does the opposite.
 */
const NO_TIME = /((?:timeout|max)[ \t]*=[ \t]*"?[ \t]*)[01]/gi;

const FORGED = 'HTTP/1.1 200 OK\r\nX-Forged: yes\r\nContent-Length: 6\r\n\r\nforged';

/** What Rust reads. */
function plain(random) {
  const [status, ...headers] = random.many(random.int(1, 5), () => random.pick(HEADERS));
  const length = random.pick([0, 2, 100, 3000, 5000, 40_000]);
  const lines = [status, `Content-Length: ${length}\r\n`, ...headers].slice(random.int(0, 1));
  return `HTTP/1.1 ${random.pick(['200 OK', '404 ', '500'])}\r\n${lines.join('')}\r\n${'x'.repeat(length)}`;
}

function message(random) {
  const lines = random.many(random.int(0, 4), () => random.pick(random.chance(0.06) ? ODD_HEADERS : HEADERS));
  if (random.chance(0.03)) lines.push(flood(random));
  const { fields, body } = random.pick([withLength, withLength, chunked, untilEnd, both])(random);
  lines.splice(random.int(0, lines.length), 0, ...fields);
  return random.pick(STATUS_LINES) + lines.join('') + (random.chance(0.01) ? '\n' : '\r\n') + body;
}

/** A body of any bytes, mostly short. */
function payload(random) {
  const size = random.pick([0, 1, 5, random.int(0, 200), random.int(0, 200), random.int(0, 8000)]);
  const large = random.chance(0.03) ? random.int(8000, 300_000) : size;
  const unit = random.pick(['x', 'ab\r\n', '\0\xff', '0\r\n\r\n', FORGED]);
  return unit.repeat(Math.ceil(large / unit.length)).slice(0, large);
}

function withLength(random) {
  const body = payload(random);
  const odd = random.chance(0.2);
  const field = odd ? random.pick(ODD_LENGTHS)(body.length) : `Content-Length: ${body.length}\r\n`;
  return { fields: [field], body };
}

function untilEnd(random) {
  return { fields: [], body: random.chance(0.5) ? '' : payload(random) };
}

function chunked(random) {
  const field = random.chance(0.15) ? random.pick(ODD_ENCODINGS) : 'Transfer-Encoding: chunked\r\n';
  return { fields: [field], body: chunks(random) };
}

function both(random) {
  const { fields, body } = chunked(random);
  const length = random.pick([0, 2, body.length, Math.max(0, body.length - 5)]);
  const fieldOfLength = `Content-Length: ${length}\r\n`;
  return { fields: random.chance(0.5) ? [...fields, fieldOfLength] : [fieldOfLength, ...fields], body };
}

/** A chunked body, of which a line or two may be odd. */
function chunks(random) {
  const odd = random.chance(0.3);
  const parts = random.many(random.int(0, 5), () => {
    const body = payload(random).slice(0, random.pick([1, 2, 16, 100, 5000, 100_000])) || 'x';
    return (
      sizeLine(random, body.length, odd) + body + (odd && random.chance(0.1) ? random.pick(ENDS) : '\r\n')
    );
  });
  const last = odd && random.chance(0.3) ? random.pick(LAST) : '0\r\n\r\n';
  return parts.join('') + last;
}

const ENDS = ['\n', '\r', '', '\r\r\n', 'x\r\n', '\r\n\r\n'];
const LAST = [
  '0\n\n',
  '0\r\n\n',
  '0\r\nX: y\r\n\r\n',
  '0\r\nContent-Length: 3\r\n\r\n',
  '0\r\nX : y\r\n\r\n',
  '0\r\n X: y\r\n\r\n',
  '0;x\r\n\r\n',
  '000\r\n\r\n',
  '0\r\n',
  '0',
  '',
  '\r\n',
];

function sizeLine(random, size, odd) {
  const digits = size.toString(16);
  if (!odd || random.chance(0.6)) return `${random.chance(0.5) ? digits : digits.toUpperCase()}\r\n`;
  return random.pick([
    `000${digits}\r\n`,
    `${digits};x=y\r\n`,
    `${digits}; x="a;b"\r\n`,
    `${digits};\r\n`,
    `${digits};x=\x01\r\n`,
    `${digits};${'x'.repeat(random.pick([100, 17_000]))}\r\n`,
    `${digits} \r\n`,
    ` ${digits}\r\n`,
    `${digits}\n`,
    `${digits}\r`,
    `${digits};x\n`,
    `0x${digits}\r\n`,
    `+${digits}\r\n`,
    `${digits}g\r\n`,
    `${size + 1}\r\n`,
    `${'0'.repeat(20)}${digits}\r\n`,
    'ffffffffffffffff\r\n',
    '10000000000000000\r\n',
    '7fffffffffffffff\r\n',
    '\r\n',
  ]);
}

/** Headers without number, or without end. */
function flood(random) {
  return random.pick([
    () => 'X: y\r\n'.repeat(random.int(40, 60)),
    () => 'A: \r\n'.repeat(random.int(1900, 2600)),
    () => `Long: ${'y'.repeat(random.pick([3900, 4096, 16_000, 16_400, 70_000]))}\r\n`,
    () => `${'n'.repeat(random.pick([5000, 17_000]))}: y\r\n`,
    () => `X: ${'y'.repeat(8000)}\r\nY: ${'y'.repeat(8000)}\r\nZ: ${'y'.repeat(400)}\r\n`,
  ])();
}

/** 1xx before the response, one or hundreds. */
function informational(random) {
  const one = random.pick([
    'HTTP/1.1 100 Continue\r\n\r\n',
    'HTTP/1.1 102 Processing\r\n\r\n',
    'HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n',
    'HTTP/1.1 199 \r\nX: y\r\n\r\n',
    'HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\n',
    'HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n',
    'HTTP/1.1 103 Early Hints\r\nConnection: close\r\n\r\n',
    'HTTP/1.1 100 Continue\n\n',
  ]);
  return one.repeat(random.pick([1, 1, 2, 3, 50, 400]));
}

/** The text with one to three changes. */
function mutated(random, text) {
  // Changes in a long body would tell nothing.
  const end = () => Math.min(text.length, random.pick([60, 300, 5000]));
  for (let count = random.int(1, 3); count > 0; count--) {
    const at = random.int(0, end());
    const kind = random.next();
    if (kind < 0.35) text = text.slice(0, at) + random.pick(PIECES) + text.slice(at);
    else if (kind < 0.6) text = text.slice(0, at) + text.slice(at + random.int(1, 3));
    else if (kind < 0.85) text = text.slice(0, at) + random.pick(PIECES) + text.slice(at + 1);
    else if (kind < 0.93) {
      const to = random.int(0, end());
      text = text.slice(0, at) + text.slice(Math.min(at, to), Math.max(at, to)) + text.slice(at);
    } else {
      text = text.slice(0, at);
    }
  }
  return text;
}

module.exports = { FORGED, response };
