// One request to the collector; used by the courier only.
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const { now } = require('./shared.js');

const LARGEST_ANSWER = 512 * 1024; // a share of a thousand phases

/**
 * @param settings as `settings.read` gives them
 * @param process the header Loadtest-Process
 * @returns `post(path, body, milliseconds)`: it resolves to `{status, body, retryAfter, sent}`, or to `{error}`; it never rejects
 */
function client(settings, process) {
  const scheme = settings.collector.startsWith('https:') ? https : http;
  const agent = new scheme.Agent({ keepAlive: true, maxSockets: 1 });
  return async (path, body, milliseconds) => {
    try {
      const options = {
        method: 'POST',
        agent,
        rejectUnauthorized: true, // stated, for the sake of the target NODE_TLS_REJECT_UNAUTHORIZED=0 may be set
        signal: AbortSignal.timeout(Math.max(1, Math.round(milliseconds))),
        headers: {
          Authorization: `Bearer ${settings.tokenFile ? fs.readFileSync(settings.tokenFile, 'utf8').trim() : settings.token}`,
          'Loadtest-Process': process,
          'Content-Type': typeof body === 'string' ? 'application/json' : 'application/x-protobuf',
          'Content-Length': Buffer.byteLength(body),
        },
      };
      if (settings.caFile) options.ca = fs.readFileSync(settings.caFile);
      return await exchange(scheme.request(settings.collector + path, options), body);
    } catch (error) {
      return { error: error.name === 'AbortError' ? 'no answer in time' : error.message || error.code };
    }
  };
}

/** `sent`: when the connection was there, for a new one may take a while. */
function exchange(request, body) {
  return new Promise((resolve, reject) => {
    let sent = now();
    const isSent = () => { sent = now(); };
    request.on('socket', (socket) => socket.connecting && socket.once(socket.encrypted ? 'secureConnect' : 'connect', isSent));
    request.on('error', reject);
    request.on('response', (response) => {
      const chunks = [];
      let size = 0;
      response.on('error', reject);
      response.on('data', (chunk) => {
        size += chunk.length;
        if (size > LARGEST_ANSWER) request.destroy(new Error(`an answer of more than ${LARGEST_ANSWER} bytes`));
        else chunks.push(chunk);
      });
      response.on('end', () => {
        const { statusCode: status, headers } = response;
        resolve({ status, body: Buffer.concat(chunks).toString(), retryAfter: headers['retry-after'], sent });
      });
    });
    request.end(body);
  });
}

module.exports = { client };
