'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');

const WORKER = path.join(__dirname, '..');
const files = fs.readdirSync(WORKER).filter((name) => fs.statSync(path.join(WORKER, name)).isFile());
const read = (name) => fs.readFileSync(path.join(WORKER, name), 'utf8');

test('the reporter fits beside a script in a ConfigMap: flat, small, and without a dependency', () => {
  assert.ok(files.every((name) => /^[a-z]+\.js(on)?$/.test(name)), `${files}`);
  const size = files.reduce((sum, name) => sum + Buffer.byteLength(read(name)), 0);
  assert.ok(size < 58 * 1024, `${size} bytes`);
  for (const name of files.filter((name) => name.endsWith('.js'))) {
    for (const [, required] of read(name).matchAll(/require\('([^']+)'\)/g)) {
      const isThere = required.startsWith('node:') || (required.startsWith('./') && files.includes(required.slice(2)));
      assert.ok(isThere, `${name} requires ${required}`);
    }
  }
});
