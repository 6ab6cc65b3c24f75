//! Makes the folder a server runs from: authority, certificate, password, key, configuration.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::files::{
    lock, new_token_key, private_file, private_folder, read_if_there, token_key, warn_if_open,
};
use super::root::{Wanted, settle};
use crate::oci::Registry;
use crate::proxy;
use crate::registry::service::StartError;
use crate::tls::{Authority, Subject, server_config};
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
    /// Whether it is a site's, which lives long and survives a loss of power, or one buildset's.
    pub site: bool,
    /// Registries it is to be a forward proxy for.
    pub proxied: Vec<Registry>,
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

/// Makes a root, or brings one up to date, one caller at a time: the authority's key, the password and the token key stay,
/// certificates are made anew where their names change or they soon expire. The connection is written
/// last, so that a root that was interrupted is made whole by the next call.
///
/// # Errors
/// A name no certificate can be made for, a configuration that does not fit, or the disk refuses.
pub fn init(plan: &Plan) -> Result<Initialised, StartError> {
    let host = plan.host.parse::<Subject>()?;
    if plan.user.is_empty() || plan.user.contains(|c: char| c == ':' || c.is_control()) {
        return Err(StartError::Argument(
            "the user name is empty, or has a `:` or a control character".to_owned(),
        ));
    }
    let subjects = subjects(&host, &plan.sans)?;
    let root = &plan.root;
    private_folder(root).map_err(|error| StartError::io("create", root, error))?;
    let lock_file = root.join("init.lock");
    let _alone = lock(&lock_file).map_err(|error| StartError::io("lock", &lock_file, error))?;
    let before = previous_connection(root);
    let config = root.join(CONFIG_FILE);
    let wanted =
        Wanted { port: plan.port, user: &plan.user, site: plan.site, proxied: &plan.proxied };
    let settled = settle(&config, wanted, before.as_ref())?;

    let folder = root.join("tls");
    private_folder(&folder).map_err(|error| StartError::io("create", &folder, error))?;
    let new_key = make_token_key(&root.join("token.key"))?;
    let certificates = certificates(&folder, &subjects, &proxy::subjects(&plan.proxied))?;
    let connection = Connection {
        host: host.to_string(),
        port: plan.port,
        username: plan.user.clone(),
        password: settled.password,
        cert: Some(certificates.authority),
        proxied: plan.proxied.iter().map(ToString::to_string).collect(),
    };
    if let Some(text) = &settled.text {
        write(&config, text.as_bytes())?;
    }
    let same = before.as_ref() == Some(&connection);
    if !same {
        let text = serde_json::to_vec_pretty(&connection).unwrap_or_default();
        write(&root.join("connection.json"), &text)?;
    }
    let changed = !same || settled.text.is_some() || certificates.changed || new_key;
    Ok(Initialised { connection, config, changed })
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

/// A key that no server could use is made anew too.
fn make_token_key(path: &Path) -> Result<bool, StartError> {
    match token_key(path) {
        Ok(Some(_)) => return Ok(false),
        Ok(None) => {}
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => remove(path)?,
        Err(error) => return Err(StartError::io("read", path, error)),
    }
    new_token_key(path).map_err(|error| StartError::io("write", path, error))?;
    Ok(true)
}

/// Those of the server for its own subjects; the authority may vouch for `more`, too.
fn certificates(
    folder: &Path,
    subjects: &[Subject],
    more: &[Subject],
) -> Result<Certificates, StartError> {
    let permitted = [subjects, more].concat();
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
        Some((authority, record)) if authority.permits(&permitted) => {
            let fresh = record.expires > soon() && record.subjects == subjects;
            if fresh && server_config(&server, &server_key).is_ok() {
                return Ok(Certificates { authority: authority.certificate, changed: false });
            }
            authority
        }
        Some((authority, _)) => authority.reissue(permitted)?,
        None => Authority::create(permitted)?,
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

/// The certificate authority that `init` made in a folder.
pub(in crate::registry) fn authority(folder: &Path) -> Result<Authority, StartError> {
    let missing = |what: &str| StartError::Config {
        file: folder.display().to_string(),
        reason: format!("there is no {what} of a certificate authority that `init` made"),
    };
    let record = read_text(&folder.join("record.json"))?;
    let record: Option<Record> = record.and_then(|text| serde_json::from_str(&text).ok());
    let Record { authority: name, permitted, .. } = record.ok_or_else(|| missing("record"))?;
    let certificate = read_text(&folder.join("ca.pem"))?.ok_or_else(|| missing("certificate"))?;
    let key = folder.join("ca.key");
    warn_if_open(&key, "the key of the certificate authority");
    let key = read_text(&key)?.ok_or_else(|| missing("key"))?;
    Ok(Authority { certificate, key, name, permitted })
}

/// Certificates that end before this are made anew.
fn soon() -> i64 {
    Timestamp::now().as_second().saturating_add(30 * 24 * 60 * 60)
}

/// A connection that cannot be read is made anew, with another password.
fn previous_connection(root: &Path) -> Option<Connection> {
    Connection::read(&root.join("connection.json")).ok()
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
