//! The docker engine, over TLS with a login, as a client and with the registry as its mirror.

use serde_json::json;

use crate::support::engines::{Docker, refused, said};
use crate::support::images::{digest_of, repository};
use crate::support::programs::RegistryProcess;
use crate::support::registry::basic;

#[tokio::test(flavor = "multi_thread")]
async fn docker_pushes_after_its_login_and_pulls_what_it_pushed() {
    let registry = RegistryProcess::start();
    let login = registry.login();
    let docker = Docker::start(&[&registry]);
    let image = format!("{}/quay.io/org/app:1", registry.address);
    let id = docker.import("made for a test", &image);
    let denied = refused(&docker.docker(&["push", &image]));
    assert!(
        denied.contains("no basic auth credentials") || denied.contains("unauthorized"),
        "{denied}"
    );
    let log_in = |password: &str| {
        docker.docker(&[
            "login",
            "--username",
            &login.username,
            "--password",
            password,
            &registry.address,
        ])
    };
    refused(&log_in("wrong"));
    said(&log_in(&login.password));
    let pushed = said(&docker.docker(&["push", &image]));
    let held = digest_of(&repository(&login, "quay.io/org/app"), "1").await.unwrap();
    assert!(pushed.contains(held.as_str()), "{pushed}");

    said(&docker.docker(&["image", "rm", "--force", &image]));
    refused(&docker.docker(&["image", "inspect", &image]));
    said(&docker.docker(&["logout", &registry.address]));
    said(&docker.docker(&["pull", &image]));
    let pulled = said(&docker.docker(&["image", "inspect", "--format", "{{.Id}}", &image]));
    assert_eq!(pulled, id);
    said(&docker.docker(&["pull", &format!("{}/quay.io/org/app@{held}", registry.address)]));
}

/// docker sends the credentials it has for Docker Hub to a mirror of Docker Hub.
#[tokio::test(flavor = "multi_thread")]
async fn docker_takes_docker_hubs_images_from_here_whatever_its_login_there() {
    let registry = RegistryProcess::start();
    let login = registry.login();
    let docker = Docker::start(&[&registry]);
    let hub = basic("somebody", "hub password");
    let ours = basic(&login.username, &login.password);
    let auth = |login: &str| json!({"auth": login.strip_prefix("Basic ").unwrap()});
    docker.configure(&json!({"auths": {
        "https://index.docker.io/v1/": auth(&hub),
        &registry.address: auth(&ours)}}));
    for (name, spelling) in [("library/base", "base"), ("org/tool", "docker.io/org/tool")] {
        let pushed = format!("{}/{name}:1", registry.address);
        let id = docker.import(name, &pushed);
        said(&docker.docker(&["push", &pushed]));
        said(&docker.docker(&["image", "rm", "--force", &pushed]));
        let image = format!("{spelling}:1");
        said(&docker.docker(&["pull", &image]));
        let pulled = said(&docker.docker(&["image", "inspect", "--format", "{{.Id}}", &image]));
        assert_eq!(pulled, id, "{image}");
    }
}
