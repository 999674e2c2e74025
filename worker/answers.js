// Decides what an answer of the collector means: docs/protocol.md as functions, without a connection or a clock.
'use strict';

const LONGEST_WAIT = 60_000; // milliseconds that a collector may have a worker wait
const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 5_000;

/**
 * @param kind `join`, `start`, `batches` or `finish`
 * @param outcome `{error}`, or `{status, body, retryAfter}` as they came
 * @returns `{is: 'joined', index, workers, share}`, `{is: 'wait', milliseconds, isComplete, variables}`, `{is: 'go', inMilliseconds,
 *   variables}`, `{is: 'taken', received, durable, finished, stop, othersEnded}`; `{is: 'refused', reason, message}`: final; `{is: 'unknown'}`: join again;
 *   `{is: 'rejected', why}`: never with this request; `{is: 'later', why, milliseconds}`: try again, not before those
 */
function understand(kind, { error, status, body, retryAfter }) {
  if (error !== undefined) return later(error);
  const answer = parse(body);
  if (typeof answer.refused?.reason === 'string') {
    return { is: 'refused', reason: answer.refused.reason, message: String(answer.refused.message ?? '') };
  }
  if (status === 404 && answer.unknown === true) return { is: 'unknown' };
  if (status === 200) return SUCCESS[kind](answer) ?? later(`an answer that is none: ${String(body).slice(0, 80)}`);
  if (status === 400 || status === 413) return { is: 'rejected', why: String(answer.error ?? `HTTP ${status}`) };
  return later(answer.error ? `HTTP ${status}: ${answer.error}` : `HTTP ${status}`, retryAfter);
}

const SUCCESS = {
  join({ index, workers, share }) {
    if (!isCount(index) || !isCount(workers)) return undefined;
    return { is: 'joined', index, workers, ...(Array.isArray(share?.phases) && { share: { index, workers, phases: share.phases } }) };
  },
  start({ wait, go, variables }) {
    const told = isObject(variables) && { variables };
    if (isWait(wait?.milliseconds)) {
      return { is: 'wait', milliseconds: wait.milliseconds, isComplete: isCount(wait.ready) && wait.ready === wait.workers, ...told };
    }
    if (isWait(go?.inMilliseconds)) return { is: 'go', inMilliseconds: go.inMilliseconds, ...told };
    return undefined;
  },
  batches: taken,
  finish: taken,
};

function taken({ received, durable, finished, stop, othersEnded }) {
  if (!isCount(received) || !isCount(durable)) return undefined;
  return { is: 'taken', received, durable, finished: finished === true, stop: stop === 'Graceful', othersEnded: othersEnded === true };
}

function later(why, retryAfter) {
  const seconds = /^\d{1,9}$/.test(retryAfter ?? '') ? Number(retryAfter) : 0;
  return { is: 'later', why, milliseconds: Math.min(seconds * 1000, LONGEST_WAIT) };
}

function parse(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const isWait = (value) => Number.isFinite(value) && value <= LONGEST_WAIT;

/**
 * Milliseconds until the next try.
 * @param failures how many tries have failed in a row, from 1
 * @param random 0 to 1
 */
function pause(failures, random) {
  return Math.min(FIRST_PAUSE * 2 ** (failures - 1), LONGEST_PAUSE) * (1 + random / 4);
}

module.exports = { understand, pause };
