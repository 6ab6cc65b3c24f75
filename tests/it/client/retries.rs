use std::time::{Duration, Instant};

use http::Method;
use zuul_images::auth::CredentialStore;
use zuul_images::oci::Registry;

use crate::support::clients::{client, repository, tag};
use crate::support::faulty::{Fault, Faulty};

#[tokio::test]
async fn retry_after_is_honoured_up_to_a_limit() {
    let server = Faulty::start().await;
    let repository = repository(&server, "a");
    let wait = |seconds: &str| {
        Fault::Answer(429, vec![("retry-after", seconds.to_owned())], String::new())
    };
    server.fault(1, Method::GET, "/manifests/", wait("1"));
    let begun = Instant::now();
    assert!(repository.manifest(&tag("t")).await.unwrap().is_none());
    assert!(begun.elapsed() >= Duration::from_secs(1));
    server.fault(1, Method::GET, "/manifests/", wait("3600"));
    let error = repository.manifest(&tag("t")).await.unwrap_err();
    assert_eq!(error.kind(), "rate-limited");
    assert!(error.to_string().contains("3600 s"), "{error}");
}

#[tokio::test]
async fn a_burst_of_failures_is_outlasted_and_counted() {
    let server = Faulty::start().await;
    let registry = server.registry();
    let client = client(&[&registry], CredentialStore::empty());
    let repository = client.repository(&registry, &"a".parse().unwrap());
    for status in [500, 503, 408] {
        server.fault(1, Method::HEAD, "", Fault::Answer(status, vec![], String::new()));
    }
    assert!(repository.head(&tag("t")).await.unwrap().is_none());
    let statistics = client.statistics();
    assert_eq!((statistics.requests, statistics.retries), (4, 3));
    server.fault(9, Method::HEAD, "", Fault::Answer(503, vec![], String::new()));
    assert_eq!(repository.head(&tag("t")).await.unwrap_err().kind(), "server");
    server.fault(1, Method::HEAD, "b", Fault::Answer(501, vec![], String::new()));
    assert_eq!(repository.head(&tag("b")).await.unwrap_err().kind(), "server");
}

#[tokio::test]
async fn nobody_there_is_said_with_host_and_port() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let registry: Registry = free.to_string().parse().unwrap();
    let client = client(&[&registry], CredentialStore::empty());
    let error = client.repository(&registry, &"a".parse().unwrap()).head(&tag("t")).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), "connect");
    assert!(error.to_string().contains(&free.to_string()), "{error}");
    assert_eq!(client.statistics().retries, 3);
}
