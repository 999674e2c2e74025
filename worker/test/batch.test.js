'use strict';

const assert = require('node:assert/strict');
const path = require('node:path');
const test = require('node:test');
const { batch, bodies, rest } = require('../batch.js');
const { tree } = require('./artillery.js');
const { decode } = require('./decode.js');

const { DDSketch } = require(path.join(tree('2.0.34'), 'node_modules', '@artilleryio', 'sketches-js'));

const NOTHING = Buffer.alloc(0);

/** Artillery's own sketch of these values. */
function sketch(values) {
  const sketch = new DDSketch({ relativeAccuracy: 0.01 });
  for (const value of values) sketch.accept(value);
  return sketch;
}

const decoded = (stats) => bodies(stats).map((body) => decode(body));
const encodedHistogram = (values) => decoded({ histograms: { h: sketch(values) } })[0].histograms[0];

/** The bin of a value, by the paper's formula: ceil(log_gamma v). */
const key = (value) => Math.ceil(Math.log(value) / Math.log(1.01 / 0.99));

test('a batch has the bytes that the protocol names', () => {
  const body = bodies({ counters: { a: 2 }, rates: { r: 10 } })[0];
  const bytes = batch({ sequence: 300, period: 1_795_522_540_000, body, rest: NOTHING });
  assert.equal(bytes.toString('hex'), [
    '08ac02', // 1: sequence, 300
    '10e0e3eeeba034', // 2: period
    '1a0c', '0a0161', '110000000000000040', // 3: a counter: its name, its value
    '220c', '0a0172', '110000000000002440', // 4: a rate
  ].join(''));
});

test('all that Artillery counts comes out as it went in', () => {
  const counters = { 'vusers.failed': 0, 'http.requests': 2400, 'über.größe ☃': 2 ** 53 - 1, odd: -1.5 };
  const [{ counters: read, rates }] = decoded({ counters, rates: { 'http.request_rate': 12 } });
  assert.deepEqual(Object.fromEntries(read.map(({ name, value = 0 }) => [name, value])), counters);
  assert.deepEqual(rates, [{ name: 'http.request_rate', value: 12 }]);
});

test('when something was measured is told, if it can be', () => {
  const period = 1_795_522_540_000;
  const of = (moments) => decoded({ period: String(period), ...moments });
  const counters = { firstCounterAt: period, lastCounterAt: period + 9_999 };
  const histograms = { firstHistogramAt: period + 7, lastHistogramAt: period + 7 };
  assert.deepEqual(of({ ...counters, ...histograms }), [{ ...counters, ...histograms }]);
  assert.deepEqual(of({ ...counters, firstHistogramAt: undefined, lastHistogramAt: NaN }), [counters]);
  for (const [first, last] of [[-1, 5], [5, 10_000], [6, 5], [0.5, 5]]) {
    assert.deepEqual(of({ firstCounterAt: period + first, lastCounterAt: period + last }), [{}], `${first} to ${last}`);
  }
});

test('a period without anything is a batch all the same', () => {
  assert.deepEqual(decoded({}), [{}]);
});

test('each value is in the bin that the paper gives it', () => {
  for (const value of [1e-6, 0.5, 1, 1.0001, 4.2, 19.1, 250, 60_000, 3.6e6, 1e12]) {
    assert.deepEqual(encodedHistogram([value]), { name: 'h', min: value, max: value, sum: value, positive: [1], ...(key(value) !== 0 && { positiveFirst: key(value) }) });
  }
  assert.deepEqual(encodedHistogram([-250]), { name: 'h', min: -250, max: -250, sum: -250, negativeFirst: key(250), negative: [1] });
  assert.deepEqual(encodedHistogram([0, 0]), { name: 'h', zeros: 2 });
});

test('a distribution keeps every count in its bin, without empty ones around', () => {
  const values = [0, -3, -3.001, 1000];
  for (let n = 1; n <= 5000; n += 1) values.push((n * 7919) % 997 / 10 + 0.05);
  const { zeros, min, max, sum, positiveFirst, positive, negativeFirst, negative } = encodedHistogram(values);
  const expected = { positive: {}, negative: {} };
  for (const value of values.filter((value) => value !== 0)) {
    const bins = expected[value > 0 ? 'positive' : 'negative'];
    bins[key(Math.abs(value))] = (bins[key(Math.abs(value))] ?? 0) + 1;
  }
  const bins = (first, counts) => Object.fromEntries(counts.map((count, n) => [first + n, count]).filter(([, count]) => count > 0));
  assert.deepEqual(bins(positiveFirst, positive), expected.positive);
  assert.deepEqual(bins(negativeFirst, negative), expected.negative);
  for (const counts of [positive, negative]) assert.ok(counts[0] > 0 && counts.at(-1) > 0);
  assert.deepEqual([zeros, min, max], [1, -3.001, 1000]);
  assert.ok(Math.abs(sum - values.reduce((sum, value) => sum + value, 0)) < 1e-6);
});

test('sketches are read alike after the way from the thread to the launcher', () => {
  const values = [0, 12, 12.5, 80, 3000];
  const direct = bodies({ histograms: { h: sketch(values) } });
  const travelled = bodies({ histograms: { h: DDSketch.fromProto(sketch(values).toProto()) } });
  assert.deepEqual(travelled, direct);
});

test('a sketch of another kind is sent in its own form', () => {
  const coarse = new DDSketch({ relativeAccuracy: 0.05 });
  coarse.accept(12);
  const [{ histograms }] = decoded({ histograms: { coarse } });
  assert.deepEqual(Buffer.from(histograms[0].artillery), Buffer.from(coarse.toProto()));
  const weighted = sketch([]);
  weighted.accept(12, 0.5);
  assert.deepEqual(Object.keys(decoded({ histograms: { weighted } })[0].histograms[0]), ['name', 'artillery']);
});

test('what is too large for one batch becomes several, with each name once', () => {
  const name = (n) => `${'x'.repeat(1000)}${n}`;
  const stats = { counters: {}, histograms: {} };
  for (let n = 0; n < 2500; n += 1) stats.counters[name(n)] = n;
  for (let n = 0; n < 50; n += 1) stats.histograms[name(n)] = sketch([n]);
  const parts = bodies(stats);
  assert.ok(parts.length > 2 && parts.every((part) => part.length < 2 ** 20), `${parts.map((part) => part.length)}`);
  const read = parts.map((part) => decode(part));
  assert.ok(read.every(({ counters = [] }) => counters.length <= 2000));
  const sums = read.flatMap(({ counters = [] }) => counters).map(({ name, value = 0 }) => [name, value]);
  assert.deepEqual(Object.fromEntries(sums), stats.counters);
  assert.equal(sums.length, 2500);
  assert.equal(read.flatMap(({ histograms = [] }) => histograms).length, 50);
});

test('health and phases go with it', () => {
  const health = { eventLoopUtilization: 0.25, cpuPeriods: 40, cpuThrottledPeriods: 7, cpuThrottledMicroseconds: 123456, memoryBytes: 2 ** 33, memoryLimitBytes: 0 };
  const bytes = rest(health, [{ index: 0, started: 1.5, length: 0 }, { index: 1, started: 60_001.5, length: 2000 }]);
  assert.deepEqual(decode(bytes), {
    health: { eventLoopUtilization: 0.25, cpuPeriods: 40, cpuThrottledPeriods: 7, cpuThrottledMicroseconds: 123456, memoryBytes: 2 ** 33 },
    phases: [{ started: 1.5 }, { index: 1, started: 60_001.5, length: 2000 }],
  });
});

test('a batch that lost what it had says why', () => {
  assert.deepEqual(decode(batch({ sequence: 1, period: 10_000, body: NOTHING, rest: NOTHING, lost: 'too large' })), { sequence: 1, period: 10_000, lost: 'too large' });
});
