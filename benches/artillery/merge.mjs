// Artillery's own code beside ours (benches/src/batches.rs): takes the same batches in the form in which Artillery's threads send them,
// and decodes and merges them as its launcher does, as often as a line on standard input says.
// Usage: node merge.mjs FOLDER_WITH_NODE_MODULES FOLDER_WITH_BATCHES
import fs from 'node:fs';
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [home, folder] = process.argv.slice(2);
const artillery = path.join(home, 'node_modules', 'artillery');
const { DDSketch } = createRequire(path.join(artillery, 'package.json'))('@artilleryio/sketches-js');
const { SSMS } = await import(pathToFileURL(path.join(artillery, 'dist', 'lib', 'core', 'ssms.js')).href);
const { decode } = createRequire(import.meta.url)('../../worker/test/decode.js');

/** The sketch that Artillery would have made of the same samples, which come in no order. */
function sketch({ positiveFirst = 0, positive, min, max, sum }) {
  const made = new DDSketch({ relativeAccuracy: 0.01 });
  const samples = positive.flatMap((count, bin) => Array(count).fill(made.mapping.value(positiveFirst + bin)));
  for (let seed = 1; samples.length > 0; ) {
    seed = (seed * 48271) % 2147483647;
    made.accept(samples.splice(seed % samples.length, 1)[0]);
  }
  return Object.assign(made, { min, max, sum });
}

/** What Artillery's thread sends of a period: `send({ event: 'stats', stats: SSMS.serializeMetrics(stats) })`. */
function serialized(bytes) {
  const { period, counters, rates, histograms } = decode(bytes);
  return SSMS.serializeMetrics({
    period: String(period),
    counters: Object.fromEntries(counters.map(({ name, value }) => [name, value])),
    rates: Object.fromEntries(rates.map(({ name, value }) => [name, value])),
    histograms: Object.fromEntries(histograms.map((one) => [one.name, sketch(one)])),
    firstCounterAt: period + 1,
    lastCounterAt: period + 9000,
    firstHistogramAt: period + 2,
    lastHistogramAt: period + 9999,
    firstMetricAt: period + 1,
    lastMetricAt: period + 9999,
  });
}

// a file for each period, in which each batch follows its length
const periods = fs.readdirSync(folder).filter((name) => name.endsWith('.batches')).sort().map((name) => {
  const bytes = fs.readFileSync(path.join(folder, name));
  const batches = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 + bytes.readUInt32LE(at);
    batches.push(serialized(bytes.subarray(at + 4, end)));
    at = end;
  }
  return batches;
});
const all = periods.flat();

/** As launch-platform.js: each is decoded, those of a period are merged, and at the end all of them. */
function merge() {
  const merged = periods.map((batches) => Object.values(SSMS.mergeBuckets(batches.map((one) => SSMS.deserializeMetrics(one))))[0]);
  return SSMS.pack(merged);
}

console.log(JSON.stringify({ batches: all.length, bytes: all.reduce((sum, one) => sum + Buffer.byteLength(one), 0) }));
for await (const line of createInterface({ input: process.stdin })) {
  const before = process.cpuUsage();
  let total;
  for (let pass = Number(line); pass > 0; pass--) total = merge();
  const { user, system } = process.cpuUsage(before);
  const times = total.histograms['http.response_time'];
  console.log(JSON.stringify({
    cpu: (user + system) / 1e6,
    requests: total.counters['http.requests'],
    count: times.count,
    median: times.getValueAtQuantile(0.5),
    p99: times.getValueAtQuantile(0.99),
  }));
}
