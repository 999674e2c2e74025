// The conversation with a collector, without Artillery: the courier's thread as the launcher starts it.
'use strict';

const assert = require('node:assert/strict');
const path = require('node:path');
const test = require('node:test');
const { MessageChannel, Worker } = require('node:worker_threads');
const { bodies } = require('../batch.js');
const { ENDED, GO, JOINED, START, TURNED_AWAY, create, now } = require('../shared.js');
const { until } = require('./artillery.js');
const { Collector, TOKEN, total } = require('./collector.js');

const PROCESS = 'c0ffee00c0ffee00c0ffee00c0ffee00';
const PERIOD = 1_795_522_540_000;
const INTRODUCTION = { protocol: 1, reporter: '0', artillery: '0', node: '0', phases: [], ensure: null };

/** A courier that talks to this collector. `heard`: what it told the launcher; `send` a batch with so many requests. */
function courier(t, url, settings = {}) {
  const { port1, port2 } = new MessageChannel();
  const shared = create();
  const worker = new Worker(path.join(__dirname, '..', 'courier.js'), {
    workerData: {
      settings: { collector: url, token: TOKEN, tokenFile: null, caFile: null, join: 60_000, start: 60_000, flush: 5000, grace: 5000, ...settings },
      process: PROCESS, join: JSON.stringify(INTRODUCTION), port: port2, shared,
    },
    transferList: [port2],
  });
  t.after(() => worker.terminate());
  const heard = [];
  port1.on('message', (message) => heard.push(message));
  const tell = (tell, message) => port1.postMessage({ tell, ...message });
  return {
    worker, shared, heard, tell,
    cell: (index) => Atomics.load(shared.cells, index),
    send: (requests) => tell('batch', { period: PERIOD, body: bodies({ counters: { 'http.requests': requests } })[0], rest: Buffer.alloc(0) }),
    hears: (what, tell) => until(what, () => heard.some((message) => message.tell === tell)),
    last: (tell) => heard.findLast((message) => message.tell === tell),
  };
}

/** A collector, and a courier that has joined it and was released. */
async function running(t, options, settings) {
  const collector = await new Collector({ poll: 20, ...options }).start();
  t.after(() => collector.kill());
  const started = courier(t, collector.url, settings);
  started.tell('start');
  await until('it is released', () => started.cell(START) === GO);
  return { collector, ...started };
}

const requests = (claim) => total(claim.batches).counters['http.requests'];

test('the moment of the start is the same for the worker and the collector', async (t) => {
  const { collector, shared } = await running(t);
  const inMilliseconds = collector.releasedAt - performance.now();
  assert.ok(Math.abs(shared.moment[0] - now() - inMilliseconds) < 200, `${shared.moment[0] - now()} and ${inMilliseconds}`);
});

test('batches, then the finish, then all is stored', async (t) => {
  const { collector, send, tell, hears, cell, last } = await running(t, { storesAfter: Infinity });
  for (const count of [1, 2, 3]) send(count);
  await until('they are received', () => requests(collector.only) === 6);
  assert.equal(last('delivered'), undefined);
  tell('counters', { counters: { 'http.requests': 6 } });
  tell('finish');
  await hears('it is stored', 'delivered');
  assert.equal(collector.only.durable, 3);
  assert.deepEqual(collector.only.finish, { batches: 3, counters: { 'http.requests': 6 } });
  assert.equal(cell(ENDED), 0);
  tell('exit', { code: 11, cutShort: true });
  await until('it is over', () => cell(ENDED) === 1);
  assert.deepEqual(collector.only.finish, { batches: 3, exitCode: 11, counters: { 'http.requests': 6 }, cutShort: true });
});

test('a collector that was away gets everything, once', async (t) => {
  const { collector, send, tell, hears } = await running(t);
  send(1);
  await until('the first is received', () => requests(collector.only) === 1);
  await collector.kill();
  for (let n = 0; n < 20; n += 1) send(1);
  tell('finish');
  await new Promise((resolve) => setTimeout(resolve, 1000)); // that it is away is the point
  await collector.start();
  await hears('it is stored', 'delivered');
  assert.deepEqual([requests(collector.only), collector.only.repeated], [21, 0]);
});

test('a collector that loses what it had not stored gets it again, and the finish too', async (t) => {
  const { collector, send, tell, hears } = await running(t, { storesAfter: Infinity });
  for (let n = 0; n < 5; n += 1) send(1);
  await until('they are received', () => requests(collector.only) === 5);
  let hasLost = false;
  collector.answerInstead = (url, claim) => {
    if (url !== '/v1/finish' || hasLost) return undefined;
    hasLost = true;
    collector.forget();
    claim.durable = 0;
    return collector.acknowledge(claim);
  };
  tell('finish');
  await hears('it is stored', 'delivered');
  assert.deepEqual([requests(collector.only), collector.only.finish?.batches], [5, 5]);
});

test('a worker that is forgotten before the start joins again as the same process', async (t) => {
  const collector = await new Collector({ poll: 20 }).start();
  t.after(() => collector.kill());
  collector.hold = true;
  const { tell, cell } = courier(t, collector.url);
  tell('start');
  await until('it asks for the start', () => collector.received.some(([url]) => url === '/v1/start'));
  collector.forget();
  await until('it has joined again', () => collector.claims.has(PROCESS));
  assert.deepEqual(collector.only.introduction, INTRODUCTION);
  collector.hold = false;
  await until('it is released', () => cell(START) === GO);
});

test('a refused join is told, and ends the thread', async (t) => {
  const collector = await new Collector().start();
  t.after(() => collector.kill());
  collector.answerInstead = () => [409, { refused: { reason: 'AlreadyClaimed', message: 'pod a has it' } }];
  const { cell, worker, hears, last } = courier(t, collector.url);
  const exited = new Promise((resolve) => worker.on('exit', resolve));
  await until('there is an answer', () => cell(JOINED) === 1);
  await hears('it is told', 'join');
  assert.deepEqual(last('join').answer, { is: 'refused', reason: 'AlreadyClaimed', message: 'pod a has it' });
  assert.equal(await exited, 0);
});

test('a refused start lets nobody go', async (t) => {
  const collector = await new Collector().start();
  t.after(() => collector.kill());
  collector.answerInstead = (url) => (url === '/v1/start' ? [410, { refused: { reason: 'StartTimedOut', message: 'too late' } }] : undefined);
  const { tell, cell, hears, last } = courier(t, collector.url);
  tell('start');
  await hears('it is told', 'turned away');
  assert.equal(last('turned away').why, 'StartTimedOut: too late');
  await until('the worker knows it too', () => cell(START) === TURNED_AWAY);
});

test('after a refusal no more is sent', async (t) => {
  const { collector, send, tell, hears, cell } = await running(t);
  collector.answerInstead = () => [410, { refused: { reason: 'Gone', message: 'it was deleted' } }];
  send(1);
  await hears('it is told', 'turned away');
  const before = collector.received.length;
  for (let n = 0; n < 3; n += 1) send(1);
  tell('exit', { code: 0 });
  await until('nobody has to wait for the end', () => cell(ENDED) === 1);
  assert.equal(collector.received.length, before);
});

test('a collector that is never there is given up after the time for it', async (t) => {
  const began = Date.now();
  const { hears, last } = courier(t, 'http://127.0.0.1:1', { join: 1000 });
  await hears('it is told', 'join');
  const { is, why } = last('join').answer;
  assert.equal(is, 'rejected');
  assert.match(why, /no answer from http:\/\/127\.0\.0\.1:1 in 1 s: .*ECONNREFUSED/);
  assert.ok(Date.now() - began < 20_000);
});

test('a collector that asks for more time than there is for the join is given up at once', async (t) => {
  const collector = await new Collector().start();
  t.after(() => collector.kill());
  collector.answerInstead = () => [503, {}, { 'Retry-After': '30' }];
  const { hears, last } = courier(t, collector.url, { join: 3000 });
  await hears('it is told', 'join');
  assert.match(last('join').answer.why, /in 3 s: HTTP 503/);
  assert.equal(collector.received.length, 1);
});

test('a worker that has joined and hears nothing starts by itself, and reports', async (t) => {
  const collector = await new Collector({ poll: 20 }).start();
  t.after(() => collector.kill());
  collector.answerInstead = (url) => (url === '/v1/start' ? [503, {}] : undefined);
  const { tell, cell, send } = courier(t, collector.url, { start: 1000 });
  tell('start');
  await until('it starts', () => cell(START) === GO);
  send(4);
  await until('it reports', () => collector.only.batches.length === 1);
});

test('a batch that is refused is replaced by one that says so, and the next follows', async (t) => {
  const { collector, send } = await running(t);
  const refuses = (claim, bytes) => bytes.length > 0 && claim.batches.length === 1 && !bytes.includes('no thanks');
  collector.answerInstead = (url, claim, bytes) => (url === '/v1/batches' && refuses(claim, bytes) ? [413, { error: 'no thanks' }] : undefined);
  for (const count of [1, 10, 100]) send(count);
  await until('all are received', () => collector.only.batches.length === 3);
  assert.equal(requests(collector.only), 101);
  assert.deepEqual(collector.only.batches[1], { sequence: 2, period: PERIOD, lost: 'no thanks' });
});

test('Retry-After is waited for', async (t) => {
  const { collector, send } = await running(t);
  let first;
  collector.answerInstead = (url) => {
    if (url !== '/v1/batches' || first) return undefined;
    first = Date.now();
    return [429, {}, { 'Retry-After': '2' }];
  };
  send(1);
  await until('it is received', () => collector.only.batches.length === 1);
  assert.ok(Date.now() - first >= 1990, `${Date.now() - first} ms`);
});

test('a collector that does not take what it asked for is not asked again at once', async (t) => {
  const { collector, send } = await running(t);
  collector.answerInstead = (url) => (url === '/v1/batches' ? [200, { received: 0, durable: 0, stop: null }] : undefined);
  const batches = () => collector.received.filter(([url]) => url === '/v1/batches').length;
  send(1);
  await until('it is sent', () => batches() === 1);
  await new Promise((resolve) => setTimeout(resolve, 1500)); // there must be nothing to wait for
  assert.equal(batches(), 1);
});

test('without a batch the collector is asked every 10 s, and may say stop', async (t) => {
  const { collector, hears } = await running(t);
  collector.only.stop = 'Graceful';
  const began = Date.now();
  await until('it asks', () => collector.received.at(-1)[0] === '/v1/batches');
  assert.ok(Date.now() - began > 8000);
  await hears('it is told', 'stop');
});

test('an exit cuts the wait for the next try short', async (t) => {
  const { collector, send, tell, cell } = await running(t);
  await collector.kill();
  send(1);
  await new Promise((resolve) => setTimeout(resolve, 4500)); // it pauses for 4 s now, at least
  await collector.start();
  const began = Date.now();
  tell('exit', { code: 0 });
  await until('it is over', () => cell(ENDED) === 1);
  assert.ok(Date.now() - began < 3000, `${Date.now() - began} ms`);
  assert.equal(requests(collector.only), 1);
});

test('a courier that fails lets nobody wait', async (t) => {
  const { worker, cell, tell } = await running(t);
  const failed = new Promise((resolve) => worker.on('error', resolve));
  tell('batch', { period: PERIOD, body: undefined });
  assert.match((await failed).message, /./);
  await until('nobody has to wait for the end', () => cell(ENDED) === 1);
});
