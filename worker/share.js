// A worker's share of a load that all workers make together: put into Artillery's order to its thread, which has everything resolved.
'use strict';

/**
 * How many rows each payload has of which every worker gets some; `null` for a table that each has as a whole, for a script that
 * asks for all of it at once.
 * @param payloads `config.payload`
 */
function rows(payloads) {
  return [payloads ?? []].flat().map((payload) => (isTable(payload) ? null : payload?.data?.length));
}

const isTable = ({ loadAll, name, order } = {}) => loadAll === true && name !== undefined && order === undefined;

/**
 * Puts the share in the place of the whole.
 * @param opts of the message `prepare`: `{script, payload}`; it is changed
 * @param share `{index, workers, phases}`: which worker this is of how many, and its phases
 * @throws Error where this Artillery has them in another place
 */
function apply(opts, { index, workers, phases }) {
  // of a script in TypeScript the thread is told the phases only, and reads the rest itself
  const [holder, key] = opts.script?.__originalScriptPath === undefined ? [opts.script?.config, 'phases'] : [opts.script, '__phases'];
  if (!Array.isArray(holder?.[key])) throw new Error('there is no list of phases in its order to prepare');
  holder[key] = structuredClone(phases);
  opts.payload = opts.payload?.map((payload) => (isTable(payload) ? payload : { ...payload, data: some(payload.data, index, workers) }));
}

function some(data, index, workers) {
  const mine = data?.filter((_, row) => row % workers === index);
  if (!mine?.length) throw new Error(`worker ${index} of ${workers} has no row of the ${data?.length ?? 'unknown'} of a payload`);
  return mine;
}

/** What Artillery up to 2.0.10 says where a pause begins or ends: then it drops what it measured in that period. */
const NOTHING = '{"counters":{},"histograms":{},"rates":{},';

/**
 * A phase may come in several parts, of which only the last ends it; and the pauses among them are no news.
 * @returns a function that says of a message from the thread whether nobody else may hear it
 */
function hidden(phases) {
  const left = new Map();
  for (const { index } of phases) left.set(index, (left.get(index) ?? 0) + 1);
  return (message) => {
    if (message?.event === 'stats') return String(message.stats).startsWith(NOTHING);
    if (message?.event !== 'phaseCompleted') return false;
    const parts = left.get(message.phase?.index) - 1;
    left.set(message.phase?.index, parts);
    return parts > 0;
  };
}

module.exports = { apply, hidden, rows };
