//! Blobs on their way into the destination.

use http::Method;

use super::End::{Done, DoneAnd, Fails};
use super::Side::Destination;
use super::reading::other_digest;
use super::{Maker, Row, play, row};
use crate::support::faulty::Fault::{self, *};

const HEAD: Method = Method::HEAD;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;

const UPLOADS: &[Row] = &[
    row(
        Destination,
        "an upload that is cut off is begun anew",
        |it| it.once(PUT, it.large(), CutRequest(100_000)),
        DoneAnd(|it| assert_eq!(it.count(PUT, it.large()), 2)),
    ),
    row(
        Destination,
        "an upload that is always cut off is given up",
        |it| it.always(PUT, it.large(), CutRequest(1)),
        Fails("broken", &["pushing the blob", "its log"]),
    ),
    row(
        Destination,
        "an upload whose answer is lost is settled by a look",
        |it| it.once(PUT, it.large(), LoseReply),
        DoneAnd(|it| assert_eq!(it.count(PUT, it.large()), 1)),
    ),
    row(
        Destination,
        "connections that were closed before they are used again do no harm",
        |it| {
            it.once(HEAD, "/manifests/", CutRequest(0));
            it.once(POST, it.large(), CutRequest(0));
            it.once(PUT, it.large(), CutRequest(0));
            it.once(PUT, "/manifests/latest", CutRequest(0));
        },
        Done,
    ),
    row(
        Destination,
        "an upload that the registry has forgotten is begun anew",
        |it| it.once(PUT, it.large(), forgotten()),
        DoneAnd(|it| assert_eq!(it.count(PUT, it.large()), 2)),
    ),
    row(
        Destination,
        "an upload that the registry always forgets is given up",
        |it| it.always(PUT, it.large(), forgotten()),
        Fails("not-found", &["pushing the blob", "BLOB_UPLOAD_UNKNOWN"]),
    ),
    row(
        Destination,
        "an upload that is refused before it is sent says why",
        |it| it.always(PUT, it.large(), Hasty(413)),
        Fails("unexpected", &["pushing the blob", "413 Payload Too Large"]),
    )
    .heavy(),
    row(
        Destination,
        "bytes that arrive as others are not there",
        |it| it.always(PUT, it.large(), error(400, "DIGEST_INVALID")),
        Fails("unexpected", &["DIGEST_INVALID"]),
    ),
    row(
        Destination,
        "a blob that is taken for another is an error",
        |it| it.always(PUT, it.large(), other_digest()),
        Fails("damaged", &["the registry took it as sha256:"]),
    ),
    row(
        Destination,
        "a registry that says 200 to everything will do",
        |it| {
            it.always(POST, "", Status(200));
            it.always(PUT, "", Status(200));
        },
        Done,
    ),
];

const LOCATIONS: &[Row] = &[
    row(
        Destination,
        "an upload without a place is an error of the registry",
        |it| it.always(POST, it.large(), Header("location", None)),
        Fails("protocol", &["has no Location", "a proxy before it"]),
    ),
    row(
        Destination,
        "a relative Location will do",
        |it| it.always(POST, it.large(), LocationAt(String::new())),
        Done,
    ),
    row(
        Destination,
        "a Location under another name gets no login",
        |it| it.always(POST, it.large(), LocationAt(format!("http://{}", it.beside.address))),
        Fails(
            "protocol",
            &["its Location leads elsewhere", "401 Unauthorized", "a proxy before it"],
        ),
    ),
    row(
        Destination,
        "a Location of the same place in another scheme is taken for the same",
        |it| it.always(POST, it.large(), LocationAt(format!("https://{}", it.destination.address))),
        Done,
    ),
    row(
        Destination,
        "a Location elsewhere in another scheme is gone to as it says",
        |it| it.always(POST, it.large(), LocationAt(format!("https://{}", it.beside.address))),
        Fails("tls", &["pushing the blob", "does not speak TLS"]),
    ),
    row(
        Destination,
        "a Location that is not on the web is not gone to",
        |it| it.always(POST, it.large(), LocationAt("ftp://example.org".to_owned())),
        Fails("protocol", &["its Location is not HTTP"]),
    ),
    row(
        Destination,
        "a login in a Location is not shown",
        |it| {
            let place = format!("http://zuul:wrong@{}", it.destination.address);
            it.always(POST, it.large(), LocationAt(place));
        },
        Done,
    ),
];

const LOOKS: &[Row] = &[
    row(
        Destination,
        "a blob that is not there although a look says so leaves the tag alone",
        |it| it.always(HEAD, it.large(), found(300_000)),
        Fails("incomplete", &["MANIFEST_BLOB_UNKNOWN", "run again later"]),
    )
    .over_an_older_image(),
    row(
        Destination,
        "a blob of another size is not the one looked for",
        |it| it.always(HEAD, it.large(), found(5)),
        Done,
    )
    .over_an_older_image(),
    row(
        Destination,
        "a blob of unknown size is the one looked for",
        |it| {
            it.always(HEAD, it.large(), Http10);
            it.to.push_blob(&it.repository, &it.large_bytes());
        },
        DoneAnd(|it| assert_eq!(it.count(PUT, it.large()), 0)),
    )
    .only(Maker::Debian)
    .over_an_older_image(),
];

#[test]
fn uploads() {
    play(UPLOADS);
}

#[test]
fn locations_of_uploads() {
    play(LOCATIONS);
}

#[test]
fn looks_for_blobs() {
    play(LOOKS);
}

pub fn error(status: u16, code: &str) -> Fault {
    let body = format!(r#"{{"errors":[{{"code":"{code}","message":"so it is"}}]}}"#);
    Answer(status, vec![("content-type", "application/json".to_owned())], body)
}

fn forgotten() -> Fault {
    error(404, "BLOB_UPLOAD_UNKNOWN")
}

fn found(size: u64) -> Fault {
    Answer(200, vec![("content-length", size.to_string())], String::new())
}
