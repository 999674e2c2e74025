//! What the programs of the cluster take, by /proc: they all run on this machine.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result};

/// Linux' clock ticks in a second, for all that /proc says of CPU time (`getconf CLK_TCK`; always 100 for user space).
const TICKS: f64 = 100.0;

/// What one process takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Resident memory now, in MiB.
    pub rss: f64,
    /// The most that was resident since the process began, in MiB.
    pub peak: f64,
    /// CPU time since the process began, in seconds.
    pub cpu: f64,
}

/// The processes of the cluster by name: `manager`, `kube-apiserver`, `etcd`, `kube-controller-manager`,
/// `kube-scheduler` and more. Where a name has several, the one that takes the most memory.
///
/// # Errors
/// /proc cannot be read.
pub fn usages() -> Result<BTreeMap<String, Usage>> {
    let mut all: BTreeMap<String, Usage> = BTreeMap::new();
    for entry in fs::read_dir("/proc").context("cannot read /proc")? {
        let folder = entry?.path();
        // a process may end at any moment; and other users' and the kernel's have no exe to read
        let (Ok(exe), Ok(cgroup)) =
            (fs::read_link(folder.join("exe")), fs::read_to_string(folder.join("cgroup")))
        else {
            continue;
        };
        if !cgroup.contains("/artillery-operator-cluster/") {
            continue;
        }
        let (Ok(status), Ok(stat)) =
            (fs::read_to_string(folder.join("status")), fs::read_to_string(folder.join("stat")))
        else {
            continue;
        };
        let (Some(name), Some(usage)) = (exe.file_name().and_then(|n| n.to_str()), usage(&status, &stat))
        else {
            continue;
        };
        let known = all.entry(name.to_owned()).or_default();
        if usage.rss > known.rss {
            *known = usage;
        }
    }
    Ok(all)
}

fn usage(status: &str, stat: &str) -> Option<Usage> {
    let mebibytes = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
    };
    // the name, in parentheses, may have blanks; then utime and stime are the 12th and 13th
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some(Usage { rss: mebibytes("VmRSS:")?, peak: mebibytes("VmHWM:")?, cpu: (ticks()? + ticks()?) / TICKS })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_cpu_time_are_read_as_proc_writes_them() {
        let status = "Name:\tmanager\nVmHWM:\t   20480 kB\nVmRSS:\t   10240 kB\n";
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194304 1 2 3 4 150 50 0 0 20 0 3 0 99 1 2";
        let usage = usage(status, stat).expect("a usage");
        assert_eq!((usage.rss, usage.peak, usage.cpu), (10.0, 20.0, 2.0));
    }
}
