//! `pooler.*`: PgBouncer in front of the primary, as far as what is rendered says.

use serde_yaml_ng::Value;

use super::{file, is_refused, named, names, notes, only, rendered};

const ON: [&str; 3] = [
    "pooler.enabled=true",
    "auth.username=salon",
    "auth.database=salon_core",
];

fn with(values: &[&str]) -> Vec<Value> {
    rendered(&[&ON, values].concat())
}

fn deployment(values: &[&str]) -> Value {
    only(&with(values), "Deployment", "postgresql-pooler")["spec"].clone()
}

/// The lines of pgbouncer.ini.
fn ini(values: &[&str]) -> Vec<String> {
    let map = only(&with(values), "ConfigMap", "postgresql-pooler");
    let text = map["data"]["pgbouncer.ini"].as_str().unwrap();
    text.lines().map(str::to_owned).collect()
}

/// 4.15.
#[test]
fn clients_reach_the_primary_through_it() {
    let documents = with(&["pooler.service.ports.postgresql=6432"]);
    let service = only(&documents, "Service", "postgresql-pooler")["spec"].clone();
    assert_eq!(service["ports"][0]["port"], 6432);
    let template = deployment(&[])["template"].clone();
    for (label, value) in service["selector"].as_mapping().unwrap() {
        assert_eq!(&template["metadata"]["labels"][label], value);
    }
    // It is no member: Services, drains and Patroni find those by other labels.
    let members = only(&documents, "Service", "postgresql-hl")["spec"]["selector"].clone();
    assert_ne!(
        members["app.kubernetes.io/name"],
        service["selector"]["app.kubernetes.io/name"]
    );
    assert!(ini(&[]).contains(&"* = host=postgresql.production.svc port=5432".to_owned()));
    let said = notes(&ON);
    assert!(
        said.contains("postgresql-pooler.production.svc.cluster.local:5432"),
        "{said}"
    );
    assert!(names(&rendered(&[]), "Deployment").is_empty());
    assert!(!names(&rendered(&[]), "Service").contains(&"postgresql-pooler".to_owned()));
}

/// Values, and lines of pgbouncer.ini that they make.
const LINES: &[(&[&str], &[&str])] = &[
    (
        &[],
        &[
            "pool_mode = transaction",
            "max_client_conn = 1000",
            "default_pool_size = 20",
            "auth_type = scram-sha-256",
            "auth_user = pgbouncer",
            "auth_dbname = postgres",
            "auth_query = SELECT usename, secret FROM pgbouncer.get_auth($1)",
            // Both families of addresses.
            "listen_addr = *",
            // A failover: the next primary is tried every second.
            "server_login_retry = 1",
            "ignore_startup_parameters = extra_float_digits",
        ],
    ),
    (
        &[
            "pooler.poolMode=session",
            "pooler.maxClientConnections=5000",
            "pooler.poolSize=40",
            "pooler.username=lookup",
            "pooler.parameters.query_wait_timeout=30",
            "pooler.parameters.server_login_retry=5",
            "pooler.parameters.log_connections=true",
            "primary.service.ports.postgresql=6000",
        ],
        &[
            "pool_mode = session",
            "max_client_conn = 5000",
            "default_pool_size = 40",
            "auth_user = lookup",
            "query_wait_timeout = 30",
            "server_login_retry = 5",
            "log_connections = 1",
            "* = host=postgresql.production.svc port=6000",
        ],
    ),
];

#[test]
fn each_value_is_a_line_of_pgbouncers_file() {
    for (values, lines) in LINES {
        let ini = ini(values);
        for line in *lines {
            assert!(ini.iter().any(|it| it == line), "{line}: {ini:?}");
        }
    }
    // What changes in it takes effect in the pods that are there.
    let one = deployment(&[])["template"].clone();
    assert_eq!(one, deployment(&["pooler.poolSize=40"])["template"]);
}

/// 2.22: the role of its own is known to the pods alone, and passwords of clients are nowhere.
#[test]
fn it_has_no_password_but_that_of_its_own_role_in_a_file() {
    let documents = with(&["auth.password=pw-of-salon"]);
    let spec = deployment(&["auth.password=pw-of-salon"])["template"]["spec"].clone();
    let secret = named(&spec["volumes"], "secret")["secret"].clone();
    assert_eq!(secret["secretName"], "postgresql-patroni");
    assert_eq!(secret["items"].as_sequence().unwrap().len(), 1);
    let data = only(&documents, "Secret", "postgresql-patroni")["data"].clone();
    assert!(
        data["pooler-password"]
            .as_str()
            .is_some_and(|it| it.len() > 30)
    );
    for container in spec["containers"].as_sequence().unwrap() {
        let text = serde_yaml_ng::to_string(container).unwrap();
        assert!(!text.contains("secretKeyRef"), "{text}");
    }
    let settings = file(&documents, "postgresql-config", "settings.yaml");
    assert_eq!(settings["poolerUsername"], "pgbouncer");
    let off = file(&rendered(&[]), "postgresql-config", "settings.yaml");
    assert_eq!(off["poolerUsername"], "");
    let own = deployment(&["failover.existingSecret=mine"])["template"]["spec"].clone();
    assert_eq!(
        named(&own["volumes"], "secret")["secret"]["secretName"],
        "mine"
    );
}

/// Its role is let into one database, where the function is, whoever else is let in.
#[test]
fn its_role_may_look_passwords_up_and_nothing_else() {
    for values in [
        &[][..],
        &["postgresql.pgHba={host all all all scram-sha-256}"],
    ] {
        let patroni = file(&with(values), "postgresql-config", "patroni.yaml");
        let lines = patroni["postgresql"]["pg_hba"]
            .as_sequence()
            .unwrap()
            .clone();
        let at = |line: &str| lines.iter().position(|it| it == line).expect(line);
        let refused = at("host all \"pgbouncer\" all reject");
        assert!(at("host postgres \"pgbouncer\" all scram-sha-256") < refused);
        assert!(refused < at("host all all all scram-sha-256"));
    }
    let off = file(&rendered(&[]), "postgresql-config", "patroni.yaml");
    let lines = serde_yaml_ng::to_string(&off["postgresql"]["pg_hba"]).unwrap();
    assert!(!lines.contains("pgbouncer"), "{lines}");
}

/// A pooler that comes or goes restarts nothing of the database.
#[test]
fn the_databases_pods_are_the_same_with_and_without_it() {
    let template = |documents: &[Value]| super::stateful_set(documents)["template"].clone();
    let without = rendered(&["auth.username=salon", "auth.database=salon_core"]);
    assert_eq!(template(&with(&[])), template(&without));
}

/// 2.14, 2.19: restricted, apart from each other, and drained one by one.
#[test]
fn its_pods_are_restricted_and_drained_one_by_one() {
    let documents = with(&["metrics.enabled=true", "pooler.replicas=3"]);
    let spec = deployment(&["metrics.enabled=true", "pooler.replicas=3"]);
    assert_eq!(spec["replicas"], 3);
    let budget = only(&documents, "PodDisruptionBudget", "postgresql-pooler");
    assert_eq!(budget["spec"]["maxUnavailable"], 1);
    assert_eq!(budget["spec"]["selector"], spec["selector"]);
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    let seccomp = &pod["securityContext"]["seccompProfile"]["type"];
    assert_eq!(seccomp, "RuntimeDefault");
    let containers = pod["containers"].as_sequence().unwrap();
    assert_eq!(containers.len(), 2);
    for container in containers {
        let context = &container["securityContext"];
        assert_eq!(context["runAsNonRoot"], true);
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["capabilities"]["drop"][0], "ALL");
    }
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert!(containers[0][probe]["httpGet"].is_mapping(), "{probe}");
    }
    let apart = &pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        [0]["podAffinityTerm"]["labelSelector"];
    assert_eq!(apart, &spec["selector"]);
    // Where no node takes two, one goes before another comes.
    let hard = deployment(&["pooler.podAntiAffinityPreset=hard"]);
    assert_eq!(hard["strategy"]["rollingUpdate"]["maxSurge"], 0);
    assert_eq!(spec["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
    let services = names(&documents, "Service");
    assert!(services.contains(&"postgresql-pooler-metrics".to_owned()));
}

/// 2.20.
#[test]
fn the_network_policies_let_clients_to_it_and_it_to_the_database() {
    let documents = with(&["networkPolicy.allowExternal=false"]);
    let own = only(&documents, "NetworkPolicy", "postgresql-pooler")["spec"].clone();
    let from = &own["ingress"][0]["from"];
    assert_eq!(from.as_sequence().unwrap().len(), 1);
    assert_eq!(
        from[0]["podSelector"]["matchLabels"]["postgresql-client"],
        "true"
    );
    let labels = own["podSelector"].clone();
    let out = &own["egress"][1];
    assert_eq!(out["ports"][0]["port"], 5432);
    let database = only(&documents, "NetworkPolicy", "postgresql")["spec"].clone();
    assert_eq!(out["to"][0]["podSelector"], database["podSelector"]);
    let allowed = database["ingress"][0]["from"].as_sequence().unwrap();
    assert!(
        allowed.iter().any(|it| it["podSelector"] == labels),
        "{allowed:?}"
    );
    let open = with(&["metrics.enabled=true"]);
    let open = only(&open, "NetworkPolicy", "postgresql-pooler")["spec"].clone();
    assert!(open["ingress"][0]["from"].is_null());
    assert_eq!(open["ingress"][1]["ports"][0]["port"], 9127);
}

/// Those who ask through it are asked for by `helm test` as well; a superuser is not let in.
#[test]
fn helm_test_asks_through_it() {
    let asked = |values: &[&str]| -> Vec<Value> {
        let pod = only(&rendered(values), "Pod", "postgresql-answers");
        let containers = pod["spec"]["containers"].as_sequence().unwrap().clone();
        containers
            .iter()
            .map(|it| it["env"][0]["value"].clone())
            .collect()
    };
    assert_eq!(asked(&ON), ["postgresql-master", "postgresql-pooler"]);
    assert_eq!(asked(&["pooler.enabled=true"]), ["postgresql-master"]);
}

/// With `poolMode` `statement` PgBouncer ends the session of whoever begins a transaction.
#[test]
fn helm_test_begins_no_transaction_through_it() {
    let pod = only(
        &with(&["pooler.poolMode=statement"]),
        "Pod",
        "postgresql-answers",
    );
    let command = |client: &str| {
        let container = named(&pod["spec"]["containers"], client);
        container["command"][2].as_str().unwrap().to_owned()
    };
    let pooler = command("pooler");
    assert!(!pooler.contains(" -1 "), "{pooler}");
    assert_eq!(pooler.matches(" -c ").count(), 1, "{pooler}");
    assert!(command("client").contains(" -1 "));
}

#[test]
fn what_contradicts_it_is_refused() {
    for (values, words) in [
        (
            &["pooler.parameters.auth_query=x"][..],
            "pooler.parameters has auth_query",
        ),
        (
            &["pooler.parameters.pool_mode=session"],
            "pooler.poolMode: leave it out",
        ),
        (&["pooler.poolSize=60"], "is 120, which one user"),
        (&["pooler.username=salon"], "each needs a role of its own"),
        (&["pooler.username=repl_user"], "not two of them the same"),
        (&["pooler.username=postgres"], "which is the superuser"),
        (&["auth.database=pgbouncer"], "its own console"),
        (&["primary.name=pooler"], "another object of the chart"),
        (&["pooler.poolMode=none"], "poolMode"),
        (&["pooler.replicas=0"], "replicas"),
    ] {
        is_refused(&[&ON, values].concat(), words);
    }
    let many = [
        "pooler.poolSize=60",
        "postgresql.parameters.max_connections=500",
    ];
    assert_eq!(ini(&many)[0], "[databases]");
}
