'use strict';

const MAX_HEAD = 16 * 1024;
const MAX_BODY = 1024 * 1024;
const END_OF_HEAD = Buffer.from('\r\n\r\n');

/**
 * Cuts the bytes of a connection into HTTP/1.1 requests. It knows what the workload sends, Content-Length
 * framing, and throws on everything else: the server then closes the connection.
 */
class RequestReader {
  #bytes = Buffer.alloc(0);

  push(chunk) {
    this.#bytes = this.#bytes.length ? Buffer.concat([this.#bytes, chunk]) : chunk;
  }

  /** @returns the next complete request, or null */
  read() {
    const headEnd = this.#bytes.indexOf(END_OF_HEAD);
    if (headEnd === -1) {
      if (this.#bytes.length > MAX_HEAD) throw new Error('request head too long');
      return null;
    }
    const [requestLine, ...lines] = this.#bytes.toString('latin1', 0, headEnd).split('\r\n');
    const [method, target, version] = requestLine.split(' ');
    if (version !== 'HTTP/1.1' || !target.startsWith('/')) throw new Error('not an HTTP/1.1 request');

    const headers = {};
    for (const line of lines) {
      const colon = line.indexOf(':');
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    if ('transfer-encoding' in headers) throw new Error('only Content-Length framing is supported');
    const length = Number(headers['content-length'] ?? 0);
    if (!(length >= 0 && length <= MAX_BODY)) throw new Error('bad Content-Length');

    const bodyStart = headEnd + END_OF_HEAD.length;
    if (this.#bytes.length < bodyStart + length) return null;
    const body = this.#bytes.toString('utf8', bodyStart, bodyStart + length);
    this.#bytes = this.#bytes.subarray(bodyStart + length);
    return { method, target, headers, body };
  }
}

module.exports = { RequestReader };
