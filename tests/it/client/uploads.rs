use std::time::{Duration, Instant};

use futures_util::stream;
use http::Method;
use zuul_images::client::Pushed;

use crate::support::clients::{client, login, repository, source};
use crate::support::faulty::{Fault, Faulty};
use crate::support::memory::Access;
use crate::support::sample;

#[tokio::test]
async fn a_source_that_breaks_off_commits_nothing() {
    let server = Faulty::start().await;
    let (bytes, blob) = sample::blob("layer", 100_000);
    let chunks = || stream::iter([Ok(bytes.slice(..50_000)), Err("no more")]);
    let error = repository(&server, "a").push_blob(&blob, chunks, None).await.unwrap_err();
    assert_eq!(error.kind(), "source");
    assert!(error.to_string().contains("no more"), "{error}");
    assert!(server.memory.blob("a", &blob.digest).is_none());
}

#[tokio::test]
async fn a_blob_costs_one_post_and_one_put() {
    let server = Faulty::start().await;
    for size in [0, 1, 100_000] {
        let (bytes, blob) = sample::blob("layer", size);
        server.forget_requests();
        let pushed = repository(&server, "a").push_blob(&blob, source(&bytes), None).await;
        assert_eq!(pushed.unwrap(), Pushed::Moved(size as u64));
        assert_eq!(server.memory.blob("a", &blob.digest).unwrap(), bytes);
        let recorded = server.recorded();
        assert_eq!(recorded.len(), 2, "{:?}", server.requests());
        assert_eq!(recorded[1].headers.get("content-length").unwrap(), &size.to_string());
        assert!(!recorded[1].headers.contains_key("transfer-encoding"));
    }
}

#[tokio::test]
async fn a_mount_costs_one_request_and_a_declined_one_no_session() {
    let server = Faulty::start().await;
    let (bytes, blob) = sample::blob("layer", 1000);
    server.memory.hold_blob("from", &bytes);
    let repository = repository(&server, "to");
    let from = "from".parse().unwrap();
    let pushed = repository.push_blob(&blob, source(&bytes), Some(&from)).await.unwrap();
    assert_eq!((pushed, server.requests().len()), (Pushed::Mounted, 1));
    *server.memory.declines_mounts.lock().unwrap() = true;
    server.forget_requests();
    let pushed = repository.push_blob(&blob, source(&bytes), Some(&from)).await.unwrap();
    assert_eq!(pushed, Pushed::Moved(1000));
    assert_eq!((server.count(Method::POST, ""), server.count(Method::PUT, "")), (1, 1));
}

#[tokio::test]
async fn a_registry_that_refuses_a_mount_from_nowhere_is_asked_once() {
    let server = Faulty::start().await;
    let repository = repository(&server, "a");
    server.fault(usize::MAX, Method::POST, "mount=", Fault::Answer(400, vec![], String::new()));
    for name in ["one", "two"] {
        let (bytes, blob) = sample::blob(name, 1000);
        let pushed = repository.push_blob(&blob, source(&bytes), None).await.unwrap();
        assert_eq!(pushed, Pushed::Moved(1000));
    }
    assert_eq!(server.count(Method::POST, ""), 3);
}

#[tokio::test]
async fn a_registry_that_makes_nothing_of_a_single_post_is_tried_once() {
    for status in [400, 404, 405, 500] {
        let server = Faulty::start().await;
        let repository = repository(&server, "a");
        server.fault(
            usize::MAX,
            Method::POST,
            "digest=",
            Fault::Answer(status, vec![], String::new()),
        );
        for name in ["one", "two"] {
            let (bytes, blob) = sample::blob(name, 1000);
            let pushed = repository.push_small_blob(&blob, bytes.clone()).await.unwrap();
            assert_eq!(pushed, Pushed::Moved(1000));
            assert_eq!(server.memory.blob("a", &blob.digest).unwrap(), bytes);
        }
        assert_eq!(server.count(Method::POST, "digest="), 1, "{status}");
        assert_eq!(server.requests().len(), 1 + 2 * 2);
    }
}

#[tokio::test]
async fn a_registry_that_is_busy_may_still_take_single_posts() {
    let server = Faulty::start().await;
    *server.memory.takes_single_posts.lock().unwrap() = true;
    let repository = repository(&server, "a");
    server.fault(1, Method::POST, "digest=", Fault::Answer(503, vec![], String::new()));
    for (name, requests) in [("one", 2), ("two", 1)] {
        let (bytes, blob) = sample::blob(name, 1000);
        server.forget_requests();
        repository.push_small_blob(&blob, bytes).await.unwrap();
        assert_eq!(server.requests().len(), requests, "{:?}", server.requests());
    }
}

#[tokio::test]
async fn bytes_that_a_session_already_holds_are_not_sent_to_it_again() {
    let server = Faulty::start().await;
    let repository = repository(&server, "a");
    let held = Fault::Header("range", Some("0-999".to_owned()));
    server.fault(1, Method::POST, "digest=", held);
    let (bytes, blob) = sample::blob("one", 1000);
    repository.push_small_blob(&blob, bytes).await.unwrap();
    assert_eq!((server.count(Method::POST, ""), server.count(Method::PUT, "uploads/2")), (2, 1));
}

#[tokio::test]
async fn a_blob_taken_for_another_is_an_error() {
    let server = Faulty::start().await;
    *server.memory.takes_single_posts.lock().unwrap() = true;
    let other = sample::blob("other", 10).1.digest.to_string();
    let wrong = Fault::Header("docker-content-digest", Some(other));
    server.fault(1, Method::POST, "digest=", wrong);
    let (bytes, blob) = sample::blob("one", 1000);
    let pushed = repository(&server, "a").push_small_blob(&blob, bytes).await;
    assert_eq!(pushed.unwrap_err().kind(), "damaged");
}

#[tokio::test]
async fn a_lost_reply_is_settled_by_head_and_a_cut_upload_begun_anew() {
    let server = Faulty::start().await;
    let (bytes, blob) = sample::blob("layer", 200_000);
    let repository = repository(&server, "a");
    server.fault(1, Method::PUT, "", Fault::CutRequest(10_000));
    server.fault(1, Method::PUT, "", Fault::Answer(502, vec![], String::new()));
    server.fault(1, Method::PUT, "", Fault::LoseReply);
    let pushed = repository.push_blob(&blob, source(&bytes), None).await.unwrap();
    assert_eq!(pushed, Pushed::Moved(200_000));
    assert_eq!((server.count(Method::PUT, ""), server.count(Method::HEAD, "")), (3, 3));
}

#[tokio::test]
async fn quays_status_and_absolute_locations_are_taken() {
    let server = Faulty::start().await;
    let (bytes, blob) = sample::blob("layer", 1000);
    server.fault(1, Method::POST, "", Fault::Status(200));
    server.fault(1, Method::PUT, "", Fault::Status(200));
    let repository = repository(&server, "a");
    repository.push_blob(&blob, source(&bytes), None).await.unwrap();
    let absolute = format!("http://{}/v2/a/blobs/uploads/2?_state=a%2Bb", server.address);
    server.fault(1, Method::POST, "", Fault::Header("location", Some(absolute)));
    repository.push_blob(&blob, source(&bytes), None).await.unwrap();
}

#[tokio::test]
async fn a_missing_location_is_an_error_of_the_registry() {
    let server = Faulty::start().await;
    let (bytes, blob) = sample::blob("layer", 1000);
    server.fault(1, Method::POST, "", Fault::Header("location", None));
    let pushed = repository(&server, "a").push_blob(&blob, source(&bytes), None).await;
    assert_eq!(pushed.unwrap_err().kind(), "protocol");
}

#[tokio::test]
async fn a_location_elsewhere_gets_the_bytes_but_no_credentials() {
    let server = Faulty::start().await;
    let other = Faulty::start().await;
    *server.memory.access.lock().unwrap() =
        Access::Basic { user: "u".to_owned(), password: "p".to_owned() };
    let (bytes, blob) = sample::blob("layer", 1000);
    let (registry, elsewhere) = (server.registry(), other.registry());
    let plain = client(&[&registry, &elsewhere], login(&registry, "u", "p"));
    let session = plain.repository(&elsewhere, &"a".parse().unwrap());
    session
        .push_blob(&sample::blob("x", 1).1, source(&sample::blob("x", 1).0), None)
        .await
        .unwrap();
    other.fault(1, Method::PUT, "", Fault::Answer(201, vec![], String::new()));
    let there = format!("http://{elsewhere}/v2/a/blobs/uploads/9");
    server.fault(2, Method::POST, "", Fault::Header("location", Some(there)));
    let repository = plain.repository(&registry, &"a".parse().unwrap());
    repository.push_blob(&blob, source(&bytes), None).await.unwrap();
    let sent = other.recorded().pop().unwrap();
    assert_eq!(sent.body_bytes, 1000);
    assert!(!sent.headers.contains_key("authorization"));
}

#[tokio::test]
async fn a_slow_check_at_the_end_is_waited_for_but_not_for_ever() {
    let server = Faulty::start().await;
    let (bytes, blob) = sample::blob("layer", 1000);
    let repository = repository(&server, "a");
    server.fault(1, Method::PUT, "", Fault::Delay(Duration::from_millis(900)));
    repository.push_blob(&blob, source(&bytes), None).await.unwrap();
    assert_eq!(server.count(Method::PUT, ""), 1);
    let (bytes, blob) = sample::blob("other", 1000);
    server.fault(9, Method::PUT, "", Fault::Delay(Duration::from_secs(60)));
    let begun = Instant::now();
    let error = repository.push_blob(&blob, source(&bytes), None).await.unwrap_err();
    assert_eq!(error.kind(), "timeout");
    assert!(begun.elapsed() < Duration::from_secs(10));
}
