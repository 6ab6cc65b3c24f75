//! The servers that are measured, each started on a free port of 127.0.0.1 and ended with its value.

use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::Outcome;
use super::client::{Connection, Target};
use super::load::at_once;

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Contestant {
    /// `buildset-registry` that survives the death of its process.
    Process,
    /// `buildset-registry` that survives a loss of power.
    Commit,
    /// Debian's `docker-registry`: distribution 2.8.
    Distribution,
    /// zuul-registry 1.3.0.
    Zuul,
    /// nginx as Debian has it, serving files with sendfile.
    Nginx,
    /// Writes what it is sent into files, and nothing else.
    Receiver,
    /// The same with an fsync.
    SyncingReceiver,
    /// No registry in between: what a pull-through is measured against.
    Direct,
}

/// Where a run keeps its files; removed with it.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub tools: PathBuf,
    pub registry: PathBuf,
    next: std::sync::atomic::AtomicUsize,
}

/// A running server.
pub struct Server {
    pub target: Target,
    pub folder: PathBuf,
    process: Child,
}

const LOGIN: (&str, &str) = ("zuul", "secret");

/// zuul-registry needs more than a second.
const START: Duration = Duration::from_secs(30);

impl Contestant {
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "ours",
            Self::Commit => "ours, commit",
            Self::Distribution => "distribution",
            Self::Zuul => "zuul-registry",
            Self::Nginx => "nginx",
            Self::Receiver => "receiver",
            Self::SyncingReceiver => "receiver, fsync",
            Self::Direct => "direct",
        }
    }

    /// Starts it in a new folder; returns when it answers.
    pub fn start(self, place: &Place, tls: bool) -> Outcome<Server> {
        self.start_with(place, tls, "")
    }

    /// The same with more lines in its configuration.
    pub fn start_with(self, place: &Place, tls: bool, more: &str) -> Outcome<Server> {
        let mut server = self.prepare(place, tls, more)?.spawn_ready()?;
        if self == Self::Zuul {
            server.log_in()?;
        }
        Ok(server)
    }

    /// Writes its configuration, so that only the start is left to do.
    pub fn prepare(self, place: &Place, tls: bool, more: &str) -> Outcome<Prepared> {
        let folder = place.new_folder()?;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let certificate = tls.then(|| place.certificates());
        let mut target = Target { address, authorization: None, tls: None };
        if tls {
            target.tls = Some(place.client_config()?);
        }
        let command = match self {
            Self::Process => ours(place, &folder, address, certificate, "process", more)?,
            Self::Commit => ours(place, &folder, address, certificate, "commit", more)?,
            Self::Distribution => distribution(place, &folder, address, certificate, more)?,
            Self::Zuul => zuul(place, &folder, address, certificate)?,
            Self::Nginx => nginx(place, &folder, address, certificate)?,
            Self::Receiver => itself(&["--serve", "receiver"], &folder, address)?,
            Self::SyncingReceiver => itself(&["--serve", "syncing-receiver"], &folder, address)?,
            Self::Direct => return Err("there is nothing to start".into()),
        };
        if matches!(self, Self::Process | Self::Commit) {
            let login = BASE64_STANDARD.encode(format!("{}:{}", LOGIN.0, LOGIN.1));
            target.authorization = Some(format!("Basic {login}"));
        }
        Ok(Prepared { command, target, folder })
    }
}

/// A server that could start now.
pub struct Prepared {
    command: Command,
    pub target: Target,
    folder: PathBuf,
}

impl Prepared {
    /// The harness's own upstream registry; it serves what is put into the folder `www`.
    pub fn upstream(place: &Place) -> Outcome<Self> {
        let folder = place.new_folder()?;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let command = itself(&["--serve", "upstream"], &folder, address)?;
        let target = Target { address, authorization: None, tls: None };
        Ok(Self { command, target, folder })
    }

    pub fn spawn_ready(self) -> Outcome<Server> {
        let mut server = self.spawn()?;
        server.wait_until_ready()?;
        Ok(server)
    }

    pub fn spawn(mut self) -> Outcome<Server> {
        let log = fs::File::create(self.folder.join("log"))?;
        let process = self
            .command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{:?}: {error}", self.command.get_program()))?;
        Ok(Server { target: self.target, folder: self.folder, process })
    }
}

/// This program, as the server of a kind.
fn itself(arguments: &[&str], folder: &Path, address: SocketAddr) -> Outcome<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).arg("--folder").arg(folder).arg("--listen").arg(address.to_string());
    Ok(command)
}

fn ours(
    place: &Place,
    folder: &Path,
    address: SocketAddr,
    certificate: Option<(PathBuf, PathBuf)>,
    durability: &str,
    more: &str,
) -> Outcome<Command> {
    let tls = certificate.map_or(String::new(), |(certificate, key)| {
        format!("tls: {{certificate: {}, key: {}}}\n", certificate.display(), key.display())
    });
    let text = format!(
        "listen: ['{address}']\n{tls}storage: {{folder: storage, durability: {durability}}}\n\
         token_key: token.key\nusers: [{{name: {}, pass: {}, access: write}}]\n\
         anonymous_pull: true\n{more}",
        LOGIN.0, LOGIN.1
    );
    let config = write(folder, "config.yaml", &text)?;
    let mut command = Command::new(&place.registry);
    command.args(["serve", "--config"]).arg(config);
    Ok(command)
}

fn distribution(
    place: &Place,
    folder: &Path,
    address: SocketAddr,
    certificate: Option<(PathBuf, PathBuf)>,
    more: &str,
) -> Outcome<Command> {
    let tls = certificate.map_or(String::new(), |(certificate, key)| {
        format!(", tls: {{certificate: {}, key: {}}}", certificate.display(), key.display())
    });
    let text = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
         storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{address}'{tls}}}\n{more}",
        folder.join("data").display()
    );
    let config = write(folder, "config.yml", &text)?;
    let mut command = Command::new(place.tools.join("docker-registry"));
    command.arg("serve").arg(config);
    Ok(command)
}

fn zuul(
    place: &Place,
    folder: &Path,
    address: SocketAddr,
    certificate: Option<(PathBuf, PathBuf)>,
) -> Outcome<Command> {
    let scheme = if certificate.is_some() { "https" } else { "http" };
    let tls = certificate.map_or(String::new(), |(certificate, key)| {
        format!("  tls-cert: {}\n  tls-key: {}\n", certificate.display(), key.display())
    });
    let text = format!(
        "registry:\n  address: 127.0.0.1\n  port: {}\n  public-url: {scheme}://{address}\n{tls}  \
         secret: test\n  users: [{{name: {}, pass: {}, access: write}}]\n  \
         storage: {{driver: filesystem, root: {}}}\n",
        address.port(),
        LOGIN.0,
        LOGIN.1,
        folder.join("data").display()
    );
    let config = write(folder, "registry.yaml", &text)?;
    let mut command = Command::new(place.tools.join("zuul-registry"));
    command.arg("-c").arg(config).arg("serve");
    Ok(command)
}

fn nginx(
    place: &Place,
    folder: &Path,
    address: SocketAddr,
    certificate: Option<(PathBuf, PathBuf)>,
) -> Outcome<Command> {
    let (ssl, tls) = certificate.map_or_else(Default::default, |(certificate, key)| {
        let lines = format!(
            "ssl_certificate {}; ssl_certificate_key {};",
            certificate.display(),
            key.display()
        );
        (" ssl", lines)
    });
    fs::create_dir_all(folder.join("www/v2"))?;
    let here = folder.display();
    // Temporary folders are named so that nothing is looked for where the package would have them.
    let text = format!(
        "daemon off; worker_processes auto; pid {here}/pid; error_log {here}/error.log; user root;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;\n\
         client_body_temp_path {here}/t1; proxy_temp_path {here}/t2; fastcgi_temp_path {here}/t3;\n\
         uwsgi_temp_path {here}/t4; scgi_temp_path {here}/t5; default_type application/octet-stream;\n\
         open_file_cache max=1000; {tls}\n\
         server {{ listen {address}{ssl}; root {here}/www; location = /v2/ {{ return 200 '{{}}'; }} }} }}\n"
    );
    let config = write(folder, "nginx.conf", &text)?;
    let mut command = Command::new(place.tools.join("nginx"));
    command.arg("-p").arg(folder).arg("-e").arg(folder.join("error.log")).arg("-c").arg(config);
    Ok(command)
}

fn write(folder: &Path, name: &str, text: &str) -> Outcome<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, text)?;
    Ok(path)
}

fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Place {
    /// A place with a certificate for 127.0.0.1.
    pub fn new(registry: PathBuf, tools: PathBuf) -> Outcome<Self> {
        let root = registry.parent().unwrap_or(&tools);
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(root)?;
        let output = Command::new(&registry)
            .args(["init", "--host", "127.0.0.1", "--root"])
            .arg(folder.path().join("tls"))
            .output()?;
        if !output.status.success() {
            return Err(format!("init: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        let document: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let ca = document["connection"]["cert"].as_str().ok_or("init gave no certificate")?;
        fs::write(folder.path().join("ca.pem"), ca)?;
        Ok(Self { folder, tools, registry, next: Default::default() })
    }

    pub fn new_folder(&self) -> Outcome<PathBuf> {
        let number = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = self.folder.path().join(number.to_string());
        fs::create_dir(&folder)?;
        Ok(folder)
    }

    fn certificates(&self) -> (PathBuf, PathBuf) {
        let root = self.folder.path().join("tls/tls");
        (root.join("server.pem"), root.join("server.key"))
    }

    fn client_config(&self) -> Outcome<Arc<rustls::ClientConfig>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.folder.path().join("ca.pem"))?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
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

    /// What it said last.
    pub fn log(&self) -> String {
        let text = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        text.lines().last().unwrap_or_default().chars().take(300).collect()
    }

    /// A token of zuul-registry, which takes no passwords elsewhere.
    fn log_in(&mut self) -> Outcome<()> {
        let login = BASE64_STANDARD.encode(format!("{}:{}", LOGIN.0, LOGIN.1));
        self.target.authorization = Some(format!("Basic {login}"));
        let target = &self.target;
        let (_, body) = at_once(1, |_| async {
            let path = "/auth/token?scope=repository:bench/image:pull,push";
            Connection::open(target).await?.fetch(path).await
        })?
        .remove(0);
        let document: serde_json::Value = serde_json::from_slice(&body)?;
        let token = document["token"].as_str().ok_or("zuul-registry gave no token")?;
        self.target.authorization = Some(format!("Bearer {token}"));
        Ok(())
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

/// Small files stay until the end of the run: when ext4 makes a file it looks at every inode that was
/// given back within the last minutes, which would slow down whatever is measured next.
fn remove_large_files(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            remove_large_files(&entry.path())?;
        } else if metadata.len() >= 1024 * 1024 {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
