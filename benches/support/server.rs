//! Processes that serve, each ended with its value.

use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Outcome;
use super::client::{Connection, Target};
use super::place::remove_large_files;

/// zuul-registry needs more than a second.
const START: Duration = Duration::from_secs(30);

/// A server that could start now.
pub struct Prepared {
    pub command: Command,
    pub target: Target,
    pub folder: PathBuf,
}

/// A running server.
pub struct Server {
    pub target: Target,
    pub folder: PathBuf,
    process: Child,
}

impl Prepared {
    pub fn spawn_ready(self) -> Outcome<Server> {
        let mut server = self.spawn()?;
        server.wait_until_ready()?;
        Ok(server)
    }

    /// It ends with this program, also when that is killed.
    pub fn spawn(self) -> Outcome<Server> {
        let log = fs::File::create(self.folder.join("log"))?;
        let program = self.command.get_program();
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "TERM"])
            .arg(program)
            .args(self.command.get_args())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{program:?}: {error}"))?;
        Ok(Server { target: self.target, folder: self.folder, process })
    }
}

impl Server {
    /// Asks until it answers; the time is what it took from `spawn` when this follows at once.
    pub fn wait_until_ready(&mut self) -> Outcome<()> {
        let deadline = Instant::now() + START;
        while !self.answers() {
            if let Some(status) = self.process.try_wait()? {
                return Err(format!("ended at its start: {status}: {}", self.log()).into());
            }
            if Instant::now() > deadline {
                return Err("did not answer in time".into());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    /// Whether it answers a request; with TLS whether it takes connections.
    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.target.address) else { return false };
        if self.target.tls.is_some() {
            return true;
        }
        let request = Connection::head(&self.target, "GET", "/v2/", "Connection: close\r\n");
        std::io::Write::write_all(&mut stream, &request).is_ok()
            && stream.read(&mut [0; 64]).is_ok_and(|count| count > 0)
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// A line of `/proc/PID/status` in MiB, such as `VmRSS`.
    pub fn memory(&self, line: &str) -> Outcome<f64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let value = text
            .lines()
            .find_map(|found| found.strip_prefix(line)?.strip_prefix(':'))
            .and_then(|value| value.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
        Ok(value.ok_or("no such line in /proc")? / 1024.0)
    }

    /// Seconds of processor so far, in and for the process (proc(5), fields 14 and 15).
    pub fn processor(&self) -> Outcome<f64> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        let (_, fields) = text.rsplit_once(") ").ok_or("no name in /proc")?;
        let ticks = fields.split(' ').skip(11).take(2).map(str::parse);
        let ticks = ticks.collect::<Result<Vec<u64>, _>>()?;
        Ok(ticks.iter().sum::<u64>() as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// How many requests its log names. Lines are written when the answer has left, so they are waited for until no
    /// more come.
    pub fn requests(&self) -> Outcome<usize> {
        let count = || -> Outcome<usize> {
            let log = fs::read_to_string(self.folder.join("log"))?;
            Ok(log.lines().filter(|line| is_request(line)).count())
        };
        let mut before = count()?;
        loop {
            std::thread::sleep(Duration::from_millis(100));
            let now = count()?;
            if now == before {
                return Ok(now);
            }
            before = now;
        }
    }

    /// What it said last.
    pub fn log(&self) -> String {
        let text = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        text.lines().last().unwrap_or_default().chars().take(300).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx ends its workers on SIGTERM, not when it is killed.
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(3);
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = remove_large_files(&self.folder);
    }
}

/// distribution writes lines as Apache does, ours name the request's fields.
fn is_request(line: &str) -> bool {
    line.contains(" HTTP/1.1\" ") || line.contains(" INFO request id=")
}
