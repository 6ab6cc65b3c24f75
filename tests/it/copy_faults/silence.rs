//! Peers that stand still.

use std::time::Duration;

use http::Method;

use super::End::{Done, DoneAnd, Fails};
use super::Side::{Destination, Either, Source};
use super::scene::ALWAYS;
use super::{Row, play, row};
use crate::support::faulty::Fault::*;

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;

const LONG: Duration = Duration::from_secs(3600);

const ROWS: &[Row] = &[
    row(
        Source,
        "who does not answer once is asked again",
        |it| it.once(GET, "/manifests/", Delay(LONG)),
        Done,
    )
    .impatient(),
    row(
        Either,
        "who never answers is given up",
        |it| it.always(if it.side == Source { GET } else { Method::HEAD }, "", Delay(LONG)),
        Fails("timeout", &["did not answer for 2 s", "it may be overloaded", "--idle-timeout"]),
    )
    .impatient(),
    row(
        Source,
        "a blob that stands still goes on where it stood",
        |it| it.once(GET, it.large(), StallAfter(120_000)),
        DoneAnd(|it| assert_eq!(it.ranges(), ["bytes=120000-"])),
    )
    .impatient(),
    row(
        Source,
        "a blob that stands still for ever is given up",
        |it| it.always(GET, it.large(), StallAfter(0)),
        Fails("timeout", &["reading the blob", "sent nothing more for 2 s", "--idle-timeout"]),
    )
    .impatient(),
    row(
        Source,
        "a blob that drips is given up",
        |it| it.always(GET, it.large(), Drip(1, Duration::from_millis(100))),
        Fails("timeout", &["reading the blob", "sent hardly anything more for 2 s"]),
    )
    .impatient(),
    row(
        Source,
        "a manifest that stands still is read anew",
        |it| it.once(GET, "/manifests/", StallAfter(50)),
        Done,
    )
    .impatient(),
    row(
        Source,
        "a manifest that drips is given up",
        |it| it.always(GET, "/manifests/", Drip(1, Duration::from_millis(100))),
        Fails("timeout", &["reading the manifest", "hardly anything"]),
    )
    .impatient(),
    row(
        Destination,
        "an upload that is not taken on is begun anew",
        |it| it.once(PUT, it.large(), StallRequest(100_000)),
        DoneAnd(|it| assert_eq!(it.count(PUT, it.large()), 2)),
    )
    .impatient()
    .heavy(),
    row(
        Destination,
        "an upload that is never taken on is given up",
        |it| it.transfers(ALWAYS, StallRequest(100_000)),
        Fails("timeout", &["pushing the blob", "did not answer for 2 s"]),
    )
    .impatient()
    .heavy(),
    row(
        Destination,
        "an upload may be checked for a while after its last byte",
        |it| it.once(PUT, it.large(), Delay(Duration::from_secs(4))),
        DoneAnd(|it| assert_eq!(it.count(PUT, it.large()), 1)),
    )
    .impatient(),
    row(
        Destination,
        "an upload that is taken and never answered is given up",
        |it| it.always(PUT, it.large(), Delay(LONG)),
        Fails("timeout", &["pushing the blob", "did not answer for 10 s"]),
    )
    .impatient(),
    row(
        Destination,
        "a tag that is written and not answered for is settled by a look",
        |it| it.once(PUT, "/manifests/latest", StallAfter(0)),
        Done,
    )
    .impatient(),
];

#[test]
fn peers_that_stand_still() {
    play(ROWS);
}
