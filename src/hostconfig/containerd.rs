//! containerd's `hosts.toml` of a registry (its docs/hosts.md).
//!
//! Hosts are tried in the order of the file, so ours is a text between two marks before the first of them; the
//! rest is not touched.

use std::path::Path;

use toml_edit::Item;

use super::document::parse;
use super::{Error, Namespace};

/// Where containerd looks, and the one that microk8s brings.
pub(super) const CERTS_D: &str = "/etc/containerd/certs.d";
pub(super) const MICROK8S: &str = "/var/snap/microk8s";
pub(super) const MICROK8S_CERTS_D: &str = "/var/snap/microk8s/current/args/certs.d";

pub(super) const FILE: &str = "hosts.toml";

const BEGIN: &str = "# Put here by buildset-registry configure-client.\n";
const END: &str = "# End of what configure-client put here.\n";

/// `old` with the registry as the first host; `authority` is where its certificate is, from the folder of
/// the file.
pub(super) fn with_host(
    path: &Path,
    old: &str,
    endpoint: &str,
    namespace: &Namespace,
    authority: Option<&str>,
) -> Result<String, Error> {
    let theirs = without_ours(old);
    parse(path, &theirs)?;
    let authority = authority.map(|file| format!("ca = {}\n", quoted(file))).unwrap_or_default();
    let block = format!(
        "{BEGIN}[host.{}]\ncapabilities = [\"pull\", \"resolve\"]\n{authority}{END}",
        quoted(&format!("https://{endpoint}")),
    );
    let server = match theirs.trim().is_empty() {
        true => format!("server = {}\n\n", quoted(&namespace.url)),
        false => String::new(),
    };
    let (before, after) = theirs.split_at(first_table(&theirs));
    let gap = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    let new = format!("{before}{server}{gap}{block}{after}");
    // A bracket at the start of a line need not begin a table, and hosts may be written as no tables.
    let fits = parse(path, &new).is_ok_and(|document| {
        let first = document.get("host").and_then(Item::as_table).and_then(|it| it.iter().next());
        first.is_some_and(|(host, _)| host == format!("https://{endpoint}"))
    });
    match fits {
        true => Ok(new),
        false => Err(Error::Parse {
            path: path.to_owned(),
            line: before.lines().count().max(1),
            message: "no host can be put behind this; write each as a table of its own".to_owned(),
        }),
    }
}

/// What is left without our part.
pub(super) fn without_ours(text: &str) -> String {
    let ours = text.find(BEGIN).and_then(|start| {
        let (before, rest) = text.split_at_checked(start)?;
        let after = rest.find(END).and_then(|end| rest.get(end + END.len()..))?;
        Some(format!("{before}{after}"))
    });
    ours.unwrap_or_else(|| text.to_owned())
}

/// Where the first table begins, or the end of the text.
fn first_table(text: &str) -> usize {
    let mut position = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with('[') {
            return position;
        }
        position += line.len();
    }
    text.len()
}

/// JSON strings are TOML's basic strings.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::fs;

    use super::super::tests::{get, host, options, put, snapshot};
    use super::super::{Error, Options, Target, configure, undo};
    use super::*;

    fn for_containerd(root: &tempfile::TempDir) -> Options {
        Options { targets: vec![Target::Containerd], ..options(root) }
    }

    #[test]
    fn a_file_that_cannot_hold_us_is_left_alone() {
        for (text, line) in [
            ("server = \n", 1),
            ("server = \"https://quay.io\"\nhost = {}\n", 2),
            ("# x\nhost.\"https://m.example\".ca = \"x\"\n", 2),
            ("client = [\n[\"cert\", \"key\"],\n]\n[host.\"https://m.example\"]\n", 1),
        ] {
            let root = host();
            put(&root, "etc/containerd/certs.d/quay.io/hosts.toml", text);
            let before = snapshot(root.path());
            let error = configure(&for_containerd(&root)).unwrap_err();
            let Error::Parse { line: found, .. } = &error else { panic!("{error}") };
            assert_eq!((*found, snapshot(root.path())), (line, before), "{text}");
        }
    }

    #[test]
    fn a_registry_has_us_first_and_itself_last() {
        let root = host();
        let before = snapshot(root.path());
        assert!(configure(&for_containerd(&root)).unwrap().changed);
        assert_eq!(
            get(&root, "etc/containerd/certs.d/docker.io/hosts.toml"),
            format!(
                "server = \"https://registry-1.docker.io\"\n\n{BEGIN}\
                 [host.\"https://zuul-jobs.buildset-registry:5000\"]\n\
                 capabilities = [\"pull\", \"resolve\"]\n\
                 ca = \"../zuul-jobs.buildset-registry:5000/ca.crt\"\n{END}"
            )
        );
        let authority = "etc/containerd/certs.d/zuul-jobs.buildset-registry:5000/ca.crt";
        assert!(get(&root, authority).contains("CERTIFICATE"));
        assert!(!configure(&for_containerd(&root)).unwrap().changed);
        undo(root.path()).unwrap();
        let now = snapshot(root.path());
        let left: Vec<_> = now.keys().filter(|path| !before.contains_key(*path)).collect();
        assert!(left.iter().all(|path| path.starts_with("var")), "{left:?}");
    }

    #[test]
    fn a_sites_hosts_and_comments_stay_behind_us_and_come_back() {
        let theirs = "# ours is fast\nserver = \"https://other.example\"\n\n[host.\"https://site.example\"] # fast\n  capabilities = [\"pull\"]\n";
        let file = "etc/containerd/certs.d/quay.io/hosts.toml";
        let root = host();
        put(&root, file, theirs);
        configure(&for_containerd(&root)).unwrap();
        let written = get(&root, file);
        let [ours, site] =
            ["zuul-jobs.buildset-registry", "site.example"].map(|it| written.find(it));
        assert!(ours.unwrap() < site.unwrap(), "{written}");
        assert!(
            written.contains("# ours is fast\n") && written.contains("] # fast\n"),
            "{written}"
        );
        assert!(parse(Path::new("x"), &written).is_ok(), "{written}");

        // Another registry takes the place of the first.
        let mut other = for_containerd(&root);
        other.connection.port = 5001;
        configure(&other).unwrap();
        assert!(!get(&root, file).contains(":5000"));

        fs::write(root.path().join(file), get(&root, file) + "# added\n").unwrap();
        undo(root.path()).unwrap();
        assert_eq!(get(&root, file), format!("{theirs}# added\n"));
    }

    #[test]
    fn microk8s_is_configured_where_it_is() {
        let root = host();
        let options = Options { targets: vec![Target::Microk8s], ..options(&root) };
        configure(&options).unwrap();
        assert!(!root.path().join("var/snap").exists());
        fs::create_dir_all(root.path().join("var/snap/microk8s/current/args")).unwrap();
        configure(&options).unwrap();
        let hosts = get(&root, "var/snap/microk8s/current/args/certs.d/gcr.io/hosts.toml");
        assert!(hosts.starts_with("server = \"https://gcr.io\"\n"), "{hosts}");
    }
}
