// Decodes a batch by docs/protocol.md alone, for tests: it shares nothing with the encoder.
'use strict';

function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      if (at >= bytes.length) throw new Error('the message ends within a number');
      const byte = bytes[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const field = tag >> 3;
    const type = tag & 7;
    if (type === 0) {
      yield [field, varint()];
    } else if (type === 1) {
      yield [field, new DataView(bytes.buffer, bytes.byteOffset + at, 8).getFloat64(0, true)];
      at += 8;
    } else if (type === 2) {
      const length = Number(varint());
      if (at + length > bytes.length) throw new Error(`field ${field} ends beyond the message`);
      yield [field, bytes.subarray(at, at + length)];
      at += length;
    } else {
      throw new Error(`wire type ${type} of field ${field}`);
    }
  }
}

function varints(bytes) {
  const values = [];
  let value = 0n;
  let shift = 0n;
  for (const byte of bytes) {
    value |= BigInt(byte & 127) << shift;
    shift += 7n;
    if (byte < 128) {
      values.push(Number(value));
      [value, shift] = [0n, 0n];
    }
  }
  return values;
}

const zigzag = (value) => Number(value % 2n === 0n ? value / 2n : -(value + 1n) / 2n);

function message(bytes, known) {
  const read = {};
  for (const [field, value] of fields(bytes)) {
    const entry = known[field];
    if (!entry) throw new Error(`field ${field} is not known`);
    const [name, convert = Number, isRepeated = false] = entry;
    if (isRepeated) (read[name] ??= []).push(convert(value));
    else if (name in read) throw new Error(`${name} comes twice`);
    else read[name] = convert(value);
  }
  return read;
}

const text = (bytes) => new TextDecoder('utf-8', { fatal: true }).decode(bytes);
const number = (bytes) => message(bytes, { 1: ['name', text], 2: ['value'] });
const histogram = (bytes) => message(bytes, {
  1: ['name', text], 2: ['zeros'], 3: ['min'], 4: ['max'], 5: ['sum'],
  6: ['positiveFirst', zigzag], 7: ['positive', varints], 8: ['negativeFirst', zigzag], 9: ['negative', varints],
  10: ['artillery', (bytes) => bytes],
});
const health = (bytes) => message(bytes, {
  1: ['eventLoopUtilization'], 2: ['cpuPeriods'], 3: ['cpuThrottledPeriods'], 4: ['cpuThrottledMicroseconds'],
  5: ['memoryBytes'], 6: ['memoryLimitBytes'],
});
const phase = (bytes) => message(bytes, { 1: ['index'], 2: ['started'], 3: ['length'] });

/** A batch as an object; what is zero or empty in it is left out, as in the message. */
function decode(bytes) {
  return message(bytes, {
    1: ['sequence'], 2: ['period'], 3: ['counters', number, true], 4: ['rates', number, true],
    5: ['histograms', histogram, true], 6: ['health', health], 7: ['phases', phase, true], 8: ['lost', text],
    9: ['firstCounterAt'], 10: ['lastCounterAt'], 11: ['firstHistogramAt'], 12: ['lastHistogramAt'],
  });
}

module.exports = { decode };
