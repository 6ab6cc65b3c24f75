//! Certificates that nobody issued.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What `openssl req` of the registry roles upstream makes: its own CA, shown as it is.
pub fn self_signed(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let certificate = folder.join(format!("{name}.crt"));
    let key = folder.join(format!("{name}.key"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
        .args(["-subj", "/C=US/ST=CA/O=Test/CN=0.0.0.0"])
        .args(["-addext", &format!("subjectAltName={name}")])
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (certificate, key)
}
