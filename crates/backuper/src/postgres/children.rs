//! How libpq's programs reach the same database: by arguments without a secret, an environment, and
//! startup options where these arrive.

use std::ffi::OsString;
use std::path::Path;

use super::target::{CONNECT_TIMEOUT, KEEPALIVE, Target};
use super::tls;
use crate::child::Environment;

/// What a program does on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// It asks little and reads much.
    Reads,
    /// It writes much. A server that is busy with one row takes no other, and for the kernel that is
    /// data which the peer does not acknowledge: no time-out of ours may cut that.
    Writes,
}

/// Where libpq finds no file of its own accord.
const NOWHERE: &str = "/nonexistent";

/// What libpq's programs have to know of a server beside its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The server's major version: 15 of 15.18.
    pub major: u32,
    /// Whether startup options (`PGOPTIONS`) arrive: poolers refuse them, or drop them.
    pub options: bool,
    /// Whether a program's session is as it has to be without any: nothing is set for the role, the
    /// database or the server that ends it, keeps it from writing or changes what it writes.
    pub plain: bool,
    /// Whether the role may choose the language of messages.
    pub language: bool,
}

impl Way {
    /// `PGOPTIONS` for a program with these settings more; none where options do not arrive.
    /// PostgreSQL manual, 20.1.3: options of `postgres`.
    #[must_use]
    pub fn options(self, more: &[(&str, &str)]) -> Option<String> {
        if !self.options {
            return None;
        }
        let ours = [
            (true, "statement_timeout", "0"),
            (true, "lock_timeout", "0"),
            (true, "idle_in_transaction_session_timeout", "0"),
            (self.major >= 14, "idle_session_timeout", "0"),
            (self.major >= 17, "transaction_timeout", "0"),
            (true, "default_transaction_read_only", "off"),
            (true, "default_transaction_isolation", "read\\ committed"),
            // Without it, COPY takes `{NULL}` for an array of one text.
            (true, "array_nulls", "on"),
            (self.language, "lc_messages", "C"),
        ];
        let ours = ours.iter().filter(|(there, ..)| *there);
        let all = ours.map(|(_, name, value)| (*name, *value));
        let all = all.chain(more.iter().copied());
        let words: Vec<String> = all
            .map(|(name, value)| format!("-c {name}={value}"))
            .collect();
        Some(words.join(" "))
    }
}

impl Target {
    /// The database as an argument of pg_dump, pg_restore and psql. A connection string, since
    /// keepalives have no variables, and since a bare name with `=` in it would be taken for one.
    /// PostgreSQL manual, 34.1.1: connection strings; 34.1.2: their parameters.
    #[must_use]
    pub fn connection_argument(&self, traffic: Traffic) -> OsString {
        format!("--dbname={}", self.connection_string(traffic)).into()
    }

    /// The same as an argument of pg_dumpall, which takes no database's name from its `--dbname`.
    /// PostgreSQL manual, pg_dumpall: `--database`.
    #[must_use]
    pub fn connection_for_globals(&self, traffic: Traffic) -> OsString {
        format!("--database={}", self.connection_string(traffic)).into()
    }

    fn connection_string(&self, traffic: Traffic) -> String {
        let name = self.database.replace('\\', "\\\\").replace('\'', "\\'");
        let mut argument = format!(
            "dbname='{name}' keepalives=1 keepalives_idle={} keepalives_interval={} keepalives_count={}",
            KEEPALIVE.idle.as_secs(),
            KEEPALIVE.interval.as_secs(),
            KEEPALIVE.count
        );
        if traffic == Traffic::Reads {
            let limit = KEEPALIVE.unacknowledged.as_millis();
            argument.push_str(&format!(" tcp_user_timeout={limit}"));
        }
        argument
    }

    /// The environment in which libpq's programs reach the same server. Every file that libpq would
    /// look for in somebody's home is named, so that it finds what we find and nothing else.
    /// PostgreSQL manual, 34.15: environment variables.
    #[must_use]
    pub fn child_environment(&self, application_name: &str) -> Environment {
        let mut environment = Environment::default();
        let mut set = |name: &'static str, value: OsString| environment.set(name, value);
        set("PGHOST", self.host.clone().into());
        if let Some(at) = self.at {
            set("PGHOSTADDR", at.ip().to_string().into());
        }
        let port = self.at.map_or(self.port, |it| it.port());
        set("PGPORT", port.to_string().into());
        set("PGUSER", self.user.clone().into());
        set("PGDATABASE", self.database.clone().into());
        set("PGSSLMODE", self.sslmode.to_string().into());
        set("PGGSSENCMODE", "disable".into());
        set(
            "PGCONNECT_TIMEOUT",
            CONNECT_TIMEOUT.as_secs().to_string().into(),
        );
        set("PGAPPNAME", application_name.into());
        set("HOME", NOWHERE.into());
        set("PGPASSFILE", NOWHERE.into());
        let nowhere = || Path::new(NOWHERE).to_owned();
        for (name, path) in [
            ("PGSSLROOTCERT", tls::root_file(self)),
            ("PGSSLCERT", self.sslcert.clone()),
            ("PGSSLKEY", self.sslkey.clone()),
        ] {
            set(name, path.unwrap_or_else(nowhere).into_os_string());
        }
        if let Some(password) = &self.password {
            environment.set_secret("PGPASSWORD", password);
        }
        environment
    }
}

#[cfg(test)]
mod tests {
    use super::super::SslMode;
    use super::*;

    fn target(database: &str) -> Target {
        Target {
            host: "db".to_owned(),
            port: 5432,
            user: "me".to_owned(),
            password: Some("hunter2".into()),
            database: database.to_owned(),
            sslmode: SslMode::Prefer,
            sslrootcert: None,
            sslcert: None,
            sslkey: None,
            at: None,
        }
    }

    #[test]
    fn a_name_of_any_kind_is_one_value_of_the_connection_string() {
        let argument = target(r"it's a\b host=evil").connection_argument(Traffic::Reads);
        let argument = argument.into_string().unwrap();
        let name = r"--dbname=dbname='it\'s a\\b host=evil' keepalives=1 keepalives_idle=30 keepalives_interval=10 keepalives_count=3";
        assert_eq!(argument, format!("{name} tcp_user_timeout=60000"));
        let writing = target("shop").connection_argument(Traffic::Writes);
        assert!(!writing.into_string().unwrap().contains("tcp_user_timeout"));
    }

    #[test]
    fn a_program_is_told_what_its_server_knows_and_takes() {
        let way = Way {
            major: 13,
            options: true,
            plain: true,
            language: false,
        };
        let options = way.options(&[("work_mem", "64MB")]).unwrap();
        assert!(options.ends_with("-c work_mem=64MB"), "{options}");
        assert!(!options.contains("idle_session_timeout"), "{options}");
        assert!(!options.contains("lc_messages"), "{options}");
        let newer = Way {
            major: 17,
            language: true,
            ..way
        };
        let options = newer.options(&[]).unwrap();
        for word in [
            "idle_session_timeout",
            "transaction_timeout",
            "lc_messages=C",
        ] {
            assert!(options.contains(word), "{word}: {options}");
        }
        let pooled = Way {
            options: false,
            ..way
        };
        assert_eq!(pooled.options(&[]), None);
    }
}
