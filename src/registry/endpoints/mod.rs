//! What the distribution-spec answers ("Endpoints"): a module for each noun of a path.
//!
//! Each adds its methods to the [`Registry`](super::Registry), which has read the route and the caller;
//! whether the caller may is asked of `users`, the answer is shaped by `respond`.

mod base;
pub(super) mod blobs;
mod catalog;
mod manifests;
mod referrers;
mod tags;
pub(super) mod uploads;
