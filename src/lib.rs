//! Carries container images through Zuul's check, gate and promote pipelines.
//!
//! The rooms, in reading order; arrows point down only, siblings never import each other
//! (`tests/it/house.rs` checks it):
//!
//! ```text
//! bin → cli → {sync, upload, promote, promoter, index} → copy → {client, layout};   client → {http → tls, auth} → oci;   layout → oci
//!       {upload, index} → layout;   promote → {removal, webapi};   sync → webapi
//!             registry → layers → {storage, client};   registry → proxy → {http, serve};   registry → {auth, tls, serve}
//!             registry → pointers → client;   cli → sweep → removal → {client, webapi};   webapi → {http, auth}
//!             cli → rhcc → {client, webapi}
//! leaves: zuul, hostconfig
//! ```

pub mod auth;
pub mod cli;
pub mod client;
pub mod copy;
pub mod hostconfig;
pub mod http;
pub mod index;
pub mod layers;
pub mod layout;
pub mod oci;
pub mod pointers;
pub mod promote;
pub mod promoter;
pub mod proxy;
pub mod registry;
pub mod removal;
pub mod rhcc;
pub mod serve;
pub mod storage;
pub mod sweep;
pub mod sync;
pub mod tls;
pub mod upload;
pub mod webapi;
pub mod zuul;
