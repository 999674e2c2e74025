// Hooks that run once for all workers: Artillery's launcher runs `before` and `after` by a method of one class, which is wrapped here.
'use strict';

const fs = require('node:fs');
const { createRequire } = require('node:module');
const path = require('node:path');

/** The worker that runs the hooks. */
const HOOKS_WORKER = 0;
const LARGEST = 64 * 1024; // bytes of JSON that the other workers are handed
const NOT_KNOWN = 'this Artillery cannot be made to run hooks once';

/** What each context of Artillery's has of its own: the worker's environment, too, which must not leave it. */
const OWN = ['$environment', '$processEnvironment', '$env', '$testId', '$dirname', '$scenarioFile', '$uuid'];

/**
 * The prototype of the class that runs hooks, as Artillery has loaded it already: a module in `require.cache` (2.0.1 to 2.0.21), or one
 * that Node gives out once more (2.0.34, whose modules are not in that cache).
 * @param main the file that Node was started with: Artillery's `bin/run`
 * @throws Error where there is none
 */
function platform(main) {
  const file = path.join('lib', 'platform', 'local', 'index.js');
  const root = path.dirname(path.dirname(fs.realpathSync(main)));
  const loaded = require.cache[path.join(root, file)]?.exports;
  const { prototype } = loaded ?? createRequire(__filename)(path.join(root, 'dist', file)).default;
  if (typeof prototype?.runHook !== 'function') throw new Error(`its ${file} has no runHook`);
  return prototype;
}

/**
 * Has `run(hook, script, original)` called for each hook, in the place of Artillery's own.
 * @throws Error where this Artillery runs hooks in another way
 */
function intercept(run, main = process.argv[1]) {
  let prototype;
  try {
    prototype = platform(main);
  } catch (error) {
    throw new Error(`${NOT_KNOWN}: ${error.message}`);
  }
  const { runHook } = prototype;
  prototype.runHook = function (hook, ...more) {
    return run(hook, this.script, () => runHook.call(this, hook, ...more));
  };
}

/** What Artillery sets again in each virtual user's context, over what `before` left: a row or the table of each payload, and `config.variables`. */
function setAgain({ payload, variables }) {
  const ofPayload = ({ loadAll, name, fields }) => (loadAll ? name : fields);
  return [[payload ?? []].flat().map(ofPayload), Object.keys(variables ?? {})].flat(2);
}

/**
 * The variables of the hook's context that other workers need, as JSON.
 * @param variables as `before` left them
 * @param config of the script: whoever has another `target` keeps it
 * @throws Error where they are too large
 */
function captured(variables, config = {}) {
  const left = new Set([...OWN, ...setAgain(config)]);
  const isOwn = ([name, value]) => left.has(name) || value === process.env || (name === 'target' && value === config.target);
  const entries = Object.entries(variables ?? {}).filter((entry) => !isOwn(entry));
  const json = JSON.stringify(Object.fromEntries(entries));
  const size = Buffer.byteLength(json);
  if (size <= LARGEST) return json;
  const sizes = entries.map(([name, value]) => [name, Buffer.byteLength(JSON.stringify(value) ?? '')]);
  const [name, most] = sizes.reduce((largest, next) => (next[1] > largest[1] ? next : largest));
  throw new Error(
    `the variables that \`before\` left are ${size} bytes of JSON, ${name} has ${most}: at most ${LARGEST} are handed to the other workers (hooks: Once)`,
  );
}

module.exports = { HOOKS_WORKER, NOT_KNOWN, captured, intercept };
