// The same package as a module sees it.

import http from 'node:http';
import { HttpAgent } from 'offloop';

http.globalAgent = new HttpAgent({ keepAlive: true });
