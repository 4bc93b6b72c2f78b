//! Schedules backups and starts restores, on Kubernetes or without it.
//!
//! ```text
//! main ─▶ config
//!      ─▶ run ─▶ api ───────┐
//!             ─▶ admin ─────┼▶ service ─▶ engine (trait) ◀ kubernetes
//!             ─▶ observer ──┘     │                      ◀ local
//!                                 └────▶ domain ─▶ backuper::job, restorer::job
//! ```

pub mod admin;
pub mod api;
pub mod cli;
pub mod config;
pub mod domain;
pub mod engine;
pub mod listener;
pub mod metrics;
pub mod observer;
pub mod postgres;
pub mod run;
pub mod service;
pub mod workers;
