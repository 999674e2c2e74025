// Runs the real Artillery with the reporter, for tests, as the operator's worker container would.
'use strict';

const { execFileSync, spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { TOKEN } = require('./collector.js');

const WORKER = path.join(__dirname, '..');
// what Artillery up to 2.0.10 says about itself, with the libraries that npm gives it today
const OCLIF = /^\(node:\d+\) TypeError Plugin: artillery: .*BarBarToken(.*\n)*?\(Use .*\n/;
const trees = new Map();

/** The folder of an Artillery of this version; installed by hack/artillery the first time. */
function tree(version) {
  if (!trees.has(version)) {
    const found = execFileSync(path.join(WORKER, '..', 'hack', 'artillery'), [version], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
    trees.set(version, found.trim());
  }
  return trees.get(version);
}

/**
 * Starts `artillery run`.
 * @param files what is in its folder; `test.json` is the script
 * @param collector its URL; none: without the reporter's settings
 * @returns the process, with `ended`: resolves to `{code, stdout, stderr}`
 */
function start({ version, files, collector, env = {}, args = [] }) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'reporter-'));
  for (const [name, content] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
  }
  mount(path.join(folder, 'plugins', 'artillery-plugin-operator'));
  fs.writeFileSync(path.join(folder, 'token'), `${TOKEN}\n`);
  const bin = path.join(tree(version), 'node_modules', '.bin');
  const child = spawn(path.join(bin, 'node'), [path.join(bin, 'artillery'), 'run', 'test.json', ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env.PATH,
      HOME: folder,
      ARTILLERY_DISABLE_TELEMETRY: '1',
      WORKERS: '1',
      ...(collector && {
        LOADTEST_COLLECTOR: collector,
        LOADTEST_TOKEN_FILE: path.join(folder, 'token'),
        ARTILLERY_PLUGINS: '{"operator":{"scope":"artillery-plugin-"}}',
        ARTILLERY_PLUGIN_PATH: path.join(folder, 'plugins'),
      }),
      ...env,
    },
  });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) child[name].setEncoding('utf8').on('data', (text) => { output[name] += text; });
  child.output = output;
  child.ended = new Promise((resolve) => child.on('close', (code, signal) => {
    fs.rmSync(folder, { recursive: true, force: true });
    resolve({ code: code ?? signal, stdout: output.stdout, stderr: output.stderr.replace(OCLIF, '') });
  }));
  return child;
}

/** The reporter's files as a kubelet mounts them from a ConfigMap: links to a folder that a link names. */
function mount(folder) {
  fs.mkdirSync(path.join(folder, '..2026_11_24'), { recursive: true });
  fs.symlinkSync('..2026_11_24', path.join(folder, '..data'));
  for (const file of fs.readdirSync(WORKER).filter((name) => /\.js(on)?$/.test(name))) {
    fs.copyFileSync(path.join(WORKER, file), path.join(folder, '..data', file));
    fs.symlinkSync(path.join('..data', file), path.join(folder, file));
  }
}

/** A script that requests the target so often a second, for so many seconds. */
function script(target, { rate = 10, seconds = 3, ...config } = {}) {
  return {
    config: { target, phases: [{ duration: seconds, arrivalRate: rate, name: 'steady' }], ...config },
    scenarios: [{ name: 'one', flow: [{ get: { url: '/' } }] }],
  };
}

/** Waits until a condition holds, for at most so many milliseconds. */
async function until(what, isMet, milliseconds = 100_000) {
  for (const end = Date.now() + milliseconds; !(await isMet()); ) {
    if (Date.now() > end) throw new Error(`gave up waiting until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

module.exports = { start, script, tree, until };
