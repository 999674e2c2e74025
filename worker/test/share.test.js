// What becomes of Artillery's order to its thread, and of what that says, without Artillery.
'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');
const { apply, hidden, rows } = require('../share.js');

const table = { name: 'all', loadAll: true, data: [['a'], ['b']] };
const share = (index, workers) => ({ index, workers, phases: [{ pause: 5, index: 0 }] });

test('each worker has every nth row, and all of a table that the script asks for as a whole', () => {
  const data = [[0], [1], [2], [3], [4]];
  assert.deepEqual(rows([{ data }, table]), [5, null]);
  assert.deepEqual(rows(undefined), []);
  const seen = [0, 1, 2].map((index) => {
    const opts = { script: { config: { phases: [{ duration: 1, arrivalRate: 1 }] } }, payload: [{ fields: ['id'], data }, table] };
    apply(opts, share(index, 3));
    assert.deepEqual([opts.script.config.phases, opts.payload[0].fields, opts.payload[1]], [[{ pause: 5, index: 0 }], ['id'], table]);
    return opts.payload[0].data.flat();
  });
  assert.deepEqual(seen, [[0, 3], [1, 4], [2]]);
  assert.deepEqual(data.flat(), [0, 1, 2, 3, 4]);
});

test('the phases of a script in TypeScript are where its thread looks for them', () => {
  const opts = { script: { __originalScriptPath: '/test.ts', __phases: [{ pause: 1 }] } };
  apply(opts, share(0, 2));
  assert.deepEqual(opts, { script: { __originalScriptPath: '/test.ts', __phases: [{ pause: 5, index: 0 }] }, payload: undefined });
});

test('an order of another shape, and a payload with too few rows, are told', () => {
  assert.throws(() => apply({ script: {} }, share(0, 2)), /no list of phases/);
  assert.throws(() => apply({ script: { __originalScriptPath: '/test.ts' } }, share(0, 2)), /no list of phases/);
  const opts = { script: { config: { phases: [] } }, payload: [{ data: [[0]] }] };
  assert.throws(() => apply(opts, share(1, 2)), /worker 1 of 2 has no row of the 1 of a payload/);
});

test('a phase ends with the last of its parts', () => {
  const isHidden = hidden([{ index: 0 }, { index: 0 }, { index: 0 }, { index: 1 }]);
  const completed = (index) => isHidden({ event: 'phaseCompleted', phase: { index } });
  assert.deepEqual([completed(0), completed(0), completed(0), completed(1)], [true, true, false, false]);
  for (const event of ['phaseStarted', 'done', 'log']) assert.equal(isHidden({ event }), false);
  assert.deepEqual([isHidden(undefined), isHidden('text')], [false, false]);
  const stats = (stats) => isHidden({ event: 'stats', stats: JSON.stringify({ counters: stats, histograms: {}, rates: {}, period: 0 }) });
  assert.deepEqual([stats({}), stats({ 'vusers.created': 1 })], [true, false]);
});
