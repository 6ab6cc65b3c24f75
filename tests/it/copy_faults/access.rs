//! Logins, tokens, and the servers they come from.

use std::time::Duration;

use http::Method;

use super::End::{Done, DoneAnd, Fails};
use super::Side::{Destination, Either, Source};
use super::scene::Scene;
use super::{Maker, Row, play, row};
use crate::support::faulty::Fault::{self, *};

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;

/// Where our registries give tokens.
const TOKEN: &str = "/auth/token";

const TOKENS: &[Row] = &[
    row(
        Source,
        "a token that runs out is replaced",
        |it| it.once(GET, it.large(), Anonymous),
        DoneAnd(|it| assert!(it.count(GET, TOKEN) > 1)),
    )
    .only(Maker::Us),
    row(
        Source,
        "a token that runs out while a blob is on its way is replaced",
        |it| {
            it.once(GET, it.large(), CutAfter(120_000));
            it.once(GET, it.large(), Anonymous);
        },
        DoneAnd(|it| assert_eq!(it.ranges().last().unwrap(), "bytes=120000-")),
    )
    .only(Maker::Us),
    row(
        Destination,
        "a token that runs out before an upload is replaced",
        |it| it.once(POST, it.large(), Anonymous),
        Done,
    )
    .only(Maker::Us),
    row(
        Destination,
        "a token that runs out between the POST and the PUT is replaced",
        |it| it.once(PUT, it.large(), Anonymous),
        DoneAnd(|it| assert_eq!(it.count(PUT, it.large()), 2)),
    )
    .heavy()
    .only(Maker::Us),
    row(
        Destination,
        "a token that runs out before the tag is written is replaced",
        |it| it.once(PUT, "/manifests/latest", Anonymous),
        Done,
    )
    .only(Maker::Us),
    row(
        Either,
        "tokens that are good for nothing are not asked for again and again",
        |it| it.always(GET, TOKEN, Answer(200, vec![], r#"{"token":"worthless"}"#.to_owned())),
        Fails("unauthorized", &["wants a login", "that of the user `zuul` was refused"]),
    )
    .only(Maker::Us),
    row(
        Either,
        "a login that is refused all the same says so",
        |it| it.transfers(usize::MAX, Anonymous),
        Fails("unauthorized", &["401 Unauthorized"]),
    ),
];

const TOKEN_SERVERS: &[Row] = &[
    row(
        Either,
        "a token server that fails in passing is asked again",
        |it| it.times(2, GET, TOKEN, Answer(503, vec![], String::new())),
        Done,
    )
    .only(Maker::Us),
    row(
        Either,
        "a token server that fails is said",
        |it| it.always(GET, TOKEN, Answer(500, vec![], String::new())),
        Fails("server", &["500 Internal Server Error", "its own log may say more"]),
    )
    .only(Maker::Us),
    row(
        Either,
        "a token that is cut off is asked for again",
        |it| it.once(GET, TOKEN, CutAfter(5)),
        Done,
    )
    .only(Maker::Us),
    row(
        Either,
        "a token server that does not answer is given up",
        |it| it.always(GET, TOKEN, Delay(Duration::from_secs(3600))),
        Fails("timeout", &["did not answer for 2 s", "--idle-timeout"]),
    )
    .only(Maker::Us)
    .impatient(),
    row(
        Either,
        "a page for people is no token",
        |it| it.always(GET, TOKEN, Answer(200, vec![], "<html>Log in</html>".to_owned())),
        Fails("realm", &["names the token server", "its answer holds no token"]),
    )
    .only(Maker::Us),
    row(
        Either,
        "a token server that refuses the login says so",
        |it| it.always(GET, TOKEN, Answer(401, vec![], r#"{"details":"no such user"}"#.to_owned())),
        Fails("unauthorized", &["that of the user `zuul` was refused", "no such user"]),
    )
    .only(Maker::Us),
    row(
        Either,
        "a token server that sends on elsewhere gives no login away",
        |it| it.always(GET, TOKEN, Answer(302, elsewhere(it), String::new())),
        Fails("not-found", &["where 127.0.0.1:", "redirects to, answered 404 Not Found"]),
    )
    .only(Maker::Us),
];

const CHALLENGES: &[Row] = &[
    row(
        Either,
        "a challenge among others in a strange spelling is understood",
        |it| challenge(it, format!("Negotiate, bEARER Realm = \"{}\" , service=x", realm(it))),
        Done,
    )
    .only(Maker::Us),
    row(
        Either,
        "of two challenges the token is taken",
        |it| challenge(it, format!("Basic realm=\"a, b\", Bearer realm={}", realm(it))),
        Done,
    )
    .only(Maker::Us),
    row(
        Either,
        "a login will do where no token is asked for",
        |it| challenge(it, "basic".to_owned()),
        Done,
    )
    .only(Maker::Debian),
    row(
        Either,
        "a refusal without a challenge is told as it is",
        |it| it.always(first(it), "", Answer(401, vec![], String::new())),
        Fails("unauthorized", &["401 Unauthorized", "check the login"]),
    ),
    row(
        Either,
        "a challenge nobody can answer is told as it is",
        |it| it.always(first(it), "", wants("Bearer service=\"x\"".to_owned())),
        Fails("unauthorized", &["401 Unauthorized", "check the login"]),
    ),
    row(
        Either,
        "a token server elsewhere without TLS is not asked",
        |it| {
            let realm = format!("Bearer realm=\"http://{}/token\"", it.store.address);
            it.always(first(it), "", wants(realm));
        },
        Fails("realm", &["names the token server", "--plain-http"]),
    ),
];

#[test]
fn tokens() {
    play(TOKENS);
}

#[test]
fn token_servers() {
    play(TOKEN_SERVERS);
}

#[test]
fn challenges() {
    play(CHALLENGES);
}

/// How a side is asked first.
fn first(it: &Scene) -> Method {
    if it.side == Source { GET } else { Method::HEAD }
}

fn realm(it: &Scene) -> String {
    format!("http://{}{TOKEN}", it.faulty().address)
}

/// Changes what the registry says to who has not shown who he is.
fn challenge(it: &Scene, challenge: String) {
    it.once(first(it), "/manifests/", Header("www-authenticate", Some(challenge)));
}

fn wants(challenge: String) -> Fault {
    Answer(401, vec![("www-authenticate", challenge)], String::new())
}

fn elsewhere(it: &Scene) -> Vec<(&'static str, String)> {
    vec![("location", format!("http://{}/token", it.store.address))]
}
