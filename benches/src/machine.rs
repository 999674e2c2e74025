//! What is measured on, and what a process takes of it: read from /proc.

use std::fs;

use anyhow::{Context as _, Result};

/// Ticks a second in /proc/PID/stat: `USER_HZ`, which is part of Linux' interface to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// The machine, in a sentence.
pub fn description() -> Result<String> {
    let cores = std::thread::available_parallelism().context("cannot count the cores")?;
    let cpu =
        field(&read("/proc/cpuinfo")?, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let memory = kibibytes(&read("/proc/meminfo")?, "MemTotal")? / 1024 / 1024;
    let kernel = read("/proc/sys/kernel/osrelease")?;
    let today = loadtest::Timestamp::now().strftime("%Y-%m-%d");
    Ok(format!("{today}; {cores} cores ({cpu}), {memory} GiB, Linux {}.", kernel.trim()))
}

/// The load average of the last minute.
pub fn load() -> Result<String> {
    Ok(read("/proc/loadavg")?.split(' ').next().unwrap_or_default().to_owned())
}

/// What a process takes.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Resident memory now, MiB.
    pub resident: f64,
    /// The most that was ever resident, MiB.
    pub peak: f64,
    /// CPU time since its start, seconds.
    pub cpu: f64,
}

/// What a process takes now.
///
/// # Errors
/// It has ended.
pub fn usage(pid: u32) -> Result<Usage> {
    let status = read(&format!("/proc/{pid}/status"))?;
    let stat = read(&format!("/proc/{pid}/stat"))?;
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let mebibytes = |key| kibibytes(&status, key).map(|n| n as f64 / 1024.0);
    Ok(Usage { resident: mebibytes("VmRSS")?, peak: mebibytes("VmHWM")?, cpu: cpu_seconds(&stat)? })
}

/// CPU time of all children of this process that have ended, and of theirs, seconds.
pub fn children_cpu() -> Result<f64> {
    seconds(&read("/proc/self/stat")?, 13)
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

fn field(text: &str, key: &str) -> Option<String> {
    let (_, value) = text.lines().filter_map(|line| line.split_once(':')).find(|(k, _)| k.trim() == key)?;
    Some(value.trim().to_owned())
}

fn kibibytes(text: &str, key: &str) -> Result<u64> {
    let value = field(text, key).with_context(|| format!("no {key}, as of a process that has ended"))?;
    value.trim_end_matches("kB").trim().parse().with_context(|| format!("{key} is {value}"))
}

/// User and system time of the process itself.
fn cpu_seconds(stat: &str) -> Result<f64> {
    seconds(stat, 11)
}

/// User and system time, so many fields after the program's name, which is in parentheses and may have blanks.
fn seconds(stat: &str, skipped: usize) -> Result<f64> {
    let (_, after_name) = stat.rsplit_once(')').context("not a line of /proc/PID/stat")?;
    let ticks = after_name.split_whitespace().skip(skipped).take(2).map(str::parse::<f64>);
    let ticks: f64 =
        ticks.collect::<Result<Vec<_>, _>>().context("not a line of /proc/PID/stat")?.iter().sum();
    Ok(ticks / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_user_and_system_time() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 100 25 20 0 3 0 100 1000 200 18446744073709551615";
        assert_eq!(cpu_seconds(stat).expect("seconds"), 3.0);
        assert_eq!(seconds(stat, 13).expect("seconds of children"), 1.25);
    }

    #[test]
    fn this_process_uses_something() {
        let usage = usage(std::process::id()).expect("usage");
        assert!(usage.resident > 0.5 && usage.peak >= usage.resident, "{usage:?}");
    }
}
