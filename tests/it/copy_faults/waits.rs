//! Registries that want to be left alone for a while.

use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::{SignedDuration, Timestamp};

use super::End::{Done, DoneAnd, Fails};
use super::Side::Either;
use super::scene::ALWAYS;
use super::{Row, play, row};
use crate::support::faulty::Fault::{self, *};

const ROWS: &[Row] = &[
    row(
        Either,
        "a registry that asks for a second gets it",
        |it| it.transfers(1, later(429, "1")),
        DoneAnd(|it| assert_eq!(it.count(it.transfer(), it.large()), 2)),
    ),
    row(
        Either,
        "a registry that names a date is asked again then",
        |it| it.transfers(1, later(429, &in_two_seconds())),
        Done,
    ),
    row(
        Either,
        "a registry that names a date that is past is asked again",
        |it| it.transfers(1, later(503, "Sun, 06 Nov 1994 08:49:37 GMT")),
        Done,
    ),
    row(
        Either,
        "a registry that asks for nothing that can be understood is asked again",
        |it| it.transfers(1, later(429, "in a while")),
        Done,
    ),
    row(
        Either,
        "a registry that asks for a day is not waited for",
        |it| it.transfers(1, later(429, "86400")),
        Fails("rate-limited", &["to be asked again in 86400 s", "try again later"]),
    ),
    row(
        Either,
        "a registry that fails and asks for a day is not waited for",
        |it| it.transfers(1, later(503, "86400")),
        Fails("server", &["to be asked again in 86400 s", "its own log may say more"]),
    ),
    row(
        Either,
        "too many requests without a time are tried again",
        |it| it.transfers(2, status(429)),
        Done,
    ),
    row(
        Either,
        "too many requests for ever are given up",
        |it| it.transfers(ALWAYS, status(429)),
        Fails("rate-limited", &["429 Too Many Requests", "log in for a higher limit"]),
    ),
    row(
        Either,
        "a burst of failures is outlasted",
        |it| [500, 502, 504].iter().for_each(|code| it.transfers(1, status(*code))),
        DoneAnd(|it| assert_eq!(it.count(it.transfer(), it.large()), 4)),
    ),
    row(
        Either,
        "failures for ever are given up",
        |it| it.transfers(ALWAYS, status(500)),
        Fails("server", &["500 Internal Server Error", "its own log may say more"]),
    ),
    row(
        Either,
        "a failure that will not pass is not tried again",
        |it| it.transfers(1, status(501)),
        Fails("server", &["501 Not Implemented"]),
    ),
    row(
        Either,
        "a server that took too long to read or is too early is asked again",
        |it| [408, 425].iter().for_each(|code| it.transfers(1, status(*code))),
        Done,
    ),
];

#[test]
fn registries_that_want_to_be_left_alone() {
    play(ROWS);
}

fn status(code: u16) -> Fault {
    Answer(code, vec![], String::new())
}

fn later(code: u16, when: &str) -> Fault {
    Answer(code, vec![("retry-after", when.to_owned())], String::new())
}

fn in_two_seconds() -> String {
    let then = Timestamp::now() + SignedDuration::from_secs(2);
    DateTimePrinter::new().timestamp_to_rfc9110_string(&then).unwrap()
}
