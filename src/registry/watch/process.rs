use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit};

/// What this process uses of the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Process {
    /// Memory it holds, in bytes.
    pub(super) resident: u64,
    /// Memory it has addresses for, in bytes.
    pub(super) virtual_memory: u64,
    /// Time of processors it has used, in seconds.
    pub(super) cpu: f64,
    /// Files, folders and sockets it has open.
    pub(super) open_files: u64,
    /// How many it may have open.
    pub(super) max_files: u64,
}

impl Process {
    /// As of now; what the system does not say is 0. Reads files, if only of memory.
    pub(in crate::registry) fn now() -> Self {
        let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let mut pages = statm.split(' ').map(|pages| pages.parse::<u64>().unwrap_or_default());
        let page = rustix::param::page_size() as u64;
        let mut bytes = || pages.next().unwrap_or_default() * page;
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        Self {
            virtual_memory: bytes(),
            resident: bytes(),
            cpu: ticks(&stat) as f64 / rustix::param::clock_ticks_per_second() as f64,
            open_files: fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64),
            max_files: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
        }
    }
}

/// User and system time of `/proc/self/stat`: fields 14 and 15, counted behind the program's name,
/// which may hold anything (proc_pid_stat(5)).
fn ticks(stat: &str) -> u64 {
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    rest.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap_or_default()).sum()
}

/// Seconds since 1970.
pub(in crate::registry) fn seconds(moment: SystemTime) -> f64 {
    moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strange_name_of_the_program_misleads_nobody() {
        let stat = "7 (a) b (c) R 1 2 3 4 5 6 7 8 9 10 30 12 13 14";
        assert_eq!(ticks(stat), 42);
        assert_eq!(ticks(""), 0);
    }

    #[test]
    fn this_process_uses_something() {
        let process = Process::now();
        assert!(process.resident > 0 && process.virtual_memory > process.resident);
        assert!(process.open_files > 0 && process.max_files >= process.open_files);
    }
}
