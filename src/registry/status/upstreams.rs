use std::time::{Duration, SystemTime, UNIX_EPOCH};

use maud::{Markup, html};

use super::text::{ago, bytes, number, period, shown};
use crate::layers::UpstreamReport;

/// How the registries do that this one fetches from. Nothing where there are none.
pub(super) fn section(upstreams: &[UpstreamReport], now: SystemTime) -> Markup {
    html! {
        @if !upstreams.is_empty() {
            section.upstreams aria-label="Other registries" {
                div.bar-of-images { h2 { "Other registries" } }
                table {
                    thead {
                        tr {
                            th scope="col" { "Registry" }
                            th scope="col" { "State" }
                            th.number scope="col" { "Answers" }
                            th.number scope="col" title="no answer, or a 5xx" { "Failures" }
                            th.number scope="col" title="answered from the cache because it could not be asked" { "Stale" }
                            th.number scope="col" { "Fetched" }
                            th.number scope="col" title="what it says may still be asked of it" { "Left" }
                            th.number scope="col" { "Last answer" }
                        }
                    }
                    tbody { @for upstream in upstreams { (row(upstream, now)) } }
                }
            }
        }
    }
}

fn row(upstream: &UpstreamReport, now: SystemTime) -> Markup {
    html! {
        tr {
            th.name scope="row" { (upstream.name) }
            td data-label="State" { (state(upstream)) }
            td.number data-label="Answers" { (number(upstream.answers)) }
            td.number data-label="Failures" { (number(upstream.failures)) }
            td.number data-label="Stale" { (number(upstream.stale)) }
            td.number data-label="Fetched" { (bytes(upstream.bytes)) }
            td.number data-label="Left" { (left(upstream)) }
            td.number data-label="Last answer" {
                @match upstream.last_answer {
                    Some(seconds) => (since(seconds, now)),
                    None => span.unknown { "–" },
                }
            }
        }
    }
}

fn state(upstream: &UpstreamReport) -> Markup {
    let reason = upstream.last_reason.as_deref().map(shown);
    html! {
        @if let Some(seconds) = upstream.resting {
            span.pill.upstream { "rests for " (period(Duration::from_secs(seconds))) }
        } @else if !upstream.is_well {
            span.pill.bad { "fails" }
        } @else if upstream.answers == 0 {
            span.pill { "not asked yet" }
        } @else {
            span.pill.good { "answers" }
        }
        @if let Some(reason) = reason.filter(|_| !upstream.is_well || upstream.resting.is_some()) {
            span.small { bdi { (reason) } }
        }
    }
}

fn left(upstream: &UpstreamReport) -> Markup {
    let limit = upstream.rate_limit.unwrap_or_default();
    html! {
        @match (limit.remaining, limit.limit) {
            (Some(remaining), Some(limit)) => { (number(remaining)) " of " (number(limit)) }
            (Some(remaining), None) => (number(remaining)),
            _ => span.unknown { "–" },
        }
    }
}

fn since(seconds: u64, now: SystemTime) -> String {
    let moment = UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(now);
    ago(now.duration_since(moment).unwrap_or_default())
}
