use std::fmt::Write as _;

use super::entries::{Filter, Place};
use super::listing::Position;
use crate::layers::Layer;
use crate::registry::Error;
use crate::registry::call::Call;

/// How many images a page shows, unless told otherwise.
const PER_PAGE: usize = 50;

/// How many it shows at most.
const MOST_PER_PAGE: usize = 200;

/// What a request for `/status` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) text: Option<String>,
    pub(super) layer: Option<Layer>,
    pub(super) from: Position,
    pub(super) limit: usize,
    pub(super) refresh: Option<u64>,
    pub(super) json: bool,
}

impl Query {
    pub(super) fn of(call: &Call) -> Result<Self, Error> {
        Self::parse(
            |name| call.parameter(name).filter(|value| !value.is_empty()),
            call.header(http::header::ACCEPT).unwrap_or_default(),
        )
    }

    fn parse<'a>(parameter: impl Fn(&str) -> Option<&'a str>, accept: &str) -> Result<Self, Error> {
        let wrong = |name, expected| Error::Parameter { name, expected };
        let number = |name: &'static str| {
            let value = parameter(name).map(str::parse::<u64>).transpose();
            value.map_err(|_| wrong(name, "a number"))
        };
        let layer = match parameter("layer") {
            None => None,
            Some(name) => Some(
                [Layer::Local, Layer::Speculative, Layer::Cache]
                    .into_iter()
                    .find(|layer| layer.as_str() == name)
                    .ok_or(wrong("layer", "local, speculative or cache"))?,
            ),
        };
        let json = match parameter("format") {
            Some("json") => true,
            Some("html") => false,
            Some(_) => return Err(wrong("format", "json or html")),
            None => accept.contains("application/json") && !accept.contains("text/html"),
        };
        let place = |name: &'static str| {
            let value = parameter(name).map(str::parse::<Place>).transpose();
            value.map_err(|()| wrong(name, "a place in the list"))
        };
        let from = match (place("before")?, place("after")?) {
            (Some(place), _) => Position::Before(place),
            (None, Some(place)) => Position::After(place),
            (None, None) => Position::Start,
        };
        let limit = number("n")?.map_or(PER_PAGE, |n| usize::try_from(n).unwrap_or(usize::MAX));
        Ok(Self {
            text: parameter("q").map(|text| text.trim().chars().take(100).collect()),
            layer,
            from,
            limit: limit.clamp(1, MOST_PER_PAGE),
            refresh: number("refresh")?.map(|seconds| seconds.clamp(5, 3600)),
            json,
        })
    }

    pub(super) fn filter(&self) -> Filter {
        Filter { text: self.text.clone(), layer: self.layer }
    }

    /// The same from the start.
    pub(super) fn first(&self) -> String {
        self.link(&[])
    }

    /// The same elsewhere.
    pub(super) fn at(&self, way: &str, place: &str) -> String {
        self.link(&[(way, place)])
    }

    /// The same page, refreshed or not.
    pub(super) fn with_refresh(&self, refresh: Option<u64>) -> String {
        Self { refresh, ..self.clone() }.here(&[])
    }

    /// The same page for machines.
    pub(super) fn as_json(&self) -> String {
        Self { refresh: None, ..self.clone() }.here(&[("format", "json")])
    }

    fn here(&self, more: &[(&str, &str)]) -> String {
        let place = match self.from {
            Position::Start => None,
            Position::Before(place) => Some(("before", place.to_string())),
            Position::After(place) => Some(("after", place.to_string())),
        };
        let place = place.as_ref().map(|(way, place)| (*way, place.as_str()));
        self.link(&place.into_iter().chain(more.iter().copied()).collect::<Vec<_>>())
    }

    fn link(&self, more: &[(&str, &str)]) -> String {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        if let Some(text) = &self.text {
            form.append_pair("q", text);
        }
        if let Some(layer) = self.layer {
            form.append_pair("layer", layer.as_str());
        }
        if self.limit != PER_PAGE {
            form.append_pair("n", &self.limit.to_string());
        }
        if let Some(seconds) = self.refresh {
            form.append_pair("refresh", &seconds.to_string());
        }
        form.extend_pairs(more);
        let mut link = String::from("/status");
        let query = form.finish();
        if !query.is_empty() {
            let _ = write!(link, "?{query}");
        }
        link
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(query: &str, accept: &str) -> Result<Query, Error> {
        let pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let find =
            |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        Query::parse(find, accept)
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for query in [
            "n=x",
            "before=-1",
            "before=7",
            "after=1-x",
            "layer=upstream",
            "format=xml",
            "refresh=1.5",
        ] {
            assert!(parse(query, "").is_err(), "{query}");
        }
    }

    #[test]
    fn numbers_are_kept_within_reason() {
        let query = parse("n=99999999&refresh=0", "").unwrap();
        assert_eq!((query.limit, query.refresh), (200, Some(5)));
        assert_eq!(parse("n=0", "").unwrap().limit, 1);
    }

    #[test]
    fn a_link_asks_for_the_same() {
        let query = parse("q=a%26b%3D%3C&layer=cache&n=7&refresh=30&before=12-3", "").unwrap();
        for (link, from) in [
            (query.with_refresh(Some(30)), query.from),
            (query.first(), Position::Start),
            (query.at("after", "3-4"), Position::After("3-4".parse().unwrap())),
        ] {
            let asked = link.strip_prefix("/status?").unwrap();
            assert_eq!(parse(asked, "").unwrap(), Query { from, ..query.clone() });
        }
        assert!(parse(query.as_json().split_once('?').unwrap().1, "").unwrap().json);
    }

    #[test]
    fn machines_get_json_and_browsers_do_not() {
        assert!(parse("", "application/json").unwrap().json);
        assert!(!parse("", "text/html,application/xhtml+xml,application/json").unwrap().json);
        assert!(!parse("", "*/*").unwrap().json);
        assert!(!parse("format=html", "application/json").unwrap().json);
    }
}
