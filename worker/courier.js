// The conversation with the collector, in a thread of its own: it goes on while the launcher blocks, and when that exits.
'use strict';

const { workerData } = require('node:worker_threads');
const { pause, understand } = require('./answers.js');
const { client } = require('./http.js');
const { Queue } = require('./queue.js');
const { ENDED, JOINED, START, TURNED_AWAY, now, release, set } = require('./shared.js');

const REQUEST = 10_000; // milliseconds for one
const SILENCE = 10_000; // after which the collector is asked whether to stop, where there is no batch
const POLL = 250; // while the last batches are being stored
const POLL_OTHERS = 1_000; // until the other workers have ended, which may take as long as the test
const POLL_PER_WORKER = 0.35; // milliseconds: all of them may end together
const NOTHING = Buffer.alloc(0); // as a batch: a question only
const UNTAKEN = 5_000; // after a batch that was ignored though it was asked for

const { settings, process: id, join, port, shared } = workerData;
const post = client(settings, id);
const queue = new Queue();
const ending = { counters: undefined, exitCode: undefined, cutShort: false, wanted: 0, answered: 0, isStored: false };
let isStartWanted = false;
let captured; // in JSON: what `before` captured here, for all workers
let variables; // in JSON: what it captured elsewhere
let areOthersWanted = false; // whether this worker waits for the end of the others
let haveOthersEnded = false;
let isClaimed = false; // whether the collector knows this process, as far as is known here
let isOver = false; // no more is sent
let poll = POLL;
let failures = 0;
let lastWord = now(); // when the collector was last asked
let sent; // when the last request that was answered was on its way
let wakeUp = () => {};

port.on('message', ({ tell, ...told }) => {
  if (tell === 'start') [isStartWanted, captured] = [true, told.captured];
  else if (tell === 'others') areOthersWanted = true;
  else if (tell === 'batch') queue.push(told);
  else if (tell === 'counters') ending.counters = told.counters;
  else if (tell === 'finish') [ending.cutShort, ending.wanted] = [told.cutShort, ending.wanted + 1];
  else if (tell === 'exit') Object.assign(ending, { exitCode: told.code, cutShort: told.cutShort, wanted: ending.wanted + 1, isStored: false });
  wakeUp(tell);
});

/** Resolves after so many milliseconds, or when the launcher says something for which it may end early. */
function sleep(milliseconds, mayEnd = () => false) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      wakeUp = () => {};
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    wakeUp = (tell) => mayEnd(tell) && end();
  });
}

/** Asks once; joins before, where the collector has forgotten this process. */
async function ask(kind, body = '{}', milliseconds = REQUEST) {
  if (!isClaimed && kind !== 'join') {
    const joined = await ask('join', join);
    if (joined.is !== 'joined') return joined;
  }
  lastWord = now();
  const response = await post(`/v1/${kind}`, body, Math.min(milliseconds, REQUEST));
  const answer = understand(kind, response);
  sent = response.sent;
  if (answer.is === 'joined') isClaimed = true;
  if (answer.is === 'unknown') {
    isClaimed = false;
    return { is: 'later', why: 'the collector has forgotten this process', milliseconds: 0 };
  }
  if (answer.is !== 'later') failures = 0;
  return answer;
}

/** Waits before the next try; an exit cuts that short, unless the collector asked for it. */
async function retryLater({ milliseconds }) {
  failures += 1;
  await sleep(Math.max(milliseconds, pause(failures, Math.random())), (tell) => tell === 'exit' && milliseconds === 0);
}

/** Returns the answer to the join that counts, or why there is none. */
async function joined() {
  const until = now() + settings.join;
  for (;;) {
    const answer = await ask('join', join, until - now());
    if (answer.is !== 'later') return answer;
    if (now() + Math.max(answer.milliseconds, pause(failures + 1, 0)) >= until) {
      return { is: 'rejected', why: `no answer from ${settings.collector} in ${settings.join / 1000} s: ${answer.why}` };
    }
    await retryLater(answer);
  }
}

/** Waits for the release, from the moment on at which Artillery would begin. */
async function started() {
  while (!isStartWanted && ending.wanted === 0) await sleep(SILENCE, () => true);
  let heard = now();
  while (ending.wanted === 0) {
    const answer = await ask('start', question());
    const answered = now();
    if (answer.variables !== undefined && variables === undefined) {
      variables = JSON.stringify(answer.variables);
      port.postMessage({ tell: 'variables', variables });
      if (answer.is === 'wait') continue; // it is ready only now
    }
    if (answer.is === 'go') {
      return start((sent + answered) / 2 + answer.inMilliseconds);
    } else if (answer.is === 'wait') {
      // all there, and no start: what they have claimed cannot be stored, and to wait for ever helps nobody
      if (!answer.isComplete) heard = answered;
      else if (answered - heard > settings.start) return start(answered);
      await sleep(Math.max(answer.milliseconds, 10), (tell) => tell === 'exit' || tell === 'finish');
    } else if (answer.is === 'later') {
      if (answered - heard > settings.start) return start(answered);
      await retryLater(answer);
    } else if (answer.is === 'refused') {
      turnedAway(answer);
      return set(shared.cells, START, TURNED_AWAY);
    } else {
      return giveUp(answer.why);
    }
  }
}

/** Asks for the start; where hooks run once, it says what is known of `before`. */
function question() {
  if (!settings.isHooksOnce) return '{}';
  return captured === undefined ? `{"before":"${variables === undefined ? 'Wanted' : 'Known'}"}` : `{"before":"Ran","variables":${captured}}`;
}

/** Lets the load begin at that moment. */
function start(at) {
  release(shared, at);
  port.postMessage({ tell: 'released' });
}

/** Sends batches and the finish until all is stored that there will be. */
async function deliver() {
  while (!isOver) {
    const next = queue.next();
    if (next) {
      const answer = await ask('batches', next.bytes);
      if (answer.is === 'rejected' && !next.isLost) queue.lose(next.sequence, answer.why);
      else await heed(answer, next.sequence);
    } else if (areOthersWanted && !haveOthersEnded && ending.wanted === 0) {
      await heed(await ask('batches', NOTHING), 0);
      if (!haveOthersEnded) await sleep(Math.max(poll, POLL_OTHERS), () => true);
    } else if (ending.answered < ending.wanted) {
      const { wanted, counters, exitCode, cutShort } = ending;
      const answer = await ask('finish', JSON.stringify({ batches: queue.count, exitCode, counters, ...(cutShort && { cutShort }) }));
      if (answer.is === 'taken') ending.answered = wanted;
      if (answer.is === 'rejected' && counters !== undefined) ending.counters = undefined;
      else await heed(answer, 0);
    } else if (ending.wanted > 0 && !(queue.isDurable && ending.isStored)) {
      await sleep(poll, (tell) => tell === 'exit');
      // a collector that was killed knows nothing of a finish that it had not stored
      ending.answered = 0;
    } else if (ending.wanted > 0) {
      port.postMessage({ tell: 'delivered' });
      if (ending.exitCode !== undefined) set(shared.cells, ENDED);
      await sleep(SILENCE, () => true);
    } else {
      await sleep(lastWord + SILENCE - now(), () => true);
      if (now() - lastWord >= SILENCE) await heed(await ask('batches', NOTHING), 0);
    }
  }
}

/** Does what an answer to a batch or a finish asks for. `sequence`: the batch that was sent, if any. */
async function heed(answer, sequence) {
  if (answer.is === 'taken') {
    const before = queue.received;
    queue.acknowledge(answer);
    ending.isStored = answer.finished;
    if (answer.stop) port.postMessage({ tell: 'stop' });
    if (answer.othersEnded && !haveOthersEnded) {
      haveOthersEnded = true;
      port.postMessage({ tell: 'others ended' });
    } else if (areOthersWanted && !haveOthersEnded) {
      port.postMessage({ tell: 'others run' });
    }
    // a collector that lost batches has lost the finish too
    if (queue.received < before) ending.answered = 0;
    // and one that does not take what it asked for must not be asked at once again
    if (queue.received === sequence - 1) await retryLater({ milliseconds: UNTAKEN });
  } else if (answer.is === 'later') {
    await retryLater(answer);
  } else if (answer.is === 'refused') {
    turnedAway(answer);
  } else {
    giveUp(answer.why);
  }
}

function turnedAway({ reason, message }) {
  isOver = true;
  port.postMessage({ tell: 'turned away', why: `${reason}: ${message}` });
}

/** Goes on unreported. */
function giveUp(why) {
  isOver = true;
  port.postMessage({ tell: 'unreported', why });
  start(now());
}

// whatever ends this thread, nobody may wait for it any longer
process.on('exit', () => {
  release(shared, now());
  set(shared.cells, JOINED);
  set(shared.cells, ENDED);
});

(async () => {
  const answer = await joined();
  port.postMessage({ tell: 'join', answer });
  set(shared.cells, JOINED);
  if (answer.is !== 'joined') return port.close();
  poll = Math.max(POLL, answer.workers * POLL_PER_WORKER);
  await started();
  await deliver();
  set(shared.cells, ENDED);
})();
