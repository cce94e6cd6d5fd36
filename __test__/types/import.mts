// The same package as a module sees it.

import http from 'node:http';
import https from 'node:https';
import Agent, { HttpAgent, HttpsAgent } from 'offloop';
import * as offloop from 'offloop';

http.globalAgent = new HttpAgent({ keepAlive: true });
https.globalAgent = new HttpsAgent({ freeSocketTimeout: '15s' });
http.globalAgent = new Agent();
http.globalAgent = Agent();
http.globalAgent = new offloop.HttpAgent();
http.globalAgent = new offloop.default();
const same: typeof HttpAgent = Agent;
void same;

// What index.d.ts declares of types, by name and by the namespace.
type Named = [
  offloop.CloseReason,
  offloop.ConnectionError,
  offloop.ConnectionFacts,
  offloop.Duration,
  offloop.Histogram,
  offloop.HttpAgentOptions,
  offloop.HttpsAgentOptions,
  offloop.KeepAliveStatus,
  offloop.LiveHttpsOptions,
  offloop.LiveOptions,
  offloop.NodeOptions,
  offloop.OriginStats,
  offloop.PoolOptions,
  offloop.RetryOptions,
];
const named = (value: Named[5]): HttpAgent.HttpAgentOptions => value;
void named;
