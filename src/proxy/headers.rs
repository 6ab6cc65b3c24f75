//! What a proxy takes out of requests and answers (RFC 9110, section 7.6.1).

use http::HeaderMap;
use http::header::{self, HeaderName};

use super::Error;

/// Fields that mean something between two neighbours only.
const HOP_BY_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// Fields nobody takes out by naming them in `Connection`: without them a request or answer would
/// mean something else.
const NEVER_NAMED: [HeaderName; 3] = [header::HOST, header::CONTENT_LENGTH, header::AUTHORIZATION];

/// Takes out what was meant for us alone, and what `Connection` names.
pub(super) fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| !NEVER_NAMED.contains(name))
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Refuses a request whose body could be cut differently by another server. How long it is, is said
/// anew towards the real host, by what has come in.
pub(super) fn demand_plain_framing(headers: &HeaderMap) -> Result<(), Error> {
    let codings = headers.get_all(header::TRANSFER_ENCODING);
    let mut codings = codings.iter();
    match (codings.next(), codings.next()) {
        (None, _) => {}
        (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            if headers.contains_key(header::CONTENT_LENGTH) {
                return Err(Error::Ambiguous("Content-Length and Transfer-Encoding"));
            }
        }
        _ => return Err(Error::Ambiguous("a Transfer-Encoding other than `chunked`")),
    }
    if headers.get_all(header::CONTENT_LENGTH).iter().count() > 1 {
        return Err(Error::Ambiguous("more than one Content-Length"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_body_that_can_be_cut_in_two_ways_is_refused() {
        for lines in [
            [("transfer-encoding", "gzip, chunked"), ("accept", "*/*")],
            [("transfer-encoding", "xchunked"), ("accept", "*/*")],
            [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            [("transfer-encoding", "chunked"), ("content-length", "3")],
            [("content-length", "3"), ("content-length", "3")],
        ] {
            assert!(demand_plain_framing(&map(&lines)).is_err(), "{lines:?}");
        }
        demand_plain_framing(&map(&[("transfer-encoding", "Chunked")])).unwrap();
        demand_plain_framing(&map(&[("content-length", "3")])).unwrap();
    }

    #[test]
    fn only_what_is_between_neighbours_is_taken_out() {
        let mut headers = map(&[
            ("connection", "x-one, Upgrade"),
            ("connection", "authorization, host"),
            ("x-one", "1"),
            ("upgrade", "websocket"),
            ("proxy-authorization", "Basic eDp5"),
            ("proxy-connection", "keep-alive"),
            ("te", "trailers"),
            ("host", "quay.io"),
            ("authorization", "Bearer t"),
            ("x-two", "2"),
        ]);
        strip(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "host", "x-two"]);
    }
}
