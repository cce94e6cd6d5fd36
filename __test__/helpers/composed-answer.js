'use strict';

// Answers of helpers/raw-server.js that are put together as a request asks for: how they are framed, what comes before
// and behind them, and in which pieces they are sent. A plan has
//   status    the status code; 204 and 304 have no body, 304 has its headers.
//   size      bytes of the body.
//   framing   how its length is told: `length`, `chunked`, `extended` (chunks with extensions, and a trailer), or
//             `close` (by the end of the connection).
//   interim   how many responses of status 103 and 102, in turns, come first.
//   headers   more lines of the head.
//   surplus   true: another answer behind it, in the same write.
//   pieces    where the bytes are cut (from 0 to 1), and the ms until what is before the cut is followed by the rest.
//   stop      how much of it is sent at all (from 0 to 1).
//   end       how the connection ends behind it.

/** Bytes of a chunk. */
const CHUNK = 1000;
const INTERIM = ['103 Early Hints', '102 Processing'];

/** The body of an answer to the request `id`. */
function answerBody(id, size) {
  return Buffer.alloc(size, `${id};`);
}

/** Whether the answer to such a request has a body. */
function hasBody(method, { status }) {
  return method !== 'HEAD' && status !== 204 && status !== 304;
}

function compose({ id, method }, plan) {
  const { status, size, framing, interim, headers, surplus } = plan;
  const body = answerBody(id, hasBody(method, plan) ? size : 0);
  const head = [`HTTP/1.1 ${status} Composed`, `X-Id: ${id}`, ...headers];
  if (status !== 204) head.push(...FRAMINGS[framing].headers(size));
  const first = Array.from({ length: interim }, (_, i) => INTERIM[i % INTERIM.length]);
  return Buffer.concat([
    ...first.map((line) => Buffer.from(`HTTP/1.1 ${line}\r\nX-Id: ${id}\r\n\r\n`)),
    Buffer.from(`${head.join('\r\n')}\r\n\r\n`),
    ...(hasBody(method, plan) ? FRAMINGS[framing].parts(body) : []),
    Buffer.from(surplus ? 'HTTP/1.1 200 OK\r\nX-Id: surplus\r\nContent-Length: 7\r\n\r\nsurplus' : ''),
  ]);
}

const FRAMINGS = {
  length: { headers: (size) => [`Content-Length: ${size}`], parts: (body) => [body] },
  chunked: { headers: () => ['Transfer-Encoding: chunked'], parts: (body) => chunks(body, '', '') },
  extended: {
    headers: () => ['Trailer: X-Last', 'Transfer-Encoding: chunked'],
    parts: (body) => chunks(body, ';name=value', 'X-Last: 1\r\n'),
  },
  close: { headers: () => ['Connection: close'], parts: (body) => [body] },
};

function chunks(body, extension, trailer) {
  const parts = [];
  for (let at = 0; at < body.length; at += CHUNK) {
    const data = body.subarray(at, at + CHUNK);
    parts.push(Buffer.from(`${data.length.toString(16)}${extension}\r\n`), data, Buffer.from('\r\n'));
  }
  parts.push(Buffer.from(`0\r\n${trailer}\r\n`));
  return parts;
}

/** Writes bytes in pieces, and calls back when the last is written; not if the socket is gone before. */
function sendInPieces(socket, bytes, pieces, done) {
  const [[at, ms] = [], ...others] = pieces;
  if (socket.destroyed || socket.writableEnded) return;
  if (at === undefined) {
    socket.write(bytes);
    done();
    return;
  }
  const cut = Math.floor(at * bytes.length);
  socket.write(bytes.subarray(0, cut));
  setTimeout(sendInPieces, ms, socket, bytes.subarray(cut), others, done);
}

module.exports = { answerBody, compose, hasBody, sendInPieces };
