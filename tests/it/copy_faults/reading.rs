//! Blobs on their way out of the source.

use super::End::{Done, DoneAnd, Fails};
use super::Side::{Either, Source};
use super::scene::Scene;
use super::{Row, play, row};
use crate::support::faulty::Fault::*;
use http::Method;

const GET: Method = Method::GET;

const BROKEN_OFF: &[Row] = &[
    row(
        Source,
        "a blob that is cut off goes on where it was cut",
        |it| it.once(GET, it.large(), CutAfter(120_000)),
        DoneAnd(|it| assert_eq!(it.ranges(), ["bytes=120000-"])),
    ),
    row(
        Source,
        "a blob that is cut off again and again goes on each time",
        |it| it.times(3, GET, it.large(), CutAfter(80_000)),
        DoneAnd(|it| assert_eq!(it.ranges().last().unwrap(), "bytes=240000-")),
    ),
    row(
        Source,
        "a blob that is always cut off at once is given up",
        |it| it.always(GET, it.large(), CutAfter(0)),
        Fails("broken", &["reading the blob", "its log"]),
    ),
    row(
        Source,
        "where no ranges are served the blob is read anew",
        |it| {
            it.once(GET, it.large(), CutAfter(120_000));
            it.once(GET, it.large(), IgnoreRange);
        },
        DoneAnd(|it| assert_eq!(it.count(GET, it.large()), 2)),
    ),
    row(
        Source,
        "where another range comes than was asked for the blob is read anew",
        |it| {
            it.once(GET, it.large(), CutAfter(120_000));
            it.once(GET, it.large(), content_range(Some("bytes 7-299999/300000")));
        },
        DoneAnd(|it| assert_eq!(it.ranges(), ["bytes=120000-"])),
    ),
    row(
        Source,
        "where a range does not say which it is the blob is read anew",
        |it| {
            it.once(GET, it.large(), CutAfter(120_000));
            it.once(GET, it.large(), content_range(None));
        },
        DoneAnd(|it| assert_eq!(it.count(GET, it.large()), 3)),
    ),
    row(
        Source,
        "where a range is refused the blob is read anew",
        |it| {
            it.once(GET, it.large(), CutAfter(120_000));
            it.once(GET, it.large(), Answer(416, vec![], String::new()));
        },
        DoneAnd(|it| assert_eq!(it.count(GET, it.large()), 3)),
    ),
    row(
        Source,
        "a range under another ETag is judged by its digest alone",
        |it| {
            it.once(GET, it.large(), CutAfter(120_000));
            it.once(GET, it.large(), Header("etag", Some("\"another\"".to_owned())));
        },
        DoneAnd(|it| assert_eq!(it.ranges(), ["bytes=120000-"])),
    ),
    row(
        Source,
        "a part that nobody asked for is not taken for the blob",
        |it| it.always(GET, it.large(), Status(206)),
        Fails("protocol", &["a part that nobody asked for", "a proxy before it"]),
    ),
    row(
        Source,
        "a blob of no told length that ends too early goes on there",
        |it| it.once(GET, it.large(), Truncated(120_000)),
        DoneAnd(|it| assert_eq!(it.ranges(), ["bytes=120000-"])),
    ),
    row(
        Source,
        "a blob of which there is no more is given up",
        |it| it.always(GET, it.large(), Truncated(120_000)),
        Fails("damaged", &["sent only 120000 bytes", "another client"]),
    ),
];

const UNLIKE_ITS_DIGEST: &[Row] = &[
    row(
        Source,
        "a blob of other bytes is not committed",
        |it| it.always(GET, it.large(), Body(changed(it).into())),
        Fails("damaged", &["its digest is sha256:", "another client"]),
    ),
    row(
        Source,
        "a blob that is too short is not committed",
        |it| it.always(GET, it.large(), Body(it.large_bytes().slice(1..))),
        Fails("damaged", &["has 299999 bytes of it"]),
    ),
    row(
        Source,
        "a blob that is too long is not committed",
        |it| it.always(GET, it.large(), Body([&it.large_bytes()[..], b"x"].concat().into())),
        Fails("damaged", &["has 300001 bytes of it"]),
    ),
    row(
        Source,
        "a length that is a lie is not believed",
        |it| it.always(GET, it.large(), Length(400_000)),
        Fails("damaged", &["has 400000 bytes of it"]),
    ),
    row(
        Source,
        "a digest in a header is not what a blob is judged by",
        |it| it.always(GET, it.large(), other_digest()),
        Done,
    ),
    row(
        Source,
        "a blob that something in between has packed is said to be",
        |it| it.always(GET, it.large(), Encoded("gzip")),
        Fails("damaged", &["came encoded as `gzip`, unasked", "a proxy in between"]),
    ),
    row(
        Source,
        "a blob that is only said to be packed is taken as it is",
        |it| it.always(GET, it.large(), Header("content-encoding", Some("gzip".to_owned()))),
        DoneAnd(nothing_else_is_accepted),
    ),
    row(
        Source,
        "a blob that is gone is named",
        |it| it.always(GET, it.large(), Answer(404, vec![], String::new())),
        Fails("not-found", &["reading the blob", "404 Not Found"]),
    ),
];

const OTHERWISE_SENT: &[Row] = &[
    row(
        Source,
        "a blob of no told length is measured",
        |it| it.always(GET, it.large(), Chunked),
        Done,
    ),
    row(Either, "a server that speaks HTTP/1.0 will do", |it| each_method(it, &Http10), Done),
    row(
        Either,
        "a server that hangs up after every answer will do",
        |it| each_method(it, &HangUp),
        Done,
    ),
    row(
        Source,
        "connections that were closed before they are used again do no harm",
        |it| {
            it.once(GET, "/manifests/", CutRequest(0));
            it.once(GET, "/blobs/", CutRequest(0));
        },
        Done,
    ),
];

#[test]
fn blobs_that_break_off() {
    play(BROKEN_OFF);
}

#[test]
fn blobs_unlike_their_digest() {
    play(UNLIKE_ITS_DIGEST);
}

#[test]
fn blobs_that_are_sent_otherwise() {
    play(OTHERWISE_SENT);
}

fn content_range(value: Option<&str>) -> crate::support::faulty::Fault {
    Header("content-range", value.map(str::to_owned))
}

pub fn other_digest() -> crate::support::faulty::Fault {
    let other = zuul_images::oci::Digest::sha256(b"something else");
    Header("docker-content-digest", Some(other.to_string()))
}

fn changed(it: &Scene) -> Vec<u8> {
    let mut bytes = it.large_bytes().to_vec();
    bytes[200_000] ^= 1;
    bytes
}

fn each_method(it: &Scene, fault: &crate::support::faulty::Fault) {
    let used = match it.side {
        super::Side::Source => &[GET][..],
        _ => &[Method::HEAD, Method::POST, Method::PUT],
    };
    for method in used {
        it.always(method.clone(), "", fault.clone());
    }
}

fn nothing_else_is_accepted(it: &Scene) {
    for request in it.faulty().recorded() {
        assert_eq!(request.headers.get("accept-encoding").unwrap(), "identity", "{request:?}");
    }
}
