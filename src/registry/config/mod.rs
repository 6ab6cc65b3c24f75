//! What a server is told: its configuration file, zuul-registry's in its place, and the folder that
//! `init` makes.

pub(super) mod files;
pub mod init;
pub mod limits;
pub mod namespaces;
mod root;
mod values;
mod zuul_registry;

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use self::files::{private_folder, warn_if_open};
use self::limits::Limits;
use self::namespaces::{CacheConfig, NamespaceConfig};
pub use self::values::{InvalidPeriod, InvalidSize, Period, PublicUrl, Size};
use crate::proxy;
use crate::registry::service::StartError;
use crate::registry::speculative::Speculative;
use crate::registry::users::{Htpasswd, Level, User};
use crate::storage::Durability;

/// What to do where there is no configuration.
const NO_FILE: &str =
    "is not there; `buildset-registry init` makes a folder with one, --root or --config names it";

/// What a server needs to know. Paths are taken from the folder of the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The port on every address of the host, where `listen` is empty.
    #[serde(default = "default_port")]
    pub port: u16,
    /// Addresses to listen on instead.
    #[serde(default)]
    pub listen: Vec<SocketAddr>,
    /// The server's certificate; without one it speaks HTTP, for loopback tests.
    pub tls: Option<Tls>,
    /// Where images are kept.
    pub storage: Store,
    /// File with the 32 bytes that tokens are signed with; made at the first start.
    pub token_key: PathBuf,
    /// Who may log in.
    #[serde(default)]
    pub users: Vec<User>,
    /// Files with more who may.
    #[serde(default)]
    pub htpasswd: Vec<Htpasswd>,
    /// Whether anybody may pull. Where this is not said: if no user has only `read` access.
    pub anonymous_pull: Option<bool>,
    /// Whether images may be pushed that lack their configuration or layers (distribution-spec,
    /// "Pushing Manifests": a registry may refuse them).
    #[serde(default)]
    pub sparse_images: bool,
    /// How images that have not merged are shared.
    #[serde(default)]
    pub speculative: Speculative,
    /// Registries that are asked for what is not here.
    #[serde(default)]
    pub namespaces: Vec<NamespaceConfig>,
    /// How their content is fetched and kept.
    #[serde(default)]
    pub cache: CacheConfig,
    /// Whether and where to it is a forward proxy; it is none without this.
    pub forward_proxy: Option<proxy::Config>,
    /// How long a request body may bring no bytes.
    #[serde(default = "default_body_idle")]
    pub body_idle: Period,
    /// After which time it ends by itself; left out: never.
    pub max_lifetime: Option<Period>,
    /// What one client may use up.
    #[serde(default)]
    pub limits: Limits,
    /// Where clients find this server, if it is not where their requests say: behind a proxy that
    /// changes `Host` or speaks TLS in its place.
    pub public_url: Option<PublicUrl>,
    /// Where the program keeps its own files: process id, log.
    #[serde(skip)]
    pub home: PathBuf,
    /// What the operator should know of this configuration.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// The server's certificate and key, PEM.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate, with its chain if it has one.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Where images are kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// A folder of the local disk.
    pub folder: PathBuf,
    /// What an acknowledged push survives.
    #[serde(default)]
    pub durability: Durability,
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// Names the file and, for what is wrong inside, line and column; never shows a password.
    pub fn read(file: &Path) -> Result<Self, StartError> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|error| StartError::Config {
            file: name.clone(),
            reason: match error.kind() {
                ErrorKind::NotFound => NO_FILE.to_owned(),
                _ => format!("cannot be read: {error}"),
            },
        })?;
        let wrong = |reason| StartError::Config { file: name.clone(), reason };
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        if let Some(theirs) = zuul_registry::read(&text, variables) {
            let config = theirs.and_then(checked).map_err(wrong)?;
            if !config.users.is_empty() {
                warn_if_open(file, "passwords");
            }
            return Ok(config);
        }
        let mut config: Self = parse(&text).and_then(checked).map_err(wrong)?;
        if !config.users.is_empty() {
            warn_if_open(file, "passwords");
        }
        let folder = file.parent().unwrap_or(Path::new(""));
        let tls = config.tls.iter_mut().flat_map(|tls| [&mut tls.certificate, &mut tls.key]);
        let namespaces = config.namespaces.iter_mut().flat_map(NamespaceConfig::files);
        let htpasswd = config.htpasswd.iter_mut().map(|htpasswd| &mut htpasswd.file);
        let pointers = &mut config.speculative.pointers;
        let own = [&mut config.storage.folder, &mut config.token_key, pointers];
        for path in tls.chain(htpasswd).chain(namespaces).chain(own) {
            *path = folder.join(&path);
        }
        folder.clone_into(&mut config.home);
        if let Some(proxy) = &mut config.forward_proxy {
            proxy.resolve_paths(folder);
        }
        Ok(config)
    }

    /// One that says no more than it must.
    pub(in crate::registry) fn minimal(
        folder: PathBuf,
        token_key: PathBuf,
    ) -> Result<Self, String> {
        let mut config: Self = parse("storage: {folder: storage}\ntoken_key: token.key\n")?;
        config.storage.folder = folder;
        config.token_key = token_key;
        Ok(config)
    }

    /// Makes the folder for the program's own files where it is not there.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn make_home(&self) -> Result<(), StartError> {
        if self.home.as_os_str().is_empty() || self.home.is_dir() {
            return Ok(());
        }
        private_folder(&self.home).map_err(|error| StartError::io("create", &self.home, error))
    }

    /// Whether anybody may pull.
    #[must_use]
    pub fn anonymous_pull(&self) -> bool {
        let users = self.users.iter().map(|user| user.access);
        let mut all = users.chain(self.htpasswd.iter().map(|htpasswd| htpasswd.access));
        self.anonymous_pull.unwrap_or_else(|| all.all(|access| access != Level::Read))
    }
}

/// Bytes of a password that nobody finds by trying.
const LONG_PASSWORD: usize = 16;

/// What no single value shows.
fn checked(mut config: Config) -> Result<Config, String> {
    let mut names = HashSet::new();
    for user in &config.users {
        let name = &user.name;
        if name.is_empty() || name.contains(|c: char| c == ':' || c.is_control()) {
            return Err(format!(
                "user {name:?}: the name is empty, or has a `:` or a control character"
            ));
        }
        if !names.insert(name) {
            return Err(format!("user {name:?} is there twice"));
        }
        // Where a variable was left empty, say.
        if user.password.is_empty() {
            return Err(format!("user {name:?}: the password is empty, anybody could log in"));
        }
        if user.password.len() < LONG_PASSWORD {
            config.notes.push(format!(
                "user {name:?}: a password of less than {LONG_PASSWORD} characters may be found by trying, \
                 which nothing here stops; take a long random one"
            ));
        }
    }
    let periods = [("body_idle", Some(config.body_idle)), ("max_lifetime", config.max_lifetime)];
    if let Some((key, _)) =
        periods.iter().find(|(_, period)| *period == Some(Period(Duration::ZERO)))
    {
        return Err(format!("{key}: no time at all; leave the key out, or write one such as 24h"));
    }
    let users = config.users.iter().map(|user| (&user.name, user.access, &user.repositories));
    let files =
        config.htpasswd.iter().map(|file| (file.file.display(), file.access, &file.repositories));
    let users = users.map(|(name, access, rules)| (format!("user {name:?}"), access, rules));
    let files = files.map(|(file, access, rules)| (format!("htpasswd {file}"), access, rules));
    for (who, access, rules) in users.chain(files) {
        if access == Level::Read && rules.is_some() {
            return Err(format!(
                "{who}: `repositories` says where to write, and who has access: read writes nowhere"
            ));
        }
    }
    Ok(config)
}

/// Errors keep the place and the message, not the text: it holds passwords.
pub(in crate::registry) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let message = error.render();
        let known = [
            "unknown field",
            "missing field",
            "duplicate",
            "unknown variant",
            "is no pattern of repositories",
            "is no public URL",
            "is not a length of time",
        ];
        match error.location() {
            _ if known.iter().any(|known| message.contains(known)) => message,
            Some(place) => format!(
                "line {} column {}: not what is expected here (not shown, the file holds passwords)",
                place.line(),
                place.column()
            ),
            None => "it is not a configuration of the registry".to_owned(),
        }
    })
}

fn default_port() -> u16 {
    5000
}

fn default_body_idle() -> Period {
    Period(Duration::from_secs(60))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        super::parse(text)
    }

    const MINIMAL: &str = "storage: {folder: s}\ntoken_key: k\n";

    #[test]
    fn refuses_unknown_keys_by_name_and_place() {
        let error = parse(&format!("{MINIMAL}prot: 5000\n")).unwrap_err();
        assert!(error.contains("prot") && error.contains("line 3"), "{error}");
        let error = parse("storage: {folder: s, size: 3}\ntoken_key: k\n").unwrap_err();
        assert!(error.contains("size") && error.contains("line 1"), "{error}");
        assert!(parse("token_key: k\n").unwrap_err().contains("storage"));
        assert!(parse(&format!("{MINIMAL}token_key: l\n")).unwrap_err().contains("line 3"));
    }

    #[test]
    fn refuses_users_that_contradict_themselves() {
        let of = |users: &str| {
            parse(&format!("{MINIMAL}users: [{users}]")).and_then(checked).map(drop).unwrap_err()
        };
        let error = of("{name: a, pass: b, access: write, repositories: [quay.io/*/x]}");
        assert!(error.contains("quay.io/*/x") && error.contains("line 3"), "{error}");
        let error = of("{name: a, pass: hunter2, access: read, repositories: [x]}");
        assert!(error.contains("\"a\"") && error.contains("access: read"), "{error}");
        let error = of("{name: a, pass: b, access: write}, {name: a, pass: hunter2, access: read}");
        assert!(error.contains("\"a\" is there twice"), "{error}");
        assert!(of("{name: 'a:b', pass: hunter2, access: read}").contains("a:b"));
    }

    #[test]
    fn an_empty_password_is_refused() {
        let text = "users: [{name: a, pass: '', access: write}]";
        let error = parse(&format!("{MINIMAL}{text}")).and_then(checked).unwrap_err();
        assert!(error.contains("\"a\"") && error.contains("password is empty"), "{error}");
    }

    #[test]
    fn a_password_that_may_be_guessed_is_pointed_out_and_not_shown() {
        let long = "0123456789abcdef";
        let text = format!(
            "users: [{{name: a, pass: hunter2, access: write}}, {{name: b, pass: '{long}', access: read}}]"
        );
        let notes = parse(&format!("{MINIMAL}{text}")).and_then(checked).unwrap().notes;
        assert!(notes.len() == 1 && notes[0].starts_with("user \"a\""), "{notes:?}");
        assert!(!notes[0].contains("hunter2"), "{notes:?}");
    }

    #[test]
    fn a_wrong_length_of_time_is_named_and_none_at_all_refused() {
        let error = parse(&format!("{MINIMAL}max_lifetime: 24\n")).unwrap_err();
        assert!(error.contains("`24`") && error.contains("line 3"), "{error}");
        for key in ["max_lifetime", "body_idle"] {
            let text = format!("{MINIMAL}{key}: 0s\n");
            let error = parse(&text).and_then(checked).unwrap_err();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn an_error_never_shows_a_password() {
        for users in [
            "users: hunter2\n",
            "users: [hunter2]\n",
            "users: [{name: zuul, pass: [hunter2], access: write}]\n",
            "users: [{name: zuul, pass: {hunter2: x}, access: write}]\n",
            "users: [{name: zuul, pass: 'hunter2, access: write}]\n",
        ] {
            let error = parse(&format!("{MINIMAL}{users}")).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
            assert!(error.contains("line"), "{error}");
        }
    }

    #[test]
    fn anybody_pulls_unless_a_user_only_reads() {
        let of = |more: &str| parse(&format!("{MINIMAL}{more}")).unwrap().anonymous_pull();
        assert!(of(""));
        assert!(of("users: [{name: a, pass: b, access: write}]"));
        assert!(!of("users: [{name: a, pass: b, access: read}]"));
        assert!(!of("anonymous_pull: false"));
    }
}
