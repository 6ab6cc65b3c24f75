//! The `registry.yaml` of zuul-registry, as it is: what it says becomes a [`Config`].

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Config, Tls, parse};
use crate::registry::users::User;
use crate::storage::Durability;

/// Our part of a root: what zuul-registry keeps there has another form and is left alone.
const FOLDER: &str = "buildset-registry";

/// Where zuul-registry keeps its images in a root.
const THEIRS: &str = "_local";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    registry: Registry,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Registry {
    #[serde(default)]
    address: String,
    port: u16,
    public_url: Option<String>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    secret: Option<IgnoredAny>,
    #[serde(default)]
    users: Vec<User>,
    storage: Storage,
}

/// With the keys of every driver, so that one that is not there is refused by its name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Storage {
    driver: String,
    root: Option<PathBuf>,
    expiration: Option<IgnoredAny>,
    #[serde(rename = "cloud")]
    _cloud: Option<IgnoredAny>,
    #[serde(rename = "container")]
    _container: Option<IgnoredAny>,
    #[serde(rename = "endpoint")]
    _endpoint: Option<IgnoredAny>,
    #[serde(rename = "region")]
    _region: Option<IgnoredAny>,
    #[serde(rename = "bucket")]
    _bucket: Option<IgnoredAny>,
    #[serde(rename = "access-key")]
    _access_key: Option<IgnoredAny>,
    #[serde(rename = "secret-key")]
    _secret_key: Option<IgnoredAny>,
}

/// Whether a file is in this form: everything is below `registry`.
#[derive(Deserialize)]
struct Probe {
    #[serde(rename = "registry")]
    _registry: IgnoredAny,
}

/// Reads a text in this form; nothing where it is in another. `variables` are those of the environment.
///
/// # Errors
/// What is wrong, with line and column; never a password.
pub(in crate::registry) fn read(
    text: &str,
    variables: impl Iterator<Item = (String, String)>,
) -> Option<Result<Config, String>> {
    let text = fill_in(text, variables);
    parse::<Probe>(&text).ok()?;
    Some(parse::<File>(&text).and_then(|file| config(file.registry)))
}

/// `%(ZUUL_NAME)` stands for the variable of this name, anywhere in the text.
fn fill_in(text: &str, variables: impl Iterator<Item = (String, String)>) -> String {
    variables
        .filter(|(name, _)| name.starts_with("ZUUL_"))
        .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("%({name})"), &value))
}

fn config(file: Registry) -> Result<Config, String> {
    let root = match (file.storage.driver.as_str(), &file.storage.root) {
        ("filesystem", Some(root)) => root,
        ("filesystem", None) => return Err("storage: `root` is missing".to_owned()),
        (driver, _) => {
            return Err(format!(
                "the storage driver {driver:?} is not built into this program, only `filesystem` is"
            ));
        }
    };
    for user in &file.users {
        for text in [&user.name, &user.password] {
            if let Some(variable) = unset(text) {
                let name = &user.name;
                return Err(format!("user {name:?}: the variable {variable} is not set"));
            }
        }
    }
    let home = root.join(FOLDER);
    let mut config = Config::minimal(home.join("storage"), home.join("token.key"))?;
    config.tls = match (file.tls_cert, file.tls_key) {
        (Some(certificate), Some(key)) => Some(Tls { certificate, key }),
        (None, None) => None,
        _ => return Err("`tls-cert` and `tls-key` go together".to_owned()),
    };
    config.port = file.port;
    config.listen = listen(&file.address, file.port)?;
    config.public_url = file.public_url.map(TryInto::try_into).transpose()?;
    config.users = file.users;
    config.storage.durability = Durability::Commit;
    config.home = home;
    config.notes = notes(file.secret.is_some(), file.storage.expiration.is_some(), root);
    Ok(config)
}

/// What the operator should know.
fn notes(secret: bool, expiration: bool, root: &Path) -> Vec<String> {
    let mut notes = Vec::new();
    if secret {
        notes.push(
            "`secret` is not used: tokens are signed with random bytes of this installation"
                .to_owned(),
        );
    }
    if expiration {
        notes.push(
            "`expiration` is not used: `buildset-registry prune --older-than` says it".to_owned(),
        );
    }
    let theirs = root.join(THEIRS);
    if theirs.is_dir() {
        notes.push(format!(
            "images of zuul-registry in {} are not read and not touched; \
             this program keeps its own in {}",
            theirs.display(),
            root.join(FOLDER).display()
        ));
    }
    notes
}

/// The addresses to listen on; none where it is every address of the host.
fn listen(address: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    if address.is_empty() {
        return Ok(Vec::new());
    }
    let found = (address, port).to_socket_addrs();
    found.map(Iterator::collect).map_err(|error| format!("address {address:?}: {error}"))
}

/// The name of a variable that stands in a text because it has no value.
fn unset(text: &str) -> Option<&str> {
    let rest = text.get(text.find("%(ZUUL_")? + 2..)?;
    rest.get(..rest.find(')')?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SAMPLE: &str = "\
registry:
  address: '0.0.0.0'
  port: 9000
  public-url: https://registry.example:9000/
  tls-cert: /tls/cert.pem
  tls-key: /tls/cert.key
  secret: \"%(ZUUL_SECRET)\"
  users:
    - {name: writer, pass: hunter2, access: write}
    - {name: reader, pass: '%(ZUUL_READER)', access: read}
  storage:
    driver: filesystem
    root: /storage
";

    fn read_with(text: &str, reader: Option<&str>) -> Option<Result<Config, String>> {
        let variables = [("ZUUL_READER", reader), ("HOME", Some("/root"))];
        let set = variables.into_iter().filter_map(|(name, value)| Some((name, value?)));
        read(text, set.map(|(name, value)| (name.to_owned(), value.to_owned())))
    }

    fn error(text: &str) -> String {
        let error = read_with(text, Some("x")).unwrap().map(drop).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
        error
    }

    #[test]
    fn drivers_that_are_not_built_are_refused_by_name() {
        for (driver, keys) in [
            ("swift", "cloud: registry\n    container: images"),
            ("s3", "bucket: b\n    access-key: a\n    secret-key: hunter2\n    region: r"),
            ("gcs", "root: /x"),
        ] {
            let text = SAMPLE.replace("filesystem", driver).replace("root: /storage", keys);
            let error = error(&text);
            assert!(error.contains(&format!("{driver:?}")), "{error}");
        }
    }

    #[test]
    fn what_is_unknown_or_missing_is_refused_with_its_place() {
        let misspelled = error(&SAMPLE.replace("tls-cert:", "tls-certificate:"));
        assert!(misspelled.contains("tls-certificate") && misspelled.contains("line 5"));
        let error_of = |from: &str, to: &str| error(&SAMPLE.replace(from, to));
        assert!(error_of("    root:", "    rot:").contains("line 13"));
        assert!(error_of("    root: /storage\n", "").contains("`root`"));
        assert!(error_of("  tls-key: /tls/cert.key\n", "").contains("go together"));
        assert!(error_of("'0.0.0.0'", "'0.0.0.0.0.invalid'").contains("0.0.0.0.0.invalid"));
        assert!(error_of("https://registry", "registry").contains("public"));
        assert!(error_of("pass: hunter2", "pass: [hunter2]").contains("line 9"));
    }

    #[test]
    fn a_variable_that_is_not_set_is_no_password() {
        let error = read_with(SAMPLE, None).unwrap().map(drop).unwrap_err();
        assert!(error.contains("\"reader\"") && error.contains("ZUUL_READER"), "{error}");
    }

    #[test]
    fn another_form_is_left_to_others() {
        for text in ["storage: {folder: s}\ntoken_key: k\n", "", "x", "port: 1"] {
            assert!(read_with(text, None).is_none(), "{text}");
        }
    }

    #[test]
    fn what_it_says_is_what_is_done() {
        let config = read_with(SAMPLE, Some("right")).unwrap().unwrap();
        assert_eq!(config.listen, ["0.0.0.0:9000".parse().unwrap()]);
        assert_eq!(config.users[1].password, "right");
        assert!(!config.anonymous_pull());
        assert_eq!(config.storage.folder, PathBuf::from("/storage/buildset-registry/storage"));
        assert_eq!(config.token_key, PathBuf::from("/storage/buildset-registry/token.key"));
        assert_eq!(config.storage.durability, Durability::Commit);
        assert_eq!(config.tls.unwrap().key, PathBuf::from("/tls/cert.key"));
        assert_eq!(config.public_url.unwrap().realm(), "https://registry.example:9000/auth/token");
        assert!(config.notes.iter().any(|note| note.contains("`secret` is not used")));
    }
}
