//! Where a run keeps its files.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::content::Content;
use super::{Outcome, machine};

/// Where a run keeps its files; removed with it.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub tools: PathBuf,
    pub registry: PathBuf,
    next: AtomicUsize,
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
        Ok(Self { folder, tools, registry, next: AtomicUsize::new(0) })
    }

    pub fn new_folder(&self) -> Outcome<PathBuf> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.path().join(number.to_string());
        fs::create_dir(&folder)?;
        Ok(folder)
    }

    /// Of the authority that issued the certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Certificate and key.
    pub fn certificate(&self) -> (PathBuf, PathBuf) {
        let root = self.folder.path().join("tls/tls");
        (root.join("server.pem"), root.join("server.key"))
    }

    pub fn client_config(&self) -> Outcome<Arc<rustls::ClientConfig>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.ca())?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

/// Small files stay until the end of the run: when ext4 makes a file it looks at every inode that was
/// given back within the last minutes, which would slow down whatever is measured next.
pub fn remove_large_files(folder: &Path) -> std::io::Result<()> {
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

pub fn free_address() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

pub fn write(folder: &Path, name: &str, text: &str) -> Outcome<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, text)?;
    Ok(path)
}

/// Lets the disk finish what others left to it. Before the first push, as much memory as a scenario fills
/// with files is touched once: on a virtual machine the first touch may cost more than the push.
pub fn settle(folder: &Path) -> Outcome<()> {
    static TOUCHED: Once = Once::new();
    let mut touched = Ok(());
    TOUCHED.call_once(|| touched = touch(&folder.join("touched")));
    touched?;
    rustix::fs::syncfs(File::open(folder)?)?;
    machine::await_discards(folder)
}

fn touch(path: &Path) -> Outcome<()> {
    Content::new(4 * 1024 * 1024 * 1024).write_to(path)?;
    Ok(fs::remove_file(path)?)
}
