'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');
const { needs, read } = require('../settings.js');

const least = { LOADTEST_COLLECTOR: 'https://collector.example:8443', LOADTEST_TOKEN_FILE: '/token' };

test('what is not set has the documented default', () => {
  assert.deepEqual(read(least), {
    collector: 'https://collector.example:8443', tokenFile: '/token', token: null, caFile: null, isSplit: false, isHooksOnce: false,
    join: 120_000, start: 660_000, flush: 300_000, grace: 60_000,
  });
  assert.deepEqual(['Split', 'Replicate'].map((value) => read({ ...least, LOADTEST_DISTRIBUTION: value }).isSplit), [true, false]);
  assert.deepEqual(['Once', 'PerWorker'].map((value) => read({ ...least, LOADTEST_HOOKS: value }).isHooksOnce), [true, false]);
  assert.equal(read({ ...least, LOADTEST_JOIN_SECONDS: '0.5' }).join, 500);
  assert.equal(read({ LOADTEST_COLLECTOR: 'http://127.0.0.1:8080/', LOADTEST_TOKEN: 't' }).collector, 'http://127.0.0.1:8080');
});

test('a wrong setting is named, with its value and what would be right', () => {
  const cases = [
    [{ ...least, LOADTEST_JOIN_SECONDS: '2m' }, /LOADTEST_JOIN_SECONDS is "2m": give seconds/],
    [{ ...least, LOADTEST_GRACE_SECONDS: '' }, /LOADTEST_GRACE_SECONDS is ""/],
    [{ ...least, LOADTEST_FLUSH_SECONDS: '-1' }, /LOADTEST_FLUSH_SECONDS is "-1"/],
    [{ ...least, LOADTEST_COLLECTOR: 'collector:8443' }, /LOADTEST_COLLECTOR is "collector:8443": give https:/],
    [{ ...least, LOADTEST_DISTRIBUTION: 'split' }, /LOADTEST_DISTRIBUTION is "split": give Replicate or Split/],
    [{ ...least, LOADTEST_HOOKS: 'once' }, /LOADTEST_HOOKS is "once": give PerWorker or Once/],
    [{ ...least, LOADTEST_COLLECTOR: '' }, /LOADTEST_COLLECTOR is ""/],
    [{ ...least, LOADTEST_COLLECTOR: 'https://collector/v1' }, /LOADTEST_COLLECTOR/],
    [{ LOADTEST_COLLECTOR: least.LOADTEST_COLLECTOR }, /neither LOADTEST_TOKEN_FILE nor LOADTEST_TOKEN/],
  ];
  for (const [env, message] of cases) assert.throws(() => read(env), message);
});

test('a worker that runs a share or hooks for all must have been told, also where the setting is wrong', () => {
  assert.deepEqual(needs({}), { share: false, hooksOnce: false });
  assert.deepEqual(needs({ LOADTEST_DISTRIBUTION: 'Replicate', LOADTEST_HOOKS: 'PerWorker' }), { share: false, hooksOnce: false });
  assert.deepEqual(needs({ LOADTEST_DISTRIBUTION: 'split', LOADTEST_HOOKS: 'once' }), { share: true, hooksOnce: true });
});

test('a token never goes over the network without TLS', () => {
  assert.throws(() => read({ ...least, LOADTEST_COLLECTOR: 'http://collector.example:8080' }), /give https:/);
});
