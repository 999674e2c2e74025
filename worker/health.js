// Measures whether a worker has the means for the load that it is to make; in the launcher, once per batch.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

/** No cgroup's memory limit is larger: version 1 says 2^63 less a page for "none". */
const NO_LIMIT = 2 ** 60;

/** The process's own cgroup, of version 1 or 2; what is not known is 0. `self`: the file that names it. */
function cgroup(mount = '/sys/fs/cgroup', self = '/proc/self/cgroup') {
  const own = paths(text(self) ?? '');
  // inside a container the process's own cgroup is at the mount itself, whatever its path is outside
  const read = (controller, file) => {
    const folders = own.has('') ? [path.join(mount, own.get('')), mount] : [];
    const v1 = path.join(mount, controller);
    folders.push(path.join(v1, own.get(controller) ?? ''), v1);
    return folders.map((folder) => text(path.join(folder, file))).find((found) => found !== undefined);
  };
  const cpu = Object.fromEntries((read('cpu', 'cpu.stat') ?? '').split('\n').map((line) => line.split(' ')));
  const limit = read('memory', 'memory.max') ?? read('memory', 'memory.limit_in_bytes');
  return {
    cpuPeriods: count(cpu.nr_periods),
    cpuThrottledPeriods: count(cpu.nr_throttled),
    cpuThrottledMicroseconds: count(cpu.throttled_usec ?? Math.round(cpu.throttled_time / 1000)),
    memoryBytes: count(read('memory', 'memory.current') ?? read('memory', 'memory.usage_in_bytes')),
    memoryLimitBytes: count(limit) < NO_LIMIT ? count(limit) : 0,
  };
}

/** Paths by controller, from lines as `4:cpu,cpuacct:/pod`; version 2 has an empty name. */
function paths(lines) {
  const found = new Map();
  for (const line of lines.split('\n')) {
    const [, controllers, folder] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    for (const controller of controllers?.split(',') ?? []) found.set(controller, folder);
  }
  return found;
}

function text(file) {
  try {
    return fs.readFileSync(file, 'utf8').trim();
  } catch {
    return undefined; // another version of cgroups, or none
  }
}

function count(value) {
  const number = Number(value);
  return number >= 0 && Number.isFinite(number) ? number : 0;
}

/**
 * Makes a function that says how busy the event loop of `shared.load` was since it last said so, 0 to 1; `undefined` where that is no time, or less than `least`
 * milliseconds: then they count as part of the next.
 */
function utilization(load) {
  let before = [0, 0];
  return (least = 0) => {
    const [idle, active] = [load[0] - before[0], load[1] - before[1]];
    if (idle + active < least) return undefined;
    before = [load[0], load[1]];
    return idle + active > 0 ? Math.min(Math.max(active / (idle + active), 0), 1) : undefined;
  };
}

module.exports = { cgroup, utilization };
