//! What the figures were measured on.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use super::Outcome;

pub fn describe() -> Value {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |text: &str, name: &str| {
        text.lines()
            .find_map(|line| {
                line.strip_prefix(name)?.split_once(':').map(|(_, value)| value.trim().to_owned())
            })
            .unwrap_or_default()
    };
    let memory = field(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemTotal");
    let memory: f64 = memory.trim_end_matches("kB").trim().parse().unwrap_or_default();
    json!({
        "processor": field(&processors, "model name"),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "sha_ni": processors.contains(" sha_ni"),
        "memory_gib": (memory / 1024.0 / 1024.0).round(),
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        "date": said("date", &["-u", "+%F %R UTC"]),
        "commit": said("git", &["describe", "--always", "--dirty", "--abbrev=12"]),
        "load_before": load(),
    })
}

/// The line above a table.
pub fn heading(machine: &Value) -> String {
    let field = |name: &str| machine[name].to_string().replace('"', "");
    format!(
        "Measured {} at {} on {} × {} (SHA-NI: {}), {} GiB, Linux {}; load before: {}.\n\n",
        field("date"),
        field("commit"),
        field("cores"),
        field("processor"),
        field("sha_ni"),
        field("memory_gib"),
        field("kernel"),
        field("load_before"),
    )
}

/// The load average of the last minute.
pub fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default()
}

/// Waits until the disk below `folder` is told of no more blocks that deleted files have left. A file system
/// mounted with `discard` goes on with that for seconds, and whatever changes files meanwhile waits for it.
pub fn await_discards(folder: &Path) -> Outcome<()> {
    const QUIET: Duration = Duration::from_millis(400);
    let mut before = discards(folder)?;
    loop {
        sleep(QUIET);
        let now = discards(folder)?;
        if now == before {
            return Ok(());
        }
        before = now;
    }
}

/// How many discards were done so far (Linux, Documentation/block/stat.rst); none where no disk is below.
fn discards(folder: &Path) -> Outcome<u64> {
    let device = fs::metadata(folder)?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let stat = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat"));
    let count = stat.ok().and_then(|stat| stat.split_whitespace().nth(11)?.parse().ok());
    Ok(count.unwrap_or_default())
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
