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
