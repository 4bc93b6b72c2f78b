//! Administration of PostgreSQL servers: what is wanted × what is found gives statements.
//!
//! The decisions are pure; whoever calls holds the sessions. Nothing here knows Kubernetes.

pub mod database;
pub mod failure;
pub mod membership;
pub mod owner;
pub mod password;
pub mod privileges;
pub mod role;
pub mod scram;
pub mod server;
pub mod statement;
