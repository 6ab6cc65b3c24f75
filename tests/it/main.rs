//! Tests of the whole: real servers on 127.0.0.1, real programs, one module a topic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(unreachable_pub, reason = "a test binary has no users outside")]

mod bad_input;
mod client;
mod clients_containerd;
mod clients_docker;
mod clients_podman;
mod configure_client;
mod copy;
mod house;
mod layers_access;
mod layers_fill;
mod layers_hostile;
mod layers_push;
mod layers_tags;
mod logins;
mod pipeline;
mod pointers;
mod promote;
mod proxy;
mod proxy_docker;
mod pull_tokens;
mod reach;
mod registry_access;
mod registry_crash;
mod registry_disk;
mod registry_hostile;
mod registry_idle;
mod registry_init;
mod registry_keeping;
mod registry_limits;
mod registry_log;
mod registry_manifests;
mod registry_metrics;
mod registry_pull;
mod registry_push;
mod registry_replace;
mod registry_root;
mod registry_skopeo;
mod registry_status;
mod registry_users;
mod registry_yaml;
mod support;
mod tenants;
mod trust;
mod trust_constraints;
