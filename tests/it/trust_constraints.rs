//! What a buildset's authority may vouch for, as clients see it that nobody here wrote: nodes put the
//! authority into their trust, so whoever has its key must not become quay.io with it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tempfile::TempDir;
use zuul_images::tls::{Authority, Subject};

use crate::support::process::tool;

/// A certificate that the authority's key has signed, the name a client looks for, and whether it is
/// to be believed.
struct Case {
    file: String,
    name: &'static str,
    good: bool,
}

/// The authority may vouch for `registry.example`, `192.0.2.7` and `2001:db8::7`.
fn cases(folder: &Path) -> Vec<Case> {
    let subject = |name: &str| name.parse::<Subject>().unwrap();
    let permitted = ["registry.example", "192.0.2.7", "2001:db8::7"].map(subject).to_vec();
    let authority = Authority::create(permitted).unwrap();
    fs::write(folder.join("ca.pem"), &authority.certificate).unwrap();
    let cases: [(&[&str], &'static str, bool); 9] = [
        (&["registry.example"], "registry.example", true),
        (&["192.0.2.7"], "192.0.2.7", true),
        (&["2001:db8::7", "registry.example"], "2001:db8::7", true),
        (&["evil.example"], "evil.example", false),
        (&["quay.io"], "quay.io", false),
        (&["notregistry.example"], "notregistry.example", false),
        (&["192.0.2.8"], "192.0.2.8", false),
        (&["2001:db8::8"], "2001:db8::8", false),
        // One name too many spoils the certificate.
        (&["registry.example", "evil.example"], "evil.example", false),
    ];
    let mut made = Vec::new();
    for (number, (names, name, good)) in cases.into_iter().enumerate() {
        let subjects: Vec<Subject> = names.iter().copied().map(subject).collect();
        let file = format!("{number}.pem");
        fs::write(folder.join(&file), authority.issue(&subjects).unwrap().certificate).unwrap();
        made.push(Case { file, name, good });
    }
    made
}

#[test]
fn openssl_believes_nothing_outside_the_authoritys_names() {
    let folder = TempDir::new().unwrap();
    for case in cases(folder.path()) {
        let address = case.name.parse::<std::net::IpAddr>().is_ok();
        let output = tool("openssl")
            .args(["verify", "-x509_strict", "-purpose", "sslserver", "-no-CApath"])
            .args([if address { "-verify_ip" } else { "-verify_hostname" }, case.name])
            .arg("-CAfile")
            .arg(folder.path().join("ca.pem"))
            .arg(folder.path().join(&case.file))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), case.good, "{}: {said}", case.name);
        assert!(case.good || said.contains("permitted subtree violation"), "{said}");
    }
}

#[test]
fn rustls_believes_nothing_outside_the_authoritys_names() {
    let folder = TempDir::new().unwrap();
    let read = |file: &str| CertificateDer::from_pem_file(folder.path().join(file)).unwrap();
    let cases = cases(folder.path());
    let mut roots = RootCertStore::empty();
    roots.add(read("ca.pem")).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    for case in cases {
        let name = ServerName::try_from(case.name).unwrap();
        let verdict =
            verifier.verify_server_cert(&read(&case.file), &[], &name, &[], UnixTime::now());
        assert_eq!(verdict.is_ok(), case.good, "{}: {verdict:?}", case.name);
        let said = format!("{verdict:?}");
        assert!(case.good || said.contains("NameConstraintViolation"), "{said}");
    }
}

/// Go is what docker, podman and containerd are written in.
#[test]
fn go_believes_nothing_outside_the_authoritys_names() {
    let folder = TempDir::new().unwrap();
    let cases = cases(folder.path());
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/verify.go");
    let output = Command::new("go")
        .arg("run")
        .arg(program)
        .arg("ca.pem")
        .args(cases.iter().flat_map(|case| [case.file.as_str(), case.name]))
        .current_dir(folder.path())
        .env("GO111MODULE", "off")
        .env("GOTOOLCHAIN", "local")
        .output()
        .expect("`go` is needed for the tests: tests/install-tools installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let verdicts: Vec<&str> = said.lines().collect();
    assert_eq!(verdicts.len(), cases.len(), "{said}");
    for (case, verdict) in cases.iter().zip(verdicts) {
        assert_eq!(verdict == "ok", case.good, "{}: {verdict}", case.name);
        assert!(case.good || verdict.contains("not permitted by any constraint"), "{verdict}");
    }
}
