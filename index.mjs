import HttpAgent from './index.js';

export const { HttpsAgent } = HttpAgent;
export { HttpAgent, HttpAgent as default };
