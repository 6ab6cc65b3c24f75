//! One repository of one registry: what is asked, what is believed, what is sent again.

mod distribution;
mod downloads;
mod lists;
mod manifests;
mod retries;
mod uploads;
