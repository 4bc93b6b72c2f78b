//! scheduler

pub mod api;
pub mod domain;
pub mod engine;
pub mod metrics;
