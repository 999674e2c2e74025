// Artillery's own code, asked by the differential tests: a question in JSON a line, an answer in JSON a line.
import { EventEmitter } from 'node:events';
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const home = path.resolve(process.env.ARTILLERY_HOME, 'node_modules');
const require = createRequire(path.join(home, 'artillery', 'package.json'));
const load = (file) => import(pathToFileURL(path.join(home, 'artillery', 'dist', file)).href);

globalThis.artillery = { log() {}, version: require(path.join(home, 'artillery', 'package.json')).version };
globalThis.artillery.globalEvents = new EventEmitter();
const { default: createConsoleReporter } = await load('lib/console-reporter.js');
const { SSMS } = await load('lib/core/ssms.js');
const { Plugin: Ensure } = await load('builtin-packages/artillery-plugin-ensure/dist/plugin.js');
const { DDSketch } = require('@artilleryio/sketches-js');

const { default: divideWork } = await load('lib/dist.js');
const { default: phaser } = await load('lib/core/phases.js');

// Time does not pass by itself here: a timer that is set is over at once, and what it waited for is added up.
const [NanoTimer, driftless] = ['nanotimer', 'driftless'].map((name) => require(name));
const MAX_ARRIVALS = 300_000;
let waited = 0;
let fail = null;
const isCleared = new Set();
NanoTimer.prototype.setInterval = function (task, args, interval) {
  this.isCleared = false;
  this.isEndless = !/[1-9]/.test(interval);
  for (let ticks = 0; !this.isCleared; ticks++) {
    if (ticks > MAX_ARRIVALS) return fail(new Error(this.isEndless ? 'endless' : 'too many'));
    waited += Number.parseInt(interval, 10) / 1000;
    task();
  }
};
NanoTimer.prototype.clearInterval = function () { this.isCleared = true; };
driftless.setDriftlessInterval = (task) => {
  const timer = Symbol('timer');
  queueMicrotask(() => { while (!isCleared.delete(timer)) task(); });
  return timer;
};
driftless.clearDriftless = (timer) => isCleared.add(timer);
const passTime = (task, milliseconds) => { waited += milliseconds; setImmediate(task); };

const hex = (bytes) => Buffer.from(bytes).toString('hex');
// JSON would not carry NaN, nor every last digit through any reader
const bits = (number) => { const buffer = Buffer.alloc(8); buffer.writeDoubleBE(number); return buffer.toString('hex'); };

function sketch(values) {
  const sketch = new DDSketch({ relativeAccuracy: 0.01 });
  values.forEach((value) => sketch.accept(value));
  return sketch;
}

// A period as a worker's thread emits it.
const period = ({ period, counters, rates, histograms }) => ({
  period: String(period),
  counters,
  rates,
  histograms: Object.fromEntries(Object.entries(histograms).map(([name, values]) => [name, sketch(values)])),
  firstCounterAt: period + 1,
  lastCounterAt: period + 9000,
  firstHistogramAt: period + 2,
  lastHistogramAt: period + 9999,
});

const summaries = (stats) =>
  Object.fromEntries(Object.entries(stats.histograms).map(([name, all]) => [name, SSMS.summarizeHistogram(all)]));

// What the console has at the end.
const reporter = createConsoleReporter(new EventEmitter(), { metricsToSuppress: ['plugins.metrics-by-endpoint'] });
function printed(stats) {
  const lines = [];
  globalThis.artillery.log = (line = '') => lines.push(line);
  reporter.done(stats);
  globalThis.artillery.log = () => {};
  return lines.join('\n');
}

const answers = {
  version: () => globalThis.artillery.version,

  // Sketches of lists of values, and quantiles of their merge.
  sketches({ lists, quantiles }) {
    const sketches = lists.map(sketch);
    const merged = sketches.map((one) => DDSketch.fromProto(one.toProto()));
    const all = merged.reduce((all, one) => (all.merge(one), all), new DDSketch({ relativeAccuracy: 0.01 }));
    return {
      protos: sketches.map((one) => hex(one.toProto())),
      quantiles: quantiles.map((q) => bits(all.getValueAtQuantile(q))),
      count: all.count,
      sum: bits(all.sum),
      min: bits(all.min),
      max: bits(all.max),
    };
  },

  // What `artillery run` would report of workers' periods: runner.js packs each worker's, launch-platform.js merges and packs these.
  run({ workers }) {
    const protos = ({ histograms }) => Object.entries(histograms).map(([name, all]) => [name, hex(all.toProto())]);
    const emitted = workers.map((periods) => periods.map((p) => Object.fromEntries(protos(period(p)))));
    const reports = workers.map((periods) => SSMS.deserializeMetrics(SSMS.serializeMetrics(SSMS.pack(periods.map(period)))));
    const aggregate = SSMS.pack(Object.values(SSMS.mergeBuckets(reports)));
    aggregate.summaries = summaries(aggregate);
    const byPeriod = SSMS.mergeBuckets(workers.flat().map(period));
    const intermediate = Object.values(byPeriod).map((stats) => ({ ...stats, summaries: summaries(stats) }));
    for (const stats of [aggregate, ...intermediate]) stats.histograms = stats.summaries;
    return { emitted, aggregate, intermediate, text: printed(aggregate) };
  },

  // What the phases of one worker come to: of each the arrivals, and its length in ms. Those of a share are not divided once more.
  async phases({ phases, isShare }) {
    const { log } = console;
    const { setTimeout } = globalThis;
    try {
      console.log = () => {};
      globalThis.setTimeout = passTime;
      const [script] = isShare ? [{ config: { phases } }] : divideWork({ config: { phases } }, 1);
      const counted = [];
      const running = phaser(script?.config.phases ?? []);
      running.on('phaseStarted', (phase) => { waited = 0; counted.push({ index: phase.index, arrivals: 0, length: 0 }); });
      running.on('arrival', () => { counted.at(-1).arrivals++; });
      running.on('phaseCompleted', () => { counted.at(-1).length = waited; });
      await new Promise((resolve, reject) => { fail = reject; running.on('done', resolve); running.run(); });
      return counted;
    } catch (error) {
      return { error: String(error.message ?? error) };
    } finally {
      console.log = log;
      globalThis.setTimeout = setTimeout;
    }
  },

  // What the plugin makes of checks. Names come in lists, for their order matters to it.
  ensure({ ensures, counters, rates, summaries }) {
    const report = {
      counters: Object.fromEntries(counters),
      rates: Object.fromEntries(rates),
      summaries: Object.fromEntries(summaries.map(([name, figures]) => [name, Object.fromEntries(figures)])),
    };
    return ensures.map((ensure) =>
      Ensure.runChecks(ensure, Ensure.statsToVars({ report })).map(({ original, strict, result }) => ({
        check: original,
        strict,
        passed: result === 1,
        kind: Number.isNaN(result) ? 'NaN' : typeof result,
        value: ['number', 'string'].includes(typeof result) ? String(result) : null,
      })),
    );
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { ask, ...question } = JSON.parse(line);
  const answer = await answers[ask](question);
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
