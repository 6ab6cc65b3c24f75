//! One repository of one registry: what is asked, what is believed, what is sent again.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Method;
use zuul_images::auth::CredentialStore;
use zuul_images::client::{Deleted, Pushed};
use zuul_images::oci::{Digest, Reference, Registry};

use crate::support::clients::{client, login, read, repository, source, tag};
use crate::support::distribution::Distribution;
use crate::support::faulty::{Fault, Faulty};
use crate::support::memory::Access;
use crate::support::sample;

mod manifests {
    use super::*;

    #[tokio::test]
    async fn an_absent_one_is_none_and_a_refused_one_an_error() {
        let server = Faulty::start().await;
        let repository = repository(&server, "a/b");
        assert!(repository.head(&tag("x")).await.unwrap().is_none());
        assert!(repository.manifest(&tag("x")).await.unwrap().is_none());
        let body = r#"{"errors":[{"code":"DENIED","message":"not \u001b[31myou"}]}"#;
        server.fault(1, Method::GET, "x", Fault::Answer(403, vec![], body.to_owned()));
        let error = repository.manifest(&tag("x")).await.unwrap_err();
        assert_eq!(error.kind(), "denied");
        let text = error.to_string();
        assert!(text.contains("a/b:x") && text.contains("DENIED: not \\u{1b}[31myou"), "{text}");
    }

    #[tokio::test]
    async fn wrong_content_is_not_believed() {
        let server = Faulty::start().await;
        let image = sample::image("one", &[]);
        let other = sample::image("two", &[]);
        server.memory.hold("a", "t", &image);
        let repository = repository(&server, "a");
        for reference in [tag("t"), image.root.digest().clone().into()] {
            server.fault(1, Method::GET, "/manifests/", Fault::Body(other.root.bytes().clone()));
            let error = repository.manifest(&reference).await.unwrap_err();
            assert_eq!(error.kind(), "damaged", "{error}");
        }
        let lie = Some(other.root.digest().to_string());
        server.fault(1, Method::HEAD, "sha256:", Fault::Header("docker-content-digest", lie));
        let reference = Reference::from(image.root.digest().clone());
        assert_eq!(repository.head(&reference).await.unwrap_err().kind(), "damaged");
        server.fault(1, Method::GET, "/t", Fault::Body("x".repeat(5 << 20).into()));
        assert_eq!(repository.manifest(&tag("t")).await.unwrap_err().kind(), "too-large");
    }

    #[tokio::test]
    async fn head_tells_digest_size_and_type_also_without_the_header() {
        let server = Faulty::start().await;
        let image = sample::image("one", &[]);
        server.memory.hold("a", "t", &image);
        let repository = repository(&server, "a");
        for _ in 0..2 {
            let head = repository.head(&tag("t")).await.unwrap().unwrap();
            assert_eq!(&head.digest, image.root.digest());
            assert_eq!(head.size, Some(image.root.bytes().len() as u64));
            assert_eq!(head.media_type.as_deref(), Some(image.root.media_type()));
            server.fault(1, Method::HEAD, "/t", Fault::Header("docker-content-digest", None));
        }
        let read = repository.manifest(&tag("t")).await.unwrap().unwrap();
        assert_eq!(read.bytes(), image.root.bytes());
    }

    #[tokio::test]
    async fn one_whose_blobs_are_missing_is_refused_in_the_registrys_words() {
        let server = Faulty::start().await;
        let image = sample::image("one", &[]);
        let repository = repository(&server, "a");
        let error = repository.put_manifest(&tag("t"), &image.root).await.unwrap_err();
        assert!(error.to_string().contains("MANIFEST_BLOB_UNKNOWN"), "{error}");
        assert_eq!(server.count(Method::PUT, ""), 1);
    }

    #[tokio::test]
    async fn a_lost_reply_to_a_put_is_settled_by_head() {
        let server = Faulty::start().await;
        let image = sample::image("one", &[]);
        server.memory.hold("a", "old", &image);
        server.fault(1, Method::PUT, "/manifests/", Fault::LoseReply);
        let repository = repository(&server, "a");
        repository.put_manifest(&tag("new"), &image.root).await.unwrap();
        assert_eq!(server.requests(), ["PUT /v2/a/manifests/new", "HEAD /v2/a/manifests/new"]);
        // Cut before it was done, it is sent again.
        server.fault(1, Method::PUT, "/manifests/", Fault::CutRequest(1));
        repository.put_manifest(&tag("newer"), &image.root).await.unwrap();
        assert_eq!(server.count(Method::PUT, "newer"), 2);
        assert!(server.memory.tag("a", "newer").is_some());
    }

    #[tokio::test]
    async fn a_registry_that_takes_something_else_is_an_error() {
        let server = Faulty::start().await;
        let image = sample::image("one", &[]);
        server.memory.hold("a", "t", &image);
        let lie = Some(Digest::sha256(b"else").to_string());
        server.fault(1, Method::PUT, "", Fault::Header("docker-content-digest", lie));
        let error = repository(&server, "a").put_manifest(&tag("t"), &image.root).await;
        assert_eq!(error.unwrap_err().kind(), "damaged");
    }
}

mod downloads {
    use super::*;

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
}

mod uploads {
    use super::*;

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
}

mod retries {
    use super::*;

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
}

mod lists {
    use super::*;

    #[tokio::test]
    async fn an_unknown_repository_has_no_list() {
        let server = Faulty::start().await;
        let error = repository(&server, "a").tags().await.unwrap_err();
        assert!(error.is_not_found(), "{error}");
    }

    #[tokio::test]
    async fn all_pages_are_read_but_not_those_of_others() {
        let server = Faulty::start().await;
        let image = sample::image("one", &[]);
        for name in ["a", "b", "c", "d", "e"] {
            server.memory.hold("r", name, &image);
        }
        let repository = repository(&server, "r");
        let tags = repository.tags().await.unwrap();
        let tags: Vec<&str> = tags.iter().map(zuul_images::oci::Tag::as_str).collect();
        assert_eq!(tags, ["a", "b", "c", "d", "e"]);
        assert_eq!(server.count(Method::GET, "/tags/list"), 3);
        for target in ["<http://127.0.0.1:1/v2/r/tags/list>; rel=next", "<?n=1000>; rel=next"] {
            let link = Some(target.to_owned());
            server.fault(1, Method::GET, "/tags/list", Fault::Header("link", link));
            assert_eq!(repository.tags().await.unwrap_err().kind(), "protocol");
        }
    }

    #[tokio::test]
    async fn deletion_tells_done_absent_and_unsupported_apart() {
        let server = Faulty::start().await;
        server.memory.hold("r", "t", &sample::image("one", &[]));
        let repository = repository(&server, "r");
        assert_eq!(repository.delete(&tag("t")).await.unwrap(), Deleted::Done);
        assert_eq!(repository.delete(&tag("t")).await.unwrap(), Deleted::Absent);
        server.fault(1, Method::DELETE, "", Fault::Answer(405, vec![], String::new()));
        assert_eq!(repository.delete(&tag("t")).await.unwrap(), Deleted::Unsupported);
    }
}

mod distribution {
    use super::*;

    #[tokio::test]
    async fn a_wrong_password_is_refused() {
        let server = Distribution::start_for("zuul", "right");
        let registry = server.registry();
        let client = client(&[&registry], login(&registry, "zuul", "wrong"));
        let error = client.repository(&registry, &"a".parse().unwrap()).head(&tag("t")).await;
        assert_eq!(error.unwrap_err().kind(), "unauthorized");
    }

    #[tokio::test]
    async fn an_image_goes_in_and_comes_out_byte_for_byte() {
        let server = Distribution::start_for("zuul", "right");
        let registry = server.registry();
        let client = client(&[&registry], login(&registry, "zuul", "right"));
        let repository = client.repository(&registry, &"org/a".parse().unwrap());
        assert!(repository.head(&tag("t")).await.unwrap().is_none());
        let layer = sample::bytes("layer", 3_000_000);
        let image = sample::image("one", &[layer]);
        for (bytes, blob) in image.blobs.iter().zip(image.root.blobs()) {
            assert!(repository.blob_size(&blob.digest).await.unwrap().is_none());
            let pushed = repository.push_blob(blob, source(bytes), None).await.unwrap();
            assert_eq!(pushed, Pushed::Moved(blob.size));
            assert_eq!(repository.blob_size(&blob.digest).await.unwrap(), Some(blob.size));
            assert_eq!(read(&repository, blob).await.unwrap(), *bytes);
        }
        repository.put_manifest(&tag("t"), &image.root).await.unwrap();
        let held = repository.manifest(&tag("t")).await.unwrap().unwrap();
        assert_eq!(held.bytes(), image.root.bytes());
        assert_eq!(repository.tags().await.unwrap(), ["t".parse().unwrap()]);
        let other = client.repository(&registry, &"org/b".parse().unwrap());
        let blob = image.root.blobs().nth(1).unwrap();
        let from = "org/a".parse().unwrap();
        let pushed = other.push_blob(blob, source(&image.blobs[1]), Some(&from)).await.unwrap();
        assert_eq!(pushed, Pushed::Mounted);
        assert_eq!(repository.delete(&tag("t")).await.unwrap(), Deleted::Unsupported);
        let digest = Reference::from(image.root.digest().clone());
        assert_eq!(repository.delete(&digest).await.unwrap(), Deleted::Done);
        assert_eq!(repository.delete(&digest).await.unwrap(), Deleted::Absent);
    }
}
