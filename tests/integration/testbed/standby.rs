//! A hot standby of a cluster, which follows it by streaming replication.

use std::fmt::Write as _;
use std::fs;

use super::folder;
use super::postgres::{Cluster, as_server, free_port, own};
use super::wait_for;

impl Cluster {
    /// A standby of this cluster with settings of its own, which has all that the cluster has now.
    pub fn standby(&self, settings: &str) -> Self {
        let folder = folder("standby");
        own(&folder);
        let data = folder.join("data");
        let socket = self.folder.to_str().expect("a plain path");
        as_server(&self.version.server.join("pg_basebackup"))
            .args(["-h", socket, "-p", &self.port.to_string(), "-U", "postgres"])
            .args(["--checkpoint=fast", "--no-sync", "-R", "-X", "stream", "-D"])
            .arg(&data)
            .succeed();
        let standby = Self {
            version: self.version.clone(),
            port: free_port(),
            password: self.password.clone(),
            authority: None,
            locales: self.locales.clone(),
            folder,
            server: std::sync::Mutex::new(None),
        };
        // The last line of a setting counts.
        let conf = data.join("postgresql.auto.conf");
        let mut all = fs::read_to_string(&conf).expect("pg_basebackup copies it");
        let place = standby.folder.display();
        let port = standby.port;
        writeln!(
            all,
            "port={port}\nunix_socket_directories='{place}'\n{settings}"
        )
        .expect("a string takes all");
        fs::write(&conf, all).expect("a file");
        standby.boot();
        standby
    }

    /// Waits until a standby has all that this cluster has now.
    pub fn is_followed_by(&self, standby: &Self) {
        let here = self.sql("postgres", "SELECT pg_current_wal_lsn()");
        let there = format!("SELECT pg_last_wal_replay_lsn() >= '{here}'::pg_lsn");
        wait_for("the standby follows", || {
            (standby.sql("postgres", &there) == "t").then_some(())
        });
    }
}
