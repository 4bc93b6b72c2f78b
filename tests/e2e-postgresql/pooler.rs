//! PgBouncer before the cluster with replicas: more clients than connections, and a failover beneath them.

use std::time::Duration;

use tokio_postgres::NoTls;

use super::document::{ADMIN, PASSWORD};
use super::failover::{Cordon, cut_power, is_synchronous};
use super::release::Release;
use super::shell::{block_on, eventually, run};
use super::writer::Writer;

const SERVICE: &str = "postgresql-pooler";
/// More than `max_connections` of PostgreSQL.
const CLIENTS: usize = 150;

#[test]
fn clients_of_the_pooler_share_connections_and_write_on_after_a_failover() {
    let release = Release::production();
    let members = release.members();
    let uids = |release: &Release| -> Vec<String> {
        let pods = (0..members).map(|it| format!("postgresql-{it}"));
        pods.map(|it| release.uid(&it)).collect()
    };
    let before = uids(release);
    // `--wait` is enough: the first who comes is let in.
    release.upgrade(&[
        "pooler.enabled=true",
        "replication.numSynchronousReplicas=1",
    ]);
    let login = ("salon", PASSWORD);
    let to = format!("host={}", release.address(SERVICE));
    let asked = release.on_node(login, &to, "select current_user");
    assert_eq!(asked.as_deref(), Some("salon"));
    assert_eq!(uids(release), before, "pods of the database are made anew");
    let refused = [("salon", "another"), ("postgres", ADMIN)];
    for login in refused {
        assert_eq!(release.on_node(login, &to, "select 1"), None);
    }
    run("helm", &["test", "postgresql", "-n", release.namespace]);

    share_connections(release);

    let primary = is_synchronous(release);
    let writer = Writer::through(release, SERVICE, "pooled");
    let cordon = Cordon::new();
    cut_power(release, &primary);
    eventually("another primary", async || {
        release.primary().filter(|it| *it != primary)
    });
    let written = writer.end();
    eprintln!(
        "through the pooler nobody wrote for {:?} after a hard kill",
        written.gap
    );
    assert!(written.gap < Duration::from_secs(35), "{:?}", written.gap);
    drop(cordon);
    release.is_whole(members);
    written.is_all_in(release, "pooled", members);

    settings_take_effect(release);
    release.upgrade(&[
        "pooler.enabled=false",
        "replication.numSynchronousReplicas=0",
    ]);
    let left = release.try_kubectl(&["get", "deployment", SERVICE]);
    assert_eq!(left, None);
}

fn share_connections(release: &Release) {
    let login = format!(
        "host={} user=salon password={PASSWORD} dbname=salon_core",
        release.address(SERVICE)
    );
    let primary = release.primary().unwrap();
    let of_salon = "select count(*) from pg_stat_activity where usename = 'salon'";
    let most = block_on(async {
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let (client, connection) = tokio_postgres::connect(&login, NoTls).await.unwrap();
            tokio::spawn(connection);
            clients.push(client);
        }
        let asked = clients
            .iter()
            .map(|it| it.batch_execute("select pg_sleep(0.1)"));
        for answer in futures::future::join_all(asked).await {
            answer.unwrap();
        }
        let most = release.try_sql(&primary, of_salon).unwrap();
        drop(clients);
        most
    });
    // Two pods with twenty each.
    let most: usize = most.parse().unwrap();
    assert!((1..=40).contains(&most), "{most} connections");
}

/// Without new pods.
fn settings_take_effect(release: &Release) {
    let pods = |release: &Release| {
        let of = "-l=app.kubernetes.io/name=postgresql-pooler";
        release.kubectl(&["get", "pods", of, "-o=name"])
    };
    let before = pods(release);
    release.upgrade(&["pooler.poolSize=7"]);
    let pod = before.lines().next().unwrap().to_owned();
    let config = "psql -XAt -h /run/pgbouncer -p 6432 -U pgbouncer pgbouncer -c 'show config'";
    eventually("the size of the pools", async || {
        let exec = ["exec", &pod, "-c", "pgbouncer", "--", "sh", "-c", config];
        let said = release.try_kubectl(&exec)?;
        said.contains("default_pool_size|7|").then_some(())
    });
    assert_eq!(pods(release), before);
}
