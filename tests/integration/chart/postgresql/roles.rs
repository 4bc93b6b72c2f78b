//! What settings.py does to the roles of a server that has some already, by a release's own settings.

use super::{chart, file, rendered};
use crate::testbed::programs::Prepared;

/// What it says, where the server has these roles, each with another password than the Secret.
fn told(values: &[&str], roles: &[&str]) -> Vec<String> {
    let settings = file(&rendered(values), "postgresql-config", "settings.yaml");
    let given = serde_json::json!({"settings": settings, "roles": roles});
    let script = "import json, sys\nfrom unittest.mock import MagicMock\n\
        sys.modules.update({it: MagicMock() for it in ('psycopg2', 'psycopg2.extras', 'yaml')})\n\
        sys.path.insert(0, sys.argv[1])\nimport settings\ngiven = json.loads(sys.argv[2])\n\
        roles = {it: 'of another password' for it in given['roles']}\nsettings.secret = lambda name: name\n\
        class Roles(settings.Roles):\n\
        \x20   def ask(self, question, *values):\n\
        \x20       if 'from pg_authid' in question: return (roles[values[0]],) if values[0] in roles else None\n\
        \x20       return (True, True) if 'from pg_roles' not in question or values[0] in roles else None\n\
        \x20   def do(self, statement, **names):\n\
        \x20       if statement.startswith('create role'): roles[names['role']] = None; settings.say(statement)\n\
        Roles(MagicMock(), given['settings']).all()";
    let ended = Prepared::new("python3")
        .args(["-B", "-c", script])
        .arg(chart().join("files"))
        .arg(given.to_string())
        .succeed();
    let lines = ended.stderr.lines();
    lines
        .map(|it| it.trim_start_matches("settings.py: ").to_owned())
        .collect()
}

/// pg_hba.conf lets in no other than the one that the values name.
#[test]
fn a_role_for_replication_that_an_upgrade_names_is_made() {
    let there = ["postgres", "repl_user", "rewind_user"];
    let said = told(&["auth.replicationUsername=streams"], &there);
    assert!(
        said.contains(&"create role {role} login replication".to_owned()),
        "{said:?}"
    );
    assert!(
        said.contains(&"the role streams has the password of the Secret".to_owned()),
        "{said:?}"
    );
    let usual = told(&[], &there);
    assert!(
        !usual.iter().any(|it| it.starts_with("create role")),
        "{usual:?}"
    );
}

/// Nobody could alter those whose passwords the pods alone know.
#[test]
fn internal_roles_get_their_passwords_whatever_people_do_with_theirs() {
    let there = ["postgres", "repl_user", "rewind_user", "salon", "pgbouncer"];
    let values = [
        "auth.username=salon",
        "pooler.enabled=true",
        "auth.reconcilePasswords=false",
    ];
    let altered = |values: &[&str]| -> Vec<String> {
        let said = told(values, &there);
        let names = said
            .iter()
            .filter_map(|it| it.strip_prefix("the role ")?.split(' ').next());
        names.map(str::to_owned).collect()
    };
    assert_eq!(altered(&values), ["pgbouncer", "rewind_user"]);
    let all = altered(&values[..2]);
    assert_eq!(
        all,
        ["salon", "pgbouncer", "repl_user", "rewind_user", "postgres"]
    );
}
