'use strict';

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const https = require('node:https');
const os = require('node:os');
const path = require('node:path');
const test = require('node:test');
const { client } = require('../http.js');
const { now } = require('../shared.js');

const PROCESS = '0123456789abcdef0123456789abcdef';

/** A folder with a certificate for 127.0.0.1, and one of another authority. */
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-'));
for (const name of ['server', 'other']) {
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1', '-subj', `/CN=${name}`,
    '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', `${folder}/${name}.key`, '-out', `${folder}/${name}.crt`], { stdio: 'pipe' });
}
test.after(() => fs.rmSync(folder, { recursive: true }));

/** A server that does what it is told to; `requests` are those that came. */
async function serve(t, answer = (request, response) => response.end('{}')) {
  const requests = [];
  const server = https.createServer({ key: fs.readFileSync(`${folder}/server.key`), cert: fs.readFileSync(`${folder}/server.crt`) }, async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    requests.push({ method: request.method, url: request.url, headers: request.headers, body: Buffer.concat(chunks), port: request.socket.remotePort });
    answer(request, response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  fs.writeFileSync(`${folder}/token`, 'first\n');
  const settings = { collector: `https://127.0.0.1:${server.address().port}`, tokenFile: `${folder}/token`, token: null, caFile: `${folder}/server.crt` };
  return { requests, settings, post: client(settings, PROCESS) };
}

test('a request says who asks, with the token as it is now, on one connection', async (t) => {
  const { requests, post } = await serve(t);
  const began = now();
  const { sent, ...answer } = await post('/v1/join', '{"ü":1}', 30_000);
  assert.deepEqual(answer, { status: 200, body: '{}', retryAfter: undefined });
  assert.ok(sent > began && sent < now(), 'not before the connection was there');
  fs.writeFileSync(`${folder}/token`, 'second\n');
  await post('/v1/batches', Buffer.from([1, 2]), 5000);
  assert.deepEqual(requests.map(({ method, url, headers, body }) => [method, url, headers.authorization, headers['loadtest-process'], headers['content-type'], body.toString()]), [
    ['POST', '/v1/join', 'Bearer first', PROCESS, 'application/json', '{"ü":1}'],
    ['POST', '/v1/batches', 'Bearer second', PROCESS, 'application/x-protobuf', '\x01\x02'],
  ]);
  assert.equal(requests[0].port, requests[1].port);
});

test('only the given authority is trusted, whatever the script switched off for its target', async (t) => {
  const { requests, settings } = await serve(t);
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
  t.after(() => delete process.env.NODE_TLS_REJECT_UNAUTHORIZED);
  for (const caFile of [`${folder}/other.crt`, null]) {
    assert.match((await client({ ...settings, caFile }, PROCESS)('/v1/join', '{}', 30_000)).error, /certificate/);
  }
  assert.equal(requests.length, 0);
});

test('an answer that does not come in time is none', async (t) => {
  const { post } = await serve(t, () => {});
  const began = Date.now();
  assert.match((await post('/v1/join', '{}', 300)).error, /no answer in time/);
  assert.ok(Date.now() - began < 10_000);
});

test('an answer that never ends is none', async (t) => {
  const { post } = await serve(t, (request, response) => {
    const more = () => response.write('x'.repeat(10_000), more);
    more();
  });
  assert.match((await post('/v1/join', '{}', 30_000)).error, /more than 524288 bytes/);
});

test('an answer that breaks off is none', async (t) => {
  const { post } = await serve(t, (request, response) => {
    response.writeHead(200, { 'Content-Length': 100 });
    response.write('{"index":', () => response.destroy());
  });
  assert.ok((await post('/v1/join', '{}', 30_000)).error);
});

test('a token or a certificate that is not there yet is no answer', async (t) => {
  const { settings } = await serve(t);
  assert.match((await client({ ...settings, tokenFile: `${folder}/none` }, PROCESS)('/v1/join', '{}', 30_000)).error, /ENOENT/);
  assert.match((await client({ ...settings, caFile: `${folder}/none` }, PROCESS)('/v1/join', '{}', 30_000)).error, /ENOENT/);
});
