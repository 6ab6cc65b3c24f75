//! Manifests on both sides.

use http::Method;
use zuul_images::oci::media_type;

use super::End::{Done, DoneAnd, Fails, FailsInPlace};
use super::Side::{Destination, Source};
use super::reading::other_digest;
use super::scene::Scene;
use super::writing::error;
use super::{Maker, Row, play, row};
use crate::support::faulty::Fault::{self, *};

const GET: Method = Method::GET;
const HEAD: Method = Method::HEAD;
const PUT: Method = Method::PUT;

const READ: &[Row] = &[
    row(
        Source,
        "a manifest that is cut off is read anew",
        |it| {
            it.once(GET, "/manifests/latest", CutAfter(50));
            it.once(GET, it.child(), CutAfter(0));
        },
        DoneAnd(|it| assert_eq!(it.count(GET, it.child()), 2)),
    )
    .over_nothing(),
    row(
        Source,
        "a manifest that is always cut off is given up",
        |it| it.always(GET, "/manifests/", CutAfter(50)),
        Fails("broken", &["reading the manifest", "its log"]),
    ),
    row(
        Source,
        "a manifest of other bytes is not believed",
        |it| it.always(GET, it.child(), Body(it.older.root.bytes().clone())),
        Fails("damaged", &["reading the manifest", "expected sha256:", "another client"]),
    ),
    row(
        Source,
        "a manifest under another digest than it has is not believed",
        |it| it.always(GET, "/manifests/latest", other_digest()),
        Fails("damaged", &["reading the manifest", "expected sha256:"]),
    )
    .over_nothing(),
    row(
        Source,
        "a manifest that something in between has packed is said to be",
        |it| it.always(GET, it.child(), Encoded("gzip")),
        Fails("damaged", &["came encoded as `gzip`, unasked"]),
    ),
    row(
        Source,
        "a manifest without end is not read",
        |it| it.always(GET, "/manifests/", Body(vec![b' '; 5 << 20].into())),
        Fails("too-large", &["longer than", "check that it is a registry"]),
    ),
    row(
        Source,
        "a page for people is no manifest",
        |it| it.always(GET, "/manifests/", Answer(200, html(), "<html>Welcome</html>".to_owned())),
        Fails("manifest", &["reading the manifest"]),
    )
    .over_nothing(),
    row(
        Source,
        "a tag that is something else to a look than to a reader is not guessed at",
        |it| it.always(HEAD, "/manifests/latest", other_digest()),
        Fails("not-found", &["the source does not have this image"]),
    )
    .over_an_older_image(),
    row(
        Source,
        "a look that does not tell the digest is followed by a reading",
        |it| it.always(HEAD, "/manifests/latest", Header("docker-content-digest", None)),
        Done,
    )
    .over_an_older_image(),
];

const REFERRERS: &[Row] = &[
    row(
        Source,
        "a list of referrers that is cut off is asked for again",
        |it| it.once(GET, "/referrers/", CutAfter(5)),
        DoneAnd(|it| assert_eq!(it.count(GET, "/referrers/"), 2)),
    )
    .only(Maker::Us),
    row(
        Source,
        "referrers that cannot be listed leave the tag alone",
        |it| it.always(GET, "/referrers/", Answer(500, vec![], String::new())),
        Fails("server", &["listing the referrers", "500 Internal Server Error"]),
    )
    .only(Maker::Us),
    row(
        Source,
        "a list of referrers that is none is an error of the registry",
        |it| it.always(GET, "/referrers/", Answer(200, html(), "<html>Welcome</html>".to_owned())),
        Fails("protocol", &["listing the referrers", "its list of referrers is none"]),
    )
    .only(Maker::Us),
];

const LOOKED_FOR: &[Row] = &[
    row(
        Destination,
        "a tag that is said to be another image is written",
        |it| it.always(HEAD, "/manifests/latest", other_digest()),
        Done,
    )
    .over_an_older_image(),
    row(
        Destination,
        "a tag that is said not to be there is written",
        |it| it.always(HEAD, "/manifests/latest", Answer(404, vec![], String::new())),
        Done,
    )
    .over_an_older_image(),
    row(
        Destination,
        "a child that is said to be there with another size is not taken for it",
        |it| it.always(HEAD, it.child(), there(it, media_type::OCI_MANIFEST, 7)),
        DoneAnd(|it| assert_eq!(it.count(PUT, it.child()), 1)),
    )
    .over_an_older_image(),
    row(
        Destination,
        "a child that is said to be there with another type is not taken for it",
        |it| {
            let size = it.image.below[0].bytes().len();
            it.always(HEAD, it.child(), there(it, media_type::DOCKER_MANIFEST, size));
        },
        DoneAnd(|it| assert_eq!(it.count(PUT, it.child()), 1)),
    )
    .over_an_older_image(),
    row(
        Destination,
        "a child that is said to be another manifest stops the copy",
        |it| it.always(HEAD, it.child(), Answer(200, another(), String::new())),
        Fails("damaged", &["looking for", "the registry answers for sha256:"]),
    )
    .over_an_older_image(),
];

const WRITTEN: &[Row] = &[
    row(
        Destination,
        "a tag whose answer is lost is settled by a look",
        |it| it.once(PUT, "/manifests/latest", LoseReply),
        DoneAnd(|it| assert_eq!(it.count(PUT, "/manifests/latest"), 1)),
    ),
    row(
        Destination,
        "a tag whose writing is cut off is written anew",
        |it| it.once(PUT, "/manifests/latest", CutRequest(1)),
        DoneAnd(|it| assert_eq!(it.count(PUT, "/manifests/latest"), 2)),
    ),
    row(
        Destination,
        "blobs that are seen only after a while are waited for",
        |it| {
            it.times(2, PUT, it.child(), error(404, "MANIFEST_BLOB_UNKNOWN"));
            it.times(2, PUT, "/manifests/latest", error(400, "MANIFEST_BLOB_UNKNOWN"));
        },
        Done,
    ),
    row(
        Destination,
        "blobs that are never seen leave the tag alone",
        |it| it.always(PUT, it.child(), error(400, "MANIFEST_BLOB_UNKNOWN")),
        Fails("incomplete", &["writing the manifest", "MANIFEST_BLOB_UNKNOWN", "run again later"]),
    ),
    row(
        Destination,
        "a tag that is refused says why",
        |it| it.always(PUT, "/manifests/latest", error(403, "DENIED")),
        Fails("denied", &["writing the manifest", "DENIED: so it is"]),
    ),
    row(
        Destination,
        "a tag that is taken for another digest is looked at",
        |it| it.once(PUT, "/manifests/latest", other_digest()),
        Done,
    ),
    row(
        Destination,
        "a tag that is another digest afterwards is an error",
        |it| {
            it.always(PUT, "/manifests/latest", other_digest());
            it.always(HEAD, "/manifests/latest", other_digest());
        },
        FailsInPlace("damaged", &["writing the manifest", "the registry took it as sha256:"]),
    ),
];

#[test]
fn manifests_that_are_read() {
    play(READ);
}

#[test]
fn referrers_that_are_listed() {
    play(REFERRERS);
}

#[test]
fn manifests_that_are_looked_for() {
    play(LOOKED_FOR);
}

#[test]
fn manifests_that_are_written() {
    play(WRITTEN);
}

fn html() -> Vec<(&'static str, String)> {
    vec![("content-type", "text/html".to_owned())]
}

fn there(it: &Scene, kind: &str, size: usize) -> Fault {
    let headers = vec![
        ("docker-content-digest", format!("sha256:{}", it.child())),
        ("content-type", kind.to_owned()),
        ("content-length", size.to_string()),
    ];
    Answer(200, headers, String::new())
}

fn another() -> Vec<(&'static str, String)> {
    let digest = zuul_images::oci::Digest::sha256(b"something else").to_string();
    vec![("docker-content-digest", digest)]
}
