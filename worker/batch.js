// Encodes what Artillery measured in a period as the protocol's protobuf message, in the launcher, as Artillery hands it over.
'use strict';

/** A body of more bytes, or of more names of a kind, becomes two: the collector takes 1 MiB and 2,000 names. */
const LARGEST_BODY = 1_000_000;
const MOST_NAMES = 2_000;
const PERIOD = 10_000; // Artillery's, in milliseconds

// the ratio of a bin's bounds in Artillery's sketches (crates/metrics/src/sketch.rs); last digits may differ
const GAMMA = 1 + (2 * 0.01) / (1 - 0.01);

/** Wire types of protobuf. */
const VARINT = 0;
const DOUBLE = 1;
const BYTES = 2;

/** Builds a protobuf message. Zeros and empty values are left out, as proto3 does. */
class Message {
  constructor() {
    this.parts = [];
  }

  /** A whole number from 0 to 2^53. */
  uint(field, value) {
    if (value > 0) this.parts.push(varints([field * 8 + VARINT, value]));
    return this;
  }

  sint(field, value) {
    return this.uint(field, value < 0 ? -2 * value - 1 : 2 * value);
  }

  double(field, value) {
    if (value === 0) return this;
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(value);
    this.parts.push(varints([field * 8 + DOUBLE]), bytes);
    return this;
  }

  bytes(field, value) {
    return value.length > 0 ? this.message(field, value) : this;
  }

  /** Bytes, or a message as bytes, also where they are empty. */
  message(field, value) {
    this.parts.push(varints([field * 8 + BYTES, value.length]), value);
    return this;
  }

  finish() {
    return Buffer.concat(this.parts);
  }
}

function varints(values) {
  const bytes = [];
  for (let value of values) {
    for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
    bytes.push(value);
  }
  return Buffer.from(bytes);
}

/** Encodes Artillery's `stats` as bodies of batches: one, or more where that would be too large; each name is in one of them. */
function bodies(stats) {
  const done = [];
  let message = new Message();
  let size = 0;
  let names = 0;
  const add = (field, value) => {
    const bytes = value.finish();
    if (size + bytes.length > LARGEST_BODY || names === MOST_NAMES) {
      done.push(message.finish());
      [message, size, names] = [new Message(), 0, 0];
    }
    message.message(field, bytes);
    size += bytes.length + 6;
    names += 1;
  };
  for (const [name, value] of Object.entries(stats.counters ?? {})) add(3, number(name, value));
  for (const [name, value] of Object.entries(stats.rates ?? {})) add(4, number(name, value));
  for (const [name, value] of Object.entries(stats.histograms ?? {})) add(5, histogram(name, value));
  done.push(message.finish());
  const moments = when(stats);
  return done.map((body) => Buffer.concat([body, moments]));
}

/** When something was counted, and came into a histogram, first and last. */
function when({ period, firstCounterAt, lastCounterAt, firstHistogramAt, lastHistogramAt }) {
  const start = Number(period);
  const isWithin = (moment) => Number.isInteger(moment) && moment >= start && moment < start + PERIOD;
  const message = new Message();
  for (const [field, first, last] of [[9, firstCounterAt, lastCounterAt], [11, firstHistogramAt, lastHistogramAt]]) {
    if (isWithin(first) && isWithin(last) && first <= last) message.uint(field, first).uint(field + 1, last);
  }
  return message.finish();
}

function number(name, value) {
  return new Message().bytes(1, Buffer.from(name)).double(2, Number(value));
}

/** A DDSketch as counts of bins where it is one of the usual kind; else in Artillery's own form. */
function histogram(name, sketch) {
  const message = new Message().bytes(1, Buffer.from(name));
  const isUsual = Math.abs(sketch.mapping?.gamma - GAMMA) < 1e-9 && !sketch.mapping._offset;
  const positive = isUsual && consecutive(sketch.store);
  const negative = isUsual && consecutive(sketch.negativeStore);
  if (!positive || !negative || !isCount(sketch.zeroCount)) return message.bytes(10, Buffer.from(sketch.toProto()));
  return message
    .uint(2, sketch.zeroCount).double(3, sketch.min).double(4, sketch.max).double(5, sketch.sum)
    .sint(6, positive.first).bytes(7, varints(positive.counts))
    .sint(8, negative.first).bytes(9, varints(negative.counts));
}

/** A dense store's counts, without the empty bins at either end; `undefined` where it is no such store. */
function consecutive({ bins, offset } = {}) {
  if (!Array.isArray(bins) || !bins.every(isCount)) return undefined;
  const start = bins.findIndex((count) => count > 0);
  if (start < 0) return { first: 0, counts: [] };
  let end = bins.length;
  while (bins[end - 1] === 0) end -= 1;
  return { first: offset + start, counts: bins.slice(start, end) };
}

const isCount = (value) => Number.isSafeInteger(value) && value >= 0;

/**
 * Encodes what goes with a batch whatever becomes of its body.
 * @param health `{eventLoopUtilization, cpuPeriods, cpuThrottledPeriods, cpuThrottledMicroseconds, memoryBytes, memoryLimitBytes}`; 0: not known
 * @param phases `[{index, started, length}]`: milliseconds after the release; a length of 0 where it is not over
 */
function rest(health, phases) {
  const message = new Message().message(6, new Message()
    .double(1, health.eventLoopUtilization)
    .uint(2, health.cpuPeriods).uint(3, health.cpuThrottledPeriods).uint(4, health.cpuThrottledMicroseconds)
    .uint(5, health.memoryBytes).uint(6, health.memoryLimitBytes)
    .finish());
  for (const { index, started, length } of phases) {
    message.message(7, new Message().uint(1, index).double(2, started).double(3, length).finish());
  }
  return message.finish();
}

/** A whole batch; `lost`: why its body is missing, or nothing. */
function batch({ sequence, period, body, rest, lost }) {
  const message = new Message().uint(1, sequence).uint(2, period);
  message.parts.push(body, rest);
  return message.bytes(8, Buffer.from(lost ?? '')).finish();
}

module.exports = { bodies, rest, batch };
