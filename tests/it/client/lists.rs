use http::Method;
use zuul_images::client::Deleted;

use crate::support::clients::{repository, tag};
use crate::support::faulty::{Fault, Faulty};
use crate::support::sample;

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
