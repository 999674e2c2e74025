// What the three threads of a worker share: a few cells of memory to wait at, and one clock.
'use strict';

/** Indices into `cells`; each is 0 until what it stands for has happened. */
const JOINED = 0; // 1: there is an answer to the join
const START = 1; // one of the two below; nobody blocks for it
const ENDED = 2; // 1: all is delivered that can be
const GO = 1;
const TURNED_AWAY = 2;

/** `moment`: when to start, by `now`. `load`: idle and active milliseconds of the thread's event loop. */
function create() {
  return {
    cells: new Int32Array(new SharedArrayBuffer(12)),
    moment: new Float64Array(new SharedArrayBuffer(8)),
    load: new Float64Array(new SharedArrayBuffer(16)),
  };
}

/** Milliseconds of the monotonic clock, the same in all threads of the process. */
function now() {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Says that something has happened, to whoever waits for it. */
function set(cells, index, value = 1) {
  Atomics.store(cells, index, value);
  Atomics.notify(cells, index);
}

/** Blocks until it has happened, or for so many milliseconds; returns the cell's value. */
function wait(cells, index, milliseconds = Infinity) {
  Atomics.wait(cells, index, 0, milliseconds);
  return Atomics.load(cells, index);
}

/** Lets the thread start at that moment, unless it was told something before. */
function release({ cells, moment }, at) {
  if (Atomics.load(cells, START) !== 0) return;
  moment[0] = at;
  set(cells, START, GO);
}

module.exports = { JOINED, START, ENDED, GO, TURNED_AWAY, create, now, set, wait, release };
