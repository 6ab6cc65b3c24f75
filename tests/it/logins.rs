//! How a client shows who it is, and to whom it does not.

use futures_util::future::join_all;
use http::Method;
use zuul_images::auth::CredentialStore;
use zuul_images::client::{Client, Pushed};
use zuul_images::http::{Http, Settings};

use crate::support::clients::{client, login, settings, source, tag};
use crate::support::faulty::{Fault, Faulty};
use crate::support::memory::Access;
use crate::support::sample;

fn bearer(expires_in: u64) -> Access {
    Access::Bearer { user: "zuul".to_owned(), password: "right".to_owned(), expires_in }
}

#[tokio::test]
async fn a_wrong_or_missing_login_is_said_and_not_tried_again() {
    for access in
        [bearer(60), Access::Basic { user: "zuul".to_owned(), password: "right".to_owned() }]
    {
        let server = Faulty::start().await;
        *server.memory.access.lock().unwrap() = access;
        let registry = server.registry();
        for (store, said) in [
            (CredentialStore::empty(), "none is known"),
            (login(&registry, "zuul", "wrong"), "the user `zuul` was refused"),
        ] {
            let client = client(&[&registry], store);
            let repository = client.repository(&registry, &"a".parse().unwrap());
            let error = repository.head(&tag("t")).await.unwrap_err();
            assert_eq!(error.kind(), "unauthorized");
            assert!(error.to_string().contains(said), "{error}");
            assert!(!error.to_string().contains("wrong"), "{error}");
            assert!(client.statistics().requests <= 3);
        }
    }
}

#[tokio::test]
async fn many_requests_at_once_cost_one_refusal_and_one_token() {
    let server = Faulty::start().await;
    *server.memory.access.lock().unwrap() = bearer(60);
    let registry = server.registry();
    let client = client(&[&registry], login(&registry, "zuul", "right"));
    let repository = client.repository(&registry, &"a/b".parse().unwrap());
    let looks = (0..20).map(|number| {
        let repository = repository.clone();
        async move { repository.head(&tag(&format!("t{number}"))).await }
    });
    for found in join_all(looks).await {
        assert!(found.unwrap().is_none());
    }
    assert_eq!(server.count(Method::GET, "/token"), 1);
    assert_eq!(server.requests().len(), 22, "{:?}", server.requests());
    assert!(server.requests().iter().any(|one| one.contains("scope=repository%3Aa%2Fb%3Apull")));
}

#[tokio::test]
async fn a_token_that_ran_out_is_replaced_also_between_post_and_put() {
    let server = Faulty::start().await;
    *server.memory.access.lock().unwrap() = bearer(3600);
    let registry = server.registry();
    let client = client(&[&registry], login(&registry, "zuul", "right"));
    let repository = client.repository(&registry, &"a".parse().unwrap()).writable();
    assert!(repository.head(&tag("t")).await.unwrap().is_none());
    server.memory.forget_tokens();
    assert!(repository.head(&tag("t")).await.unwrap().is_none());
    assert_eq!(server.count(Method::GET, "/token"), 2);
    let (bytes, blob) = sample::blob("layer", 1000);
    let memory = std::sync::Arc::clone(&server.memory);
    let mut first = true;
    let mut chunks = source(&bytes);
    let forgetful = move || {
        if std::mem::take(&mut first) {
            memory.forget_tokens();
        }
        chunks()
    };
    let pushed = repository.push_blob(&blob, forgetful, None).await.unwrap();
    assert_eq!(pushed, Pushed::Moved(1000));
    assert_eq!(server.count(Method::GET, "/token"), 3);
}

#[tokio::test]
async fn a_mount_asks_for_both_scopes_and_a_writer_for_one_token() {
    let server = Faulty::start().await;
    *server.memory.access.lock().unwrap() = bearer(3600);
    let (bytes, blob) = sample::blob("layer", 1000);
    server.memory.hold_blob("from", &bytes);
    let registry = server.registry();
    let client = client(&[&registry], login(&registry, "zuul", "right"));
    let repository = client.repository(&registry, &"to".parse().unwrap()).writable();
    assert!(repository.head(&tag("t")).await.unwrap().is_none());
    assert!(repository.blob_size(&blob.digest).await.unwrap().is_none());
    let (other, small) = sample::blob("small", 10);
    repository.push_blob(&small, source(&other), None).await.unwrap();
    assert_eq!(server.count(Method::GET, "/token"), 1);
    let from = "from".parse().unwrap();
    let pushed = repository.push_blob(&blob, source(&bytes), Some(&from)).await.unwrap();
    assert_eq!(pushed, Pushed::Mounted);
    assert_eq!(server.count(Method::GET, "scope=repository%3Afrom%3Apull&scope="), 1);
}

#[tokio::test]
async fn a_foreign_token_server_does_not_see_the_registrys_login() {
    let server = Faulty::start().await;
    let thief = Faulty::start().await;
    let registry = server.registry();
    let foreign = thief.registry();
    let challenge = format!("Bearer realm=\"http://{foreign}/token\",service=\"x\"");
    let refusal = Fault::Answer(401, vec![("www-authenticate", challenge)], String::new());
    server.fault(9, Method::HEAD, "", refusal);
    let name = "a".parse().unwrap();
    let known = client(&[&registry, &foreign], login(&registry, "zuul", "right"));
    let error = known.repository(&registry, &name).head(&tag("t")).await.unwrap_err();
    assert_eq!(error.kind(), "realm");
    let unnamed = client(&[&registry], CredentialStore::empty());
    let error = unnamed.repository(&registry, &name).head(&tag("t")).await.unwrap_err();
    assert_eq!(error.kind(), "realm");
    assert_eq!(thief.requests().len(), 0);
}

#[tokio::test]
async fn many_tokens_that_run_out_at_once_do_not_wait_for_each_other() {
    let server = Faulty::start().await;
    *server.memory.access.lock().unwrap() = bearer(3600);
    let registry = server.registry();
    let narrow = Settings { per_host: 2, ..settings(&[&registry]) };
    let client = Client::new(Http::new(narrow).unwrap(), login(&registry, "zuul", "right"));
    let repository = client.repository(&registry, &"a".parse().unwrap());
    assert!(repository.head(&tag("t")).await.unwrap().is_none());
    server.memory.forget_tokens();
    let reads = (0..10).map(|_| {
        let repository = repository.clone();
        async move { repository.manifest(&tag("t")).await }
    });
    let limit = std::time::Duration::from_secs(10);
    let found = tokio::time::timeout(limit, join_all(reads)).await.unwrap();
    assert!(found.into_iter().all(|found| found.unwrap().is_none()));
}
