//! The docker engine's way through the registry as its forward proxy.
//!
//! docker knows `proxies` in `daemon.json` from version 23 on, and older ones do not start with it; all
//! read the environment systemd gives them (systemd.exec(5), `EnvironmentFile`). The login is in a file of
//! its own that only root reads: `systemctl show` shows what stands in units to everybody.

use super::{Connection, Error};

/// The environment of the engine.
pub(super) const ENVIRONMENT: &str = "/etc/docker/zuul-images-proxy.env";

/// What makes systemd read it.
pub(super) const DROP_IN: &str = "/etc/systemd/system/docker.service.d/zuul-images-proxy.conf";

/// The text of that.
pub(super) fn drop_in() -> String {
    format!(
        "# Written by buildset-registry configure-client --proxy.\n[Service]\nEnvironmentFile={ENVIRONMENT}\n"
    )
}

/// The registry itself and what is on this host are reached without the proxy.
pub(super) fn environment(connection: &Connection) -> String {
    let alias = connection.alias();
    let host = &connection.host;
    let direct = if *host == alias { alias } else { format!("{alias},{host}") };
    format!(
        "HTTPS_PROXY=https://{}:{}@{}\nNO_PROXY={direct},localhost,127.0.0.0/8,::1\n",
        encoded(&connection.username),
        encoded(&connection.password),
        connection.endpoint(),
    )
}

/// Refuses what is no `HOST[:PORT]`: it becomes the name of a folder.
pub(super) fn check(registries: &[String]) -> Result<(), Error> {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_' | '[' | ']');
    let fits = |name: &&String| {
        !name.is_empty() && !name.starts_with(['.', '-']) && name.chars().all(plain)
    };
    match registries.iter().find(|name| !fits(name)) {
        Some(name) => Err(Error::Proxied(name.clone())),
        None => Ok(()),
    }
}

/// The folders of `certs.d` in which the engine looks for the authority of a registry.
pub(super) fn certificate_folders(registry: &str) -> Vec<&str> {
    match registry {
        "docker.io" => vec!["docker.io", "registry-1.docker.io"],
        other => vec![other],
    }
}

/// Text as it may stand in the login of a URL (RFC 3986, section 3.2.1).
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::tests::{get, host, options, snapshot};
    use super::super::{Error, configure, undo};
    use super::*;

    #[test]
    fn a_name_that_would_leave_its_folder_is_refused() {
        for name in ["", "..", "../quay.io", "quay.io/org", "a b", "-x"] {
            let root = host();
            let before = snapshot(root.path());
            let mut options = options(&root);
            options.proxied = vec!["quay.io".into(), name.into()];
            assert!(matches!(configure(&options), Err(Error::Proxied(_))), "{name:?}");
            assert_eq!(snapshot(root.path()), before);
        }
    }

    #[test]
    fn the_engine_gets_the_proxy_and_the_authority_and_loses_both_again() {
        let root = host();
        fs::create_dir_all(root.path().join("var/lib")).unwrap();
        let before = snapshot(root.path());
        let mut options = options(&root);
        options.proxied = vec!["quay.io".into(), "docker.io".into(), "r.example:5000".into()];
        configure(&options).unwrap();
        assert_eq!(
            get(&root, &ENVIRONMENT[1..]),
            "HTTPS_PROXY=https://zuul:s3cr%3Aet@zuul-jobs.buildset-registry:5000\n\
             NO_PROXY=zuul-jobs.buildset-registry,192.0.2.8,localhost,127.0.0.0/8,::1\n"
        );
        let mode = fs::metadata(root.path().join(&ENVIRONMENT[1..])).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(get(&root, &DROP_IN[1..]).contains(ENVIRONMENT));
        for folder in ["quay.io", "registry-1.docker.io", "r.example:5000"] {
            let certificate = get(&root, &format!("etc/docker/certs.d/{folder}/ca.crt"));
            assert!(certificate.contains("CERTIFICATE"), "{folder}");
        }
        assert!(!configure(&options).unwrap().changed);
        undo(root.path()).unwrap();
        assert_eq!(snapshot(root.path()), before);
    }

    #[test]
    fn a_drop_in_that_was_edited_keeps_what_is_not_ours() {
        let root = host();
        let mut options = options(&root);
        options.proxied = vec!["quay.io".into()];
        configure(&options).unwrap();
        let file = root.path().join(&DROP_IN[1..]);
        fs::write(&file, drop_in() + "LimitNOFILE=5000\n").unwrap();
        undo(root.path()).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "LimitNOFILE=5000\n");
    }
}
