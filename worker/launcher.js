// The reporter in Artillery's launcher, the main thread: it joins before anything of the script runs, hands what Artillery measures
// to the courier, and sees that all is delivered before the process ends, whatever ends it.
'use strict';

const crypto = require('node:crypto');
const os = require('node:os');
const path = require('node:path');
const { BroadcastChannel, MessageChannel, Worker, receiveMessageOnPort, setEnvironmentData } = require('node:worker_threads');
const { bodies, rest } = require('./batch.js');
const { cgroup, utilization } = require('./health.js');
const hooks = require('./hooks.js');
const settings = require('./settings.js');
const share = require('./share.js');
const { ENDED, GO, JOINED, START, create, now, release, wait } = require('./shared.js');
const { INHERITANCE } = require('./thread.js');
const { version } = require('./package.json');

const PERIOD = 10_000; // Artillery's, in milliseconds
const MARGIN = 5_000; // of the grace period, for the rest of Artillery's end
const FLUSH = 8_000; // for the thread's last periods to come by way of Artillery, which hands over one every 2 s
const ASK = 20; // how often to look whether something has happened
const JUDGED = PERIOD / 2; // a thread is not called busy for less, but in a test that is shorter
const LAST_WORDS = 2_000; // for the exit code, where all time is used up
const TURNED_AWAY_CODE = 77;
const SIGNALS = { SIGTERM: 143, SIGINT: 130 };

let hasSpoken = false;

/** Says one line, the only one. */
function say(line) {
  if (hasSpoken) return;
  hasSpoken = true;
  process.stderr.write(`loadtest: ${line.replace(/\s+/g, ' ').slice(0, 500)}\n`);
}

/** Begins to report; `undefined`: this run is not reported. Ends the process if it is turned away. */
function begin(script, events) {
  const needs = settings.needs(process.env);
  oneThread();
  try {
    const launcher = new Launcher(settings.read(process.env), script);
    const answer = launcher.join();
    if (answer.is === 'joined' && (!needs.share || answer.share)) return launcher.attend(events, answer);
    launcher.isOver = true;
    launcher.courier.terminate(); // it must not join any more
    if (answer.is === 'refused') {
      say(`turned away: ${answer.reason}: ${answer.message}`);
      process.exit(TURNED_AWAY_CODE);
    }
    withoutAnswer(needs, answer.why ?? 'the collector gave it no share: it belongs to another version');
  } catch (error) {
    withoutAnswer(needs, error.message);
  }
}

/** The whole script may run unreported; a share of it may not run, nor hooks that run once, for nobody knows which and where. */
function withoutAnswer({ share, hooksOnce }, why) {
  if (!share && !hooksOnce) return say(`this run is not reported: ${why}`);
  say(`turned away: ${share ? 'its share of the load is not known' : 'whether it is to run the hooks is not known'}: ${why}`);
  process.exit(TURNED_AWAY_CODE);
}

/**
 * A worker is one thread: its start can be held back, and its numbers agree. Artillery makes one less than the machine has
 * processors, which may be the 64 of a node. (Up to 2.0.10 `WORKERS=1` does this.)
 */
function oneThread() {
  const { cpus } = os;
  os.cpus = () => cpus().slice(0, 2);
}

class Launcher {
  constructor(settings, script) {
    this.settings = settings;
    this.script = script;
    this.process = crypto.randomBytes(16).toString('hex');
    this.shared = create();
    this.phases = new Map(); // by index: when it started
    this.news = []; // phases that began or ended since the last batch
    this.periods = new Set(); // that Artillery has handed over
    this.awaited = null; // periods that the thread has emitted at its end
    this.isWhole = false; // whether there are no others
    this.hasBegun = false; // to make load
    this.isJudged = false; // whether it was told how busy the thread was
    this.isDone = false;
    this.isDelivered = false;
    this.signalled = Infinity;
    this.ended = Infinity;
  }

  /**
   * Joins, and blocks until there is an answer: no hook and no request may come before. A signal cannot be handled meanwhile: it
   * waits, for LOADTEST_JOIN_SECONDS at most.
   */
  join() {
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    for (const signal of Object.keys(SIGNALS)) process.on(signal, () => this.signal(signal));
    this.courier = new Worker(path.join(__dirname, 'courier.js'), {
      workerData: { settings: this.settings, process: this.process, join: JSON.stringify(this.introduction()), port: port2, shared: this.shared },
      transferList: [port2],
      env: {},
      execArgv: [],
    });
    this.courier.unref();
    this.courier.on('error', (error) => this.loseCourier(error.message));
    this.courier.on('exit', (code) => this.loseCourier(`its thread ended with ${code}`));
    wait(this.shared.cells, JOINED, this.settings.join + MARGIN);
    return receiveMessageOnPort(port1)?.message.answer ?? { is: 'rejected', why: 'its courier did not answer' };
  }

  introduction() {
    const { config = {} } = this.script;
    const rows = share.rows(config.payload);
    return {
      // all that is new is the share: a collector of before need not know of it
      protocol: this.settings.isSplit ? 2 : 1,
      reporter: version,
      artillery: globalThis.artillery?.version ?? 'unknown',
      node: process.versions.node,
      phases: phases(config),
      ensure: checks(config),
      ...(rows.every((count) => count === null || Number.isInteger(count)) && { rows }),
    };
  }

  /** Takes part, after the join; with the share of the script that came with the answer, if one did. */
  attend(events, { index, share }) {
    if (this.settings.isHooksOnce) hooks.intercept((...hook) => this.runHook(index === hooks.HOOKS_WORKER, ...hook));
    this.share = share;
    this.isEnsureOurs = process.env.ARTILLERY_DISABLE_ENSURE === undefined;
    process.env.ARTILLERY_DISABLE_ENSURE = 'true'; // read by its plugin at the end
    setEnvironmentData(INHERITANCE, { shared: this.shared, channel: this.process });
    this.channel = new BroadcastChannel(this.process);
    this.channel.onmessage = ({ data }) => this.hear(data);
    this.channel.unref();
    this.port.on('message', (told) => this.hear(told));
    this.port.unref();
    this.utilization = utilization(this.shared.load);
    this.hold();
    for (const event of ['phaseStarted', 'phaseCompleted', 'stats', 'done']) events.on(event, safely((what) => this[event](what)));
    process.on('exit', safely((code) => this.exit(code)));
    return this;
  }

  /**
   * Keeps back Artillery's order to run from its thread, where all is loaded by then, and only then asks for the start: what is left to
   * do after the release is next to nothing.
   */
  hold() {
    const { postMessage } = Worker.prototype;
    const launcher = this;
    const prepared = new WeakSet(); // Artillery's own, not those of a hook
    Worker.prototype.postMessage = function (message, ...more) {
      const order = () => postMessage.call(this, message, ...more);
      if (message?.command === 'prepare') {
        if (launcher.settings.isHooksOnce && !launcher.hasSeenHook) launcher.turnAway(hooks.NOT_KNOWN, true);
        launcher.takeShare(this, message);
        prepared.add(this);
      }
      const isHeld = !launcher.isReleased() || launcher.settings.isHooksOnce;
      if (message?.command !== 'run' || !prepared.has(this) || !isHeld) return order();
      launcher.order = () => {
        if (launcher.variables !== undefined) message.opts = { ...message.opts, ...JSON.parse(launcher.variables) };
        order();
      };
      if (launcher.isReleased()) launcher.run();
      else launcher.tell('start', { captured: launcher.captured });
    };
  }

  /**
   * Runs a hook of the script where it runs once for all workers: in one of them, and there `after` when all others have ended.
   * @param isMine whether this is the one
   */
  async runHook(isMine, hook, script, run) {
    this.hasSeenHook = true;
    if (!isMine) return {};
    if (hook === 'after' && script.after) await this.untilOthersEnded();
    const variables = await run();
    if (hook === 'before') this.captured = hooks.captured(variables, this.script.config);
    return variables;
  }

  /**
   * Waits for the other workers for as long as the collector answers that they have not ended, and as long as for the last batches after
   * that; of the grace period after a signal, half.
   */
  async untilOthersEnded() {
    if (!this.isReleased()) return;
    // Artillery stops the load of a test that is cut short only after this hook
    if (!this.isDone) this.channel.postMessage({ tell: 'stop' });
    this.tell('others');
    this.heard = now();
    const isTime = () => now() > Math.min(this.heard + this.settings.flush, this.signalled + this.settings.grace / 2);
    while (!this.haveOthersEnded && !this.isOver && !isTime()) await new Promise((resolve) => setTimeout(resolve, ASK));
  }

  /** Has Artillery's thread run this worker's share instead of the whole: one thread, once. */
  takeShare(thread, { opts }) {
    if (!this.share) return;
    try {
      if (this.hasShare) throw new Error('it makes more than one thread');
      share.apply(opts, this.share);
      this.hasShare = true;
      const { emit } = thread;
      const isHidden = share.hidden(this.share.phases);
      thread.emit = function (event, message, ...more) {
        return event === 'message' && isHidden(message) ? true : emit.call(this, event, message, ...more);
      };
    } catch (error) {
      this.turnAway(`this Artillery cannot be made to run a share of the load: ${error.message}`);
    }
  }

  isReleased() {
    return Atomics.load(this.shared.cells, START) === GO;
  }

  /** Gives the order at the moment that all workers share, once. A test that ends already does not begin. */
  run() {
    if (this.ended < Infinity || this.signalled < Infinity) return;
    const left = this.shared.moment[0] - now();
    if (left > 0) return setTimeout(() => this.run(), left);
    const { order } = this;
    if (order === undefined) return;
    const isHookless = this.settings.isHooksOnce && this.captured === undefined && this.variables === undefined;
    if (isHookless) return this.turnAway('what the script\'s `before` captured in worker 0 is not known', true);
    this.order = undefined;
    this.utilization(); // from now on: the wait does not count
    this.hasBegun = true;
    order();
  }

  tell(tell, message) {
    this.port.postMessage({ tell, ...message });
  }

  hear({ tell, why, periods, isWhole, variables }) {
    if (tell === 'released') this.run();
    else if (tell === 'variables') this.variables = variables;
    else if (tell === 'others run') this.heard = now();
    else if (tell === 'others ended') this.haveOthersEnded = true;
    else if (tell === 'flushed') [this.awaited, this.isWhole] = [periods, isWhole];
    else if (tell === 'delivered') this.isDelivered = true;
    else if (tell === 'stop') this.stop();
    else if (tell === 'unreported') this.goUnreported(why);
    else if (tell === 'turned away') this.turnAway(why);
  }

  turnAway(why, isAtOnce = false) {
    say(`turned away: ${why}`);
    this.isOver = true;
    if (isAtOnce || !this.isReleased()) process.exit(TURNED_AWAY_CODE);
  }

  goUnreported(why) {
    say(`this run is not reported: ${why}`);
    this.isOver = true;
    if (this.isEnsureOurs) delete process.env.ARTILLERY_DISABLE_ENSURE;
  }

  loseCourier(why) {
    if (this.isOver) return;
    this.goUnreported(`its courier failed: ${why}`);
    release(this.shared, now());
    this.run();
  }

  /** Ends the test as SIGTERM would, unless it ends already. */
  stop() {
    if (this.isStopping || this.ended < Infinity) return;
    this.isStopping = true;
    process.kill(process.pid, 'SIGTERM');
  }

  /** Notes when everything must be over. Where Artillery has no handler yet, there is nothing to wait for. */
  signal(signal) {
    this.signalled = Math.min(this.signalled, now());
    if (process.listenerCount(signal) === 1) process.exit(SIGNALS[signal]);
  }

  /** When to stop delivering, by `now`. */
  deadline() {
    return Math.min(this.ended + this.settings.flush, this.signalled + Math.max(this.settings.grace - MARGIN, 0));
  }

  phaseStarted({ index }) {
    if (!this.isReleased()) return this.turnAway('this Artillery cannot be made to wait for the start');
    if (this.share && !this.hasShare) return this.turnAway('this Artillery cannot be made to run a share of the load', true);
    const started = now() - this.shared.moment[0];
    this.phases.set(index, started);
    this.news.push({ index, started, length: 0 });
  }

  phaseCompleted({ index }) {
    const started = this.phases.get(index);
    if (started === undefined) return;
    this.news.push({ index, started, length: now() - this.shared.moment[0] - started });
  }

  /** Takes in a period, at once: Artillery changes the object afterwards. */
  stats(stats) {
    const period = Number(stats.period);
    this.periods.add(period);
    try {
      for (const body of bodies(stats)) this.send(period, body);
    } catch (error) {
      this.send(period, Buffer.alloc(0), { lost: `the reporter could not read it: ${error.message}` });
    }
  }

  send(period, body, { lost, least = JUDGED } = {}) {
    const busy = this.utilization(least);
    this.isJudged ||= busy !== undefined;
    const health = { eventLoopUtilization: busy ?? 0, ...cgroup() };
    this.tell('batch', { period, body, rest: rest(health, this.news.splice(0)), lost });
  }

  /** Whether the thread has handed over the last periods that it says there are. */
  hasAwaited() {
    return this.awaited?.every((period) => this.periods.has(period)) ?? false;
  }

  /** Whether load was made of which something was measured that does not come any more. */
  isCutShort() {
    return this.hasBegun && !this.isDone && !(this.isWhole && this.hasAwaited());
  }

  done({ counters }) {
    this.isDone = true;
    this.tell('counters', { counters });
  }

  /** Waits until all is stored. Artillery calls this at its end, and waits for it. */
  async cleanup() {
    this.ended = Math.min(this.ended, now());
    if (this.isReleased() && !this.isDone) {
      this.channel.postMessage({ tell: 'stop' });
      await this.until(() => this.hasAwaited(), now() + FLUSH);
    }
    // of a test that is shorter than what is judged, all of it is
    const least = this.isJudged ? JUDGED : 0;
    if (this.news.length > 0 || (this.hasBegun && !this.isJudged)) this.send(Math.floor(Date.now() / PERIOD) * PERIOD, Buffer.alloc(0), { least });
    this.tell('finish', { cutShort: this.isCutShort() });
    await this.until(() => this.isDelivered);
    if (!this.isDelivered && !this.isOver) say('some of what was measured did not reach the collector in time');
  }

  /** Waits for a condition, until the deadline or this moment; both may come nearer meanwhile. */
  async until(isMet, moment = Infinity) {
    while (!isMet() && !this.isOver && now() < Math.min(this.deadline(), moment)) {
      await new Promise((resolve) => setTimeout(resolve, ASK));
    }
  }

  /** The last words: nothing else is reached after a crash, and nowhere else is the exit code known. It blocks, for time ends here. */
  exit(code) {
    if (this.isOver) return;
    this.ended = Math.min(this.ended, now());
    this.tell('exit', { code, cutShort: this.isCutShort() });
    wait(this.shared.cells, ENDED, Math.max(this.deadline() - now(), LAST_WORDS));
  }
}

/** The phases as Artillery's thread has them: there one without a `mode` gets `config.mode`. */
function phases({ phases, mode }) {
  return (phases ?? []).map((phase) => (phase?.mode || !mode ? phase : { ...phase, mode }));
}

/** What Artillery's plugin `ensure` would check here: it prefers `config.ensure`, and does nothing unless it is loaded. */
function checks({ ensure, plugins }) {
  return plugins?.ensure === undefined ? null : ensure || plugins.ensure;
}

/** What goes wrong here must not reach Artillery. */
function safely(handler) {
  return (...args) => {
    try {
      handler(...args);
    } catch (error) {
      say(`the report lacks something: ${error.message}`);
    }
  };
}

module.exports = { begin, checks, phases };
