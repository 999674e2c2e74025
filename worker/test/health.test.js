'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const test = require('node:test');
const { cgroup, utilization } = require('../health.js');

/** A folder with these files; the kernel's own cannot be had in both versions on one machine. */
function files(t, contents) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'cgroup-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  for (const [name, content] of Object.entries(contents)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), content);
  }
  return folder;
}

const V2_STAT = 'usage_usec 1\nuser_usec 1\nsystem_usec 0\nnr_periods 40\nnr_throttled 7\nthrottled_usec 123456\n';

test('a container with cgroups of version 2 has them at the mount', (t) => {
  const mount = files(t, { self: '0::/\n', 'cpu.stat': V2_STAT, 'memory.current': '1048576\n', 'memory.max': '536870912\n' });
  assert.deepEqual(cgroup(mount, path.join(mount, 'self')), {
    cpuPeriods: 40, cpuThrottledPeriods: 7, cpuThrottledMicroseconds: 123456, memoryBytes: 1048576, memoryLimitBytes: 536870912,
  });
});

test('a process of the machine has its own below the mount, and no limit is 0', (t) => {
  const mount = files(t, { self: '0::/user.slice/me\n', 'cpu.stat': 'usage_usec 9\n', 'user.slice/me/cpu.stat': V2_STAT, 'user.slice/me/memory.max': 'max\n', 'user.slice/me/memory.current': '5\n' });
  const { cpuThrottledPeriods, memoryBytes, memoryLimitBytes } = cgroup(mount, path.join(mount, 'self'));
  assert.deepEqual([cpuThrottledPeriods, memoryBytes, memoryLimitBytes], [7, 5, 0]);
});

test('version 1 counts throttled nanoseconds, and says a huge limit for none', (t) => {
  const mount = files(t, {
    self: '5:memory:/kubepods/pod1/c\n4:cpu,cpuacct:/kubepods/pod1/c\n1:name=systemd:/x\n0::/x\n',
    'cpu/cpu.stat': 'nr_periods 3\nnr_throttled 2\nthrottled_time 5000000\n',
    'memory/memory.usage_in_bytes': '77\n', 'memory/memory.limit_in_bytes': '9223372036854771712\n',
  });
  assert.deepEqual(cgroup(mount, path.join(mount, 'self')), {
    cpuPeriods: 3, cpuThrottledPeriods: 2, cpuThrottledMicroseconds: 5000, memoryBytes: 77, memoryLimitBytes: 0,
  });
});

test('where there are no cgroups nothing is claimed', () => {
  assert.deepEqual(cgroup('/nowhere', '/nowhere/self'), {
    cpuPeriods: 0, cpuThrottledPeriods: 0, cpuThrottledMicroseconds: 0, memoryBytes: 0, memoryLimitBytes: 0,
  });
});

test('this machine has some memory in use', { skip: process.platform !== 'linux' && 'only Linux has cgroups' }, () => {
  assert.ok(cgroup().memoryBytes > 0);
});

test('utilization is that since the last batch', () => {
  const load = new Float64Array(2);
  const ask = utilization(load);
  assert.equal(ask(), undefined, 'of no time nothing is said');
  load.set([7500, 2500]);
  assert.equal(ask(5000), 0.25);
  load.set([7500, 12_500]);
  assert.equal(ask(5000), 1);
  assert.equal(ask(5000), undefined, 'two batches at once are one');
  load.set([7500, 13_500]);
  assert.equal(ask(5000), undefined, 'a second at the end says nothing');
  load.set([11_500, 13_500]);
  assert.equal(ask(5000), 0.2, 'it counts as part of what comes next');
});
