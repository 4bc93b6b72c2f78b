//! scheduler

pub mod api;
