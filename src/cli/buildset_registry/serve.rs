use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::{ArgGroup, Args};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::args::Common;
use crate::cli::exit::Failure;
use crate::cli::{log, output};
use crate::registry::config::Period;
use crate::registry::config::init::CONFIG_FILE;
use crate::registry::{Config, Service};
use crate::serve::{Drained, raise_file_limit};

const EXAMPLES: &str = "\
Examples:
  In the background, and its end:
    buildset-registry serve --root ~/registry --detach
    kill $(cat ~/registry/serve.pid)

  With zuul-registry's configuration, on another port than it says:
    buildset-registry serve --config /conf/registry.yaml --listen 0.0.0.0:5001

  Replace one that runs by another version, losing nobody:
    buildset-registry serve --root ~/registry --wait 90s --detach & kill $(cat ~/registry/serve.pid); wait

Exit codes: 0 ended as asked, 1 failed, 2 wrong arguments or configuration, 3 refused (already served).";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group(ArgGroup::new("place").args(["config", "root"]).required(true)))]
pub(super) struct Arguments {
    /// The configuration file; zuul-registry's registry.yaml is understood, too
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// A folder made by `init`; means the config.yaml in it
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,

    /// Listen here instead of where the configuration says; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<SocketAddr>,

    /// Go on in the background once it answers; the log goes to serve.log beside the configuration
    /// (for a registry.yaml below its storage root)
    #[arg(long)]
    detach: bool,

    /// How long running requests may take to end after SIGTERM or SIGINT
    #[arg(long, value_name = "TIME", default_value = "60s")]
    drain: Period,

    /// Where another process serves the same root, wait so long for it to end, instead of refusing: to
    /// replace a running registry, start the new one with this, then stop the old one. Clients that
    /// connect in between wait for the new one
    #[arg(long, value_name = "TIME", default_value = "0s")]
    wait: Period,

    /// End after this time in any case, so that a forgotten registry does not stay, e.g. 24h.
    /// Without this the configuration says it
    #[arg(long, value_name = "TIME")]
    max_lifetime: Option<Period>,

    /// This is the process in the background.
    #[arg(long, hide = true)]
    detached: bool,
}

/// What is printed once it answers.
#[derive(Debug, Serialize, Deserialize)]
struct Ready {
    ok: bool,
    listening: Vec<SocketAddr>,
    pid: u32,
}

/// What a process in the background prints when it does not get there.
#[derive(Debug, Deserialize)]
struct Failed {
    error: FailedError,
}

#[derive(Debug, Deserialize)]
struct FailedError {
    kind: String,
    message: String,
}

impl Arguments {
    pub(super) fn run(self, common: &Common) -> ExitCode {
        common.start_log();
        let result = if self.detach { self.detach(common) } else { self.serve() };
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => output::finish::<crate::registry::config::init::Initialised>(
                common.output(),
                Err(failure),
            ),
        }
    }

    fn config_file(&self) -> PathBuf {
        match (&self.config, &self.root) {
            (Some(file), _) => file.clone(),
            (None, root) => root.clone().unwrap_or_default().join(CONFIG_FILE),
        }
    }

    fn serve(&self) -> Result<(), Failure> {
        if self.detached {
            // Without a terminal and a session to die with. It fails only for a group's leader, which
            // has its own already.
            let _ = rustix::process::setsid();
        }
        raise_file_limit();
        let file = self.config_file();
        let config = Config::read(&file)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::io("start the async runtime", &error))?;
        config.make_home()?;
        runtime.block_on(self.serve_with(&config, &config.home.join("serve.pid")))
    }

    async fn serve_with(&self, config: &Config, pid_file: &Path) -> Result<(), Failure> {
        let stop = stop().map_err(|error| Failure::io("listen for signals", &error))?;
        let mut stop = pin!(stop);
        let service = tokio::select! {
            service = Service::take_over(config, &self.listen, self.wait.0) => service?,
            () = stop.as_mut() => return Ok(()),
        };
        let service = service.draining(self.drain.0);
        let ready =
            Ready { ok: true, listening: service.addresses().to_vec(), pid: std::process::id() };
        write_private(pid_file, &format!("{}\n", ready.pid))
            .map_err(|error| Failure::io(&format!("write {}", pid_file.display()), &error))?;
        self.say_ready(&ready).map_err(|error| Failure::io("say that it is ready", &error))?;
        tracing::info!(listening = ?ready.listening, "ready");
        let held = service.hold();
        let lifetime = self.max_lifetime.or(config.max_lifetime);
        let drained = service.run(until(stop, lifetime.map(|period| period.0))).await;
        // Somebody may have tidied up before us; who comes after us writes theirs when the store is free.
        let _ = std::fs::remove_file(pid_file);
        drop(held);
        match drained? {
            Drained::Completely => tracing::info!("stopped, every request was answered"),
            Drained::Cut(count) => {
                tracing::warn!(connections = count, "stopped, connections were cut");
            }
        }
        Ok(())
    }

    /// One line of JSON. A process in the background closes its stdout with it.
    fn say_ready(&self, ready: &Ready) -> io::Result<()> {
        let line = serde_json::to_string(ready)? + "\n";
        let mut stdout = io::stdout();
        stdout.write_all(line.as_bytes())?;
        stdout.flush()?;
        if self.detached {
            let nowhere = OpenOptions::new().write(true).open("/dev/null")?;
            rustix::stdio::dup2_stdout(&nowhere)?;
        }
        Ok(())
    }

    /// Starts this program once more in the background and waits until that one answers.
    fn detach(&self, common: &Common) -> Result<(), Failure> {
        let file = self.config_file();
        // What is wrong with the configuration is said here, not in a log.
        let config = Config::read(&file)?;
        Service::check(&config)?;
        config.make_home()?;
        let log_file = config.home.join("serve.log");
        let log = open_log(&log_file)
            .map_err(|error| Failure::io(&format!("open {}", log_file.display()), &error))?;
        let program = std::env::current_exe()
            .map_err(|error| Failure::io("find this program's own file", &error))?;
        let mut child = Command::new(program)
            .args(["serve", "--detached", "--output", "json"])
            .arg("--config")
            .arg(&file)
            .args(self.passed_on(common))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| Failure::io("start the process in the background", &error))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut line)
                .map_err(|error| Failure::io("read from the process in the background", &error))?;
        }
        if serde_json::from_str::<Ready>(&line).is_ok_and(|ready| ready.ok) {
            return io::stdout()
                .write_all(line.as_bytes())
                .map_err(|error| Failure::io("say that it is ready", &error));
        }
        // It prints nothing more: it is ending.
        let _ = child.wait();
        Err(background_failure(&line, &log_file))
    }

    fn passed_on(&self, common: &Common) -> Vec<String> {
        let mut options = Vec::new();
        for address in &self.listen {
            options.extend(["--listen".to_owned(), address.to_string()]);
        }
        options.extend(["--drain".to_owned(), self.drain.to_string()]);
        options.extend(["--wait".to_owned(), self.wait.to_string()]);
        if let Some(lifetime) = self.max_lifetime {
            options.extend(["--max-lifetime".to_owned(), lifetime.to_string()]);
        }
        if common.log_format == log::LogFormat::Json {
            options.extend(["--log-format", "json"].map(str::to_owned));
        }
        options.extend((0..common.verbose).map(|_| "-v".to_owned()));
        options.extend(common.quiet.then(|| "-q".to_owned()));
        options
    }
}

fn background_failure(line: &str, log_file: &Path) -> Failure {
    match serde_json::from_str::<Failed>(line) {
        Ok(Failed { error }) => {
            if error.kind == "refused" {
                Failure::refused(error.message)
            } else {
                Failure::failed("io", error.message)
            }
        }
        Err(_) => Failure::failed(
            "io",
            format!("the process in the background ended; {} says why", log_file.display()),
        ),
    }
}

/// SIGTERM or SIGINT.
fn stop() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let reason = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(reason, "stopping, running requests may end");
    })
}

/// That, or the end of the lifetime, which begins when it serves.
async fn until(stop: impl Future<Output = ()>, lifetime: Option<Duration>) {
    let Some(lifetime) = lifetime else { return stop.await };
    if tokio::time::timeout(lifetime, stop).await.is_err() {
        tracing::info!(reason = "the lifetime is over", "stopping, running requests may end");
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
