//! The program `buildset-registry` itself, as a process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;

/// A process that serves; killed with its value.
pub struct Served {
    pub address: SocketAddr,
    process: Child,
    stdout: BufReader<ChildStdout>,
}

impl Served {
    /// Starts `serve` with these options on a free port; returns when it answers.
    pub fn start(options: &[&str]) -> Self {
        Self::start_logging(options, Stdio::null())
    }

    /// The same on a port that is said.
    pub fn start_on(address: SocketAddr, options: &[&str]) -> Self {
        Self::launch(&address.to_string(), options, Stdio::null())
    }

    /// On a free port, with a place for its log.
    pub fn start_logging(options: &[&str], log: impl Into<Stdio>) -> Self {
        Self::launch("127.0.0.1:0", options, log)
    }

    fn launch(address: &str, options: &[&str], log: impl Into<Stdio>) -> Self {
        let mut command = registry(&["serve", "--listen", address]);
        command.args(options).stderr(log);
        Self::start_as(command)
    }

    /// Runs a command that ends up as a process that serves; returns when it answers.
    pub fn start_as(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"));
        assert_eq!(ready["pid"], process.id());
        let address = ready["listening"][0].as_str().unwrap().parse().unwrap();
        Self { address, process, stdout }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) {
        self.process.wait().unwrap();
    }

    /// SIGTERM; returns the exit code and what else it printed.
    pub fn terminate(mut self) -> (Option<i32>, String) {
        terminate(self.process.id());
        let status = self.process.wait().unwrap();
        let mut rest = String::new();
        self.stdout.read_line(&mut rest).unwrap();
        (status.code(), rest)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The program, deaf to the configuration of whoever runs the tests.
pub fn registry(arguments: &[&str]) -> Command {
    let mut command = super::programs::program("buildset-registry");
    command.args(arguments);
    command
}

/// `serve` with these options on a free port, where it has to end with `code`: in the foreground, and where
/// it would go on in the background.
pub fn serve_in_vain(options: &[&str], code: i32) -> [Output; 2] {
    [&[][..], &["--detach"]].map(|detach| {
        let mut command = registry(&["serve", "--listen", "127.0.0.1:0"]);
        let output = command.args(options).args(detach).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{options:?}: {output:?}");
        output
    })
}

/// `init` in `root`; returns its document.
pub fn init(root: &Path, options: &[&str]) -> Value {
    let output = try_init(root, options);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// `init` in `root`, however it ends.
pub fn try_init(root: &Path, options: &[&str]) -> Output {
    registry(&["init", "--root"]).arg(root).args(options).output().unwrap()
}

/// Tells one process to stop, as `kill` does.
pub fn terminate(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
}

/// Runs a program the tests need; without it they fail and say so.
pub fn tool(name: &str) -> Command {
    let found = Command::new(name).arg("--version").output();
    assert!(found.is_ok(), "`{name}` is needed for the tests and is not installed");
    Command::new(name)
}
