//! containerd, over TLS with a login, with `hosts.toml` as its hosts have it.

use std::fs;

use crate::support::engines::{Containerd, oci_archive, refused, said};
use crate::support::images::{digest_of, repository};
use crate::support::programs::{RegistryProcess, file, json, program};

#[tokio::test(flavor = "multi_thread")]
async fn containerd_pushes_with_a_login_and_takes_images_of_other_registries_from_here() {
    let registry = RegistryProcess::start();
    let login = registry.login();
    let containerd = Containerd::start();
    let hosts = containerd.folder().join("hosts");
    let authority = containerd.folder().join("ca.pem");
    fs::write(&authority, login.cert.clone().unwrap()).unwrap();
    let settings = |name: &str, capabilities: &str| {
        fs::create_dir_all(hosts.join(name)).unwrap();
        let text = format!(
            "server = \"https://{name}\"\n[host.\"https://{}\"]\ncapabilities = [{capabilities}]\nca = {:?}\n",
            registry.address,
            authority.display().to_string(),
        );
        fs::write(hosts.join(name).join("hosts.toml"), text).unwrap();
    };
    settings(&registry.address, r#""pull", "resolve", "push""#);
    settings("quay.io", r#""pull", "resolve""#);
    settings("docker.io", r#""pull", "resolve""#);
    let hosts = hosts.to_str().unwrap();

    for (number, name) in ["quay.io/org/app", "docker.io/library/base"].iter().enumerate() {
        let here = format!("{}/{name}:1", registry.address);
        let (archive, digest) = oci_archive(containerd.folder(), name, &here);
        said(&containerd.ctr(&["images", "import", "--no-unpack", archive.to_str().unwrap()]));
        let push = |user: &str| {
            containerd.ctr(&["images", "push", "--hosts-dir", hosts, "--user", user, &here])
        };
        if number == 0 {
            let complaint = refused(&push(&format!("{}:wrong", login.username)));
            assert!(complaint.contains("401"), "{complaint}");
        }
        said(&push(&format!("{}:{}", login.username, login.password)));
        assert_eq!(digest_of(&repository(&login, name), "1").await.as_ref(), Some(&digest));
        // Nothing of it is left, so that the pull brings all.
        said(&containerd.ctr(&["images", "rm", "--sync", &here]));

        for image in [here, format!("{name}:1")] {
            said(&containerd.ctr(&[
                "images",
                "pull",
                "--hosts-dir",
                hosts,
                "--snapshotter",
                "native",
                &image,
            ]));
            let list = said(&containerd.ctr(&["images", "ls", &format!("name=={image}")]));
            assert!(list.contains(digest.as_str()), "{list}");
            said(&containerd.ctr(&["images", "rm", "--sync", &image]));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn containerd_finds_images_of_other_registries_as_configure_client_sets_it_up() {
    let registry = RegistryProcess::start();
    let login = registry.login();
    let containerd = Containerd::start();
    let root = containerd.folder().join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::create_dir_all(root.join("root")).unwrap();
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
    fs::write(root.join("etc/hosts"), "").unwrap();
    // By a name: the alias of an address stands in /etc/hosts, which is this machine's here.
    let mut connection = serde_json::to_value(&login).unwrap();
    connection["host"] = "localhost".into();
    let connection = file(containerd.folder(), "named.json", &connection.to_string());
    let configured = program("buildset-registry")
        .args(["configure-client", "--for", "containerd", "--user", "root", "--connection"])
        .arg(connection)
        .arg("--sysroot")
        .arg(&root)
        .output()
        .unwrap();
    json(&configured);
    let hosts = root.join("etc/containerd/certs.d");
    for name in ["quay.io/org/app", "docker.io/library/base"] {
        let stored = name.trim_start_matches("docker.io/");
        let (archive, digest) = oci_archive(containerd.folder(), stored, "localhost/x:1");
        let archive = format!("oci-archive:{}", archive.display());
        let copied = program("intermediate-registry-sync")
            .args(["copy", &archive, &format!("{}/{stored}:1", registry.address)])
            .args(["--no-ambient-config", "--ca-file", &registry.ca_file(), "--credentials"])
            .arg(registry.credentials())
            .output()
            .unwrap();
        json(&copied);
        let image = format!("{name}:1");
        let hosts = hosts.to_str().unwrap();
        let options = ["images", "pull", "--hosts-dir", hosts, "--snapshotter", "native"];
        said(&containerd.ctr(&[&options[..], &[&image]].concat()));
        let list = said(&containerd.ctr(&["images", "ls", &format!("name=={image}")]));
        assert!(list.contains(digest.as_str()), "{list}");
    }
}
