// Compiled, never run: what takes Node's agents takes ours, and wrong options do not compile.

import * as http from 'node:http';
import * as https from 'node:https';
import { subscribe } from 'node:diagnostics_channel';
import { EventEmitter } from 'node:events';
import { Duplex } from 'node:stream';
import { HttpAgent, HttpsAgent } from 'offloop';
import type { ChannelMessages, Duration, HttpAgentOptions, HttpsAgentOptions } from 'offloop';

const plain: http.Agent = new HttpAgent();
const secure: https.Agent = new HttpsAgent({ ca: 'PEM', servername: 'example.org' });
const emitter: EventEmitter = HttpAgent({ keepAlive: false });
const alsoSecure: https.Agent = HttpsAgent();

http.get({ host: 'example.org', agent: new HttpAgent({ keepAlive: true, maxSockets: 8 }) });
https.get('https://example.org/', { agent: secure });
plain.destroy();
emitter.on('free', () => {});
alsoSecure.getName({ host: 'example.org' });

// Options that a program has for Node's agents.
const nodes: http.AgentOptions = {
  keepAlive: true,
  timeout: 1000,
  lookup: (_host, _options, done) => done(null, '::1', 6),
};
new HttpAgent(nodes);
const nodesSecure: https.AgentOptions = { rejectUnauthorized: false, maxCachedSessions: 0 };
new HttpsAgent(nodesSecure);

const limit: Duration = '5m';
const options: HttpAgentOptions = {
  agentKeepAliveTimeoutBuffer: 500,
  autoSelectFamily: true,
  autoSelectFamilyAttemptTimeout: 250,
  connectTimeout: limit,
  family: 6,
  freeSocketTimeout: '30s',
  highWaterMark: 16384,
  hints: 0,
  localAddress: '127.0.0.1',
  localPort: 0,
  maxBufferedBytes: 64 * 1024 * 1024,
  maxFreeSockets: 256,
  maxReadAheadBytes: 256 * 1024,
  maxReplayBytes: 0,
  maxSentAhead: 10,
  maxTotalSockets: Infinity,
  noDelay: false,
  proxyEnv: process.env,
  retry: 'idempotent',
  scheduling: 'fifo',
  sendEarly: 'all',
  signal: AbortSignal.timeout(1000),
  socketActiveTTL: 60_000,
  timeout: '1m',
};
const agent = new HttpAgent(options);
const retry = { methods: ['GET'], headers: ['X-Once'], maxReplayBytes: 1024, unacknowledged: true } as const;
new HttpAgent({ retry, deadPeerTimeout: '20s', maxFreeSocketTimeout: 60_000 });
http.request({ agent, retry: { ...retry, methods: undefined } });
http.request({ agent, retry: false });
const secureOptions: HttpsAgentOptions = { ...options, retry: false, minVersion: 'TLSv1.3' };
HttpsAgent(secureOptions);
new HttpAgent(null);

// A client library's own option of the same name.
interface LibraryOptions extends http.RequestOptions {
  retry?: number | { limit: number };
}
const library: LibraryOptions = { retry: { limit: 3 } };
http.request({ ...library, agent });

// What stands in the agent are milliseconds.
const ms: number | undefined = agent.options.socketActiveTTL;
agent.options.freeSocketTimeout = '10s';
agent.options.timeout = ms;
agent.protocol = null;
agent.maxSockets = agent.totalSocketCount + Number(agent.keepAlive) + agent.keepAliveMsecs;

const request: http.ClientRequest = http.get('http://example.org/', { agent });
const attempts: number | undefined = request.attempts;
void attempts;

subscribe('offloop:connection:closed', (message) => {
  const { agent, reason, socket } = message as ChannelMessages['offloop:connection:closed'];
  const owner: http.Agent = agent;
  if (reason === 'idle-timeout') socket.destroyed satisfies boolean;
  void owner;
});

class Guarded extends HttpAgent {
  constructor() {
    super({ maxSockets: 1 });
  }

  override createConnection(
    given: http.ClientRequestArgs,
    callback?: (err: Error | null, stream: Duplex) => void,
  ) {
    return super.createConnection({ ...given, timeout: 5 }, callback);
  }

  override keepSocketAlive(socket: Duplex) {
    return super.keepSocketAlive(socket);
  }
}
const guarded: HttpAgent = new Guarded();
void guarded;

function OldStyle(this: HttpAgent) {
  HttpAgent.call(this, { keepAlive: true });
}
void OldStyle;

// @ts-expect-error a limit is a number
new HttpAgent({ maxSockets: 'eight' });
// @ts-expect-error there are two ways of scheduling
new HttpAgent({ scheduling: 'random' });
// @ts-expect-error 'always' is none of the retries
new HttpAgent({ retry: 'always' });
// @ts-expect-error 'early' is none of the ways to send
new HttpAgent({ sendEarly: 'early' });
// @ts-expect-error evidence is wanted or not
new HttpAgent({ retry: { unacknowledged: 'yes' } });
// @ts-expect-error sizes are numbers of bytes
new HttpAgent({ maxReadAheadBytes: '256k' });
// @ts-expect-error a duration is a number or a string
new HttpAgent({ freeSocketTimeout: { seconds: 1 } });
// @ts-expect-error an option that does not exist
new HttpAgent({ freeSocketTimout: 1000 });
// @ts-expect-error TLS options are for HttpsAgent
new HttpAgent({ rejectUnauthorized: false });
// @ts-expect-error options are an object
HttpsAgent('localhost');
// @ts-expect-error Node reads this one as a number
agent.options.timeout = '1m';
// @ts-expect-error the count is Node's
agent.totalSocketCount = 0;
// @ts-expect-error a number of attempts
request.attempts = 'twice';
