//! Declarative promotion: reviewed manifests say which digests of a source registry are to be in which
//! destinations under which tags; this compares that with what the registries hold and brings the rest.
//!
//! The files are those of the Kubernetes image promoter: plain manifests, and thin directories
//! (`manifests/X/promoter-manifest.yaml` with `images/X/images.yaml`). Bytes are moved by `copy`, asked for
//! by `client`; which tags and digests are valid says `oci` (distribution-spec, "Pull"). Nothing is ever
//! deleted and no tag moved to another digest.

pub mod audit;
mod each;
mod edges;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod grow;
mod inventory;
mod listing;
mod manifest;
mod manifests;
mod names;
mod objections;
mod overlaps;
mod place;
mod plan;
mod problem;
mod promote;
mod sha256;
mod shard;
mod since;
mod tree;
mod yaml;

pub use self::edges::{Edges, Shown};
pub use self::error::Error;
pub use self::grow::{Added, Filters, Growth, grow};
pub use self::inventory::{Asking, Contents, Details, Inventory};
pub use self::listing::{Listing, Style};
pub use self::manifests::Manifests;
pub use self::place::Failed;
pub use self::plan::{Plan, Planned};
pub use self::problem::{At, FileComment, Level, Problem, Problems};
pub use self::promote::{Options, Promoted, promote};
pub use self::sha256::Sha256;
pub use self::shard::Shard;
pub use self::since::only_new;
