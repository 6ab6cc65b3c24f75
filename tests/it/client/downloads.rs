use bytes::Bytes;
use futures_util::StreamExt;
use http::Method;

use crate::support::clients::{client, login, read, repository, tag};
use crate::support::faulty::{Fault, Faulty};
use crate::support::memory::Access;
use crate::support::sample;

#[tokio::test]
async fn wrong_bytes_are_never_completed() {
    let server = Faulty::start().await;
    let (bytes, blob) = sample::blob("layer", 300_000);
    server.memory.hold_blob("a", &bytes);
    let repository = repository(&server, "a");
    let mut wrong = bytes.to_vec();
    wrong[7] ^= 1;
    for lie in [Bytes::from(wrong), bytes.slice(1..), [&bytes[..], b"x"].concat().into()] {
        server.fault(1, Method::GET, "/blobs/", Fault::Body(lie));
        let mut stream = repository.blob(&blob);
        let mut got = 0;
        let error = loop {
            match stream.next().await.unwrap() {
                Ok(chunk) => got += chunk.len(),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), "damaged", "{error}");
        assert!(got < bytes.len(), "all {got} bytes were handed on");
    }
}

#[tokio::test]
async fn a_cut_connection_is_taken_up_where_it_broke() {
    let server = Faulty::start().await;
    let (bytes, blob) = sample::blob("layer", 300_000);
    server.memory.hold_blob("a", &bytes);
    server.fault(1, Method::GET, "/blobs/", Fault::CutAfter(100_000));
    server.fault(1, Method::GET, "/blobs/", Fault::StallAfter(50_000));
    assert_eq!(read(&repository(&server, "a"), &blob).await.unwrap(), bytes);
    let ranges: Vec<String> = server
        .recorded()
        .iter()
        .filter_map(|one| Some(one.headers.get("range")?.to_str().unwrap().to_owned()))
        .collect();
    assert_eq!(ranges, ["bytes=100000-", "bytes=150000-"]);
}

#[tokio::test]
async fn a_registry_without_ranges_is_read_anew() {
    let server = Faulty::start().await;
    let (bytes, blob) = sample::blob("layer", 300_000);
    server.memory.hold_blob("a", &bytes);
    server.fault(1, Method::GET, "/blobs/", Fault::CutAfter(100_000));
    server.fault(1, Method::GET, "/blobs/", Fault::IgnoreRange);
    assert_eq!(read(&repository(&server, "a"), &blob).await.unwrap(), bytes);
    assert_eq!(server.count(Method::GET, "/blobs/"), 2);
}

#[tokio::test]
async fn who_never_answers_is_given_up() {
    let server = Faulty::start().await;
    let (bytes, blob) = sample::blob("layer", 1000);
    server.memory.hold_blob("a", &bytes);
    server.fault(9, Method::GET, "/blobs/", Fault::StallAfter(0));
    let error = read(&repository(&server, "a"), &blob).await.unwrap_err();
    assert_eq!(error.kind(), "timeout");
    assert_eq!(server.count(Method::GET, "/blobs/"), 4);
}

#[tokio::test]
async fn redirects_carry_no_credentials_to_other_hosts() {
    let server = Faulty::start().await;
    let store = Faulty::start().await;
    let (bytes, blob) = sample::blob("layer", 5000);
    *server.memory.access.lock().unwrap() =
        Access::Basic { user: "u".to_owned(), password: "p".to_owned() };
    store.memory.hold_blob("a", &bytes);
    let (registry, elsewhere) = (server.registry(), store.registry());
    let client = client(&[&registry], login(&registry, "u", "p"));
    let repository = client.repository(&registry, &"a".parse().unwrap());
    assert!(repository.head(&tag("t")).await.unwrap().is_none());
    let to = format!("http://{elsewhere}/v2/a/blobs/{}", blob.digest);
    let redirect = Fault::Answer(307, vec![("location", to)], String::new());
    server.fault(1, Method::GET, "/blobs/", redirect);
    assert_eq!(read(&repository, &blob).await.unwrap(), bytes);
    assert!(server.recorded().last().unwrap().headers.contains_key("authorization"));
    assert!(!store.recorded()[0].headers.contains_key("authorization"));
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let server = Faulty::start().await;
    let (_, blob) = sample::blob("layer", 10);
    let path = format!("/v2/a/blobs/{}", blob.digest);
    let redirect = Fault::Answer(302, vec![("location", path)], String::new());
    server.fault(99, Method::GET, "/blobs/", redirect);
    let error = read(&repository(&server, "a"), &blob).await.unwrap_err();
    assert_eq!(error.kind(), "redirect");
    assert_eq!(server.count(Method::GET, ""), 6);
}
