use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::layers::{RateLimit, UpstreamHealth, UpstreamReport};

/// How the registries below do, for `/metrics`.
#[derive(Debug)]
pub(super) struct OfUpstreams(pub(super) Vec<Arc<UpstreamHealth>>);

type Count = (&'static str, &'static str, fn(&UpstreamReport) -> u64);
type Level = (&'static str, &'static str, fn(&UpstreamReport) -> Option<f64>);

const COUNTS: [Count; 5] = [
    ("registry_upstream_answers", "Requests another registry answered", |of| of.answers),
    ("registry_upstream_failures", "Requests it did not answer, or with 429 or 5xx", |of| {
        of.failures
    }),
    ("registry_upstream_rate_limited", "Requests it answered with 429", |of| of.rate_limited),
    ("registry_upstream_stale", "Answers from what was kept, as it could not be asked", |of| {
        of.stale
    }),
    ("registry_upstream_bytes", "Bytes of manifests and blobs fetched from it", |of| of.bytes),
];

const LEVELS: [Level; 4] = [
    ("registry_upstream_up", "Whether the last thing heard from it was an answer", |of| {
        Some(f64::from(u8::from(of.is_well)))
    }),
    ("registry_upstream_resting_seconds", "For how long it wants to be left alone", |of| {
        Some(of.resting.unwrap_or_default() as f64)
    }),
    ("registry_upstream_rate_limit", "How many requests it allows in a while", |of| {
        limit(of, |limit| limit.limit)
    }),
    ("registry_upstream_rate_limit_remaining", "How many of them are left", |of| {
        limit(of, |limit| limit.remaining)
    }),
];

fn limit(of: &UpstreamReport, number: fn(&RateLimit) -> Option<u64>) -> Option<f64> {
    of.rate_limit.as_ref().and_then(number).map(|number| number as f64)
}

impl Collector for OfUpstreams {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let reports: Vec<_> = self.0.iter().map(|health| health.report()).collect();
        if reports.is_empty() {
            return Ok(());
        }
        for (name, help, count) in COUNTS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for report in &reports {
                let labels = [("upstream", report.name.as_str())];
                ConstCounter::new(count(report)).encode(family.encode_family(&labels)?)?;
            }
        }
        for (name, help, level) in LEVELS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for report in &reports {
                let Some(value) = level(report) else { continue };
                let labels = [("upstream", report.name.as_str())];
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
