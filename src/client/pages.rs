use std::collections::HashSet;

use bytes::Bytes;
use http::header::LINK;
use url::Url;

use super::Error;
use super::access::Purpose;
use crate::http::Response;

/// The pages of a list. How it goes on is said by the other side, which may never come to an end.
pub(super) struct Pages<'a> {
    purpose: Purpose<'a>,
    /// For messages: the list.
    what: &'static str,
    seen: HashSet<Url>,
    /// How many bytes more are taken.
    room: usize,
}

impl<'a> Pages<'a> {
    /// What a page takes beside its address and its bytes.
    const PAGE: usize = 8 * 1024;

    pub(super) fn new(purpose: Purpose<'a>, what: &'static str, room: usize) -> Self {
        Self { purpose, what, seen: HashSet::new(), room }
    }

    pub(super) fn purpose(&self) -> Purpose<'a> {
        self.purpose
    }

    /// Notes that a page is asked for.
    pub(super) fn turn_to(&mut self, url: &Url) -> Result<(), Error> {
        self.take(Self::PAGE + url.as_str().len())?;
        if self.seen.insert(url.clone()) {
            return Ok(());
        }
        Err(self.purpose.protocol(format!("its list of {} runs in a circle", self.what)))
    }

    /// The bytes of a page, at most `limit`.
    pub(super) async fn read(&mut self, response: Response, limit: usize) -> Result<Bytes, Error> {
        let body = response.bytes(limit).await.map_err(|source| self.purpose.http(source))?;
        self.take(body.len())?;
        Ok(body)
    }

    /// Where the list goes on, if it does.
    pub(super) fn following(&self, response: &Response, url: &Url) -> Result<Option<Url>, Error> {
        let links = response.headers().get_all(LINK).iter().filter_map(|value| value.to_str().ok());
        let next = links.filter_map(next_link).next().map(|target| url.join(target));
        match next {
            None => Ok(None),
            Some(Ok(next)) if next.origin() == url.origin() => Ok(Some(next)),
            Some(_) => Err(self.purpose.protocol("the next page of its list is somewhere else")),
        }
    }

    fn take(&mut self, bytes: usize) -> Result<(), Error> {
        let endless = || self.purpose.protocol(format!("its list of {} has no end", self.what));
        self.room = self.room.checked_sub(bytes).ok_or_else(endless)?;
        Ok(())
    }
}

/// The target with `rel="next"` of a `Link` header (RFC 8288). Targets are opaque.
fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let (_, after) = rest.split_once('<')?;
        let (target, after) = after.split_once('>')?;
        let parameters = after.split('<').next().unwrap_or_default();
        let is_next = parameters.split([';', ',']).any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or_default();
            let value = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel")
                && value.split(' ').any(|relation| relation.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(target);
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_leads_nowhere_is_no_link() {
        for header in ["", "<", "</a", "</a>", "</a>; rel=prev", "/a; rel=next", "</a>; title=next"]
        {
            assert_eq!(next_link(header), None, "{header}");
        }
    }

    #[test]
    fn the_next_page_is_found_in_every_spelling() {
        for header in [
            "</v2/x?n=1&last=a,b;c>; rel=\"next\"",
            "</v2/x?n=1&last=a,b;c>;rel=next",
            "</other>; rel=\"first\", </v2/x?n=1&last=a,b;c>; title=x; Rel=\"prev next\"",
        ] {
            assert_eq!(next_link(header), Some("/v2/x?n=1&last=a,b;c"), "{header}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(header in "[<>;=\", a-z]{0,40}") {
            let _ = next_link(&header);
        }
    }
}
