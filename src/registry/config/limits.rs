//! What one client may use up.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{Period, Size};
use crate::serve;

/// What one client may use up: the section `limits` of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at once; further ones wait to be accepted. Never more than three quarters of the
    /// files the system lets the process open.
    pub connections: usize,
    /// For the head of a request, and between two requests of one connection.
    pub head: Period,
    /// How long a client may take nothing of its answer.
    pub stall: Period,
    /// The largest blob.
    pub blob: Size,
    /// How long one request may bring bytes of a blob; what has come stays, and the upload can go on.
    pub push: Period,
}

impl Default for Limits {
    fn default() -> Self {
        let serve = serve::Limits::default();
        Self {
            connections: serve.connections,
            head: Period(serve.head),
            stall: Period(serve.stall),
            blob: Size(256 << 30),
            push: Period(Self::A_DAY),
        }
    }
}

impl Limits {
    /// When a push that began at this moment has to have ended.
    pub(in crate::registry) fn end_of_push(&self, began: Instant) -> Instant {
        // What is further away than the clock reaches is a day away at least.
        began.checked_add(self.push.0).unwrap_or(began + Self::A_DAY)
    }

    const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// Those that `serve` sees to. Other connections wait in the system's queue, so that there are
    /// always files left to answer those that are there.
    pub(in crate::registry) fn of_connections(&self) -> serve::Limits {
        let files = serve::file_limit() / 4 * 3;
        serve::Limits {
            connections: self.connections.min(files).max(1),
            head: self.head.0,
            stall: self.stall.0,
            ..serve::Limits::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_their_answers() {
        let greedy = Limits { connections: usize::MAX, ..Limits::default() };
        assert!(greedy.of_connections().connections < serve::file_limit());
        let none = Limits { connections: 0, ..Limits::default() };
        assert_eq!(none.of_connections().connections, 1);
    }
}
