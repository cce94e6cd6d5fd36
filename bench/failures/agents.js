'use strict';

const { AGENTS, BEFORE } = require('../agents');

// Who is compared: those of agents.js and two more. `open` makes what the call sites of that api take.

const OPTIONS = { keepAlive: true };

function throughHttp({ title, load }, more) {
  return {
    title,
    api: 'http',
    load(before) {
      const { version, http } = load(before);
      return { version, open: () => http({ ...OPTIONS, ...more }) };
    },
  };
}

const CANDIDATES = {
  builtin: throughHttp(AGENTS.builtin),
  agentkeepalive: throughHttp(AGENTS.agentkeepalive),
  undici: {
    title: 'undici (another API)',
    api: 'undici',
    load() {
      const { Client } = require('undici');
      const { version } = require('undici/package.json');
      return { version, open: (port) => new Client(`http://127.0.0.1:${port}`) };
    },
  },
  [BEFORE]: throughHttp(AGENTS[BEFORE]),
  offloop: throughHttp(AGENTS.offloop),
  // What is left when nothing is sent again: it shows what the retries are worth.
  'offloop-no-retry': throughHttp({ ...AGENTS.offloop, title: 'offloop, retry: false' }, { retry: false }),
};

module.exports = { CANDIDATES };
