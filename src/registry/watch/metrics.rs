use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use http::{Method, Response, header};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry as Collection, Unit};

use super::process::{self, Process};
use super::upstream_metrics::OfUpstreams;
use crate::layers::{Layer, UpstreamHealth};
use crate::registry::call::Call;
use crate::registry::{Error, Registry, respond};
use crate::serve::Body;

/// Borders of the durations, in seconds: from a tag out of memory to gigabytes over a slow line.
const DURATIONS: [f64; 10] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0];

/// What is counted, for `/metrics` and `/status`.
pub(in crate::registry) struct Metrics {
    collection: Collection,
    requests: Family<RequestLabels, Counter>,
    durations: Family<DurationLabels, Histogram>,
    bytes: Family<ByteLabels, Counter>,
    spared: Family<SparedLabels, Counter>,
    spared_bytes: Family<SparedLabels, Counter>,
    running: Gauge,
    uploads: Gauge,
    connections: Gauge,
    total: AtomicU64,
    failed: AtomicU64,
    pub(in crate::registry) started: SystemTime,
}

/// Why a blob need not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(in crate::registry) enum Spared {
    /// A pushing client asked for it, and it is here.
    Known,
    /// It was mounted from another repository.
    Mounted,
}

/// Sums over all labels.
pub(in crate::registry) struct Totals {
    pub(in crate::registry) requests: u64,
    pub(in crate::registry) failed: u64,
    pub(in crate::registry) running: i64,
    pub(in crate::registry) uploads: i64,
    pub(in crate::registry) connections: i64,
    pub(in crate::registry) received: u64,
    pub(in crate::registry) known: (u64, u64),
    pub(in crate::registry) mounted: (u64, u64),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: &'static str,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    method: &'static str,
    route: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByteLabels {
    direction: &'static str,
    layer: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SparedLabels {
    how: Spared,
}

/// Something that runs, counted as long as it does.
pub(in crate::registry) struct Running(Gauge);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    pub(in crate::registry) fn new(upstreams: Vec<Arc<UpstreamHealth>>) -> Self {
        let mut collection = Collection::default();
        let requests = Family::default();
        collection.register("registry_requests", "Requests that have ended", requests.clone());
        let durations =
            Family::<DurationLabels, Histogram>::new_with_constructor(|| Histogram::new(DURATIONS));
        collection.register_with_unit(
            "registry_request_duration",
            "Time from the head of a request to the last byte of its answer",
            Unit::Seconds,
            durations.clone(),
        );
        let bytes = Family::<ByteLabels, Counter>::default();
        collection.register(
            "registry_blob_bytes",
            "Bytes of blobs moved: in from clients, out to clients, by the layer that keeps them",
            bytes.clone(),
        );
        let spared = Family::<SparedLabels, Counter>::default();
        collection.register(
            "registry_spared_blobs",
            "Blobs that pushing clients need not send",
            spared.clone(),
        );
        let spared_bytes = Family::<SparedLabels, Counter>::default();
        collection.register("registry_spared_bytes", "Bytes of those blobs", spared_bytes.clone());
        let mut gauge = |name, help| {
            let gauge = Gauge::<i64, AtomicI64>::default();
            collection.register(name, help, gauge.clone());
            gauge
        };
        let running = gauge("registry_requests_running", "Requests whose answer has not left yet");
        let uploads = gauge("registry_uploads_running", "Requests that write to an upload");
        let connections = gauge("registry_connections", "Connections that are open");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        collection.register("registry_build", "The program", build);
        let started = SystemTime::now();
        collection.register_collector(Box::new(OfProcess { started }));
        collection.register_collector(Box::new(OfUpstreams(upstreams)));
        let metrics = Self {
            collection,
            requests,
            durations,
            bytes,
            spared,
            spared_bytes,
            running,
            uploads,
            connections,
            total: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            started,
        };
        // A line that is there from the start can be watched from the start.
        metrics.bytes_in();
        metrics.bytes_out(Layer::Local);
        metrics
    }

    /// A request has come.
    pub(super) fn begin(&self) {
        self.running.inc();
    }

    /// Its answer has left, or the client has gone.
    pub(in crate::registry) fn end(
        &self,
        method: &Method,
        route: &'static str,
        code: u16,
        taken: Duration,
    ) {
        let method = label(method);
        self.running.dec();
        self.total.fetch_add(1, Ordering::Relaxed);
        if code >= 500 {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        self.requests.get_or_create(&RequestLabels { method, route, code }).inc();
        let labels = DurationLabels { method, route };
        self.durations.get_or_create(&labels).observe(taken.as_secs_f64());
    }

    /// Bytes of blobs received from clients.
    pub(in crate::registry) fn bytes_in(&self) -> Counter {
        self.bytes
            .get_or_create(&ByteLabels { direction: "in", layer: Layer::Local.as_str() })
            .clone()
    }

    /// Bytes of blobs of a layer sent to clients.
    pub(in crate::registry) fn bytes_out(&self, layer: Layer) -> Counter {
        let layer = layer.as_str();
        self.bytes.get_or_create(&ByteLabels { direction: "out", layer }).clone()
    }

    /// An upload is written to as long as the answer lives.
    pub(in crate::registry) fn upload(&self) -> Running {
        self.uploads.inc();
        Running(self.uploads.clone())
    }

    /// A blob of this size need not be sent.
    pub(in crate::registry) fn spared(&self, how: Spared, bytes: u64) {
        self.spared.get_or_create(&SparedLabels { how }).inc();
        self.spared_bytes.get_or_create(&SparedLabels { how }).inc_by(bytes);
    }

    pub(in crate::registry) fn totals(&self) -> Totals {
        let spared = |how| {
            let labels = SparedLabels { how };
            let blobs = self.spared.get_or_create(&labels).get();
            (blobs, self.spared_bytes.get_or_create(&labels).get())
        };
        Totals {
            requests: self.total.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            running: self.running.get(),
            uploads: self.uploads.get(),
            connections: self.connections.get(),
            received: self.bytes_in().get(),
            known: spared(Spared::Known),
            mounted: spared(Spared::Mounted),
        }
    }

    pub(in crate::registry) fn connected(&self) {
        self.connections.inc();
    }

    pub(in crate::registry) fn disconnected(&self) {
        self.connections.dec();
    }

    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.collection);
        text
    }
}

fn label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

/// What Prometheus' own clients tell of their process, under the same names.
#[derive(Debug)]
struct OfProcess {
    started: SystemTime,
}

impl Collector for OfProcess {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let now = Process::now();
        let bytes = Some(&Unit::Bytes);
        let gauges = [
            ("process_resident_memory", "Memory held", bytes, now.resident as f64),
            ("process_virtual_memory", "Memory addressed", bytes, now.virtual_memory as f64),
            ("process_open_fds", "Open files and sockets", None, now.open_files as f64),
            ("process_max_fds", "How many may be open", None, now.max_files as f64),
            (
                "process_start_time",
                "When it started, since 1970",
                Some(&Unit::Seconds),
                process::seconds(self.started),
            ),
        ];
        for (name, help, unit, value) in gauges {
            let to = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
            ConstGauge::new(value).encode(to)?;
        }
        let help = "Time of processors used";
        let unit = Some(&Unit::Seconds);
        let to = encoder.encode_descriptor("process_cpu", help, unit, MetricType::Counter)?;
        ConstCounter::new(now.cpu).encode(to)
    }
}

impl Registry {
    /// `GET /metrics`, for authenticated readers: as OpenMetrics to who asks for it, else in the older
    /// text format of Prometheus.
    pub(in crate::registry) async fn metrics(&self, call: &Call) -> Result<Response<Body>, Error> {
        call.demand_read()?;
        self.access.demand_catalog(call)?;
        let metrics = Arc::clone(&self.metrics);
        let text = tokio::task::spawn_blocking(move || metrics.text()).await.unwrap_or_default();
        let accepted = call.header(header::ACCEPT).unwrap_or_default();
        if accepted.contains("application/openmetrics-text") {
            return Ok(respond::full(
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                text,
            ));
        }
        Ok(respond::full("text/plain; version=0.0.4; charset=utf-8", older(&text)))
    }
}

/// OpenMetrics as Prometheus wrote it before: there a counter is called in `TYPE` and `HELP` what its
/// samples are called, there are no units and no end, and `info` is a gauge.
fn older(text: &str) -> String {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let suffixes: std::collections::HashMap<&str, (&str, &str)> = types
        .map(|(name, kind)| match kind {
            "counter" => (name, ("_total", "counter")),
            "info" => (name, ("_info", "gauge")),
            kind => (name, ("", kind)),
        })
        .collect();
    let mut older = String::with_capacity(text.len());
    for line in text.lines() {
        let comment = line.strip_prefix("# ").and_then(|comment| comment.split_once(' '));
        let (word, rest) = match comment {
            Some((word @ ("HELP" | "TYPE"), rest)) => (word, rest),
            Some(("UNIT", _)) => continue,
            _ if line == "# EOF" => continue,
            _ => {
                older.push_str(line);
                older.push('\n');
                continue;
            }
        };
        let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let (suffix, kind) = suffixes.get(name).copied().unwrap_or(("", rest));
        let rest = if word == "TYPE" { kind } else { rest };
        older.push_str(&format!("# {word} {name}{suffix} {rest}\n"));
    }
    older
}
