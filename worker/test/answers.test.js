'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');
const { pause, understand } = require('../answers.js');

const said = (kind, status, answer, retryAfter) => understand(kind, { status, retryAfter, body: typeof answer === 'string' ? answer : JSON.stringify(answer) });

test('what a collector grants is understood', () => {
  assert.deepEqual(said('join', 200, { index: 2, workers: 4 }), { is: 'joined', index: 2, workers: 4 });
  const phases = [{ pause: 5, index: 0 }];
  assert.deepEqual(said('join', 200, { index: 2, workers: 4, share: { phases } }), { is: 'joined', index: 2, workers: 4, share: { index: 2, workers: 4, phases } });
  assert.equal(said('join', 200, { index: 2, workers: 4, share: {} }).share, undefined);
  assert.deepEqual(said('start', 200, { wait: { milliseconds: 500, ready: 3, workers: 4 } }), { is: 'wait', milliseconds: 500, isComplete: false });
  assert.equal(said('start', 200, { wait: { milliseconds: 500, ready: 4, workers: 4 } }).isComplete, true);
  assert.deepEqual(said('start', 200, { go: { inMilliseconds: -12.5 } }), { is: 'go', inMilliseconds: -12.5 });
  const variables = { token: 'a' };
  assert.deepEqual(said('start', 200, { wait: { milliseconds: 5, ready: 3, workers: 4 }, variables }).variables, variables);
  assert.deepEqual(said('start', 200, { go: { inMilliseconds: 5 }, variables }).variables, variables);
  assert.equal(said('start', 200, { go: { inMilliseconds: 5 }, variables: ['a'] }).variables, undefined);
  for (const kind of ['batches', 'finish']) {
    assert.deepEqual(said(kind, 200, { received: 7, durable: 5, finished: true, stop: null }), { is: 'taken', received: 7, durable: 5, finished: true, stop: false, othersEnded: false });
    assert.equal(said(kind, 200, { received: 7, durable: 5, othersEnded: true }).othersEnded, true);
    assert.equal(said(kind, 200, { received: 7, durable: 5, stop: 'Graceful' }).stop, true);
  }
});

test('a refusal is final, whatever its status', () => {
  for (const [status, reason] of [[403, 'NotAWorker'], [409, 'AlreadyClaimed'], [410, 'AlreadyReleased'], [410, 'StartTimedOut'], [410, 'Gone'], [200, 'Other']]) {
    for (const kind of ['join', 'start', 'batches', 'finish']) {
      assert.deepEqual(said(kind, status, { refused: { reason, message: 'why' } }), { is: 'refused', reason, message: 'why' });
    }
  }
});

test('a worker that was forgotten joins again, but 404 alone does not say so', () => {
  assert.deepEqual(said('start', 404, { unknown: true }), { is: 'unknown' });
  assert.equal(said('start', 404, {}).is, 'later');
  assert.equal(said('start', 404, '<h1>not found</h1>').is, 'later');
});

test('what can never be taken is told from what cannot be taken now', () => {
  assert.deepEqual(said('batches', 413, { error: 'too large' }), { is: 'rejected', why: 'too large' });
  assert.deepEqual(said('join', 400, 'no JSON'), { is: 'rejected', why: 'HTTP 400' });
  for (const status of [401, 403, 408, 429, 500, 502, 503, 504, 301, 204]) assert.equal(said('batches', status, {}).is, 'later', `${status}`);
  assert.deepEqual(understand('join', { error: 'connect ECONNREFUSED' }), { is: 'later', why: 'connect ECONNREFUSED', milliseconds: 0 });
});

test('an answer of another shape is no answer', () => {
  const wrong = [
    ['join', {}], ['join', { index: -1, workers: 4 }], ['join', { index: '2', workers: 4 }], ['join', 'null'], ['join', '[]'], ['join', 'true'],
    ['start', {}], ['start', { go: {} }], ['start', { go: { inMilliseconds: '5' } }], ['start', { go: { inMilliseconds: 1e12 } }], ['start', { wait: null }],
    ['batches', { received: 1.5, durable: 0 }], ['batches', { received: 1 }], ['finish', { received: 1e300, durable: 1 }], ['finish', ''],
  ];
  for (const [kind, answer] of wrong) assert.equal(said(kind, 200, answer).is, 'later', `${kind} ${JSON.stringify(answer)}`);
});

test('Retry-After is kept to, within a minute', () => {
  assert.equal(said('batches', 429, {}, '3').milliseconds, 3000);
  assert.equal(said('batches', 503, {}, '86400').milliseconds, 60_000);
  assert.equal(said('batches', 503, {}, 'Wed, 21 Oct 2026 07:28:00 GMT').milliseconds, 0);
  assert.equal(said('batches', 503, {}).milliseconds, 0);
});

test('pauses double from 250 ms to 5 s, and up to a quarter is added', () => {
  assert.deepEqual([1, 2, 3, 4, 5, 6, 60, 5000].map((failures) => pause(failures, 0)), [250, 500, 1000, 2000, 4000, 5000, 5000, 5000]);
  assert.equal(pause(1, 1), 312.5);
  assert.equal(pause(50, 1), 6250);
});
