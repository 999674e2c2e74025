// Reads the reporter's settings from environment variables, at its very beginning.
'use strict';

const LOOPBACK = ['127.0.0.1', '[::1]', 'localhost'];

/**
 * @param env environment variables, as in `process.env`
 * @returns the settings; times in milliseconds
 * @throws Error that names the variable, its value, and what would be right
 */
function read(env) {
  const milliseconds = (name, otherwise) => {
    const value = env[name] ?? String(otherwise);
    if (!/^\d{1,6}(\.\d+)?$/.test(value)) throw new Error(`${name} is "${value}": give seconds, as ${otherwise}`);
    return Number(value) * 1000;
  };
  const collector = url(env.LOADTEST_COLLECTOR);
  if (!env.LOADTEST_TOKEN_FILE && !env.LOADTEST_TOKEN) {
    throw new Error('neither LOADTEST_TOKEN_FILE nor LOADTEST_TOKEN is set: give the file with the token, or it');
  }
  return {
    collector,
    tokenFile: env.LOADTEST_TOKEN_FILE || null,
    token: env.LOADTEST_TOKEN || null,
    caFile: env.LOADTEST_CA_FILE || null,
    isSplit: choice(env, 'LOADTEST_DISTRIBUTION', ['Replicate', 'Split']),
    isHooksOnce: choice(env, 'LOADTEST_HOOKS', ['PerWorker', 'Once']),
    join: milliseconds('LOADTEST_JOIN_SECONDS', 120),
    start: milliseconds('LOADTEST_START_SECONDS', 660),
    flush: milliseconds('LOADTEST_FLUSH_SECONDS', 300),
    grace: milliseconds('LOADTEST_GRACE_SECONDS', 60),
  };
}

/**
 * Whether a variable has the other value than the usual one.
 * @throws Error that names the variable, its value, and what would be right
 */
function choice(env, name, [usual, other]) {
  const value = env[name] ?? usual;
  if (value !== usual && value !== other) throw new Error(`${name} is "${value}": give ${usual} or ${other}`);
  return value === other;
}

/**
 * What this worker must have been told before it may run: which share of the script is its own, and whether it runs the hooks. A
 * wrong value counts as one that says so.
 */
function needs({ LOADTEST_DISTRIBUTION: distribution = 'Replicate', LOADTEST_HOOKS: once = 'PerWorker' }) {
  return { share: distribution !== 'Replicate', hooksOnce: once !== 'PerWorker' };
}

function url(value) {
  const wrong = new Error(`LOADTEST_COLLECTOR is "${value}": give https://HOST:PORT, or http://127.0.0.1:PORT on one machine`);
  let parsed;
  try {
    parsed = new URL(value);
  } catch {
    throw wrong;
  }
  const isSafe = parsed.protocol === 'https:' || (parsed.protocol === 'http:' && LOOPBACK.includes(parsed.hostname));
  if (!isSafe || parsed.pathname !== '/' || parsed.search || parsed.username) throw wrong;
  return parsed.origin;
}

module.exports = { needs, read };
