//! Where a server's answers can lead: only to addresses that the policy permits.

use http::Method;
use zuul_images::auth::CredentialStore;
use zuul_images::client::{Client, Error};
use zuul_images::http::{AddressPolicy, Http, Settings};
use zuul_images::oci::Registry;

use crate::support::clients::{login, read, settings, tag};
use crate::support::faulty::{Fault, Faulty};
use crate::support::sample;

fn client(plain: &[&Registry], allowed: &[&str], logins: CredentialStore) -> Client {
    let allowed = allowed.iter().map(|text| text.parse().unwrap()).collect();
    let reach = Some(AddressPolicy::allowing(allowed));
    Client::new(Http::new(Settings { reach, ..settings(plain) }).unwrap(), logins)
}

fn kind(error: &Error) -> &'static str {
    match error {
        Error::Http { source, .. } => source.kind(),
        other => other.kind(),
    }
}

#[tokio::test]
async fn a_redirect_leads_nowhere_but_to_permitted_addresses() {
    let (server, other) = (Faulty::start().await, Faulty::start().await);
    let (bytes, blob) = sample::blob("layer", 3000);
    let place = format!("/v2/a/blobs/{}", blob.digest);
    other.memory.hold_blob("a", &bytes);
    let registry = server.registry();
    for (host, allowed, expected) in [
        ("127.0.0.1", [].as_slice(), "out-of-reach"),
        ("localhost", &[], "out-of-reach"),
        ("[::1]", &["127.0.0.0/8"], "out-of-reach"),
        ("127.0.0.1", &["127.0.0.2"], "out-of-reach"),
        ("127.0.0.1", &["127.0.0.0/8"], ""),
        ("localhost", &["127.0.0.0/8"], ""),
    ] {
        let target = format!("http://{host}:{}{place}", other.address.port());
        let location = vec![("Location", target.clone())];
        server.fault(1, Method::GET, &place, Fault::Answer(307, location, String::new()));
        let client = client(&[&registry], allowed, CredentialStore::empty());
        let repository = client.repository(&registry, &"a".parse().unwrap());
        match read(&repository, &blob).await {
            Ok(read) => assert!(expected.is_empty() && read == bytes, "{target}"),
            Err(error) => assert_eq!(kind(&error), expected, "{target}: {error}"),
        }
        assert_eq!(other.requests().is_empty(), !expected.is_empty(), "{target}");
        other.forget_requests();
    }
}

#[tokio::test]
async fn a_token_server_elsewhere_is_asked_only_at_permitted_addresses() {
    let (server, other) = (Faulty::start().await, Faulty::start().await);
    let (registry, elsewhere) = (server.registry(), other.registry());
    let challenge = format!("Bearer realm=\"http://{}/token\",service=\"x\"", other.address);
    for (allowed, asked) in [(&[] as &[&str], 0), (&["127.0.0.1"], 1)] {
        let refusal = vec![("WWW-Authenticate", challenge.clone())];
        server.fault(1, Method::HEAD, "manifests", Fault::Answer(401, refusal, String::new()));
        let logins = login(&elsewhere, "zuul", "right");
        let client = client(&[&registry, &elsewhere], allowed, logins);
        let repository = client.repository(&registry, &"a".parse().unwrap());
        let error = repository.head(&tag("t")).await.unwrap_err();
        assert_eq!(other.requests().len(), asked, "{error}");
        assert_eq!(kind(&error) == "out-of-reach", asked == 0, "{error}");
    }
}

#[tokio::test]
async fn the_registry_itself_is_where_it_was_configured_to_be() {
    let server = Faulty::start().await;
    let registry = server.registry();
    let client = client(&[&registry], &[], CredentialStore::empty());
    let repository = client.repository(&registry, &"a".parse().unwrap());
    assert!(repository.head(&tag("t")).await.unwrap().is_none());
}
