// The launcher's side without Artillery, in a process of its own: signals, exits, and what Artillery hands over.
'use strict';

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const path = require('node:path');
const test = require('node:test');
const { checks, phases } = require('../launcher.js');
const { until } = require('./artillery.js');
const { Collector, TOKEN } = require('./collector.js');

const HARNESS = `
  const { EventEmitter } = require('node:events');
  const events = new EventEmitter();
  const launcher = require(${JSON.stringify(path.join(__dirname, '..', 'launcher.js'))}).begin({ config: {} }, events);
  console.log(launcher ? 'joined' : 'not joined');
  const forever = setInterval(() => {}, 1000);
`;

/** Runs code after the launcher has begun; `launcher`, `events` and `forever` are there. */
function run(t, url, code, env = {}) {
  const child = spawn(process.execPath, ['-e', HARNESS + code], {
    env: { PATH: process.env.PATH, LOADTEST_COLLECTOR: url, LOADTEST_TOKEN: TOKEN, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.exitCode ?? child.signalCode ?? child.kill('SIGKILL'));
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) child[name].setEncoding('utf8').on('data', (text) => { output[name] += text; });
  child.says = (text) => until(`it says ${text}`, () => output.stdout.includes(text));
  child.ended = new Promise((resolve) => child.on('close', (code, signal) => resolve({ code: code ?? signal, ...output })));
  return child;
}

async function collector(t) {
  const collector = await new Collector({ poll: 20 }).start();
  t.after(() => collector.kill());
  return collector;
}

test('a phase without a mode has that of the script, as in Artillery', () => {
  const [fast, slow] = [{ duration: 60, arrivalRate: 10 }, { duration: 60, arrivalRate: 1, mode: 'uniform' }];
  assert.deepEqual(phases({ mode: 'poisson', phases: [fast, slow] }), [{ ...fast, mode: 'poisson' }, slow]);
  assert.deepEqual(phases({ phases: [fast, slow] }), [fast, slow]);
  assert.deepEqual(phases({ mode: 'poisson' }), []);
});

for (const [signal, code] of [['SIGTERM', 143], ['SIGINT', 130]]) {
  test(`${signal} ends the process where Artillery does not handle it yet, and that is told`, async (t) => {
    const there = await collector(t);
    const child = run(t, there.url, '');
    await child.says('joined');
    child.kill(signal);
    assert.equal((await child.ended).code, code);
    assert.deepEqual(there.only.finish, { batches: 0, exitCode: code });
  });
}

test('a signal that Artillery handles is left to it', async (t) => {
  const there = await collector(t);
  const child = run(t, there.url, "process.on('SIGTERM', () => setTimeout(() => process.exit(5), 300)); console.log('ready');");
  await child.says('ready');
  child.kill('SIGTERM');
  assert.equal((await child.ended).code, 5);
  assert.equal(there.only.finish.exitCode, 5);
});

test('an uncaught exception keeps its exit code and message, and what was measured is delivered', async (t) => {
  const there = await collector(t);
  const stats = { period: '1795522540000', counters: { 'http.requests': 3 } };
  const { code, stderr } = await run(t, there.url, `events.emit('stats', ${JSON.stringify(stats)}); setTimeout(() => { throw new Error('mine'); });`).ended;
  assert.equal(code, 1);
  assert.match(stderr, /Error: mine/);
  assert.deepEqual(there.only.finish, { batches: 1, exitCode: 1 });
  assert.equal(there.only.durable, 1);
  assert.deepEqual(there.only.batches[0].counters, [{ name: 'http.requests', value: 3 }]);
});

test('a period that cannot be read is a batch that says so', async (t) => {
  const there = await collector(t);
  const { code } = await run(t, there.url, "events.emit('stats', { period: 1795522540000, histograms: { odd: 5 } }); process.exit(0);").ended;
  assert.equal(code, 0);
  assert.match(there.only.batches[0].lost, /could not read it/);
});

test('the order to run is kept back until the moment of the start; phases are told with the next batch, and the last ones too', async (t) => {
  const there = await collector(t);
  there.hold = true;
  const child = run(t, there.url, `
    const { Worker } = require('node:worker_threads');
    const thread = new Worker("const { parentPort } = require('node:worker_threads'); parentPort.on('message', (m) => parentPort.postMessage(m))", { eval: true });
    thread.on('message', ({ command, opts }) => {
      console.log(command);
      if (command !== 'run') return;
      events.emit('phaseStarted', { index: opts });
      events.emit('stats', { period: 1795522540000 });
      setTimeout(() => { events.emit('phaseCompleted', { index: opts }); launcher.cleanup().then(() => process.exit(0)); }, 50);
    });
    const another = new Worker("require('node:worker_threads').parentPort.once('message', (m) => require('node:fs').writeSync(1, 'hook ' + m.command + String.fromCharCode(10)))", { eval: true });
    thread.postMessage({ command: 'prepare' });
    thread.postMessage({ command: 'run', opts: 0 });
    another.postMessage({ command: 'run' });
  `);
  await child.says('hook run');
  await child.says('prepare');
  await until('it asks for the start', () => there.only.ready);
  there.hold = false;
  const { code, stdout } = await child.ended;
  assert.deepEqual([code, stdout.split('\n').sort()], [0, ['', 'hook run', 'joined', 'prepare', 'run']]);
  const phases = there.only.batches.map(({ phases }) => phases.map(({ index = 0, started, length = 0 }) => [index, started >= 0 && started < 5000, length >= 49]));
  assert.deepEqual(phases, [[[0, true, false]], [[0, true, true]]]);
  assert.equal(there.only.batches[1].period % 10_000, 0);
});

test('an Artillery that begins without waiting is ended', async (t) => {
  const there = await collector(t);
  const { code, stderr } = await run(t, there.url, "events.emit('phaseStarted', { index: 0 });").ended;
  assert.deepEqual([code, stderr], [77, 'loadtest: turned away: this Artillery cannot be made to wait for the start\n']);
});

test('a process whose collector is gone ends in time', async (t) => {
  const cases = [
    ['process.exit(11)', { LOADTEST_FLUSH_SECONDS: '0.1' }, 11],
    ['launcher.cleanup().then(() => process.exit(0))', { LOADTEST_FLUSH_SECONDS: '0.1' }, 0],
    ["process.on('SIGTERM', () => launcher.cleanup().then(() => process.exit(143))); process.kill(process.pid, 'SIGTERM')", { LOADTEST_GRACE_SECONDS: '5.1' }, 143],
  ];
  for (const [end, env, expected] of cases) {
    const there = await collector(t);
    const child = run(t, there.url, `events.emit('stats', { period: 1795522540000 }); process.on('SIGUSR2', () => { ${end} }); console.log('ready');`, env);
    await child.says('ready');
    there.answerInstead = () => [503, {}];
    const began = Date.now();
    child.kill('SIGUSR2');
    const { code, stderr } = await child.ended;
    assert.equal(code, expected);
    assert.ok(Date.now() - began < 20_000, `${end}: ${Date.now() - began} ms`);
    if (expected !== 11) assert.equal(stderr, 'loadtest: some of what was measured did not reach the collector in time\n');
  }
});

test('a courier that fails costs the report, not the test', async (t) => {
  const there = await collector(t);
  const { code, stdout, stderr } = await run(t, there.url, `
    console.log('disabled', process.env.ARTILLERY_DISABLE_ENSURE);
    launcher.courier.on('exit', () => { console.log('then', process.env.ARTILLERY_DISABLE_ENSURE); clearInterval(forever); });
    launcher.courier.terminate();
  `).ended;
  assert.equal(code, 0);
  assert.equal(stdout, 'joined\ndisabled true\nthen undefined\n');
  assert.match(stderr, /^loadtest: this run is not reported: its courier failed: .*\n$/);
});

test('the order is given once, whatever fails before it and after it', async (t) => {
  const there = await collector(t);
  for (const fails of ['before', 'after']) {
    there.hold = fails === 'before';
    there.forget();
    const child = run(t, there.url, `
      const { Worker } = require('node:worker_threads');
      const thread = new Worker("const { parentPort } = require('node:worker_threads'); parentPort.on('message', (m) => parentPort.postMessage(m))", { eval: true });
      thread.on('message', ({ command }) => {
        console.log(command);
        if (command === 'end') process.exit(0);
      });
      thread.postMessage({ command: 'prepare' });
      thread.postMessage({ command: 'run' });
      process.on('SIGUSR2', () => launcher.courier.terminate());
      launcher.courier.on('exit', () => setImmediate(() => thread.postMessage({ command: 'end' })));
    `);
    if (fails === 'before') await until('it asks for the start', () => there.claims.size === 1 && there.only.ready);
    else await child.says('run');
    child.kill('SIGUSR2');
    const { code, stdout } = await child.ended;
    assert.deepEqual([code, stdout], [0, 'joined\nprepare\nrun\nend\n'], fails);
  }
});

test('who is to share a load and has no usable setting, collector or share makes none', async (t) => {
  const there = await collector(t);
  for (const [url, env, why] of [
    [there.url, { LOADTEST_DISTRIBUTION: 'split' }, 'LOADTEST_DISTRIBUTION is "split": give Replicate or Split'],
    ['http://example.com', { LOADTEST_DISTRIBUTION: 'Split' }, 'LOADTEST_COLLECTOR is "http://example.com": give .*'],
    [there.url, { LOADTEST_DISTRIBUTION: 'Split' }, 'protocol 2: 1 is expected'],
  ]) {
    const { code, stdout, stderr } = await run(t, url, 'clearInterval(forever);', env).ended;
    assert.deepEqual([code, stdout], [77, '']);
    assert.match(stderr, new RegExp(`^loadtest: turned away: its share of the load is not known: ${why}\n$`));
  }
});

test('an Artillery that begins without having taken the share is ended', async (t) => {
  const there = await collector(t);
  there.shares = [[{ pause: 1, index: 0 }]];
  const { code, stderr } = await run(t, there.url, `
    const { Worker } = require('node:worker_threads');
    const thread = new Worker("require('node:worker_threads').parentPort.on('message', () => {})", { eval: true });
    thread.postMessage({ command: 'prepare', opts: { script: { config: {} } } });
  `, { LOADTEST_DISTRIBUTION: 'Split' }).ended;
  assert.equal(code, 77);
  assert.equal(stderr, 'loadtest: turned away: this Artillery cannot be made to run a share of the load: there is no list of phases in its order to prepare\n');
});

test('the after hook waits for the others while the collector answers, and so long after it falls silent', async (t) => {
  for (const [falls, status, least] of [['ends', 200, 3_000], ['silent', 503, 4_500]]) {
    const there = await collector(t);
    let isOver = false;
    there.answerInstead = (url, claim) => {
      if (url !== '/v1/batches') return undefined;
      return isOver && status !== 200 ? [status, {}] : [200, { ...there.acknowledge(claim)[1], othersEnded: isOver }];
    };
    const child = run(t, there.url, `
      launcher.tell('start');
      const waits = setInterval(() => {
        if (!launcher.isReleased()) return;
        clearInterval(waits);
        console.log('waits');
        const began = Date.now();
        launcher.untilOthersEnded().then(() => { console.log('waited', Date.now() - began); process.exit(0); });
      }, 10);
    `, { LOADTEST_FLUSH_SECONDS: '2.5' });
    await child.says('waits');
    await new Promise((resolve) => setTimeout(resolve, 3_000)); // longer than it waits for a silent one
    isOver = true;
    const { code, stdout } = await child.ended;
    const waited = Number(/waited (\d+)/.exec(stdout)[1]);
    assert.equal(code, 0);
    assert.ok(waited >= least - 100 && waited < 20_000, `${falls}: ${waited} ms`);
  }
});

test('a wrong setting is one line, and the run goes on', async (t) => {
  const { code, stdout, stderr } = await run(t, 'http://example.com', 'clearInterval(forever);').ended;
  assert.deepEqual([code, stdout], [0, 'not joined\n']);
  assert.match(stderr, /^loadtest: this run is not reported: LOADTEST_COLLECTOR is "http:\/\/example.com": give .*\n$/);
});

test('the checks are those that Artillery would make', () => {
  const thresholds = { thresholds: [{ 'http.response_time.p99': 250 }] };
  assert.deepEqual(checks({ plugins: { ensure: thresholds } }), thresholds);
  assert.deepEqual(checks({ plugins: { ensure: {} }, ensure: thresholds }), thresholds);
  assert.deepEqual(checks({ plugins: { ensure: { p99: 1 } }, ensure: thresholds }), thresholds);
  assert.equal(checks({ plugins: {}, ensure: thresholds }), null);
  assert.equal(checks({}), null);
});
