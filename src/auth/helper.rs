use std::io::{Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{Credentials, Error};

/// How long a helper may take; some ask a cloud.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// Asks `docker-credential-HELPER get` for the credentials of `server`
/// (docker-credential-helpers, "Development"). `None` if it has none.
pub(super) async fn ask(helper: &str, server: &str) -> Result<Option<Credentials>, Error> {
    let failed = |reason: String| Error::Helper {
        helper: helper.escape_debug().to_string(),
        server: server.to_owned(),
        reason,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if helper.is_empty() || !helper.chars().all(plain) {
        return Err(failed("its name may hold only letters, digits, `-`, `_` and `.`".to_owned()));
    }
    let program = format!("docker-credential-{helper}");
    let input = server.to_owned();
    tokio::task::spawn_blocking(move || run(&program, &input, PATIENCE))
        .await
        .unwrap_or_else(|_| Err("it could not be run to its end".to_owned()))
        .map_err(failed)
}

fn run(program: &str, server: &str, patience: Duration) -> Result<Option<Credentials>, String> {
    let mut command = Command::new(program);
    let (status, answer) = output_of(command.arg("get"), server.as_bytes(), patience)?;
    if status.success() {
        return understand(&answer);
    }
    if String::from_utf8_lossy(&answer).contains("credentials not found") {
        return Ok(None);
    }
    Err(format!("{status}"))
}

/// How a program ends that gets `input`, and what it prints.
pub(super) fn output_of(
    command: &mut Command,
    input: &[u8],
    patience: Duration,
) -> Result<(ExitStatus, Vec<u8>), String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{error}; install it, or name another auth file"))?;
    let deadline = Instant::now() + patience;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not listen still answers.
        let _ = stdin.write_all(input);
    }
    let output = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut answer = Vec::new();
        if let Some(output) = output {
            let _ = output.take(MAX_ANSWER_BYTES).read_to_end(&mut answer);
        }
        answer
    });
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            waited => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(waited.err().map_or_else(
                    || format!("it gave no answer within {} s", patience.as_secs()),
                    |error| error.to_string(),
                ));
            }
        }
    };
    Ok((status, reader.join().unwrap_or_default()))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

fn understand(answer: &[u8]) -> Result<Option<Credentials>, String> {
    let answer: Answer =
        serde_json::from_slice(answer).map_err(|_| "its answer is not understood".to_owned())?;
    Ok(Some(Credentials::new(answer.username, answer.secret))
        .filter(|found| !found.username.is_empty() && !found.password.reveal().is_empty()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn helper(folder: &tempfile::TempDir, body: &str) -> String {
        let path = folder.path().join("docker-credential-test");
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    #[test]
    fn a_helper_that_fails_hangs_or_babbles_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let short = Duration::from_millis(300);
        assert!(run("/nonexistent/helper", "h", short).is_err());
        for body in ["exit 3", "echo hunter2", "exec sleep 5"] {
            let reason = run(&helper(&folder, body), "h", short).unwrap_err();
            assert!(!reason.contains("hunter2"), "{reason}");
        }
    }

    #[test]
    fn a_helper_is_told_the_server_and_answers() {
        let folder = tempfile::tempdir().unwrap();
        let program = helper(
            &folder,
            r#"echo "{\"ServerURL\":\"x\",\"Username\":\"$1\",\"Secret\":\"$(cat)\"}""#,
        );
        let found = run(&program, "quay.io", PATIENCE).unwrap().unwrap();
        assert_eq!(found, Credentials::new("get", "quay.io"));
        let program = helper(&folder, "echo credentials not found in native keychain; exit 1");
        assert_eq!(run(&program, "quay.io", PATIENCE).unwrap(), None);
    }
}
