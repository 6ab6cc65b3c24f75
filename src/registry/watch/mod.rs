//! What the operator watches: the access log, `/metrics`, `/healthz`.

mod health;
mod metrics;
mod process;
pub(super) mod record;
mod upstream_metrics;

pub(super) use self::health::Health;
pub(super) use self::metrics::{Metrics, Spared};
pub(super) use self::record::{REQUEST_ID, Record, id_of, new_id};
