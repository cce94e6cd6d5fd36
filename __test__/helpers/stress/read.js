'use strict';

// The ways in which the callers of a stress run read a response.

const { pause } = require('./body');

/** How often a slow reader pauses. */
const PAUSES = 4;
/** Bytes that some ask for at a time. */
const PORTION = 700;

/** What the handlers of a stress run throw. */
class Deliberate extends Error {}

/** Reads a response in one of many ways; `leave` ends it. */
function read(response, { way, ms }, onData, leave) {
  switch (way) {
    case 'flow':
      response.on('data', onData);
      break;
    case 'pause': {
      let left = PAUSES;
      response.on('data', (chunk) => {
        if (left-- > 0) {
          response.pause();
          setTimeout(() => response.resume(), ms / PAUSES);
        }
        onData(chunk);
      });
      break;
    }
    case 'late':
      setTimeout(() => response.on('data', onData), ms);
      break;
    case 'readable':
      response.on('readable', () => {
        for (let chunk; (chunk = response.read()) !== null;) onData(chunk);
      });
      break;
    case 'portions':
      response.on('readable', () => {
        for (let chunk; (chunk = response.read(PORTION) ?? response.read()) !== null;) onData(chunk);
      });
      break;
    case 'iterate':
      iterate(response, onData, ms / PAUSES);
      break;
    default:
      setTimeout(leave, ms);
  }
}

async function iterate(response, onData, ms) {
  let left = PAUSES;
  try {
    for await (const chunk of response) {
      onData(chunk);
      if (left-- > 0) await pause(ms);
    }
  } catch (error) {
    // Of others 'close' tells.
    if (error instanceof Deliberate)
      process.nextTick(() => {
        throw error;
      });
  }
}

module.exports = { Deliberate, read };
