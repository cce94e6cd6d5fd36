// Compiled, never run: what takes Node's agents takes ours, and wrong options do not compile.

import * as http from 'node:http';
import * as https from 'node:https';
import { HttpAgent, HttpsAgent } from 'offloop';

const plain: http.Agent = new HttpAgent();
const secure: https.Agent = new HttpsAgent({ ca: 'PEM', servername: 'example.org' });

http.get({ host: 'example.org', agent: new HttpAgent({ keepAlive: true, maxSockets: 8 }) });
https.get('https://example.org/', { agent: secure });
plain.destroy();

// @ts-expect-error a limit is a number
new HttpAgent({ maxSockets: 'eight' });
