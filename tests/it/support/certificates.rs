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

/// The same, made here.
pub fn signed_by_itself(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let mut parameters = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    let paths = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
    std::fs::write(&paths.0, certificate.pem()).unwrap();
    std::fs::write(&paths.1, key.serialize_pem()).unwrap();
    paths
}
