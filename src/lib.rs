//! Carries container images through Zuul's check, gate and promote pipelines.

pub mod hostconfig;
