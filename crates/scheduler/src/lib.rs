//! scheduler

pub mod api;
pub mod engine;
