//! pgbouncer before a cluster: Debian's, with its defaults, in one of its pooling modes.

use std::fs;
use std::path::Path;

use super::postgres::{Cluster, free_port, give, own, user};
use super::server::{self, Server};
use super::{folder, wait_for};

/// A pgbouncer that passes every database of a cluster on.
#[derive(Debug)]
pub struct Pgbouncer {
    port: u16,
    _server: Server,
}

impl Pgbouncer {
    /// Starts one; `mode` is `session`, `transaction` or `statement`. `kept` is where
    /// `scripts/tools/postgres-servers.sh` keeps the program.
    pub fn start(kept: &Path, cluster: &Cluster, mode: &str) -> Self {
        let folder = folder("pgbouncer");
        own(&folder);
        let port = free_port();
        let users = folder.join("users");
        give(
            &users,
            &format!("\"postgres\" \"{}\"\n", cluster.password()),
        );
        let conf = folder.join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = scram-sha-256\nauth_file = {}\npool_mode = {mode}\n",
            cluster.port(),
            users.display()
        );
        fs::write(&conf, text).expect("a file");
        let log = folder.join("log");
        let file = fs::File::create(&log).expect("a file");
        let program = kept.join("pgbouncer/usr/sbin/pgbouncer");
        let conf = conf.to_str().expect("a plain path");
        let mut server = server::start(user(), &program, &[conf], file);
        wait_for("pgbouncer answers", || {
            let log = || fs::read_to_string(&log).unwrap_or_default();
            assert!(!server.ended(), "pgbouncer ended: {}", log());
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Self {
            port,
            _server: server,
        }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}
