//! The one way to the network: connections, limits, retries, redirects, counters.
//!
//! Knows HTTP (RFC 9110, 9112) and what a failure means; knows nothing of registries beyond the
//! shape of their error answers (distribution-spec, "Error Codes"). The only room that names
//! reqwest. HTTP/1.1 only, nothing is decompressed, redirects are followed by our own rules. Where a
//! connection may lead whose target somebody else named, [`AddressPolicy`] says.

mod addresses;
mod answer;
mod connections;
mod error;
mod network;
mod pace;
mod request;
mod resolve;
mod response;
mod retry;
mod send;
mod settings;

pub use self::addresses::{AddressPolicy, Forbidden};
pub use self::answer::Answer;
pub use self::error::Error;
pub use self::network::{InvalidNetwork, Network};
pub use self::pace::Rate;
pub use self::request::{Body, BodyStream, Request};
pub use self::resolve::{Resolver, Unreachable};
pub use self::response::Response;
pub use self::retry::{Retries, parse_retry_after};
pub use self::send::{Http, without_login};
pub use self::settings::{Observer, Settings, Statistics};
