//! Blob stores that registries send on to.

use http::Method;

use super::End::{Done, DoneAnd, Fails};
use super::Side::{Destination, Source};
use super::scene::{SIGNATURE, Scene, blob_path};
use super::{Row, play, row};
use crate::support::faulty::Fault::{self, *};

const GET: Method = Method::GET;
const HEAD: Method = Method::HEAD;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;

const ROWS: &[Row] = &[
    row(
        Source,
        "a blob store gets neither login nor cookie",
        |it| it.always(GET, it.large(), to(it, it.signed_url())),
        DoneAnd(|it| assert_eq!(it.store.count(GET, SIGNATURE), 1)),
    ),
    row(
        Source,
        "a blob that a store cuts off is asked for where it was asked for first",
        |it| {
            it.always(GET, it.large(), to(it, it.signed_url()));
            it.store.fault(1, GET, &it.large(), CutAfter(120_000));
        },
        DoneAnd(|it| assert_eq!(it.ranges(), ["bytes=120000-"])),
    ),
    row(
        Source,
        "a blob store that refuses is named, its signature is not",
        |it| {
            it.always(GET, it.large(), to(it, it.signed_url()));
            it.store.fault(9, GET, &it.large(), Answer(403, vec![], "<Error/>".to_owned()));
        },
        Fails("denied", &["where 127.0.0.1:", "redirects to, answered 403 Forbidden"]),
    ),
    row(
        Source,
        "a blob store that wants a login gets none",
        |it| {
            it.always(GET, it.large(), to(it, it.signed_url()));
            let wants = vec![("www-authenticate", "Basic realm=\"store\"".to_owned())];
            it.store.fault(9, GET, &it.large(), Answer(401, wants, String::new()));
        },
        Fails("unauthorized", &["where 127.0.0.1:", "redirects to, answered 401 Unauthorized"]),
    ),
    row(
        Source,
        "a manifest may be in a store as well",
        |it| it.always(GET, "/manifests/", RedirectTo(format!("http://{}", it.store.address))),
        Done,
    ),
    row(
        Source,
        "redirects in a circle end",
        |it| it.always(GET, it.large(), to(it, blob_path(&it.repository, &it.large()))),
        Fails("redirect", &["one redirect too many", "in a circle"]),
    ),
    row(
        Source,
        "a redirect off the web is not followed",
        |it| it.always(GET, it.large(), to(it, format!("ftp://example.org/x?{SIGNATURE}"))),
        Fails("redirect", &["redirects to ftp://example.org", "not HTTP"]),
    ),
    row(
        Source,
        "a redirect to nowhere is told as it is",
        |it| it.always(GET, it.large(), Answer(307, vec![], String::new())),
        Fails("unexpected", &["307 Temporary Redirect"]),
    ),
    row(
        Source,
        "a redirect to where nobody is names the place, its signature is not told",
        |it| it.always(GET, it.large(), to(it, format!("http://127.0.0.1:1/x?{SIGNATURE}"))),
        Fails("connect", &["no connection to 127.0.0.1:1", "check that it runs"]),
    ),
    row(
        Source,
        "a login in a redirect is not shown",
        |it| {
            let url = it.signed_url().replace("http://", "http://zuul:wrong@");
            it.always(GET, it.large(), to(it, url));
        },
        Done,
    ),
    row(
        Destination,
        "a look may lead to a store",
        |it| it.always(HEAD, it.large(), to(it, it.signed_url().replace("sha256:", "sha256:0"))),
        DoneAnd(|it| assert_eq!(it.store.count(HEAD, SIGNATURE), 1)),
    )
    .over_an_older_image(),
    row(
        Destination,
        "an upload is not begun elsewhere",
        |it| it.always(POST, it.large(), to(it, format!("http://{}/x", it.store.address))),
        Fails("redirect", &["what is written is not carried to another host"]),
    ),
    row(
        Destination,
        "a blob is not sent elsewhere",
        |it| it.always(PUT, it.large(), to(it, format!("http://{}/x", it.store.address))),
        Fails("redirect", &["the body cannot be sent twice"]),
    ),
];

#[test]
fn blob_stores() {
    play(ROWS);
}

fn to(it: &Scene, location: String) -> Fault {
    let cookie = format!("session=5ecret; Domain={}", it.store.address.ip());
    Answer(307, vec![("location", location), ("set-cookie", cookie)], String::new())
}
