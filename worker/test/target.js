// A server to make load on, for tests: it counts what it sees.
'use strict';

const http = require('node:http');

/** Starts it on 127.0.0.1. `requests`, `firsts`, `moments` (Unix milliseconds), `urls` and `paths` (how often) tell what came, `close` stops it. */
async function startTarget() {
  const target = { requests: 0, firsts: {}, paths: {}, moments: [], urls: [] };
  const server = http.createServer((request, response) => {
    target.requests += 1;
    const moment = Date.now();
    target.firsts[request.url] ??= moment;
    target.moments.push(moment);
    target.urls.push(request.url);
    target.paths[request.url] = (target.paths[request.url] ?? 0) + 1;
    request.resume();
    const answer = () => response.end('ok');
    if (request.url.startsWith('/slow')) setTimeout(answer, 300);
    else answer();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  target.url = `http://127.0.0.1:${server.address().port}`;
  target.close = () => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
  return target;
}

module.exports = { startTarget };
