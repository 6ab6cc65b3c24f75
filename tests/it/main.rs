//! Tests of the whole: real servers on 127.0.0.1, real programs, one module a topic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod client;
mod copy;
mod support;
