// The same package as `require` sees it.

import http = require('node:http');
import HttpAgent = require('offloop');

http.globalAgent = new HttpAgent();
http.globalAgent = HttpAgent({ freeSocketTimeout: 4000 });
http.globalAgent = new HttpAgent.HttpAgent();
http.globalAgent = HttpAgent.HttpsAgent();
http.globalAgent = new HttpAgent.default();
const options: HttpAgent.HttpAgentOptions = { retry: false };
void options;
