//! The forward proxy where the real host is slow, or not to be had.

use std::time::Duration;

use http::Method;
use zuul_images::oci::Digest;

use crate::support::faulty::Fault;
use crate::support::proxied::{Proxied, Tunnel, client_config, connect};
use crate::support::registry::{READER, basic};

/// The docker engine asks for `/v2/` first, and gives up after 15 s.
const PATIENCE: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_real_host_that_does_not_answer_does_not_keep_an_engine_from_images_that_are_here() {
    let proxied = Proxied::start().await;
    proxied.registry.push_image(&proxied.here("org/img"), "t", "speculative");
    proxied.real.fault(1, Method::GET, "/v2/", Fault::Delay(4 * PATIENCE));
    let mut tunnel = proxied.tunnel();
    tunnel.stream.sock.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(tunnel.ask("GET", "/v2/", &[]).status, 200);
    assert_eq!(tunnel.ask("GET", "/v2/org/img/manifests/t", &[]).status, 200);
    // It is asked again for what is not here, on a connection of its own.
    assert_eq!(tunnel.ask("GET", "/v2/org/other/manifests/t", &[]).status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_the_real_host_down_images_that_are_here_can_still_be_pulled() {
    let proxied = Proxied::start().await;
    let manifest = proxied.registry.push_image(&proxied.here("org/img"), "t", "speculative");
    let layer = Digest::sha256(b"layer speculative");
    let mut before = proxied.tunnel();
    assert_eq!(before.ask("GET", "/v2/", &[]).status, 200);
    assert_eq!(proxied.real.count(Method::GET, "/v2/"), 1);
    proxied.real.fault(1, Method::GET, "/v2/", Fault::Answer(503, Vec::new(), String::new()));
    assert_eq!(before.ask("GET", "/v2/", &[]).status, 200);
    let Proxied { registry, real, target, authority, .. } = proxied;
    drop(real);
    let (answer, stream) = {
        let login = basic(READER, "secret");
        connect(registry.address, &target, &[("Proxy-Authorization", &login)])
    };
    assert_eq!(answer.status, 200);
    let config = client_config(&authority);
    let mut tunnel = Tunnel::secure(stream, "localhost", config, &target);
    assert_eq!(tunnel.ask("GET", "/v2/", &[]).status, 200);
    assert_eq!(tunnel.ask("GET", "/v2/org/img/manifests/t", &[]).body, manifest);
    let blob = format!("/v2/org/img/blobs/{layer}");
    assert_eq!(tunnel.ask("GET", &blob, &[]).status, 200);
    assert_eq!(tunnel.ask("HEAD", &blob, &[]).status, 200);
    for path in
        ["/v2/org/img/manifests/other", "/v2/org/other/manifests/t", "/token", "/v2/_catalog"]
    {
        let answer = tunnel.ask("GET", path, &[]);
        assert_eq!(answer.status, 502, "{path}: {answer:?}");
        assert!(String::from_utf8_lossy(&answer.body).contains(&target), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_real_host_with_another_certificate_is_not_believed() {
    let proxied = Proxied::start_with(|config| config.certificates.clear()).await;
    let mut tunnel = proxied.tunnel();
    let answer = tunnel.ask("GET", "/v2/org/img/manifests/t", &[("Authorization", "Bearer t")]);
    assert_eq!(answer.status, 502, "{answer:?}");
    assert!(answer.reason.contains("`certificates` of `forward_proxy`"), "{answer:?}");
    assert_eq!(proxied.real.requests(), [""; 0]);
}
