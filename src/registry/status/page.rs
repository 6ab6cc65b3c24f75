use std::time::SystemTime;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::details::Details;
use super::query::Query;
use super::report::{Count, Image, Images, Report, rfc3339};
use super::text::{ago, bytes, clock, number, period, shown};
use crate::layers::Layer;
use crate::zuul::Origin;

/// The only style there is; it stands in the page, and the policy names its hash.
pub(super) const STYLE: &str = include_str!("style.css");

/// How many platforms are shown before the rest is only counted.
const MOST_PLATFORMS: usize = 4;

/// The whole page.
pub(super) fn page(report: &Report, query: &Query) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Registry: " (report.images.listed) " images" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (header(report, query))
                main {
                    (tiles(report))
                    (super::upstreams::section(&report.upstreams, report.now))
                    (images(report, query))
                }
                (footer(query))
            }
        }
    }
    .into_string()
}

fn header(report: &Report, query: &Query) -> Markup {
    let up = report.now.duration_since(report.started).unwrap_or_default();
    html! {
        header {
            h1 { "Image registry" }
            p.facts {
                @match report.store.reason {
                    None => span.pill.good id="store" { "store in order" },
                    Some(reason) => span.pill.bad id="store" { (reason) },
                }
                span title=(rfc3339(report.started)) { "up " (period(up)) }
                span { "version " (report.version) }
                span { "as of " time datetime=(rfc3339(report.now)) { (clock(report.now)) " UTC" } }
                @match query.refresh {
                    None => a href=(query.with_refresh(Some(10))) { "refresh every 10 s" },
                    Some(seconds) => a href=(query.with_refresh(None)) { "refreshed every " (seconds) " s, stop" },
                }
            }
        }
    }
}

fn tiles(report: &Report) -> Markup {
    let (saved, running) = (&report.saved, &report.now_running);
    html! {
        section.tiles aria-label="Totals" {
            div.tile id="sent" {
                h2 { "Sent to clients" }
                p.figure { (bytes(report.bytes.all_sent())) }
                (layers_bar(report))
            }
            div.tile id="saved" {
                h2 { "Saved" }
                p.figure { (bytes(saved.bytes())) }
                dl {
                    dt title="bytes of blobs that were sent to clients without asking an upstream registry" { "answered from here" }
                    dd { (bytes(saved.answered_here)) }
                    dt title="blobs a pushing client asked for with HEAD, and need not send" { "pushes spared" }
                    dd { (count(saved.known)) }
                    dt title="blobs mounted from another repository instead of being sent" { "mounted" }
                    dd { (count(saved.mounted)) }
                }
            }
            div.tile id="received" {
                h2 { "Received in pushes" }
                p.figure { (bytes(report.bytes.received)) }
                dl {
                    dt { "uploads running" } dd { (number(running.uploads)) }
                    dt { "images listed" } dd { (number(report.images.listed)) }
                }
            }
            div.tile id="requests" {
                h2 { "Requests" }
                p.figure { (number(report.requests.total)) }
                dl {
                    dt { "running" } dd { (number(running.requests)) }
                    dt { "connections" } dd { (number(running.connections)) }
                    dt { "failed here (5xx)" }
                    dd.bad[report.requests.failed > 0] { (number(report.requests.failed)) }
                }
            }
        }
    }
}

/// How much of what was sent came from where, as a bar and in figures.
fn layers_bar(report: &Report) -> Markup {
    let all = report.bytes.all_sent();
    let mut parts = Vec::new();
    let mut start = 0.0;
    for (layer, sent) in report.bytes.by_layer() {
        let share = if all == 0 { 0.0 } else { sent as f64 * 100.0 / all as f64 };
        parts.push((layer.as_str(), sent, start, share));
        start += share;
    }
    html! {
        svg.bar viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" {
            rect.rest x="0" y="0" width="100" height="4" {}
            @for (layer, _, start, share) in &parts {
                rect class=(layer) x=(format!("{start:.2}")) y="0" width=(format!("{share:.2}")) height="4" {}
            }
        }
        dl {
            @for (layer, sent, ..) in &parts {
                dt { span.dot.(*layer) {} (*layer) }
                dd { (bytes(*sent)) }
            }
        }
    }
}

fn images(report: &Report, query: &Query) -> Markup {
    let images = &report.images;
    html! {
        section aria-label="Images" {
            div.bar-of-images {
                h2 { "Images" }
                form method="get" action="/status" role="search" {
                    input type="search" name="q" aria-label="Name or tag" placeholder="name or name:tag" maxlength="100" value=(query.text.as_deref().unwrap_or_default());
                    select name="layer" aria-label="Layer" {
                        option value="" { "every layer" }
                        @for layer in [Layer::Local, Layer::Speculative, Layer::Cache] {
                            option value=(layer.as_str()) selected[query.layer == Some(layer)] { (layer.as_str()) }
                        }
                    }
                    button { "Show" }
                }
            }
            @if !images.complete {
                p.note { "The store is still being looked through; older images appear as they are found." }
            }
            @if images.entries.is_empty() {
                p.note id="none" { (nothing(images, query)) }
            } @else {
                (table(report))
            }
            (pages(images, query))
        }
    }
}

fn nothing(images: &Images, query: &Query) -> &'static str {
    if query.text.is_some() || query.layer.is_some() {
        "No image matches."
    } else if images.complete {
        "There are no images yet."
    } else {
        "None found so far."
    }
}

fn table(report: &Report) -> Markup {
    html! {
        table {
            thead {
                tr {
                    th scope="col" { "Image" }
                    th scope="col" { "Change" }
                    th scope="col" { "Layer" }
                    th scope="col" { "Digest" }
                    th scope="col" { "Platforms" }
                    th.number scope="col" { "Size" }
                    th.number scope="col" title="how often its manifest was fetched since the start" { "Pulls" }
                    th.number scope="col" { "Pushed" }
                }
            }
            tbody {
                @for image in &report.images.entries { (row(image, report.now)) }
            }
        }
    }
}

fn row(image: &Image, now: SystemTime) -> Markup {
    let name = image.repository.as_str();
    let (path, last) = name.rfind('/').map_or(("", name), |slash| name.split_at(slash + 1));
    html! {
        tr {
            th.name scope="row" title=(format!("{name}:{}", image.tag)) {
                span.path { (path) } (last) span.tag { ":" (image.tag) }
            }
            td data-label="Change" { (origin(image.origin.as_ref())) }
            td data-label="Layer" { span.pill.(image.layer) { (image.layer) } }
            td data-label="Digest" {
                code.digest title=(image.digest) tabindex="0" {
                    span.algorithm { (image.digest.algorithm().as_str()) ":" } (image.digest.hex())
                }
            }
            td data-label="Platforms" {
                @if image.fetched { (platforms(&image.details)) }
                @else { span.unknown title="a pointer names it; it is fetched when somebody pulls it" { "not fetched" } }
            }
            td.number data-label="Size" { (size(&image.details)) }
            td.number data-label="Pulls" { (number(image.pulls)) }
            td.number data-label="Pushed" {
                @match image.pushed {
                    Some(pushed) => (moment(pushed, now)),
                    None => span.unknown title="not here" { "–" },
                }
            }
        }
    }
}

fn moment(moment: SystemTime, now: SystemTime) -> Markup {
    let age = now.duration_since(moment).unwrap_or_default();
    html! { time datetime=(rfc3339(moment)) title=(rfc3339(moment)) { (ago(age)) } }
}

fn origin(origin: Option<&Origin>) -> Markup {
    let Some(origin) = origin.filter(|origin| !origin.is_empty()) else {
        return html! { span.unknown title="pushed without saying which change it is for" { "–" } };
    };
    let text = |label: Option<&crate::zuul::Label>| label.map(|label| shown(label.as_str()));
    let place = [text(origin.tenant.as_ref()), text(origin.project.as_ref())];
    let place = place.into_iter().flatten().collect::<Vec<_>>().join(" · ");
    let build = text(origin.build.as_ref()).map(|build| format!("build {build}"));
    html! {
        span.change title=[build] {
            @if let Some(change) = text(origin.change.as_ref()) { bdi { (change) } }
            @else { "no change" }
        }
        @if !place.is_empty() { span.small { bdi { (place) } } }
    }
}

fn platforms(details: &Details) -> Markup {
    let rest: Vec<String> =
        details.platforms.iter().skip(MOST_PLATFORMS).map(|platform| shown(platform)).collect();
    html! {
        @for platform in details.platforms.iter().take(MOST_PLATFORMS) {
            span.platform { bdi { (shown(platform)) } }
        }
        @if !rest.is_empty() { span.platform title=(rest.join(", ").chars().take(400).collect::<String>()) { "+" (rest.len()) } }
        @if details.platforms.is_empty() {
            @match &details.artifact_type {
                Some(kind) => span.small { bdi { (shown(kind)) } },
                None => span.unknown { (details.kind) },
            }
        }
    }
}

fn size(details: &Details) -> Markup {
    html! {
        @if details.whole { (bytes(details.size)) }
        @else if details.size == 0 { span.unknown title="its images are not here" { "–" } }
        @else { span title="some of its images are not here" { "≥ " (bytes(details.size)) } }
    }
}

fn pages(images: &Images, query: &Query) -> Markup {
    html! {
        nav.pages aria-label="Pages" {
            @if let Some(place) = &images.newer {
                a href=(query.at("after", place)) rel="prev" { "← newer" }
                a href=(query.first()) { "newest" }
            }
            @if let Some(place) = &images.older {
                a href=(query.at("before", place)) rel="next" { "older →" }
            }
        }
        @if images.left_out > 0 {
            p.note { (number(images.left_out)) " older images are in the store and not listed." }
        }
    }
}

fn footer(query: &Query) -> Markup {
    html! {
        footer {
            a href=(query.as_json()) { "this as JSON" }
            a href="/metrics" { "metrics" }
            a href="/healthz" { "health" }
            span { "Counted since the start; sizes are those of the compressed blobs." }
        }
    }
}

fn count(count: Count) -> Markup {
    html! { (number(count.blobs)) " · " (bytes(count.bytes)) }
}
