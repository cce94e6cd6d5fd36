// The same types for `import`: index.mjs has the classes as exports of a module.

import HttpAgent, { HttpsAgent } from './index.js';

export { HttpAgent, HttpAgent as default, HttpsAgent };

export type {
  ChannelMessages,
  CloseReason,
  ConnectionError,
  ConnectionFacts,
  Duration,
  Histogram,
  HttpAgentOptions,
  HttpsAgentOptions,
  KeepAliveStatus,
  LiveHttpsOptions,
  LiveOptions,
  NodeOptions,
  OriginStats,
  PoolOptions,
  RetryOptions,
} from './index.js';
