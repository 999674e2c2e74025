// The reporter in the real Artillery, against a collector that keeps to docs/protocol.md and a target that counts.
'use strict';

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { script, start, until } = require('./artillery.js');
const { Collector, total } = require('./collector.js');
const SHARES = require('./shares.json');
const { startTarget } = require('./target.js');

/** What Artillery itself does in a version. */
const STOCK = {
  '2.0.34': { terminated: 143, interrupted: 130, unexpected: 21, threadsOf4: 3 },
  '2.0.21': { terminated: 143, interrupted: 130, unexpected: 21, threadsOf4: 3 },
  '2.0.10': { terminated: 0, interrupted: 0, unexpected: 1, threadsOf4: 1 },
  '2.0.1': { terminated: 0, interrupted: 0, unexpected: 1, threadsOf4: 1 },
};

/** Milliseconds after a signal in which all must be over. */
const GRACE = 55_000;

/** A collector and a target; `run` starts a worker. */
async function stage(t, version, options) {
  const collector = await new Collector(options).start();
  const target = await startTarget();
  t.after(() => Promise.all([collector.kill(), target.close()]));
  const run = (test, more = {}) => {
    const child = start({ version, collector: collector.url, ...more, files: { 'test.json': test, ...more.files } });
    t.after(() => child.exitCode ?? child.signalCode ?? child.kill('SIGKILL'));
    return child;
  };
  return { collector, target, run };
}

/** What was reported is what Artillery itself summed up, and what the target saw. */
function assertExact({ collector, target }) {
  const { counters, counts } = total(collector.only.batches);
  assert.deepEqual(counters, collector.only.finish.counters);
  assertSeen({ collector, target });
  assert.equal(counts['http.response_time'], counters['http.responses']);
  assert.equal(counts['vusers.session_length'], counters['vusers.completed']);
}

function assertSeen({ collector, target }) {
  const { batches, finish, durable } = collector.only;
  assert.equal(total(batches).counters['http.requests'], target.requests);
  assert.deepEqual(batches.map(({ sequence }) => sequence), batches.map((_, index) => index + 1));
  assert.deepEqual([finish.batches, durable], [batches.length, batches.length]);
  assert.equal(collector.error, undefined);
}

/** A module that a script names, or a plugin. */
const plugin = (name, code) => ({ [`modules/artillery-plugin-${name}/index.js`]: code });
const tooSlow = { plugins: { ensure: {} }, ensure: { thresholds: [{ 'http.response_time.max': -1 }] } };
const without = (text) => text.split('\n').filter((line) => !/^$/.test(line)).map((line) => line.replace(/\d+(\.\d+)?/g, '0').replace(/^Test run id: .*/, ''));

const CASES = {
  async 'reports exactly what it did, and takes no notice of a slow collector'(t, version) {
    const { collector, target, run } = await stage(t, version);
    collector.slow = 300;
    const { code, stderr } = await run(script(target.url, { seconds: 12, payload: { path: 'rows.csv', fields: ['id'] } }), { files: { 'rows.csv': '1\n2\n3\n' } }).ended;
    assert.deepEqual([code, stderr], [0, '']);
    assert.equal(target.requests, 120);
    assertExact({ collector, target });
    const { introduction, batches, finish } = collector.only;
    assert.equal(introduction.artillery, version);
    assert.deepEqual(introduction.phases, [{ duration: 12, arrivalRate: 10, name: 'steady' }]);
    assert.deepEqual([introduction.ensure, introduction.rows, finish.exitCode], [null, [3], 0]);
    const phases = batches.flatMap(({ phases = [] }) => phases);
    assert.deepEqual(phases.map(({ index = 0, length = 0 }) => [index, length > 0]), [[0, false], [0, true]]);
    assert.ok(phases[0].started >= 0 && phases[0].started < 20_000, `${phases[0].started} ms after the release`);
    assert.ok(phases[1].length > 11_900 && phases[1].length < 40_000, `${phases[1].length} ms long`);
    for (const { health: { eventLoopUtilization: busy = 0, memoryBytes } } of batches) assert.ok(busy >= 0 && busy <= 1 && memoryBytes > 0, `${busy} ${memoryBytes}`);
    assert.ok(batches.some(({ health }) => health.eventLoopUtilization > 0), 'it is told how busy the thread was');
    // from the first virtual user to the last one's end, by the clock that the periods are of
    const counted = batches.filter(({ counters }) => counters);
    for (const { period, firstCounterAt: first, lastCounterAt: last } of counted) assert.ok(period <= first && first <= last && last < period + 10_000, `${period}: ${first} to ${last}`);
    const took = counted.at(-1).lastCounterAt - counted[0].firstCounterAt;
    assert.ok(took > 11_500 && took < 40_000, `${took} ms`);
  },

  async 'keeps what it measures while the collector is away'(t, version) {
    const { collector, target, run } = await stage(t, version);
    const child = run(script(target.url, { seconds: 22 }));
    await until('a batch is received', () => collector.claims.size === 1 && collector.only.batches.length > 0);
    await collector.kill();
    await new Promise((resolve) => setTimeout(resolve, 15_000)); // that it is away for so long is the point
    await collector.start();
    assert.equal((await child.ended).code, 0);
    assertExact({ collector, target });
  },

  async 'sends again what the collector has lost, in the middle and at the end'(t, version) {
    const { collector, target, run } = await stage(t, version, { storesAfter: Infinity });
    const child = run(script(target.url, { seconds: 14 }));
    await until('a batch is received', () => collector.claims.size === 1 && collector.only.batches.length > 0);
    collector.forget();
    assert.equal(collector.only.batches.length, 0);
    let hasLost = false;
    collector.answerInstead = (url, claim) => {
      if (url !== '/v1/finish' || hasLost) return undefined;
      hasLost = true;
      collector.forget();
      return collector.acknowledge(claim);
    };
    assert.equal((await child.ended).code, 0);
    assert.ok(hasLost);
    assertExact({ collector, target });
  },

  async 'joins again when the collector was restarted before the release'(t, version) {
    const { collector, target, run } = await stage(t, version);
    collector.hold = true;
    const child = run(script(target.url));
    await until('it waits for the start', () => collector.claims.size === 1 && collector.only.ready);
    const before = collector.only.introduction;
    await collector.kill();
    collector.forget();
    await collector.start();
    await until('it has joined again', () => collector.claims.size === 1);
    assert.deepEqual(collector.only.introduction, before);
    assert.equal(target.requests, 0);
    collector.hold = false;
    assert.equal((await child.ended).code, 0);
    assert.equal(new Set(collector.received.map(([, id]) => id)).size, 1);
    assertExact({ collector, target });
  },

  async 'reports exactly what it did until SIGTERM'(t, version) {
    const { collector, target, run } = await stage(t, version);
    const test = script(target.url);
    test.config.phases.push({ pause: 60 });
    const child = run(test);
    await until('30 requests are made', () => target.requests === 30);
    const killed = Date.now();
    child.kill('SIGTERM');
    const { code, stderr } = await child.ended;
    const { terminated } = STOCK[version];
    assert.deepEqual([code, stderr, collector.only.finish.exitCode], [terminated, '', terminated]);
    assert.equal(collector.only.finish.cutShort, undefined);
    assert.ok(Date.now() - killed < GRACE, `${Date.now() - killed} ms`);
    assert.equal(target.requests, 30);
    assertSeen({ collector, target });
  },

  async 'reports exactly what it did until SIGINT, requests under way included'(t, version) {
    const { collector, target, run } = await stage(t, version);
    const test = script(target.url, { rate: 20, seconds: 60 });
    test.scenarios[0].flow = [{ get: { url: '/slow' } }];
    const child = run(test);
    await until('30 requests are made', () => target.requests >= 30);
    child.kill('SIGINT');
    assert.equal((await child.ended).code, STOCK[version].interrupted);
    // nothing that arrived is missing; those that began in the last moment may be counted and not have arrived
    const counted = total(collector.only.batches).counters['http.requests'];
    assert.ok(counted >= target.requests && counted - target.requests <= 20, `${counted} counted, ${target.requests} seen`);
    assert.equal(collector.only.finish.exitCode, STOCK[version].interrupted);
  },

  async 'ends gracefully when the collector says stop'(t, version) {
    const { collector, target, run } = await stage(t, version);
    const test = script(target.url);
    test.config.phases.push({ pause: 120 });
    const child = run(test);
    await until('30 requests are made', () => target.requests === 30);
    collector.only.stop = 'Graceful';
    assert.equal((await child.ended).code, STOCK[version].terminated);
    assertSeen({ collector, target });
  },

  async 'ends at once on SIGTERM while it waits for the start'(t, version) {
    const { collector, target, run } = await stage(t, version);
    collector.hold = true;
    const child = run(script(target.url));
    await until('it waits for the start', () => collector.claims.size === 1 && collector.only.ready);
    const killed = Date.now();
    child.kill('SIGTERM');
    const { terminated } = STOCK[version];
    assert.equal((await child.ended).code, terminated);
    assert.ok(Date.now() - killed < GRACE, `${Date.now() - killed} ms`);
    assert.deepEqual(collector.only.finish, { batches: 0, exitCode: terminated });
    assert.equal(target.requests, 0);
  },

  async 'delivers the exit code of a crash'(t, version) {
    const { collector, target, run } = await stage(t, version);
    const test = script(target.url, { processor: './crash.js' });
    test.scenarios[0].beforeRequest = 'crash';
    test.scenarios[0].flow[0].get.beforeRequest = 'crash';
    const code = 'module.exports = { crash(request, context, events, next) { setTimeout(() => { throw new Error("crash"); }, 1000); next(); } };';
    const ended = await run(test, { files: { 'crash.js': code } }).ended;
    assert.equal(ended.code, 11);
    // the period that was open then went with the thread
    assert.deepEqual([collector.only.finish.exitCode, collector.only.finish.cutShort], [11, true]);
    assert.equal(collector.only.finish.batches, collector.only.durable);
    assert.ok(target.requests > 0);
  },

  async 'delivers the exit code of a before hook that fails'(t, version) {
    const { collector, target, run } = await stage(t, version);
    const test = { ...script(target.url), before: { flow: [{ function: 'fail' }] } };
    test.config.processor = './fail.js';
    const ended = await run(test, { files: { 'fail.js': 'module.exports = { fail(context, events, done) { done(new Error("no set-up")); } };' } }).ended;
    assert.equal(ended.code, 1);
    assert.deepEqual(collector.only.finish, { batches: 0, exitCode: 1 });
    assert.equal(target.requests, 0);
  },

  async 'makes no load and runs no hook when it is turned away at the join'(t, version) {
    const { collector, target, run } = await stage(t, version);
    collector.answerInstead = () => [409, { refused: { reason: 'AlreadyClaimed', message: 'index 0 belongs\nto pod a' } }];
    const test = { ...script(target.url), before: { flow: [{ get: { url: '/before' } }] }, after: { flow: [{ get: { url: '/after' } }] } };
    const { code, stderr } = await run(test).ended;
    assert.deepEqual([code, stderr], [77, 'loadtest: turned away: AlreadyClaimed: index 0 belongs to pod a\n']);
    assert.equal(target.requests, 0);
    assert.deepEqual(collector.received.map(([url]) => url), ['/v1/join']);
  },

  async 'makes no load when it is turned away at the start'(t, version) {
    const { collector, target, run } = await stage(t, version);
    collector.answerInstead = (url) => (url === '/v1/start' ? [410, { refused: { reason: 'StartTimedOut', message: 'too late' } }] : undefined);
    const { code, stderr } = await run(script(target.url)).ended;
    assert.deepEqual([code, stderr], [77, 'loadtest: turned away: StartTimedOut: too late\n']);
    assert.equal(target.requests, 0);
    assert.deepEqual(collector.received.map(([url]) => url), ['/v1/join', '/v1/start']);
  },

  async 'runs as without the reporter, its own checks included, where there is no collector'(t, version) {
    const { target, run } = await stage(t, version);
    const test = script(target.url, { ...tooSlow, seconds: 2 });
    const [plain, unreported] = await Promise.all([
      run(test, { collector: undefined }).ended,
      run(test, { collector: 'http://127.0.0.1:1', env: { LOADTEST_JOIN_SECONDS: '1' } }).ended,
    ]);
    assert.deepEqual([plain.code, unreported.code], [1, 1]);
    const summary = ({ stdout }) => without(stdout.slice(stdout.indexOf('Summary report')));
    assert.deepEqual(summary(unreported), summary(plain));
    assert.ok(summary(plain).some((line) => /fail: http.response_time.max/.test(line)));
    assert.equal(plain.stderr, '');
    assert.match(unreported.stderr, /^loadtest: this run is not reported: no answer from http:\/\/127.0.0.1:1 in 1 s: .*ECONNREFUSED.*\n$/);
  },

  async 'leaves the checks to the collector once it has joined'(t, version) {
    const { collector, target, run } = await stage(t, version);
    const { code, stdout } = await run(script(target.url, { ...tooSlow, seconds: 2 })).ended;
    assert.equal(code, 0);
    assert.doesNotMatch(stdout, /Checks:|fail:/);
    assert.deepEqual(collector.only.introduction.ensure, tooSlow.ensure);
    assertExact({ collector, target });
  },

  async 'keeps a user\'s plugins working, and the exit code of a failed expectation'(t, version) {
    const { collector, target, run } = await stage(t, version);
    const code = `exports.LEGACY_METRICS_FORMAT = false;
      exports.Plugin = class { constructor(script, events) { events.on('stats', (stats) => console.log('mine: ' + Object.keys(stats.histograms).length + ' histograms')); } };`;
    const test = script(target.url, { seconds: 2, plugins: { mine: {}, expect: {} } });
    test.scenarios[0].flow[0].get.expect = [{ statusCode: 404 }];
    const { code: exitCode, stdout } = await run(test, { files: plugin('mine', code), env: { NODE_PATH: 'modules' } }).ended;
    assert.equal(exitCode, STOCK[version].unexpected);
    assert.match(stdout, /mine: [1-9]\d* histograms/);
    assert.equal(collector.only.finish.exitCode, exitCode);
    assert.equal(total(collector.only.batches).counters['plugins.expect.failed'], 20);
    assertExact({ collector, target });
  },

  async 'is one thread, however many processors there are'(t, version) {
    const { collector, target, run } = await stage(t, version);
    const files = {
      'cpus.js': "const os = require('node:os'); const [cpu] = os.cpus(); os.cpus = () => [cpu, cpu, cpu, cpu];",
      ...plugin('mine', `exports.Plugin = class { constructor() { if (!require('node:worker_threads').isMainThread) console.log('a thread'); } };`),
    };
    const env = { NODE_PATH: 'modules', NODE_OPTIONS: '--require ./cpus.js' };
    const test = script(target.url, { seconds: 1, plugins: { mine: {} } });
    const [plain, reported] = await Promise.all([run(test, { files, env, collector: undefined }).ended, run(test, { files, env }).ended]);
    const threads = ({ stdout }) => stdout.match(/^a thread$/gm)?.length;
    assert.deepEqual([plain.code, reported.code, threads(plain), threads(reported)], [0, 0, STOCK[version].threadsOf4, 1]);
    assert.equal(total(collector.only.batches).counters['http.requests'], 10);
  },

  async 'reports exactly what several threads do, where it cannot prevent them'(t, version) {
    const { collector, target, run } = await stage(t, version);
    const code = `const os = require('node:os'); const [cpu] = os.cpus();
      Object.defineProperty(os, 'cpus', { get: () => () => [cpu, cpu, cpu, cpu], set() {} });`;
    const { code: exitCode, stdout } = await run(script(target.url), { files: { 'cpus.js': code }, env: { NODE_OPTIONS: '--require ./cpus.js' } }).ended;
    assert.equal(exitCode, 0);
    assert.doesNotMatch(stdout, /multiple batches/);
    assert.equal(target.requests, 30);
    assertExact({ collector, target });
  },

  async 'starts four workers together'(t, version) {
    let skew = Infinity;
    for (let tries = 0; tries < 3 && skew >= 1000; tries += 1) { // a machine that does much else may need more than one
      const { collector, target, run } = await stage(t, version, { workers: 4 });
      const children = [0, 1, 2, 3].map((n) => {
        const test = script(target.url, { seconds: 2 });
        test.scenarios[0].flow[0].get.url = `/${n}`;
        return run(test);
      });
      for (const { code } of await Promise.all(children.map(({ ended }) => ended))) assert.equal(code, 0);
      const claims = [...collector.claims.values()];
      assert.equal(claims.reduce((sum, { batches }) => sum + total(batches).counters['http.requests'], 0), target.requests);
      assert.deepEqual([target.requests, claims.map(({ index }) => index)], [80, [0, 1, 2, 3]]);
      const firsts = Object.values(target.firsts);
      skew = Math.max(...firsts) - Math.min(...firsts);
      t.diagnostic(`skew of the first requests of four workers: ${skew} ms`);
    }
    assert.ok(skew < 1000, `${skew} ms`);
  },
};

/** What workers that share a load do, who take the rows of a file one by one, and what one process does of the same script. */
async function together(t, version, { phases, workers, shares }, rows) {
  const files = { 'rows.csv': Array.from({ length: rows }, (_, row) => `row${row}\n`).join('') };
  const run = ({ run, target }, env) => {
    const test = script(target.url, { phases, payload: { path: 'rows.csv', fields: ['id'], order: 'sequence' } });
    test.scenarios[0].flow = [{ get: { url: '/{{ id }}' } }];
    return run(test, { files, env }).ended;
  };
  const [alone, shared] = [await stage(t, version), await stage(t, version, { workers, shares })];
  const ended = await Promise.all([run(alone), ...shares.map(() => run(shared, { LOADTEST_DISTRIBUTION: 'Split' }))]);
  for (const { code, stderr } of ended) assert.deepEqual([code, stderr], [0, '']);
  const claims = [...shared.collector.claims.values()];
  assert.deepEqual(claims.map(({ introduction }) => [introduction.phases, introduction.rows]), claims.map(() => [phases, [rows]]));
  return { alone: alone.target, shared: shared.target, claims, consoles: ended.map(({ stdout }) => stdout) };
}

Object.assign(CASES, {
  async 'shares a load: three workers do what one process does, each row once'(t, version) {
    const { alone, shared } = await together(t, version, SHARES['evenly spaced'], 18);
    assert.deepEqual([alone.requests, Object.keys(alone.paths).length], [18, 18]);
    assert.deepEqual(shared.paths, alone.paths);
  },

  async 'shares a load of phases of all kinds, which the console and the report show as they are'(t, version) {
    const { alone, shared, claims, consoles } = await together(t, version, SHARES['all kinds'], 40);
    assert.deepEqual([alone.requests, shared.requests, Object.keys(shared.paths).length], [28, 28, 28]);
    const since = ({ moments }) => moments.map((moment) => moment - moments[0]);
    const apart = since(shared).map((moment, index) => Math.abs(moment - since(alone)[index]));
    t.diagnostic(`arrivals are up to ${Math.max(...apart)} ms from those of one process`);
    assert.ok(Math.max(...apart) < 2000, `${apart}`); // a second of a ramp, and as much for a machine that does much else
    const phases = consoles.map((text) => text.match(/Phase (started|completed): .*(?= \d\d:)/g));
    assert.equal(phases[0].length, 8);
    for (const others of phases) assert.deepEqual(others, phases[0]);
    for (const { batches } of claims) {
      const told = batches.flatMap(({ phases = [] }) => phases).map(({ index = 0, length = 0 }) => [index, Math.round(length / 3000)]);
      assert.deepEqual(told, [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1], [3, 0], [3, 0]]);
    }
  },

  async 'shares a load of fewer arrivals than workers: one has none'(t, version) {
    const { shared, claims } = await together(t, version, SHARES['fewer arrivals than workers'], 3);
    assert.deepEqual(shared.paths, { '/row0': 1, '/row1': 1 });
    assert.deepEqual(claims.map(({ batches }) => total(batches).counters['vusers.created'] ?? 0), [1, 1, 0]);
  },

  async 'makes no load where it is to share one and is not told its share'(t, version) {
    const env = { LOADTEST_DISTRIBUTION: 'Split' };
    const alone = { env: { ...env, LOADTEST_JOIN_SECONDS: '1' }, collector: 'http://127.0.0.1:1' };
    const { collector, target, run } = await stage(t, version);
    const test = { ...script(target.url), before: { flow: [{ get: { url: '/before' } }] } };
    collector.answerInstead = () => [200, { index: 0, workers: 1 }];
    const [unanswered, without] = await Promise.all([run(test, alone).ended, run(test, { env }).ended]);
    assert.deepEqual([unanswered.code, without.code, target.requests], [77, 77, 0]);
    assert.match(unanswered.stderr, /^loadtest: turned away: its share of the load is not known: no answer from .*\n$/);
    assert.match(without.stderr, /^loadtest: turned away: its share of the load is not known: the collector gave it no share.*\n$/);
  },

  async 'makes no load where it cannot take its share'(t, version) {
    const { phases, shares } = SHARES['evenly spaced'];
    const { target, run } = await stage(t, version, { shares: [shares[0]] });
    const threads = `const os = require('node:os'); const [cpu] = os.cpus();
      Object.defineProperty(os, 'cpus', { get: () => () => [cpu, cpu, cpu, cpu], set() {} });`;
    const env = { LOADTEST_DISTRIBUTION: 'Split', NODE_OPTIONS: '--require ./threads.js', WORKERS: '3' };
    const { code, stderr } = await run(script(target.url, { phases }), { files: { 'threads.js': threads }, env }).ended;
    assert.deepEqual([code, target.requests], [77, 0]);
    assert.equal(stderr, 'loadtest: turned away: this Artillery cannot be made to run a share of the load: it makes more than one thread\n');
  },
});

/** Three workers whose hooks run once; the first has joined before the others, and so is worker 0. */
async function once(t, version, change = () => {}, env = {}) {
  const staged = await stage(t, version, { workers: 3 });
  const children = [];
  for (const thinking of [0, 3, 1]) {
    const test = script(staged.target.url, { rate: 2, seconds: 2 });
    test.before = { flow: [{ get: { url: '/before', capture: [{ regexp: 'o.', as: 'token' }] } }] };
    test.after = { flow: [{ get: { url: '/after/{{ token }}/{{ $env.OWN }}' } }] };
    test.scenarios[0].flow = [{ think: thinking }, { get: { url: '/{{ token }}/{{ $env.OWN }}' } }];
    // more than is handed to the others, and of each context's own
    test.config.payload = [{ path: 'table.csv', fields: ['id'], loadAll: true, name: 'table' }];
    change(test);
    children.push(staged.run(test, { files: { 'table.csv': `${'x'.repeat(1000)}\n`.repeat(70) }, env: { LOADTEST_HOOKS: 'Once', OWN: `own${thinking}`, ...env } }));
    await until('it has joined', () => staged.collector.claims.size === children.length || children.at(-1).exitCode !== null);
  }
  return { ...staged, ended: await Promise.all(children.map(({ ended }) => ended)) };
}

Object.assign(CASES, {
  async 'runs hooks once for three workers: all have what before captured, and after comes last'(t, version) {
    const { collector, target, ended } = await once(t, version);
    for (const { code, stderr } of ended) assert.deepEqual([code, stderr], [0, '']);
    assert.deepEqual(target.paths, { '/before': 1, '/ok/own0': 4, '/ok/own3': 4, '/ok/own1': 4, '/after/ok/own0': 1 });
    assert.deepEqual(collector.variables, { token: 'ok' });
    assert.equal(target.urls.at(-1), '/after/ok/own0', 'after all requests of the others');
    const claims = [...collector.claims.values()];
    assert.deepEqual(claims.map(({ batches }) => total(batches).counters['http.requests']), [4, 4, 4]);
  },

  async 'makes no load anywhere where the one before hook fails, or leaves too much'(t, version) {
    const long = '"x".repeat(65536)';
    const processor = { 'hooks.js': `module.exports = { long(context, events, done) { context.vars.long = ${long}; done(); } };` };
    const fails = (test) => { test.before.flow = [{ get: { url: 'http://127.0.0.1:1/' } }]; };
    const leaves = (test) => { test.config.processor = './hooks.js'; test.before.flow.push({ function: 'long' }); };
    for (const [change, requests, why] of [[fails, 0, /ECONNREFUSED/], [leaves, 1, /`before` left are 655\d\d bytes of JSON, long has 65538/]]) {
      const staged = await stage(t, version, { workers: 2 });
      const test = script(staged.target.url);
      test.before = { flow: [{ get: { url: '/before' } }] };
      test.after = { flow: [{ get: { url: '/after' } }] };
      change(test);
      const more = { env: { LOADTEST_HOOKS: 'Once' }, files: processor };
      const first = staged.run(test, more);
      await until('it has joined', () => staged.collector.claims.size === 1);
      const [failed, other] = await Promise.all([first.ended, staged.run(test, more).ended]);
      assert.deepEqual([failed.code, other.code, staged.target.requests], [1, 77, requests]);
      assert.match(failed.stderr, why);
      assert.equal(other.stderr, 'loadtest: turned away: HooksFailed: worker 0 failed\n');
    }
  },

  async 'runs no hook and makes no load where hooks run once and it is not known where, or cannot be'(t, version) {
    const env = { LOADTEST_HOOKS: 'Once' };
    const { target, run } = await stage(t, version);
    const test = { ...script(target.url), before: { flow: [{ get: { url: '/before' } }] } };
    const files = { 'elsewhere.cjs': 'require("node:worker_threads").isMainThread && setImmediate(() => { process.argv[1] = "/elsewhere/bin/run"; });' };
    const [unanswered, unknown] = await Promise.all([
      run(test, { env: { ...env, LOADTEST_JOIN_SECONDS: '1' }, collector: 'http://127.0.0.1:1' }).ended,
      run(test, { env: { ...env, NODE_OPTIONS: '--require ./elsewhere.cjs' }, files }).ended,
    ]);
    assert.deepEqual([unanswered.code, unknown.code, target.requests], [77, 77, 0]);
    assert.match(unanswered.stderr, /^loadtest: turned away: whether it is to run the hooks is not known: no answer from .*\n$/);
    assert.match(unknown.stderr, /^loadtest: turned away: .*this Artillery cannot be made to run hooks once: ENOENT.*\n$/);
  },

  async 'runs the one after hook on SIGTERM, and does not wait for others for ever'(t, version) {
    const { collector, target, run } = await stage(t, version, { workers: 2 });
    const test = { ...script(target.url, { seconds: 90 }), after: { flow: [{ get: { url: '/after' } }] } };
    const env = { LOADTEST_HOOKS: 'Once', LOADTEST_GRACE_SECONDS: '40' }; // up to 2.0.21 Artillery takes 12 s of it before the hook
    const first = run(test, { env });
    await until('it has joined', () => collector.claims.size === 1);
    const second = run(test, { env });
    await until('both make load', () => target.requests > 20);
    first.kill('SIGTERM');
    const { code } = await first.ended;
    assert.deepEqual([code, target.paths['/after']], [STOCK[version].terminated, 1]);
    second.kill('SIGTERM');
    await second.ended;
    assert.equal(target.paths['/after'], 1);
    const counted = [...collector.claims.values()].reduce((sum, { batches }) => sum + total(batches).counters['http.requests'], 0);
    // nothing that arrived is missing; those that began in the last moment of either may be counted and not have arrived
    const unseen = counted - target.paths['/'];
    assert.ok(unseen >= 0 && unseen <= 20, `${counted} counted, ${target.paths['/']} seen`);
  },
});

const CORE = [
  'runs hooks once for three workers: all have what before captured, and after comes last',
  'makes no load anywhere where the one before hook fails, or leaves too much',
  'runs the one after hook on SIGTERM, and does not wait for others for ever',
  'reports exactly what it did, and takes no notice of a slow collector',
  'reports exactly what it did until SIGTERM',
  'is one thread, however many processors there are',
  'ends at once on SIGTERM while it waits for the start',
  'delivers the exit code of a crash',
  'makes no load and runs no hook when it is turned away at the join',
  'makes no load when it is turned away at the start',
  'shares a load: three workers do what one process does, each row once',
  'shares a load of phases of all kinds, which the console and the report show as they are',
  'makes no load where it is to share one and is not told its share',
  'leaves the checks to the collector once it has joined',
  'runs as without the reporter, its own checks included, where there is no collector',
];

const ALL = Object.keys(CASES);
// ARTILLERY_VERSION=2.0.1: all of it with another version, by hand
const byHand = process.env.ARTILLERY_VERSION;
for (const [version, names] of byHand ? [[byHand, ALL]] : [['2.0.34', ALL], ['2.0.21', CORE]]) {
  // mostly they wait: for Artillery to load, for its periods, for its end
  describe(`a worker with Artillery ${version}`, { concurrency: 5 }, () => {
    for (const name of names) it(name, { timeout: 300_000 }, (t) => CASES[name](t, version));
  });
}
