'use strict';

// Whether something comes behind a response, by Node's own parser. That does not tell where a message is over: so it gets
// all but the last byte.

const { AsyncResource } = require('node:async_hooks');
const { HTTPParser } = require('_http_common');

const SKIP_BODY = 1;
const READ_BODY = 0;

/** Of an exchange: the options of its request, and the pieces that are its response. */
function hasSurplus({ options: { method, insecureHTTPParser, maxHeaderSize = 0 }, pieces }) {
  const parser = new HTTPParser();
  const leniency = insecureHTTPParser ? HTTPParser.kLenientAll : HTTPParser.kLenientNone;
  parser.initialize(HTTPParser.RESPONSE, new AsyncResource('surplus'), maxHeaderSize, leniency);
  let isInterim = false;
  let isOver = false;
  parser[HTTPParser.kOnHeaders] = () => {};
  parser[HTTPParser.kOnHeadersComplete] = (major, minor, headers, verb, url, status) => {
    isInterim = status >= 100 && status < 200;
    return method === 'HEAD' ? SKIP_BODY : READ_BODY;
  };
  parser[HTTPParser.kOnBody] = () => {};
  parser[HTTPParser.kOnMessageComplete] = () => {
    isOver ||= !isInterim;
  };
  parser.execute(Buffer.from(pieces.join('').slice(0, -1), 'latin1'));
  return isOver;
}

module.exports = { hasSurplus };
