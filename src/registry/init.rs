//! Makes the folder a server runs from: authority, certificate, password, key, configuration.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::files::{private_file, private_folder, read_if_there, token_key};
use super::service::StartError;
use crate::tls::{Authority, Subject};
use crate::zuul::Connection;

/// The name under which nodes reach a registry whose host is an address: docker cannot read
/// `[v6]:port/repository`.
pub const ALIAS: &str = "zuul-jobs.buildset-registry";

/// The name of the configuration file in a root.
pub const CONFIG_FILE: &str = "config.yaml";

/// What a root is for.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The folder.
    pub root: PathBuf,
    /// Name or address clients use.
    pub host: String,
    /// Further names and addresses of the certificate.
    pub sans: Vec<String>,
    /// The port clients use, and the server listens on.
    pub port: u16,
    /// The login name.
    pub user: String,
}

/// What was made, or found.
#[derive(Debug, Clone, Serialize)]
pub struct Initialised {
    /// What clients need.
    pub connection: Connection,
    /// The configuration file for `serve`.
    pub config: PathBuf,
    /// Whether anything was written.
    pub changed: bool,
}

/// What the certificates in a root are for; kept beside them.
#[derive(Serialize, Deserialize)]
struct Record {
    authority: String,
    permitted: Vec<Subject>,
    subjects: Vec<Subject>,
    /// Seconds since 1970.
    expires: i64,
}

/// The PEM files of a root.
struct Certificates {
    authority: String,
    changed: bool,
}

/// Makes a root, or brings one up to date: the authority's key, the password and the token key stay,
/// certificates are made anew where their names change or they soon expire. The connection is written
/// last, so that a root that was interrupted is made whole by the next call.
///
/// # Errors
/// A name no certificate can be made for, a configuration somebody edited, or the disk refuses.
pub fn init(plan: &Plan) -> Result<Initialised, StartError> {
    let host = plan.host.parse::<Subject>()?;
    if plan.user.is_empty() || plan.user.contains(|c: char| c == ':' || c.is_control()) {
        return Err(StartError::Argument(
            "the user name is empty, or has a `:` or a control character".to_owned(),
        ));
    }
    let root = &plan.root;
    let folder = root.join("tls");
    private_folder(&folder).map_err(|error| StartError::io("create", &folder, error))?;
    let key = root.join("token.key");
    token_key(&key).map_err(|error| StartError::io("write", &key, error))?;

    let subjects = subjects(&host, &plan.sans)?;
    let certificates = certificates(&folder, &subjects)?;
    let before = previous_connection(root);
    let connection = Connection {
        host: host.to_string(),
        port: plan.port,
        username: plan.user.clone(),
        password: match &before {
            Some(before) => before.password.clone(),
            None => random_password()?,
        },
        cert: Some(certificates.authority),
    };
    let config = root.join(CONFIG_FILE);
    let written = write_config(&config, before.as_ref(), &connection)?;
    let same = before.as_ref() == Some(&connection);
    if !same {
        let text = serde_json::to_vec_pretty(&connection).unwrap_or_default();
        write(&root.join("connection.json"), &text)?;
    }
    Ok(Initialised { connection, config, changed: !same || written || certificates.changed })
}

fn subjects(host: &Subject, sans: &[String]) -> Result<Vec<Subject>, StartError> {
    let mut subjects = Vec::new();
    let fixed = [ALIAS, "localhost", "127.0.0.1", "::1"].map(str::parse::<Subject>);
    let given = sans.iter().map(|san| san.parse::<Subject>());
    for subject in fixed.into_iter().chain([Ok(host.clone())]).chain(given) {
        let subject = subject?;
        if !subjects.contains(&subject) {
            subjects.push(subject);
        }
    }
    Ok(subjects)
}

fn certificates(folder: &Path, subjects: &[Subject]) -> Result<Certificates, StartError> {
    let record_file = folder.join("record.json");
    let (ca, ca_key) = (folder.join("ca.pem"), folder.join("ca.key"));
    let (server, server_key) = (folder.join("server.pem"), folder.join("server.key"));
    let record = read_text(&record_file)?.and_then(|text| serde_json::from_str(&text).ok());
    let known = match (record, read_text(&ca)?, read_text(&ca_key)?) {
        (Some(record), Some(certificate), Some(key)) => {
            let Record { authority: name, permitted, .. } = &record;
            let (name, permitted) = (name.clone(), permitted.clone());
            Some((Authority { certificate, key, name, permitted }, record))
        }
        _ => None,
    };
    let authority = match known {
        Some((authority, record)) if authority.permits(subjects) => {
            let fresh = record.expires > soon() && record.subjects == subjects;
            if fresh && server.is_file() && server_key.is_file() {
                return Ok(Certificates { authority: authority.certificate, changed: false });
            }
            authority
        }
        Some((authority, _)) => authority.reissue(subjects.to_vec())?,
        None => Authority::create(subjects.to_vec())?,
    };
    let issued = authority.issue(subjects)?;
    let record = Record {
        authority: authority.name.clone(),
        permitted: authority.permitted.clone(),
        subjects: subjects.to_vec(),
        expires: issued.expires.as_second(),
    };
    // Without its record nothing here is believed, so it goes first and comes last.
    remove(&record_file)?;
    for (path, text) in [
        (&ca_key, &authority.key),
        (&ca, &authority.certificate),
        (&server_key, &issued.key),
        (&server, &issued.certificate),
        (&record_file, &serde_json::to_string_pretty(&record).unwrap_or_default()),
    ] {
        write(path, text.as_bytes())?;
    }
    Ok(Certificates { authority: authority.certificate, changed: true })
}

/// Certificates that end before this are made anew.
fn soon() -> i64 {
    Timestamp::now().as_second().saturating_add(30 * 24 * 60 * 60)
}

/// Writes the configuration, unless it is there already. One that somebody edited is theirs.
fn write_config(
    file: &Path,
    before: Option<&Connection>,
    connection: &Connection,
) -> Result<bool, StartError> {
    let wanted = config_text(connection);
    let ours = |text: &str| before.is_some_and(|before| text == config_text(before));
    match read_text(file)? {
        Some(text) if text == wanted => return Ok(false),
        Some(text) if !ours(&text) => {
            let needs = |before: &Connection| {
                (before.port, &before.username) != (connection.port, &connection.username)
            };
            if before.is_some_and(needs) {
                return Err(StartError::Refused(format!(
                    "{} was edited: change the port and the user there, or remove it",
                    file.display()
                )));
            }
            return Ok(false);
        }
        _ => {}
    }
    write(file, wanted.as_bytes())?;
    Ok(true)
}

fn config_text(connection: &Connection) -> String {
    // JSON strings are YAML strings.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
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
  durability: process

# 32 random bytes that tokens are signed with.
token_key: token.key

# Who may log in. access: read (pull) or write (pull, push, delete).
users:
  - name: {user}
    pass: {password}
    access: write

# Whether images can be pulled without a login. Left out: yes, unless a user has only read access.
#anonymous_pull: true

# How long a push may bring no bytes.
#body_idle: 60s
",
        port = connection.port,
        user = quoted(&connection.username),
        password = quoted(&connection.password),
    )
}

/// A connection that cannot be read is made anew, with another password.
fn previous_connection(root: &Path) -> Option<Connection> {
    Connection::read(&root.join("connection.json")).ok()
}

fn random_password() -> Result<String, StartError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| StartError::Io {
        doing: "make a password".to_owned(),
        source: std::io::Error::other(error),
    })?;
    Ok(hex::encode(bytes))
}

fn read_text(path: &Path) -> Result<Option<String>, StartError> {
    let bytes = read_if_there(path).map_err(|error| StartError::io("read", path, error))?;
    Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), StartError> {
    private_file(path, bytes).map_err(|error| StartError::io("write", path, error))
}

fn remove(path: &Path) -> Result<(), StartError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StartError::io("remove", path, error))
        }
        _ => Ok(()),
    }
}
