// The reporter in Artillery's thread, where load is made: it measures how busy that is, and hands out what is measured at the very end.
'use strict';

const { performance } = require('node:perf_hooks');
const { BroadcastChannel, getEnvironmentData, parentPort } = require('node:worker_threads');

/** The key of what the launcher leaves for this thread. */
const INHERITANCE = 'artillery-plugin-operator';
const PATIENCE = 200; // milliseconds

/** Without a word from the launcher this run is not reported, and nothing is done. */
function begin() {
  const inheritance = getEnvironmentData(INHERITANCE);
  if (inheritance === undefined) return;
  const { shared, channel: name } = inheritance;
  const channel = new BroadcastChannel(name);
  const isStopped = flushAtExit(globalThis.artillery?.__SSMS, channel);
  // up to 2.0.10 Artillery would stop this thread only after the launcher's plugins have ended
  const stop = () => isStopped() || parentPort.emit('message', { command: 'stop' });
  channel.onmessage = ({ data }) => data.tell === 'stop' && setTimeout(stop, PATIENCE);
  channel.unref();
  measureLoad(shared.load);
}

/**
 * A test that is cut short (SIGTERM) loses the open period: Artillery's `stop` only stops timers. Here that period is emitted when
 * the thread exits, after which nothing is measured; not where the test ended by itself, for then it would count twice. The
 * launcher waits for the last periods in either case: Artillery hands them over some seconds later.
 * @param SSMS Artillery's store of metrics: 2.0.1 to 2.0.34 have `aggregate(all)`, `stop()`, `getBucketIds()`, `_lastPeriod`
 * @returns a function that says whether Artillery has stopped
 */
function flushAtExit(SSMS, channel) {
  const { aggregate, stop, getBucketIds } = SSMS?.prototype ?? {};
  const isKnown = [aggregate, stop, getBucketIds].every((method) => typeof method === 'function');
  const complete = new WeakSet();
  let isStopped = !isKnown;
  let stopped;
  if (isKnown) {
    SSMS.prototype.aggregate = function (all, ...more) {
      if (all) complete.add(this);
      return aggregate.call(this, all, ...more);
    };
    SSMS.prototype.stop = function (...args) {
      isStopped = true;
      stopped = this;
      return stop.apply(this, args);
    };
  }
  process.on('exit', () => {
    let periods = []; // which the launcher waits for
    let isWhole = false; // a thread that crashes takes its open period along
    try {
      if (stopped) {
        if (!complete.has(stopped)) stopped.aggregate(true);
        // what was emitted before, also at the end of a test that ended by itself, may still be on its way to the plugins
        const last = Number(stopped._lastPeriod ?? 0);
        periods = stopped.getBucketIds().map(Number).filter((period) => period >= last);
        isWhole = true;
      }
    } finally {
      channel.postMessage({ tell: 'flushed', periods, isWhole });
    }
  });
  return () => isStopped;
}

/** Notes every second how long the event loop was idle and active since now. */
function measureLoad(load) {
  const start = performance.eventLoopUtilization();
  const measure = () => {
    const { idle, active } = performance.eventLoopUtilization(start);
    load[0] = idle;
    load[1] = active;
  };
  setInterval(measure, 1000).unref();
}

module.exports = { begin, INHERITANCE };
