'use strict';

/** Well-formed, odd and malformed. Of those in `plain` it is known that Rust takes them. */
const plain = {
  'an empty body': 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
  'a body': 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello',
  'binary body': 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\0\xff\r\n',
  'no space after a colon': 'HTTP/1.1 200 OK\r\ncontent-length:2\r\nX:y\r\n\r\nok',
  'space around values': 'HTTP/1.1 200 OK\r\nX: \t a b \t\r\nContent-Length:  2  \r\n\r\nok',
  'empty values': 'HTTP/1.1 200 OK\r\nX:\r\nY:  \r\nContent-Length: 0\r\n\r\n',
  'no reason': 'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n',
  'an empty reason': 'HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n',
  'a long reason': `HTTP/1.1 299 ${'very '.repeat(50)}well\r\nContent-Length: 0\r\n\r\n`,
  latin1: 'HTTP/1.1 200 Gr\xfc\xdf Gott\r\nX: \xe9\xff\r\nContent-Length: 0\r\n\r\n',
  'headers twice':
    'HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nX: 1\r\nx: 2\r\nETag: "a"\r\nEtag: "b"\r\nContent-Length: 0\r\n\r\n',
  'case and order': 'HTTP/1.1 200 OK\r\nzZ: 1\r\nAA: 2\r\nCONTENT-LENGTH: 1\r\nmM: 3\r\n\r\nx',
  'Connection: close': 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok',
  'Connection: Close': 'HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nok',
  'Connection: keep-alive':
    'HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok',
  204: 'HTTP/1.1 204 No Content\r\n\r\n',
  '204 with a length of nothing': 'HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n',
  304: 'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n',
  '304 with a length': 'HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n',
  chunks: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
  'many chunks': `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${'1\r\nx\r\n'.repeat(100)}0\r\n\r\n`,
  'chunks of nothing': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nX: y\r\n\r\n000\r\n\r\n',
  'chunks and close':
    'HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n',
  'a large chunk': `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2328\r\n${'b'.repeat(9000)}\r\n0\r\n\r\n`,
  'names as of Object': 'HTTP/1.1 200 OK\r\n__proto__: x\r\nconstructor: y\r\nContent-Length: 0\r\n\r\n',
  'all characters of a name': "HTTP/1.1 200 OK\r\n!#$%&'*+-.^_`|~09azAZ: x\r\nContent-Length: 0\r\n\r\n",
  'leading zeroes of a length': 'HTTP/1.1 200 OK\r\nContent-Length: 0002\r\n\r\nok',
  'many headers': `HTTP/1.1 200 OK\r\n${Array.from({ length: 40 }, (_, i) => `X-${i}: ${i}\r\n`).join('')}Content-Length: 0\r\n\r\n`,
};
for (const status of [
  200, 201, 202, 203, 206, 300, 301, 302, 307, 400, 401, 404, 407, 408, 413, 429, 500, 503, 599, 600, 999,
]) {
  plain[`status ${status}`] = `HTTP/1.1 ${status} Some thing\r\nContent-Length: 2\r\n\r\nok`;
}
for (const length of [1, 100, 3000, 9000, 40_000]) {
  plain[`${length} bytes`] = `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n${'b'.repeat(length)}`;
}

const odd = {
  'chunks with an extension': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\n\r\n',
  'chunks with a trailer':
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n',
  'chunks and bytes behind': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n!',
  'a size with a space': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\nok\r\n0\r\n\r\n',
  'chunks twice':
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
  'chunks and a length':
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n',
  'two lengths that agree': 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok',
  'two lengths that do not': 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!',
  'a list of lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok',
  'a signed length': 'HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok',
  'a length in hex': 'HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok',
  'a length of nothing': 'HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n',
  'a tab behind a length': 'HTTP/1.1 200 OK\r\nContent-Length: 2 \t\r\n\r\nok',
  'a tab behind close': 'HTTP/1.1 200 OK\r\nConnection: close\t\r\nContent-Length: 2\r\n\r\nok',
  'a huge length': 'HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok',
  'a folded header': 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n',
  'a bare CR': 'HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n',
  'a bare LF': 'HTTP/1.1 200 OK\r\nX: a\nContent-Length: 0\r\n\r\n',
  'LF alone': 'HTTP/1.1 200 OK\nContent-Length: 0\n\n',
  'LF after the status': 'HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n',
  'LF at the end': 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n',
  'NUL in a value': 'HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n',
  'DEL in a value': 'HTTP/1.1 200 OK\r\nX: a\x7fb\r\nContent-Length: 0\r\n\r\n',
  'space before a colon': 'HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n',
  'space in a name': 'HTTP/1.1 200 OK\r\nX Y: z\r\nContent-Length: 0\r\n\r\n',
  'no name': 'HTTP/1.1 200 OK\r\n: z\r\nContent-Length: 0\r\n\r\n',
  'no colon': 'HTTP/1.1 200 OK\r\nX\r\nContent-Length: 0\r\n\r\n',
  'space before the first header': 'HTTP/1.1 200 OK\r\n X: y\r\nContent-Length: 0\r\n\r\n',
  'an empty line first': '\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
  'two spaces before the status': 'HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n',
  'two spaces before the reason': 'HTTP/1.1 200  OK\r\nContent-Length: 0\r\n\r\n',
  'space behind the reason': 'HTTP/1.1 200 OK \r\nContent-Length: 0\r\n\r\n',
  'a tab before the reason': 'HTTP/1.1 200\tOK\r\nContent-Length: 0\r\n\r\n',
  'a status of two digits': 'HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n',
  'a status of four digits': 'HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n',
  'status 099': 'HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.0': 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok',
  'HTTP/1.0 that is kept': 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok',
  'HTTP/1.2': 'HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n',
  'HTTP/2.0': 'HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n',
  'http/1.1': 'http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
  'two values of Connection': 'HTTP/1.1 200 OK\r\nConnection: keep-alive, x\r\nContent-Length: 0\r\n\r\n',
  'Connection twice':
    'HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
  'Proxy-Connection': 'HTTP/1.1 200 OK\r\nProxy-Connection: close\r\nContent-Length: 0\r\n\r\n',
  Upgrade: 'HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n',
  'Upgrade and Connection':
    'HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n',
  101: 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
  '100 first': 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  '103 first': 'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  '204 with a length': 'HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n',
  'a second response':
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged',
  'bytes behind': 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!',
  'a line break behind': 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n',
  'a trailer header': 'HTTP/1.1 200 OK\r\nTrailer: X\r\nContent-Length: 0\r\n\r\n',
  'more headers than are looked at': `HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(60)}Content-Length: 0\r\n\r\n`,
  'a long head': `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(5000)}\r\nContent-Length: 0\r\n\r\n`,
  'another protocol': 'SSH-2.0-OpenSSH_9.6\r\n',
};

module.exports = { odd, plain };
