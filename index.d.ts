// The types of offloop, by hand. What is said here of Node's own options is from Node's documentation:
// https://nodejs.org/api/http.html#new-agentoptions and
// https://nodejs.org/api/net.html#socketconnectoptions-connectlistener

import * as http from 'http';
import * as https from 'https';
import { LookupFunction } from 'net';
import { Duplex } from 'stream';

declare module 'http' {
  interface ClientRequest {
    /**
     * How often the request was put on the wire by an agent of offloop: 1, or 2 if it was sent again on a
     * fresh connection (see the option `retry`). Undefined for the requests of other agents.
     */
    attempts?: number;
  }
  interface RequestOptions {
    /**
     * What may be sent again of this request; wins over the agent's option. Only agents of offloop know it. An object with
     * other members, a number or `true` is a client library's own, and says nothing here. The types of such a library, or of
     * a program, may extend these, so any type is taken.
     */
    retry?: 'idempotent' | false | HttpAgent.RetryOptions | {} | null | undefined;
  }
}

/**
 * An `http.Agent` whose connections live in Rust, off the event loop. To Node and to its users it is Node's
 * own: `sockets`, `freeSockets`, `requests`, `totalSocketCount`, `getName()` and the limits work as they do
 * there (Node documentation, "Class: http.Agent").
 *
 * As with Node's class, `new` may be left out.
 *
 * @throws {TypeError} `ERR_INVALID_ARG_TYPE` or `ERR_INVALID_ARG_VALUE` for an option that is wrong
 * @throws {RangeError} `ERR_OUT_OF_RANGE` for a number outside of what the option takes
 */
declare class HttpAgent extends http.Agent {
  constructor(options?: HttpAgent.HttpAgentOptions | null);
  /**
   * The options, durations in ms. Times, sizes and counts with a default of their own are there if they were
   * not given, too. They may be changed while the agent is in use; those of a connection (`noDelay`,
   * `connectTimeout`, …) count for the connections opened from then on.
   */
  options: HttpAgent.LiveOptions;
  /** Whether connections are kept for other requests. May be changed at any time. Default: `true`. */
  keepAlive: boolean;
  /** ms; see the option of this name. Default: 1000. */
  keepAliveMsecs: number;
  /** Which idle socket is taken; see the option of this name. Default: `'lifo'`. */
  scheduling: 'lifo' | 'fifo';
  /** Sockets of this agent: in use, idle and connecting. */
  readonly totalSocketCount: number;
  /** What has been counted of offloop's own connections, by origin: `'host:port'`, or the path of a Unix socket. */
  stats(): { [origin: string]: HttpAgent.OriginStats };
  /** What agentkeepalive tells of an agent: its counters, and how many are in each list of the books. */
  getCurrentStatus(): HttpAgent.KeepAliveStatus;
  /** Whether a counter of `getCurrentStatus()` has changed since this was last asked. */
  readonly statusChanged: boolean;
  /** The protocol that requests must have: `'http:'`. `null` turns the check off. */
  protocol: string | null;
  /** The port of requests that name none. Default: 80. */
  defaultPort: number;
}
declare function HttpAgent(options?: HttpAgent.HttpAgentOptions | null): HttpAgent;

// Inside of the namespace its own name would mean the export.
import Self = HttpAgent;

declare namespace HttpAgent {
  export { Self as HttpAgent, Self as default };

  /**
   * An `https.Agent` whose connections live in Rust, off the event loop, TLS included. It takes the options of
   * `tls.connect()` too; docs/tls.md says which of them rustls does, and which make a connection Node's own
   * (with the process warning `OFFLOOP_NODE_SOCKET`). `new` may be left out.
   *
   * @throws {TypeError} `ERR_INVALID_ARG_TYPE` or `ERR_INVALID_ARG_VALUE` for an option that is wrong
   * @throws {RangeError} `ERR_OUT_OF_RANGE` for a number outside of what the option takes
   */
  export class HttpsAgent extends https.Agent {
    constructor(options?: HttpsAgentOptions | null);
    /** The options, as of {@link HttpAgent}. */
    options: LiveHttpsOptions;
    /** Whether connections are kept for other requests. May be changed at any time. Default: `true`. */
    keepAlive: boolean;
    /** ms; see the option of this name. Default: 1000. */
    keepAliveMsecs: number;
    /** Which idle socket is taken; see the option of this name. Default: `'lifo'`. */
    scheduling: 'lifo' | 'fifo';
    /** Sockets of this agent: in use, idle and connecting. */
    readonly totalSocketCount: number;
    /** What has been counted of offloop's own connections, by origin: `'host:port'`. */
    stats(): { [origin: string]: OriginStats };
    /** What agentkeepalive tells of an agent: its counters, and how many are in each list of the books. */
    getCurrentStatus(): KeepAliveStatus;
    /** Whether a counter of `getCurrentStatus()` has changed since this was last asked. */
    readonly statusChanged: boolean;
    /** The protocol that requests must have: `'https:'`. `null` turns the check off. */
    protocol: string | null;
    /** The port of requests that name none. Default: 443. */
    defaultPort: number;
    /** Destinations whose TLS sessions are kept for resumption; 0: none. Default: 100. */
    maxCachedSessions: number;
  }
  export function HttpsAgent(options?: HttpsAgentOptions | null): HttpsAgent;

  /**
   * A span of time: milliseconds, or a string of a number and a unit: `'500ms'`, `'30s'`, `'5m'`, `'1h'`,
   * `'1d'`, `'1.5s'`. A string without a unit is in ms. Not negative.
   */
  export type Duration = number | string;

  /**
   * Why a connection was closed or a request failed: `reason` of the errors of requests, responses and
   * sockets, and the keys of `closes` in the status. docs/errors.md says of each what happened, who closed,
   * and what to change.
   */
  export type CloseReason =
    | 'aborted'
    | 'agent-destroyed'
    | 'connect-failed'
    | 'connect-timeout'
    | 'dead-peer'
    | 'idle-timeout'
    | 'internal-error'
    | 'invalid-response'
    | 'lookup-failed'
    | 'network-error'
    | 'not-kept'
    | 'peer-closed-idle'
    | 'peer-fin'
    | 'peer-reset'
    | 'queue-full'
    | 'queue-timeout'
    | 'request-timeout'
    | 'socket-timeout'
    | 'taken'
    | 'tls-failed'
    | 'ttl'
    | 'unexpected-data';

  /** What was known of a connection when a request on it failed. What is not known is missing. */
  export interface ConnectionFacts {
    /** As `reason` of the error, also where that is another's. */
    reason: CloseReason;
    /** Whose socket it was: `'raw'` for one of offloop's, `'node'` for one of Node's own. */
    path?: 'raw' | 'node';
    /** How long the request had waited for a socket when it failed, in ms; it had no connection. */
    waited?: number;
    /** Whether it had served another request before. */
    reused?: boolean;
    /** Since the connect, in ms. */
    age?: number;
    /** How long it was idle before this request, in ms; for a reused one. */
    idle?: number;
    /** Requests before this one. */
    served?: number;
    /** Bytes of this request that the kernel took. */
    bytesWritten?: number;
    /** Bytes of this request that the server's kernel acknowledged (TCP_INFO, on Linux). */
    bytesAcknowledged?: number;
    /** Bytes of the response. */
    bytesRead?: number;
    /** The round trip that TCP has measured, in ms (on Linux). */
    roundTrip?: number;
    localAddress?: string;
    localPort?: number;
    remoteAddress?: string;
    remotePort?: number;
    /** Why the request was not sent again, in words; for a loss of the connection. */
    retry?: string;
  }

  /** Spans of time: how many, and quantiles in ms, right to within an eighth. */
  export interface Histogram {
    count: number;
    p50: number;
    p90: number;
    p99: number;
    max: number;
  }

  /** As agentkeepalive has it. */
  export interface KeepAliveStatus {
    createSocketCount: number;
    createSocketErrorCount: number;
    closeSocketCount: number;
    errorSocketCount: number;
    timeoutSocketCount: number;
    /** Requests that have given their socket back. */
    requestCount: number;
    freeSockets: { [name: string]: number };
    sockets: { [name: string]: number };
    requests: { [name: string]: number };
  }

  /**
   * What has been counted of one origin since the agent was made. Of all agents together the 1000 that were used last
   * are remembered, and all that have connections. Counted on the thread of the connections, and read when it is
   * asked for.
   */
  export interface OriginStats {
    /** Connections now. */
    connections: { busy: number; idle: number; connecting: number };
    /** Requests that wait for a socket now. */
    queued: number;
    /** Connections that were opened, and connects that failed. */
    opened: number;
    notOpened: number;
    /** Requests that got a socket, and those of them that got one that had served another. */
    requests: number;
    reuses: number;
    /** Requests that were sent while they waited for a socket and JavaScript was blocked (`maxSentAhead`). */
    ahead: number;
    /** Requests that went to another connection, by the rule (docs/architecture.md). */
    retries: { R2: number; R3: number; R4: number; R5: number; R6: number };
    /** Requests that were sent again and got an answer then. */
    saved: number;
    /** Connections that were closed, by the reason. */
    closes: { [reason in CloseReason]?: number };
    /** The idle limit of the server in ms, if it was learned. */
    learnedLimit: number | undefined;
    /** How long connecting took: lookup, all attempts, and TLS. */
    connect: Histogram;
    /** How long requests waited for a socket; of those that had to. */
    wait: Histogram;
    /** The round trip that TCP has measured, at the close of each connection and of those that are open (Linux). */
    roundTrip: Histogram;
  }

  /** The errors of requests, responses and sockets: Node's, with these members. */
  export interface ConnectionError extends NodeJS.ErrnoException {
    /**
     * Why it failed. A parse error and an error of TLS have a text of their own here or nothing, and so has an
     * error that the program gave to `destroy()`; `connection.reason` has it in any case.
     */
    reason?: CloseReason | (string & {});
    connection?: ConnectionFacts;
  }

  /** What `node:diagnostics_channel` tells of offloop's own connections, by the name of the channel. */
  export interface ChannelMessages {
    /** A connection stands, its TLS handshake included. */
    'offloop:connection:opened': { agent: Self | HttpsAgent; socket: Duplex };
    /** A request gets a connection that has served another. */
    'offloop:connection:reused': { agent: Self | HttpsAgent; socket: Duplex; request: http.ClientRequest };
    /** A connection is gone. */
    'offloop:connection:closed': { agent: Self | HttpsAgent; socket: Duplex; reason: CloseReason };
    /** A request has been sent a second time. It has no socket if it ends in the queue (see `maxSentAhead`). */
    'offloop:request:retried': {
      agent: Self | HttpsAgent;
      socket: Duplex | undefined;
      request: http.ClientRequest;
    };
    /** A request has to wait for a socket, as the last of so many (`waiting`). */
    'offloop:request:queued': { agent: Self | HttpsAgent; request: http.ClientRequest; waiting: number };
  }

  /** What may be sent again, in detail. The object is read once; change it by giving another. */
  export interface RetryOptions {
    /** Methods that may be repeated. Default: GET, HEAD, OPTIONS, TRACE, PUT, DELETE. */
    methods?: readonly string[] | undefined;
    /** Headers by which a request of any other method may be, too. Default: Idempotency-Key, X-Idempotency-Key. */
    headers?: readonly string[] | undefined;
    /** As the agent's option `maxReplayBytes`, in bytes. Default: that. */
    maxReplayBytes?: number | undefined;
    /**
     * Also send again a request of any method of which the server has not got a byte: its end of the connection came
     * first, nothing of the request was acknowledged, and a reset followed. Evidence of that is there on Linux
     * only; elsewhere the option has no effect. It is not proof in one case: a server that half-closes, goes on
     * reading, acts on a request, and resets before it has acknowledged it. Default: `false`.
     */
    unacknowledged?: boolean | undefined;
  }

  /** What `http.Agent` does not have. */
  export interface PoolOptions<Time = Duration> {
    /**
     * How long a connection may be idle before it is closed. The clock starts when the last byte of the
     * response arrived, and runs while JavaScript is blocked. 0 or Infinity: no limit. It gets shorter by
     * `timeout`, by a server's `Keep-Alive: timeout=…` (RFC 2068, section 19.7.1.1), and by the ages at which
     * the server has closed idle connections before; and longer by that header, up to `maxFreeSocketTimeout`.
     * Default: 4000 ms, below the 5 s after which Node's own server closes an idle connection.
     */
    freeSocketTimeout?: Duration | undefined;
    /**
     * Up to where a server's `Keep-Alive: timeout=…` may raise `freeSocketTimeout`. 0 or Infinity: as far as it
     * says. Default: `freeSocketTimeout` if that is given to the constructor, so that a limit that was chosen holds; else
     * 60000 ms, which is below the idle limits of usual balancers and firewalls on the way.
     */
    maxFreeSocketTimeout?: Duration | undefined;
    /** @deprecated agentkeepalive's older name of `freeSocketTimeout`, which wins over it. In ms. */
    freeSocketKeepAliveTimeout?: Duration | undefined;
    /** @deprecated agentkeepalive's oldest name of `freeSocketTimeout`, which wins over it. In ms. */
    keepAliveTimeout?: Duration | undefined;
    /**
     * The age at which a connection takes no further request, so that a changed answer of the DNS is followed.
     * It never cuts one that is under way. Each connection has an age of its own, up to a tenth below this, so
     * that those opened together are not all opened anew together. 0 or Infinity: no limit.
     * Default: 600000 ms (10 minutes).
     */
    socketActiveTTL?: Time | undefined;
    /**
     * How long addresses that a `lookup` function gave serve other connects to the same name, which then do
     * not wait for JavaScript: retries go out while it is blocked. Not where a listener, a `blockList` or the permission model
     * has a say each time. 0: they are asked for each time. Default: 0, in ms.
     */
    dnsCacheTtl?: Time | undefined;
    /**
     * How long connecting may take: the system's lookup, all attempts at all addresses, and TLS. A
     * `lookup` function's time does not count. After it the request fails with `ETIMEDOUT`. 0: as long as the system takes.
     * Default: no limit, in ms.
     */
    connectTimeout?: Time | undefined;
    /**
     * How long a request may wait for a socket when `maxSockets` or `maxTotalSockets` is reached. After it the
     * request fails with `ERR_QUEUE_TIMEOUT`. 0 or Infinity: no limit. Default: no limit, in ms.
     */
    queueTimeout?: Time | undefined;
    /**
     * Requests that may wait for a socket, per `getName()`; one more fails with `ERR_QUEUE_FULL`. 0: none waits.
     * An integer from 0, or Infinity. Default: Infinity.
     */
    maxQueuedRequests?: number | undefined;
    /**
     * Bytes of a response that are read ahead for one connection while JavaScript has not yet taken them.
     * An integer from 1 to 2^30 - 1. Default: 262144 (256 KiB).
     */
    maxReadAheadBytes?: number | undefined;
    /**
     * The same for all connections of the agent together: what has been read of responses, and not been taken by
     * JavaScript. Each connection may read 64 KiB (or `maxReadAheadBytes`, if that is less) beyond it, so that a
     * response which is read never waits for others that are not. An integer from 0, or Infinity.
     * Default: 67108864 (64 MiB).
     */
    maxBufferedBytes?: number | undefined;
    /**
     * Bytes of a request, its head included, that are kept so that it can be sent again; a longer one is
     * never retried. An integer from 0 (no retries) to 2^32 - 1. Default: 65536 (64 KiB).
     */
    maxReplayBytes?: number | undefined;
    /**
     * Whether a request is sent again, at most once and on a fresh connection, when a reused connection
     * was lost before the first byte of the response. `'idempotent'`: those with a method that RFC 9110,
     * section 9.2.2 calls idempotent, and those with an `Idempotency-Key` or `X-Idempotency-Key` header.
     * `false`: none. An object says it in detail. A connection that is found dead before anything was sent is
     * replaced in any case. A request's own option `retry` wins over the agent's. Default: `'idempotent'`.
     */
    retry?: 'idempotent' | false | RetryOptions | undefined;
    /**
     * Which requests leave although JavaScript computes on after `end()`. Node gives a request its socket a
     * tick later, so `http.get(url); compute()` sends nothing before the computation has ended. `'safe'`:
     * those with a method that RFC 9110, section 9.2.1 calls safe (GET, HEAD, OPTIONS, TRACE). `'all'`: all,
     * with bodies of up to 16 KiB a write. `false`: none. A request that is destroyed in the tick in which
     * it was made is not sent, unless JavaScript has computed for milliseconds in between: then it may have
     * been. Requests with a listener for `'socket'` when they end, and agents with their own `createSocket`,
     * `createConnection` or `reuseSocket`, keep Node's way. Default: `'safe'`.
     */
    sendEarly?: 'safe' | 'all' | false | undefined;
    /**
     * How many requests at the head of each queue (`agent.requests`) may be sent while JavaScript is blocked.
     * As a connection becomes free, the next one goes out on it; JavaScript hears of the end of the one before,
     * and of this one's answer, when it comes to look, in Node's order. Only requests that `sendEarly` lets
     * leave, up to 16 KiB, and none overtakes another. No more are sent once `maxBufferedBytes` wait for
     * JavaScript. One that is destroyed in the queue may have been sent then: `err.connection.bytesWritten` is
     * more than 0. An integer from 0 (none) to 2^32 - 1. Default: 64.
     */
    maxSentAhead?: number | undefined;
    /**
     * How long bytes may stay unacknowledged, or keep-alive probes unanswered, before the peer counts as dead
     * and its connection is reset; in ms. What may be repeated is then sent again (see `retry`), the rest fails
     * with `ETIMEDOUT`. Where another connection to the same destination works meanwhile, or can be made, a dead one
     * is noticed earlier: when TCP has sent the bytes again, and once more after that, in vain; with a near server
     * after 0.6 s.
     * The kernel's part of it (TCP_USER_TIMEOUT, TCP_INFO) is there on Linux only; elsewhere only probes find dead peers,
     * as in Node. A peer that acknowledges but does not read is not dead. A new connection of which
     * nothing has been acknowledged yet counts as one that connects, which it may do for `connectTimeout`, or 127 s as
     * with Linux. 0: no limit. Default: 20000 ms.
     */
    deadPeerTimeout?: Time | undefined;
  }

  /** Node's own options of an agent, all of them with the units and defaults that hold here. */
  export interface NodeOptions<Time = Duration> {
    /** Keep connections for other requests. Default: `true` (Node's class: `false`, its global agent: `true`). */
    keepAlive?: boolean | undefined;
    /** Idle time after which TCP keep-alive probes begin, if `keepAlive` is on; at most half of `deadPeerTimeout`. Default: 1000 ms. */
    keepAliveMsecs?: number | undefined;
    /** Sockets per `getName()`, those that are connecting included; other requests wait. Default: Infinity. */
    maxSockets?: number | undefined;
    /** Sockets of the whole agent; other requests wait. At least 1. Default: Infinity. */
    maxTotalSockets?: number | undefined;
    /** Idle sockets that are kept per `getName()`; others are closed. Default: 256. */
    maxFreeSockets?: number | undefined;
    /** Which idle socket the next request gets: the one used last, or the one used first. Default: `'lifo'`. */
    scheduling?: 'lifo' | 'fifo' | undefined;
    /**
     * Inactivity, in ms, after which a socket emits 'timeout'. It is set when the socket is made, and emitted
     * on the request too: it does not end the request. An idle socket is closed. A request's own `timeout`
     * wins over it. 0 or Infinity: none. Default: none.
     */
    timeout?: Time | undefined;
    /**
     * What is taken off a server's `Keep-Alive: timeout=…`, so that a request does not meet the server's
     * close; in ms. Default: a tenth of the announced time, at least 100 ms, at most 1000 ms, and at least
     * twice the measured round trip and four times its variance (Node: 1000 ms). As in Node, what is not a finite
     * number of at least 0 is taken for none.
     */
    agentKeepAliveTimeoutBuffer?: number | undefined;
    /** The port of requests that name none. Default: 80, for https 443. */
    defaultPort?: number | undefined;
    /** The protocol of the agent. Default: `'http:'` or `'https:'`. */
    protocol?: string | undefined;
    /**
     * Environment variables that name a proxy (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`), in those Node
     * versions that know this option. Connections to the proxy are Node's own; those to hosts that `NO_PROXY` names
     * are not. Default: none.
     */
    proxyEnv?: NodeJS.ProcessEnv | undefined;

    /** Host of all requests of this agent, whatever they say. Default: theirs, `'localhost'` without any. */
    host?: string | undefined;
    /** Port of all requests of this agent, whatever they say. Default: theirs. */
    port?: number | undefined;
    /** Unix socket, instead of host and port. Default: none. */
    socketPath?: string | undefined;
    /** Address version: 4, 6, or 0 for both. Default: 0. */
    family?: number | undefined;
    /** Address that connections come from. Default: the system's choice. */
    localAddress?: string | undefined;
    /** Port that connections come from. Default: the system's choice. */
    localPort?: number | undefined;
    /** Resolves host names; asked for every connection, so it can also guard them. Default: `dns.lookup()`'s, in Rust. */
    lookup?: LookupFunction | undefined;
    /** Flags of getaddrinfo: `dns.ADDRCONFIG`, `dns.V4MAPPED`, `dns.ALL`. Default: as `net.connect()`. */
    hints?: number | undefined;
    /**
     * Try the addresses of both families, the next when one takes too long (RFC 8305, "Happy Eyeballs").
     * Default: `net.getDefaultAutoSelectFamily()`, which is `true`.
     */
    autoSelectFamily?: boolean | undefined;
    /**
     * How long one of those attempts has before the next address is tried; less than 10 ms counts as 10 ms.
     * Default: `net.getDefaultAutoSelectFamilyAttemptTimeout()` (Node 20: 250 ms).
     */
    autoSelectFamilyAttemptTimeout?: number | undefined;
    /** Send small writes at once (TCP_NODELAY). Default: `true`. */
    noDelay?: boolean | undefined;
    /** Bytes that the streams of a socket buffer. Default: `stream.getDefaultHighWaterMark(false)`. */
    highWaterMark?: number | undefined;
    /** Destroys the agent's sockets when it is aborted. Default: none. */
    signal?: AbortSignal | undefined;
  }

  /** The options of {@link HttpAgent}. */
  export interface HttpAgentOptions
    extends NodeOptions, PoolOptions, Omit<http.AgentOptions, keyof NodeOptions | keyof PoolOptions> {}

  /** The options of {@link HttpsAgent}: those of {@link HttpAgent} and of `tls.connect()`. */
  export interface HttpsAgentOptions
    extends NodeOptions, PoolOptions, Omit<https.AgentOptions, keyof NodeOptions | keyof PoolOptions> {
    /** Destinations whose TLS sessions are kept for resumption; 0: none. Default: 100. */
    maxCachedSessions?: number | undefined;
  }

  /** `agent.options` of {@link HttpAgent}: durations are in ms. */
  export interface LiveOptions
    extends
      NodeOptions<number>,
      PoolOptions<number>,
      Omit<http.AgentOptions, keyof NodeOptions | keyof PoolOptions> {}

  /** `agent.options` of {@link HttpsAgent}: durations are in ms. */
  export interface LiveHttpsOptions
    extends
      NodeOptions<number>,
      PoolOptions<number>,
      Omit<https.AgentOptions, keyof NodeOptions | keyof PoolOptions> {}
}

export = HttpAgent;
