use std::path::Path;

use super::files::read_if_there;
use crate::oci::Registry;
use crate::registry::Config;
use crate::registry::service::StartError;
use crate::registry::users::User;
use crate::zuul::Connection;

/// What the configuration file of a root depends on, besides the password.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(in crate::registry) port: u16,
    pub(in crate::registry) user: &'a str,
    /// For a site, and not for one buildset.
    pub(in crate::registry) site: bool,
    /// The registries it is a forward proxy for.
    pub(in crate::registry) proxied: &'a [Registry],
}

/// What the configuration file of a root is to hold.
pub(super) struct Settled {
    /// The password of the user.
    pub(in crate::registry) password: String,
    /// What to write; nothing where the file may stay.
    pub(in crate::registry) text: Option<String>,
}

/// Settles it before anything is written. A file that somebody edited is theirs, and must have what
/// the connection will say; one of ours without its connection is what an interrupted call left.
pub(super) fn settle(
    file: &Path,
    wanted: Wanted<'_>,
    before: Option<&Connection>,
) -> Result<Settled, StartError> {
    let bytes = read_if_there(file).map_err(|error| StartError::io("read", file, error))?;
    let Some(bytes) = bytes else {
        let password = match before {
            Some(before) => before.password.clone(),
            None => random_password()?,
        };
        return Ok(Settled { text: Some(text(wanted, &password)), password });
    };
    let config = Config::read(file).map_err(with_next_step)?;
    let proxied = config.forward_proxy.as_ref().map_or(&[][..], |proxy| &proxy.registries);
    let is_ours = |user: &&User| {
        [false, true].into_iter().any(|site| {
            let written = Wanted { port: config.port, user: &user.name, site, proxied };
            bytes == text(written, &user.password).as_bytes()
        })
    };
    let ours = config.users.first().filter(is_ours);
    let password = match (before, ours) {
        (Some(before), Some(_)) => before.password.clone(),
        (None, Some(user)) => user.password.clone(),
        (_, None) => edited(file, &config, wanted, before)?,
    };
    let wanted = text(wanted, &password);
    let stays = ours.is_none() || bytes == wanted.as_bytes();
    Ok(Settled { password, text: (!stays).then_some(wanted) })
}

/// The user's password in a configuration that fits.
fn edited(
    file: &Path,
    config: &Config,
    Wanted { port, user, proxied, .. }: Wanted<'_>,
    before: Option<&Connection>,
) -> Result<String, StartError> {
    let listed = config.forward_proxy.as_ref().map_or(&[][..], |proxy| &proxy.registries);
    if let Some(missing) = proxied.iter().find(|registry| !listed.contains(registry)) {
        return Err(StartError::Refused(format!(
            "{} was edited: add {missing} to `registries` of `forward_proxy` there, or remove it",
            file.display()
        )));
    }
    let same_port = before.is_some_and(|before| before.port == port);
    let listens = config.port == port || config.listen.iter().any(|address| address.port() == port);
    if !same_port && !listens {
        let file = file.display();
        return Err(StartError::Refused(format!(
            "{file} was edited: change the port there, or remove it"
        )));
    }
    let known = before.filter(|before| before.username == user).map(|before| &before.password);
    let found = config
        .users
        .iter()
        .find(|candidate| candidate.name == user && known.is_none_or(|p| *p == candidate.password));
    found.map(|found| found.password.clone()).ok_or_else(|| {
        let reason = match known {
            Some(_) => format!("user `{user}` is not in it with the password of connection.json"),
            None => format!("user `{user}` is not in it"),
        };
        with_next_step(StartError::Config { file: file.display().to_string(), reason })
    })
}

fn with_next_step(error: StartError) -> StartError {
    match error {
        StartError::Config { file, reason } => {
            let next = "correct it, or remove it and run `init` again, which writes a new one";
            StartError::Config { file, reason: format!("{reason}; {next}") }
        }
        other => other,
    }
}

fn text(wanted: Wanted<'_>, password: &str) -> String {
    let mut text = common_text(wanted, password);
    if !wanted.proxied.is_empty() {
        let names: Vec<String> =
            wanted.proxied.iter().map(|name| quoted(&name.to_string())).collect();
        text.push_str(&format!("{PROXY_TEXT}  registries: [{}]\n", names.join(", ")));
    }
    text
}

const PROXY_TEXT: &str = "
# A forward proxy for programs that know no mirrors: images of these registries that are here are answered
# from here, everything else goes to the registry itself. `allow: [10.1.0.0/16]` permits targets that are
# not public, `ports: [443, 8443]` further ports, `certificates: {HOST: FILE}` further authorities.
forward_proxy:
";

/// JSON strings are YAML strings.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn common_text(Wanted { port, user, site, .. }: Wanted<'_>, password: &str) -> String {
    format!(
        "\
# Configuration of buildset-registry. Paths are relative to this file; unknown keys are refused.

# The port on every address of this host; `listen: [\"192.0.2.1:5000\"]` names addresses instead.
port: {port}

# Without this section the registry speaks HTTP without TLS.
tls:
  certificate: tls/server.pem
  key: tls/server.key

storage:
  folder: storage
  # What a push that was answered survives: `process`, the end of the process at any moment;
  # `commit`, a loss of power too (slower: data is synced before the answer).
  durability: {durability}

# 32 random bytes that tokens are signed with. Without the file a start makes new ones, and tokens given
# before (they last an hour) are worth nothing: clients ask for others.
token_key: token.key

# Who may log in. access: read (pull) or write (pull, push, delete). `repositories` says where somebody
# may write, `repositories: [quay.io/org/app, quay.io/team/*]`; left out: everywhere.
users:
  - name: {user}
    pass: {password}
    access: write

# More users, in files of `htpasswd -B`; read again when they change.
#htpasswd:
#  - file: readers.htpasswd
#    access: read

# Whether images can be pulled without a login. Left out: yes, unless a user has only read access.
#anonymous_pull: true

# Whether images may be pushed that lack their configuration or layers.
#sparse_images: false

# Registries that are asked for images that were not pushed here (docs/registry.md, \"Layers\").
#namespaces:
#  - name: docker.io
#  - name: quay.io
#cache:
#  limit: 50GiB

# Images that have not merged: whether `pull --lazy` may leave pointers here, to images that are fetched
# from the intermediate registry when somebody reads them for the first time.
speculative:
  accept_pointers: {pointers}

# How long a push may bring no bytes.
#body_idle: 60s

# After this time it ends, so that a forgotten registry of a buildset does not stay.
{comment}max_lifetime: 24h

# What one client may use up. Connections beyond the number wait until others end (never more than three
# quarters of the files the system lets the process open); `head` is for the head of a request and between
# two requests, `stall` for a client that takes nothing of its answer, `push` for one request that brings a blob.
#limits: {{connections: 16384, head: 75s, stall: 60s, blob: 256GiB, push: 24h}}
",
        durability = if site { "commit" } else { "process" },
        pointers = !site,
        comment = if site { "#" } else { "" },
        user = quoted(user),
        password = quoted(password),
    )
}

fn random_password() -> Result<String, StartError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| StartError::Io {
        doing: "make a password".to_owned(),
        source: std::io::Error::other(error),
    })?;
    Ok(hex::encode(bytes))
}
