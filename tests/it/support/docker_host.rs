//! A docker engine on a host of its own: a network and an `/etc` that nobody else has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json as document};
use tempfile::TempDir;
use zuul_images::tls::Subject;

use super::process::terminate;
use super::programs::{json, program};
use super::proxied::write_certificate;

/// The build that shares its images.
const BUILD: &str = "0123456789abcdef0123456789abcdef";

/// What makes a host of two namespaces. `/etc` is a copy; root's home is a folder of the test's.
const SETUP: &str = r#"set -e
ip link set lo up
# Not loopback: docker believes anybody there.
ip address add 192.0.2.10/32 dev lo
ip address add 192.0.2.20/32 dev lo
ip address add 192.0.2.30/32 dev lo
# One that looks like any other of the public Internet.
ip address add 11.22.33.44/32 dev lo
cp -a /etc "$1/etc"
sed -i "s|^root:.*|root:x:0:0:root:$1/home:/bin/sh|" "$1/etc/passwd"
printf '127.0.0.1\tlocalhost\n192.0.2.10\tquay.io\n' >"$1/hosts"
# A host of containers has it mounted, where a copy is not.
umount /etc/hosts 2>/dev/null || true
rm -rf "$1/etc/docker" "$1/etc/systemd/system/docker.service.d"
mount --bind "$1/etc" /etc
cp "$1/hosts" /etc/hosts
# Empty ones of its own, below which nothing of the machine is changed.
mkdir -p "$1/home" "$1/share" "$1/state"
mount --bind "$1/share" /usr/local/share
mkdir /usr/local/share/ca-certificates
mount --bind "$1/state" /var/lib
echo ready
exec sleep infinity
"#;

/// Where the intermediate registry is.
pub const INTERMEDIATE: &str = "192.0.2.30:5000";

/// The host with a buildset registry that is the forward proxy for `quay.io`, a registry behind that
/// name, and the engine.
pub struct Host {
    namespaces: Child,
    registry: Option<Child>,
    intermediate: Option<Child>,
    real: Option<Child>,
    engine: Option<Child>,
    folder: TempDir,
}

impl Host {
    /// Everything runs. Nothing but `allow` of the proxy's configuration may be reached.
    pub fn start(allow: &str) -> Self {
        for tool in ["dockerd", "docker", "docker-registry", "unshare", "nsenter", "ip"] {
            let found =
                Command::new("sh").args(["-c", "command -v \"$0\"", tool]).output().unwrap();
            assert!(found.status.success(), "`{tool}` is needed: tests/install-tools fetches it");
        }
        let folder = tempfile::tempdir().unwrap();
        let mut namespaces = Command::new("unshare")
            .args(["--mount", "--net", "--propagation", "private", "sh", "-c", SETUP, "sh"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = namespaces.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
        assert_eq!(line, "ready\n", "namespaces cannot be made: this test needs root");
        let mut host = Self {
            namespaces,
            registry: None,
            intermediate: None,
            real: None,
            engine: None,
            folder,
        };
        host.start_real();
        host.make_registry(allow);
        host.start_registry();
        host.configure_engine();
        host.start_engine();
        host
    }

    /// A program on this host.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--mount", "--net", "--target", &self.namespaces.id().to_string()])
            .arg(format!("--wd={}", self.folder.path().display()))
            .args(["--", name])
            .env("HOME", self.path("home"))
            .env("DOCKER_HOST", format!("unix://{}", self.path("docker.sock").display()))
            .stdin(Stdio::null());
        command
    }

    /// `docker ARGUMENTS`, however it ends.
    pub fn try_docker(&self, arguments: &[&str]) -> Output {
        self.command("docker").args(arguments).output().unwrap()
    }

    /// `docker ARGUMENTS`, which has to succeed; what it printed.
    pub fn docker(&self, arguments: &[&str]) -> String {
        let output = self.try_docker(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {arguments:?}: {said}\n{}", self.logs());
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Makes an image with one file, which nobody else has.
    pub fn import(&self, name: &str, content: &str) {
        fs::write(self.path("content"), content).unwrap();
        let packed = Command::new("tar")
            .args(["-cf", "content.tar", "content"])
            .current_dir(self.folder.path())
            .status();
        assert!(packed.unwrap().success());
        self.docker(&["import", "content.tar", name]);
    }

    /// Pushes, and returns the digest.
    pub fn push(&self, name: &str) -> String {
        let said = self.docker(&["push", name]);
        let (_, digest) = said.rsplit_once("digest: ").unwrap_or_else(|| panic!("{said}"));
        digest.split(' ').next().unwrap().to_owned()
    }

    /// Pulls, and returns the digest.
    pub fn pull(&self, name: &str) -> String {
        let said = self.docker(&["pull", name]);
        let (_, digest) = said.split_once("Digest: ").unwrap_or_else(|| panic!("{said}"));
        digest.lines().next().unwrap().to_owned()
    }

    /// Forgets all images of the engine.
    pub fn forget_images(&self) {
        let images = self.docker(&["images", "--quiet"]);
        let mut arguments = vec!["rmi", "--force"];
        arguments.extend(images.lines());
        arguments.dedup();
        if arguments.len() > 2 {
            self.docker(&arguments);
        }
        self.docker(&["builder", "prune", "--all", "--force"]);
    }

    /// Logs in at the registry behind the name `quay.io`.
    pub fn login_at_real(&self) {
        self.docker(&["login", "--username", "real", "--password", "right", "quay.io"]);
    }

    /// What the registry behind `quay.io` was asked, by its own log.
    pub fn real_log(&self) -> String {
        fs::read_to_string(self.path("real.log")).unwrap()
    }

    /// Ends the registry behind `quay.io`.
    pub fn stop_real(&mut self) {
        end(&mut self.real);
    }

    /// Starts an intermediate registry.
    pub fn start_intermediate(&mut self) {
        let root = self.path("intermediate");
        let made = program("buildset-registry")
            .args(["init", "--site", "--host", "192.0.2.30", "--root"])
            .arg(&root)
            .output()
            .unwrap();
        fs::write(self.path("intermediate.json"), json(&made)["connection"].to_string()).unwrap();
        self.serve_intermediate();
    }

    /// Takes everything from the intermediate registry.
    pub fn empty_intermediate(&mut self) {
        end(&mut self.intermediate);
        fs::remove_dir_all(self.path("intermediate/storage")).unwrap();
        self.serve_intermediate();
    }

    /// Ends the intermediate registry.
    pub fn stop_intermediate(&mut self) {
        end(&mut self.intermediate);
    }

    /// Shares images of this buildset with the changes behind; returns their artifacts.
    pub fn share(&self, images: &Value) -> Value {
        fs::write(self.path("images.json"), images.to_string()).unwrap();
        let mut pushed = self.sync(&["push", "--images", "images.json", "--build", BUILD]);
        pushed["zuul"].take()
    }

    /// Another buildset: its registry has nothing but pointers to these artifacts.
    pub fn begin_lazily(&mut self, zuul: &Value) {
        end(&mut self.registry);
        fs::remove_dir_all(self.path("root/storage")).unwrap();
        self.start_registry();
        fs::write(self.path("artifacts.json"), document!({ "zuul": zuul }).to_string()).unwrap();
        let pulled = self.sync(&["pull", "--lazy", "--artifacts", "artifacts.json"]);
        for image in pulled["images"].as_array().unwrap() {
            assert_eq!(image["lazy"], true, "{pulled}\n{}", self.logs());
        }
        assert_eq!(pulled["totals"]["bytes_moved"], 0, "{pulled}");
    }

    /// `intermediate-registry-sync` between the two registries.
    fn sync(&self, arguments: &[&str]) -> Value {
        let (own, intermediate) = ("connection.json", "intermediate.json");
        let (from, to) = match arguments[0] {
            "push" => (own, intermediate),
            _ => (intermediate, own),
        };
        let ours = assert_cmd::cargo::cargo_bin("intermediate-registry-sync");
        let output = self
            .command(ours.to_str().unwrap())
            .args(arguments)
            .args(["--no-ambient-config", "--output", "json", "--from", from, "--to", to])
            .output()
            .unwrap();
        json(&output)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start_real(&mut self) {
        let folder = self.folder.path().to_owned();
        write_certificate(&folder, &["quay.io".parse::<Subject>().unwrap()]);
        let hash = bcrypt::hash_with_result("right", 4).unwrap();
        let line = format!("real:{}\n", hash.format_for_version(bcrypt::Version::TwoY));
        fs::write(folder.join("htpasswd"), line).unwrap();
        let place = folder.display();
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\n\
             storage: {{filesystem: {{rootdirectory: {place}/real}}}}\n\
             auth: {{htpasswd: {{realm: real, path: {place}/htpasswd}}}}\n\
             http: {{addr: '192.0.2.10:443', tls: {{certificate: {place}/server.pem, key: {place}/server.key}}}}\n"
        );
        fs::write(folder.join("real.yml"), config).unwrap();
        let log = fs::File::create(folder.join("real.log")).unwrap();
        let mut command = self.command("docker-registry");
        command.args(["serve", "real.yml"]).stdout(log.try_clone().unwrap()).stderr(log);
        self.real = Some(command.spawn().unwrap());
        self.wait_for("192.0.2.10/443");
    }

    fn make_registry(&self, allow: &str) {
        let root = self.path("root");
        let made = program("buildset-registry")
            .args(["init", "--host", "192.0.2.20", "--proxy-registry", "quay.io", "--root"])
            .arg(&root)
            .output()
            .unwrap();
        fs::write(self.path("connection.json"), json(&made)["connection"].to_string()).unwrap();
        let file = root.join("config.yaml");
        let config = fs::read_to_string(&file).unwrap();
        let more = format!(
            "  allow: [{allow}]\n  certificates: {{quay.io: {}}}\n",
            self.path("ca.pem").display()
        );
        fs::write(file, config + &more).unwrap();
    }

    fn serve_intermediate(&mut self) {
        self.intermediate = Some(self.serve("intermediate"));
        self.wait_for("192.0.2.30/5000");
    }

    fn start_registry(&mut self) {
        self.registry = Some(self.serve("root"));
        self.wait_for("192.0.2.20/5000");
    }

    /// A registry of ours in this folder.
    fn serve(&self, root: &str) -> Child {
        let ours = assert_cmd::cargo::cargo_bin("buildset-registry");
        let log = self.path(&format!("{root}.log"));
        let log = fs::File::options().create(true).append(true).open(log).unwrap();
        let address = if root == "root" { "192.0.2.20:5000" } else { INTERMEDIATE };
        let mut command = self.command(ours.to_str().unwrap());
        command
            .args(["serve", "--drain", "1s", "--listen", address, "--root"])
            .arg(self.path(root))
            .stdout(Stdio::null())
            .stderr(log);
        command.spawn().unwrap()
    }

    fn configure_engine(&self) {
        let ours = assert_cmd::cargo::cargo_bin("buildset-registry");
        let configured = self
            .command(ours.to_str().unwrap())
            .args(["configure-client", "--user", "root", "--proxy", "--for", "docker"])
            .args(["--connection", "connection.json", "--output", "json"])
            .output()
            .unwrap();
        assert_eq!(json(&configured)["changed"], Value::Bool(true));
    }

    /// As systemd would, with the environment of the drop-in.
    fn start_engine(&mut self) {
        let place = self.folder.path();
        let log = fs::File::create(self.path("engine.log")).unwrap();
        let mut command = self.command("dockerd");
        command
            .args(["--iptables=false", "--bridge=none", "--storage-driver=vfs"])
            .arg(format!("--data-root={}", place.join("data").display()))
            .arg(format!("--exec-root={}", place.join("exec").display()))
            .arg(format!("--pidfile={}", place.join("engine.pid").display()))
            .arg(format!("--host=unix://{}", place.join("docker.sock").display()))
            .envs(environment(&self.path("etc/docker/zuul-images-proxy.env")))
            .stdout(Stdio::null())
            .stderr(log);
        self.engine = Some(command.spawn().unwrap());
        self.wait(|host| host.try_docker(&["version"]).status.success(), "the docker engine");
    }

    fn wait_for(&mut self, place: &str) {
        let script = format!("exec 3<>/dev/tcp/{place}");
        let answers = |host: &Self| {
            let tried = host.command("bash").args(["-c", &script]).stderr(Stdio::null()).status();
            tried.unwrap().success()
        };
        self.wait(answers, &format!("what listens on {place}"));
    }

    fn wait(&mut self, answers: impl Fn(&Self) -> bool, what: &str) {
        let deadline = Instant::now() + Duration::from_secs(90);
        while !answers(self) {
            let ended =
                [&mut self.registry, &mut self.intermediate, &mut self.real, &mut self.engine]
                    .into_iter()
                    .find_map(|child| child.as_mut()?.try_wait().unwrap());
            assert!(ended.is_none(), "{what} ended: {ended:?}\n{}", self.logs());
            assert!(Instant::now() < deadline, "{what} does not answer\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn logs(&self) -> String {
        let tail = |name: &str| {
            let text = fs::read_to_string(self.path(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            format!("--- {name}\n{}\n", lines[lines.len().saturating_sub(30)..].join("\n"))
        };
        ["engine.log", "root.log", "intermediate.log", "real.log"].map(tail).concat()
    }
}

/// What systemd reads from an `EnvironmentFile`.
fn environment(file: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(file).unwrap();
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn end(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        // It may have ended already.
        if matches!(child.try_wait(), Ok(None)) {
            terminate(child.id());
        }
        let _ = child.wait();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        end(&mut self.engine);
        end(&mut self.registry);
        end(&mut self.intermediate);
        end(&mut self.real);
        let _ = self.namespaces.kill();
        let _ = self.namespaces.wait();
    }
}
