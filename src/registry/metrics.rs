use http::{Method, Response, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry as Collector;

use super::call::Call;
use super::{Error, Registry, respond};
use crate::serve::Body;

/// What is counted, for `/metrics`.
pub(super) struct Metrics {
    collector: Collector,
    requests: Family<RequestLabels, Counter>,
    /// Bytes of blobs received from clients.
    pub(super) bytes_in: Counter,
    /// Bytes of blobs sent to clients.
    pub(super) bytes_out: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: &'static str,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByteLabels {
    direction: &'static str,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut collector = Collector::default();
        let requests = Family::default();
        collector.register("registry_requests", "Requests answered", requests.clone());
        let bytes = Family::<ByteLabels, Counter>::default();
        collector.register(
            "registry_blob_bytes",
            "Bytes of blobs moved: in from clients, out to clients",
            bytes.clone(),
        );
        let direction = |direction| bytes.get_or_create(&ByteLabels { direction }).clone();
        Self { bytes_in: direction("in"), bytes_out: direction("out"), collector, requests }
    }

    pub(super) fn request(&self, method: &Method, route: &'static str, status: StatusCode) {
        let method = match method.as_str() {
            "GET" => "GET",
            "HEAD" => "HEAD",
            "POST" => "POST",
            "PUT" => "PUT",
            "PATCH" => "PATCH",
            "DELETE" => "DELETE",
            _ => "other",
        };
        let labels = RequestLabels { method, route, code: status.as_u16() };
        self.requests.get_or_create(&labels).inc();
    }
}

impl Registry {
    /// `GET /metrics`, for authenticated readers.
    pub(super) fn metrics(&self, call: &Call) -> Result<Response<Body>, Error> {
        if call.method != Method::GET && call.method != Method::HEAD {
            return Err(Error::Method { allowed: "GET, HEAD" });
        }
        self.access.demand_user(call)?;
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.metrics.collector);
        Ok(respond::full("application/openmetrics-text; version=1.0.0; charset=utf-8", text))
    }
}
