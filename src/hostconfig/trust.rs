//! The system's trust in certificates: the tool that makes it of what stands in its folders.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::{Action, Error, FileReport};

/// Debian's folder of a site's own certificates.
pub(super) const DEBIAN: &str = "/usr/local/share/ca-certificates";
/// Fedora's.
pub(super) const FEDORA: &str = "/etc/pki/ca-trust/source/anchors";
/// Takes `-PATH` of each certificate that is gone; the path is the one that Debian's tool made.
const JAVA_HOOK: &str = "/etc/ca-certificates/update.d/jks-keystore";

/// Runs the system's tool if the folder of the running system changed.
pub(super) fn refresh(sysroot: &Path, files: &[FileReport]) -> Result<(), Error> {
    let changed = |folder: &str| {
        files.iter().any(|file| file.action.changes() && file.path.starts_with(folder))
    };
    if sysroot != Path::new("/") {
        return Ok(());
    }
    if changed(DEBIAN) {
        // Only --fresh sees a certificate that is gone, or another under the same name; it costs seconds.
        let fresh = files.iter().any(|file| {
            file.action.changes() && file.action != Action::Created && file.path.starts_with(DEBIAN)
        });
        let done = run("update-ca-certificates", if fresh { &["--fresh"] } else { &[] }, "");
        forget_in_java(files);
        done?;
    }
    if changed(FEDORA) {
        run("update-ca-trust", &[], "")?;
    }
    Ok(())
}

/// Of a site's own certificates, Debian's tool tells its hooks only which are new: Java would trust ours for ever.
fn forget_in_java(files: &[FileReport]) {
    let gone = |file: &&FileReport| file.action == Action::Removed && file.path.starts_with(DEBIAN);
    let stem = |file: &FileReport| Some(file.path.file_stem()?.to_string_lossy().into_owned());
    let lines: String = files
        .iter()
        .filter(gone)
        .filter_map(stem)
        .map(|stem| format!("-/etc/ssl/certs/{stem}.pem\n"))
        .collect();
    if lines.is_empty() || !is_program(Path::new(JAVA_HOOK)) {
        return;
    }
    // The tool itself goes on without a hook that fails, too; this one keeps what it was told for its next run.
    if let Err(error) = run(JAVA_HOOK, &[], &lines) {
        tracing::warn!(%error, "Java still trusts the certificate");
    }
}

/// Hooks that are none are passed over by the tool, too.
fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

fn run(program: &'static str, arguments: &[&str], input: &str) -> Result<(), Error> {
    let failed = |outcome: String, stderr: &[u8]| Error::TrustTool {
        program,
        outcome,
        stderr: String::from_utf8_lossy(stderr).trim().to_owned(),
    };
    match output(program, arguments, input) {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(failed(output.status.to_string(), &output.stderr)),
        Err(error) => Err(failed(error.to_string(), b"")),
    }
}

/// `input` fits into a pipe's buffer, so nothing is waited for that waits itself.
fn output(program: &str, arguments: &[&str], input: &str) -> io::Result<Output> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    match written {
        // What it did without reading all is told by its status.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(output),
    }
}
