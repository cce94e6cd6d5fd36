'use strict';

// The bodies of the requests of a stress run, and the ways in which they are written.

/** ms after which a request that expects a 100 goes on without it. */
const EXPECTED_WITHIN = 20;

/** What a request has for its body: bytes, or a text if its plan has an encoding. */
function contentOf({ id, body }) {
  if (body.encoding === undefined) return Buffer.alloc(body.size, `${id}!`);
  return `${id}é☃`.repeat(Math.ceil(body.size / (id.length + 2))).slice(0, body.size);
}

/** The same as the server is to get it. */
function bytesOf(plan) {
  return Buffer.from(contentOf(plan), plan.body.encoding);
}

/** The headers that say how long it is. */
function headersOf(plan) {
  const { way, trailers } = plan.body;
  if (way === 'end') return {};
  return {
    ...(trailers && { Trailer: 'X-Last' }),
    ...(way === 'expect' && { Expect: '100-continue' }),
    ...(way === 'chunked' ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': bytesOf(plan).length }),
  };
}

/**
 * Writes it; what a request has taken, or has failed with, belongs to its caller again and is overwritten. `watch` gets
 * what nobody may hold in the end.
 */
async function writeBody(request, plan, watch) {
  const { way, encoding, pieces, ms, trailers } = plan.body;
  const content = contentOf(plan);
  if (typeof content !== 'string') watch(content.buffer);
  const done = (piece) => () => {
    if (typeof piece !== 'string') piece.fill(0);
  };
  if (way === 'end') {
    request.end(content, encoding, done(content));
    return;
  }
  if (way === 'flush') {
    request.flushHeaders();
    if (ms !== undefined) await pause(ms);
  }
  if (way === 'expect')
    await Promise.race([new Promise((resolve) => request.once('continue', resolve)), pause(EXPECTED_WITHIN)]);
  const size = Math.max(1, Math.ceil(content.length / pieces));
  for (let at = 0; at < content.length && !request.destroyed; at += size) {
    const piece = content.slice(at, at + size);
    const isTaken = request.write(piece, encoding, done(piece));
    if (!isTaken && way === 'drain') await drained(request);
    if (ms !== undefined) await pause(ms);
  }
  if (trailers && !request.destroyed) request.addTrailers({ 'X-Last': plan.id });
  request.end();
}

/** Node tells nothing of a request's output when its response is there, for which a dumped one has no listener. */
async function drained(request) {
  let isOver = false;
  for (const event of ['drain', 'close']) request.once(event, () => (isOver = true));
  while (!isOver && request.res == null) await pause(1);
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

module.exports = { bytesOf, headersOf, pause, writeBody };
