'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');
const { bodies } = require('../batch.js');
const { Queue } = require('../queue.js');
const { decode } = require('./decode.js');

const NOTHING = Buffer.alloc(0);
const body = (requests) => bodies({ counters: { 'http.requests': requests } })[0];

function queueOf(count, largest) {
  const queue = new Queue(largest);
  for (let n = 1; n <= count; n += 1) queue.push({ period: n * 10_000, body: body(n), rest: NOTHING });
  return queue;
}

const sent = (queue) => decode(queue.next().bytes);

test('batches are numbered from 1 and sent in order', () => {
  const queue = queueOf(2);
  assert.deepEqual(sent(queue), { sequence: 1, period: 10_000, counters: [{ name: 'http.requests', value: 1 }] });
  queue.acknowledge({ received: 1, durable: 0 });
  assert.deepEqual(sent(queue), { sequence: 2, period: 20_000, counters: [{ name: 'http.requests', value: 2 }] });
  queue.acknowledge({ received: 2, durable: 1 });
  assert.equal(queue.next(), undefined);
  assert.equal(queue.isDurable, false);
  queue.acknowledge({ received: 2, durable: 2 });
  assert.deepEqual([queue.isDurable, queue.count, queue.size, queue.items.size], [true, 2, 0, 0]);
});

test('what is not durable is sent again when the collector has lost it', () => {
  const queue = queueOf(5);
  queue.acknowledge({ received: 5, durable: 2 });
  queue.acknowledge({ received: 2, durable: 2 });
  assert.deepEqual(sent(queue), { sequence: 3, period: 30_000, counters: [{ name: 'http.requests', value: 3 }] });
});

test('what was durable and is asked for again becomes a batch that says so', () => {
  const queue = queueOf(3);
  queue.acknowledge({ received: 3, durable: 2 });
  queue.acknowledge({ received: 1, durable: 1 });
  const again = sent(queue);
  assert.deepEqual([again.sequence, again.period, again.counters], [2, 20_000, undefined]);
  assert.match(again.lost, /asked for again/);
  queue.acknowledge({ received: 2, durable: 2 });
  assert.equal(sent(queue).counters[0].value, 3);
});

test('a batch that is refused keeps its number and period, and says why it is empty', () => {
  const queue = new Queue();
  queue.push({ period: 10_000, body: body(1), rest: require('../batch.js').rest({ eventLoopUtilization: 0.5 }, []) });
  queue.lose(1, 'it has 2 MiB');
  assert.deepEqual(sent(queue), { sequence: 1, period: 10_000, health: { eventLoopUtilization: 0.5 }, lost: 'it has 2 MiB' });
  assert.equal(queue.next().isLost, true);
});

test('memory is bounded: the oldest that are not stored are given up', () => {
  const size = body(1).length;
  const queue = queueOf(10, 4 * size);
  assert.ok(queue.size <= 4 * size, `${queue.size} bytes`);
  assert.match(sent(queue).lost, /away for too long/);
  queue.acknowledge({ received: 6, durable: 6 });
  assert.deepEqual(sent(queue), { sequence: 7, period: 70_000, counters: [{ name: 'http.requests', value: 7 }] });
  queue.acknowledge({ received: 10, durable: 10 });
  assert.deepEqual([queue.size, queue.items.size], [0, 0]);
});

test('a collector that claims more than there is changes nothing', () => {
  const queue = queueOf(2);
  queue.acknowledge({ received: 9, durable: 9 });
  assert.deepEqual([queue.received, queue.durable, queue.isDurable], [2, 2, true]);
  queue.push({ period: 30_000, body: body(3), rest: NOTHING });
  assert.equal(sent(queue).sequence, 3);
});
