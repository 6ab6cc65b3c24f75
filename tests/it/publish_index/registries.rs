//! Publication at registries that nobody here scripted, read by a client that nobody here wrote.

use std::process::Output;

use serde_json::Value;

use super::{archive, done, failed, image, run, states};
use crate::support::distribution::Distribution;
use crate::support::process::tool;
use crate::support::programs::{RegistryProcess, program};

/// Publishes two architectures under two tags, once more, and then one alone.
async fn publish_thrice(repository: &str, options: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let options: Vec<String> = options.iter().map(|it| (*it).to_owned()).collect();
    let publish = async |architectures: &[&str]| -> Output {
        let mut command = program("publish-image-index");
        command.args(["--no-ambient-config", "--architecture-tags", "--repository", repository]);
        command.args(["--tag", "40", "--tag", "latest"]).args(&options);
        for architecture in architectures {
            let file = folder.path().join(architecture);
            archive(&file, &image("new", architecture));
            command.arg(format!("--image={architecture}=oci-archive:{}", file.display()));
        }
        run(command).await
    };
    let both = ["amd64", "arm64"];
    let first = done(&publish(&both).await);
    assert_eq!(states(&first), ["published"; 2]);
    let again = done(&publish(&both).await);
    assert_eq!(
        (states(&again), &again["totals"]["manifests_written"]),
        (vec!["unchanged"; 2], &0.into())
    );
    let (alone, said) = failed(&publish(&both[..1]).await, 3);
    assert_eq!(states(&alone), ["refused"; 2]);
    assert!(said.contains("lacks linux/arm64"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_distribution_skopeo_finds_both_architectures() {
    let server = Distribution::start();
    let (registry, repository) = (server.registry(), format!("{}/org/img", server.registry()));
    publish_thrice(&repository, &["--plain-http", &registry.to_string()]).await;
    for (tag, architecture) in
        [("40", "arm64"), ("latest", "amd64"), ("40-arm64", "arm64"), ("latest-amd64", "amd64")]
    {
        let output = tool("skopeo")
            .args(["--override-os", "linux", "--override-arch", architecture])
            .args(["inspect", "--config", "--tls-verify=false"])
            .arg(format!("docker://{repository}:{tag}"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let config: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(config["architecture"], architecture, "{tag}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_our_registry_over_tls_with_a_login() {
    let server = RegistryProcess::start();
    let repository = format!("{}/org/img", server.address);
    let credentials = server.credentials().display().to_string();
    publish_thrice(&repository, &["--ca-file", &server.ca_file(), "--credentials", &credentials])
        .await;
}
