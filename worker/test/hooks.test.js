'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const test = require('node:test');
const { captured, intercept } = require('../hooks.js');

/** An Artillery that has the class that runs hooks where that version has it, with this code; returns what Node would be started with. */
function artillery(t, folder, code) {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'hooks-'));
  t.after(() => fs.rmSync(root, { recursive: true }));
  for (const name of ['bin', folder]) fs.mkdirSync(path.join(root, name), { recursive: true });
  fs.writeFileSync(path.join(root, 'bin', 'run'), '');
  fs.writeFileSync(path.join(root, folder, 'index.js'), code);
  return [path.join(root, 'bin', 'run'), path.join(fs.realpathSync(root), folder, 'index.js')];
}

const CODE = 'class Platform { script = { before: 1 }; runHook(hook, vars) { return [hook, vars]; } }\n';

test('hooks of an Artillery that is loaded already go through a function', (t) => {
  const [main, file] = artillery(t, 'lib/platform/local', `${CODE}module.exports = Platform;`);
  const Platform = require(file);
  intercept((hook, script, run) => [hook, script, run()], main);
  assert.deepEqual(new Platform().runHook('after', 'variables'), ['after', { before: 1 }, ['after', 'variables']]);
});

test('an Artillery that runs hooks in another way is named, and left alone', (t) => {
  const why = /^this Artillery cannot be made to run hooks once: /;
  const [nowhere] = artillery(t, 'lib', '');
  assert.throws(() => intercept(() => {}, nowhere), ({ message }) => why.test(message));
  assert.throws(() => intercept(() => {}, '/there/is/none'), ({ message }) => why.test(message));
  const [other, file] = artillery(t, 'lib/platform/local', 'module.exports = class { runHooks() {} };');
  require(file);
  assert.throws(() => intercept(() => {}, other), /cannot be made to run hooks once: its .* has no runHook/);
});

test('what a hook left reaches others without what each has of its own: the environment stays', () => {
  const own = { $env: process.env, $processEnvironment: process.env, $testId: 't', $uuid: 'u', $dirname: '/d', $scenarioFile: 's', $environment: 'e' };
  const left = { ...own, copy: process.env, target: 'http://a', token: 'a', list: [1, { b: null }], nothing: undefined };
  assert.deepEqual(JSON.parse(captured(left, { target: 'http://a' })), { token: 'a', list: [1, { b: null }] });
  assert.deepEqual(JSON.parse(captured({ target: 'http://b' }, { target: 'http://a' })), { target: 'http://b' }, 'the hook changed it');
  assert.equal(captured(undefined, { target: 'http://a' }), '{}');
});

test('what Artillery sets again in each context stays, though before changed it: rows, tables and variables', () => {
  const payload = [{ fields: ['user', 'password'] }, { loadAll: true, name: 'all', fields: ['id'] }, { fields: [] }, {}, { loadAll: true }];
  const left = { user: 'u', password: 'p', all: [{ id: 'x'.repeat(70_000) }], id: 'i', rate: 'changed', token: 'a' };
  assert.deepEqual(JSON.parse(captured(left, { payload, variables: { rate: [1, 2] } })), { id: 'i', token: 'a' });
  assert.deepEqual(JSON.parse(captured({ user: 'u', token: 'a' }, { payload: payload[0] })), { token: 'a' }, 'one payload');
  assert.deepEqual(JSON.parse(captured({ token: 'a' }, { payload: null, variables: null })), { token: 'a' });
});

test('too much is refused by name and size', () => {
  const most = 65_536 - '{"a":"b","long":""}'.length;
  assert.equal(captured({ a: 'b', long: 'x'.repeat(most) }).length, 65_536);
  assert.throws(() => captured({ a: 'b', long: 'x'.repeat(most + 1) }), /are 65537 bytes of JSON, long has 65520: at most 65536 are handed/);
});
