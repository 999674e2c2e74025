// The batches that the collector has not stored yet, in the courier; it forgets them as they are acknowledged.
'use strict';

const { batch } = require('./batch.js');

const LARGEST = 64 * 1024 * 1024; // bytes of bodies: hours, for a usual test
const NOTHING = Buffer.alloc(0);

/** Batches numbered from 1. `received` and `durable` are the collector's last words. */
class Queue {
  constructor(largest = LARGEST) {
    this.largest = largest;
    this.items = new Map();
    this.periods = []; // of all batches: one that was forgotten may be asked for by a collector that lost its store
    this.size = 0;
    this.received = 0;
    this.durable = 0;
  }

  /** How many batches there are, and so the number of the last. */
  get count() {
    return this.periods.length;
  }

  /** Whether all of them are stored. */
  get isDurable() {
    return this.durable === this.count;
  }

  /** @param item `{period, body, rest, lost}`, see `batch` */
  push({ period, body, rest, lost }) {
    this.periods.push(period);
    this.items.set(this.count, { period, body: Buffer.from(body), rest: Buffer.from(rest), lost });
    this.size += body.length;
    for (const sequence of this.items.keys()) {
      if (this.size <= this.largest) break;
      this.lose(sequence, `the collector was away for too long: more than ${this.largest} bytes were waiting for it`);
    }
  }

  /** The batch to send next, encoded, or `undefined` where all were received. */
  next() {
    const sequence = this.received + 1;
    if (sequence > this.count) return undefined;
    const forgotten = { period: this.periods[sequence - 1], body: NOTHING, rest: NOTHING, lost: 'it was stored, and asked for again' };
    const item = this.items.get(sequence) ?? forgotten;
    return { sequence, isLost: item.lost !== undefined, bytes: batch({ sequence, ...item }) };
  }

  /** Takes the collector's word: `received` may go back, what is durable is forgotten. */
  acknowledge({ received, durable }) {
    this.received = Math.min(received, this.count);
    for (; this.durable < Math.min(durable, this.count); this.durable += 1) {
      const item = this.items.get(this.durable + 1);
      this.size -= item.body.length;
      this.items.delete(this.durable + 1);
    }
  }

  /** Replaces what a batch measured by the reason why it is missing. */
  lose(sequence, why) {
    const item = this.items.get(sequence);
    if (item === undefined || item.lost !== undefined) return;
    this.size -= item.body.length;
    item.body = NOTHING;
    item.lost = why.slice(0, 1000);
  }
}

module.exports = { Queue };
