//! What `helm upgrade` changes takes effect, without new pods and without a person.

use super::document::{ADMIN, PASSWORD};
use super::release::Release;
use super::shell::{eventually, run};

/// With an `ä` of two characters and a space that is none of ASCII's: both sides have to prepare it (RFC 4013).
const PREPARED: &str = "a\u{308}nderbar\u{a0}von-salon";

fn uids(release: &Release) -> Vec<String> {
    let pods = (0..release.members()).map(|it| format!("postgresql-{it}"));
    pods.map(|it| release.uid(&it)).collect()
}

#[test]
fn passwords_and_settings_take_effect_and_no_pod_is_made_anew() {
    let release = Release::production();
    let before = uids(release);

    release.upgrade(&[
        &format!("auth.password={PREPARED}"),
        "auth.postgresPassword=another-of-postgres",
        "auth.replicationPassword=another-of-repl_user",
        "postgresql.parameters.work_mem=7MB",
        "postgresql.parameters.max_connections=130",
    ]);

    let logins = [
        (("salon", PREPARED), ("salon", PASSWORD)),
        (("postgres", "another-of-postgres"), ("postgres", ADMIN)),
    ];
    for (now, then) in logins {
        eventually("the new password", async || {
            release.as_role(now, "postgresql-master", "select 1")
        });
        let refused = release.as_role(then, "postgresql-master", "select 1");
        assert_eq!(refused, None, "the old password of {}", then.0);
    }
    let asked = "select current_setting('max_connections') || current_setting('work_mem')";
    for pod in (0..release.members()).map(|it| format!("postgresql-{it}")) {
        eventually("the settings", async || {
            let said = release.try_sql(&pod, asked)?;
            (said == "1307MB").then_some(())
        });
    }
    let primary = release.is_whole(release.members());
    // A replica that has to connect anew does, with the new password.
    release.sql(
        &primary,
        "select pg_terminate_backend(pid) from pg_stat_replication",
    );
    release.is_whole(release.members());
    // Back to what was: fewer connections, and a setting that nobody gives any more.
    let back = ["rollback", "postgresql", "-n", release.namespace, "--wait"];
    run("helm", &back);
    for pod in (0..release.members()).map(|it| format!("postgresql-{it}")) {
        eventually("the settings from before", async || {
            let said = release.try_sql(&pod, asked)?;
            (said == "1004MB").then_some(())
        });
    }
    eventually("the password from before", async || {
        release.as_role(("salon", PASSWORD), "postgresql-master", "select 1")
    });
    assert_eq!(uids(release), before);
    release.is_whole(release.members());
}
