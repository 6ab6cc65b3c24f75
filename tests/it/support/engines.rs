//! Container engines nobody here wrote, each with folders of its own, and images to give them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use zuul_images::oci::Digest;

use super::process::terminate;
use super::programs::RegistryProcess;

/// How long an engine may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A docker engine in a mount namespace of its own, with what it has in a folder.
pub struct Docker {
    engine: Engine,
}

/// A containerd with what it has in a folder.
pub struct Containerd {
    engine: Engine,
}

/// A process that ends with its value.
struct Engine {
    process: Child,
    folder: TempDir,
    socket: PathBuf,
}

impl Docker {
    /// An engine that trusts these registries' authorities and takes Docker Hub's images from the first.
    pub fn start(registries: &[&RegistryProcess]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificates = folder.path().join("certs.d");
        fs::create_dir(&certificates).unwrap();
        for registry in registries {
            let place = certificates.join(&registry.address);
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join("ca.crt"), registry.login().cert.unwrap()).unwrap();
        }
        // The engine's settings are in /etc, so it sees an /etc/docker of its own.
        let script = "mkdir -p /etc/docker && mount -t tmpfs none /etc/docker && \
            cp -r \"$0\" /etc/docker/certs.d && exec dockerd \"$@\"";
        let socket = folder.path().join("docker.sock");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut command = needed("unshare", "util-linux");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c", script])
            .arg(&certificates)
            .args(["--data-root", &path("data"), "--exec-root", &path("exec")])
            .args(["--pidfile", &path("pid"), "--host"])
            .arg(format!("unix://{}", socket.display()))
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none"])
            .args(["--storage-driver", "vfs"]);
        if let Some(mirror) = registries.first() {
            command.args(["--registry-mirror", &format!("https://{}", mirror.address)]);
        }
        needed("dockerd", "docker.io");
        let engine = Engine::start(command, folder, socket);
        let docker = Self { engine };
        docker.engine.wait(|| docker.docker(&["version"]).status.success());
        docker
    }

    /// Runs the client.
    pub fn docker(&self, arguments: &[&str]) -> Output {
        let folder = self.engine.folder.path();
        let mut docker = needed("docker", "docker.io");
        docker.env("HOME", folder).env("DOCKER_CONFIG", folder.join("client"));
        docker.env("DOCKER_HOST", format!("unix://{}", self.engine.socket.display()));
        docker.args(arguments).output().unwrap()
    }

    /// Writes the client's `config.json`.
    pub fn configure(&self, config: &Value) {
        let folder = self.engine.folder.path().join("client");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.json"), config.to_string()).unwrap();
    }

    /// Makes an image of one file; returns its id.
    pub fn import(&self, content: &str, name: &str) -> String {
        let layer = layer(self.engine.folder.path(), content);
        said(&self.docker(&["import", layer.to_str().unwrap(), name]))
    }
}

impl Containerd {
    /// An engine that only keeps and moves images.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("containerd.sock");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {:?}\n",
            path("root"),
            path("state"),
            path("containerd.sock"),
        );
        let file = folder.path().join("config.toml");
        fs::write(&file, config).unwrap();
        let mut command = needed("containerd", "containerd");
        command.arg("--config").arg(file);
        let containerd = Self { engine: Engine::start(command, folder, socket) };
        containerd.engine.wait(|| containerd.ctr(&["version"]).status.success());
        containerd
    }

    /// Runs the client.
    pub fn ctr(&self, arguments: &[&str]) -> Output {
        let mut ctr = needed("ctr", "containerd");
        ctr.arg("--address").arg(&self.engine.socket).args(arguments).output().unwrap()
    }

    /// Its folder, for files of a test.
    pub fn folder(&self) -> &Path {
        self.engine.folder.path()
    }
}

impl Engine {
    fn start(mut command: Command, folder: TempDir, socket: PathBuf) -> Self {
        let log = File::create(folder.path().join("log")).unwrap();
        let process = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { process, folder, socket }
    }

    fn wait(&self, answers: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !answers() {
            let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "the engine does not answer: {}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        terminate(self.process.id());
        let deadline = Instant::now() + PATIENCE;
        while self.process.try_wait().is_ok_and(|status| status.is_none()) {
            if Instant::now() > deadline {
                let _ = self.process.kill();
                let _ = self.process.wait();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A program the tests need; without it they fail and say what brings it.
pub fn needed(name: &str, package: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    assert!(found, "`{name}` (Debian's {package}) is needed: run tests/install-tools");
    Command::new(name)
}

/// What a program that must have succeeded printed, without the line's end.
pub fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", complaint(output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// What a program that must have failed said of it.
pub fn refused(output: &Output) -> String {
    let complaint = complaint(output);
    assert!(!output.status.success(), "{complaint}");
    complaint
}

fn complaint(output: &Output) -> String {
    let text = [&output.stdout[..], b"\n", &output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// A tar archive of a folder with one file, `content`.
pub fn layer(folder: &Path, content: &str) -> PathBuf {
    let place = folder.join("layer");
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join("content"), content).unwrap();
    let archive = folder.join("layer.tar");
    tar(&place, &archive);
    archive
}

fn tar(folder: &Path, archive: &Path) {
    let mut tar = needed("tar", "tar");
    said(&tar.arg("-C").arg(folder).arg("-cf").arg(archive).arg(".").output().unwrap());
}

/// An OCI archive of an image of one file, for this machine, under `name`; and the digest of its manifest.
pub fn oci_archive(folder: &Path, content: &str, name: &str) -> (PathBuf, Digest) {
    let layout = folder.join("layout");
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |media_type: &str, content: &[u8]| {
        let digest = Digest::sha256(content);
        fs::write(blobs.join(digest.hex()), content).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": content.len()})
    };
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let layer = fs::read(layer(folder, content)).unwrap();
    let config = json!({"os": "linux", "architecture": architecture, "config": {},
        "rootfs": {"type": "layers", "diff_ids": [Digest::sha256(&layer)]}});
    let manifest = json!({"schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes()),
        "layers": [put("application/vnd.oci.image.layer.v1.tar", &layer)]});
    let manifest = manifest.to_string();
    let mut top = put("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes());
    top["annotations"] = json!({"io.containerd.image.name": name});
    let index = json!({"schemaVersion": 2, "manifests": [top]});
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let archive = folder.join("image.tar");
    tar(&layout, &archive);
    (archive, Digest::sha256(manifest.as_bytes()))
}
