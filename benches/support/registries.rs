//! How ours and distribution are configured.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::Outcome;
use super::place::{Place, write};

/// Who may push to ours.
pub const LOGIN: (&str, &str) = ("zuul", "secret");

/// How a server is to be started.
pub struct Start<'a> {
    pub place: &'a Place,
    /// Its configuration, its log and, unless said otherwise, its content are here.
    pub folder: &'a Path,
    pub address: SocketAddr,
    /// Certificate and key, where it speaks TLS.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Further lines of its configuration.
    pub more: &'a str,
}

/// `buildset-registry`.
pub fn ours(start: &Start<'_>, durability: &str) -> Outcome<Command> {
    let tls = start.certificate.as_ref().map_or(String::new(), |(certificate, key)| {
        format!("tls: {{certificate: {}, key: {}}}\n", certificate.display(), key.display())
    });
    let text = format!(
        "listen: ['{}']\n{tls}storage: {{folder: storage, durability: {durability}}}\n\
         token_key: token.key\nusers: [{{name: {}, pass: {}, access: write}}]\n{}",
        start.address, LOGIN.0, LOGIN.1, start.more
    );
    let config = write(start.folder, "config.yaml", &text)?;
    let mut command = Command::new(&start.place.registry);
    command.args(["serve", "--config"]).arg(config);
    Ok(command)
}

/// Debian's `docker-registry`: distribution 2.8. Its access log is off unless it is asked for.
pub fn distribution(start: &Start<'_>, data: &Path, access_log: bool) -> Outcome<Command> {
    let tls = start.certificate.as_ref().map_or(String::new(), |(certificate, key)| {
        format!(", tls: {{certificate: {}, key: {}}}", certificate.display(), key.display())
    });
    let text = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: {}}}}}\n\
         storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{}'{tls}}}\n{}",
        !access_log,
        data.display(),
        start.address,
        start.more
    );
    let config = write(start.folder, "config.yml", &text)?;
    let mut command = Command::new(start.place.tools.join("docker-registry"));
    command.arg("serve").arg(config);
    Ok(command)
}

/// What `Authorization` says of the login.
pub fn basic() -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{}", LOGIN.0, LOGIN.1)))
}
