//! The machine: its description, the use of its cores, and the resources that a process took.

use crate::Result;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The properties on which figures depend.
pub fn describe() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    json!({
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "architecture": std::env::consts::ARCH,
        "processor": processor(),
        "cores": cores(),
        "load-average": read("/proc/loadavg").split(' ').next().unwrap_or_default(),
    })
}

fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'))?;
    Some(line.1.trim().to_owned())
}

/// Cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// A short name: `2-core-xeon`.
pub fn name() -> String {
    let processor = processor().unwrap_or_else(|| std::env::consts::ARCH.to_owned()).to_lowercase();
    let kinds = ["xeon", "epyc", "ryzen", "core", "graviton", "neoverse", "apple"];
    let kind = kinds.iter().find(|kind| processor.contains(**kind)).copied();
    format!("{}-core-{}", cores(), kind.unwrap_or(std::env::consts::ARCH))
}

/// Today, as `2026-11-20`, in UTC.
pub fn date() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    // Days since the first of March of the year 0 of the Gregorian calendar, in which a leap day comes last.
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month, shift) = (day - (153 * month + 2) / 5 + 1, (month + 2) % 12 + 1, u64::from(month >= 10));
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + shift)
}

/// The server's core and the load generator's; `None` if there is only one core, or no `taskset`.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    pub server: usize,
    load: usize,
}

impl Cores {
    /// Pins this process to the one of the load generator.
    pub fn split() -> Option<Self> {
        let last = cores().checked_sub(1).filter(|last| *last > 0)?;
        let split = Self { server: last, load: last - 1 };
        let pid = std::process::id().to_string();
        let mut command = Command::new("taskset");
        command.args(["-cp", &split.load.to_string(), &pid]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success()).then_some(split)
    }
}

/// Processor time that the process took, as user and in the kernel, in all of its threads.
pub fn cpu(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name of the program, in parentheses, may have blanks.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    let ticks = ticks(11).zip(ticks(12)).map(|(user, kernel)| user + kernel).ok_or("no times in /proc")?;
    // USER_HZ, which is 100 on every architecture that Linux serves requests on.
    Ok(Duration::from_millis(ticks * 10))
}

/// Resident bytes now, and the most there were.
pub fn resident(pid: u32) -> Result<(u64, u64)> {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"))?;
    let field = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
    };
    field("VmRSS:").zip(field("VmHWM:")).ok_or_else(|| "no resident memory in /proc".into())
}
