//! What we would apply, as files in tests/golden that a person can read.
//! To accept a change: `INSTA_UPDATE=always cargo test -p scheduler --test integration golden`.

use std::collections::BTreeMap;
use std::time::Duration;

use backuper::storage::StoreUrl;
use k8s_openapi::api::core::v1::EnvVar;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt as _;
use scheduler::domain::credential::{Credential, Reference};
use scheduler::domain::restore::{Drill, Restore};
use scheduler::domain::run::Component;
use scheduler::domain::store::{Keys, Place, Store, Way};
use scheduler::engine::conformance;
use scheduler::engine::kubernetes::keys::RENDERED;
use scheduler::engine::kubernetes::record::Spec;
use scheduler::engine::kubernetes::render::{About, cron_job, gated, restore_job, secret};
use scheduler::engine::kubernetes::settings::Settings;
use scheduler::engine::kubernetes::template::Template;

const NAME: &str = "backup-0a1b2c3d-postgres";
const SECRET: &str = "backup-0a1b2c3d-postgres-0011223344556677";

fn settings() -> Settings {
    Settings::new(
        "backups",
        "registry.local/backuper:1",
        "registry.local/restorer:1",
        conformance::workers(),
    )
}

fn spec(database: &str) -> Spec {
    let mut schedule = conformance::schedule(NAME);
    schedule.plan.source = conformance::database(database, "hunter2");
    Spec {
        schedule,
        secret: SECRET.to_owned(),
        held: BTreeMap::new(),
    }
}

fn shop() -> Spec {
    spec("price $(DB_HOST) in $$")
}

fn check(name: &str, object: &impl serde::Serialize) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_yaml_snapshot!(name, object));
}

#[test]
fn the_golden_cron_job() {
    let cron_job = cron_job(&settings(), &shop());
    check("cron_job", &cron_job);
}

#[test]
fn the_golden_cron_job_of_a_schedule_with_options_of_its_own() {
    let mut settings = settings();
    settings.workers.settings.calendar.yearly = 10;
    settings.workers.settings.layout.cluster_name = Some("fleet".to_owned());
    let mut wanted = shop();
    let own = r#"{"retention":{"rules":{"daily":14,"days":3},"at_least":2,"zone":"Europe/Berlin"},
        "format":{"format":"sql.gz","sql_clean":true,"compression_level":"9"},
        "layout":{"key_template":"{{ .ClusterName }}/{{ .DatabaseName }}/{{ .RunID }}"},
        "filters":{"exclude_table_data":["\"odd, $(DB_HOST)\".*","log_*"]},"jobs":3}"#;
    wanted.schedule.options = serde_json::from_str(own).expect("options");
    check("cron_job_with_options", &cron_job(&settings, &wanted));
}

#[test]
fn s27_a_backup_that_hangs_takes_few_others_with_it() {
    let deadline = |settings: &Settings, schedule: &str| {
        let mut wanted = shop();
        wanted.schedule.plan.cron = schedule.parse().expect("a cron");
        let spec = cron_job(settings, &wanted).spec;
        spec.and_then(|it| it.job_template.spec?.active_deadline_seconds)
    };
    let hours = |it: i64| Some(it * 3600);
    let mut settings = settings();
    assert_eq!(deadline(&settings, "0 * * * *"), hours(3));
    assert_eq!(deadline(&settings, "*/5 * * * *"), hours(2));
    assert_eq!(deadline(&settings, "0 */6 * * *"), hours(18));
    assert_eq!(deadline(&settings, "30 3 * * *"), hours(24));
    assert_eq!(deadline(&settings, "0 0 1 * *"), hours(24));
    assert_eq!(deadline(&settings, "@yearly"), hours(24));
    settings.limits.backup = Some(Duration::from_secs(7 * 3600));
    assert_eq!(deadline(&settings, "0 * * * *"), hours(7));
}

#[test]
fn the_golden_cron_job_under_a_template() {
    let mut settings = settings();
    settings.template = Template::parse(TEMPLATE).expect("a template");
    let cron_job = cron_job(&settings, &shop());
    check("cron_job_with_template", &cron_job);
}

#[test]
fn a_template_with_a_field_that_pods_do_not_have_is_refused_by_its_path() {
    for (template, path) in [
        ("sepc: {}", "it has no sepc"),
        (
            "spec: {nodeSelectors: {a: b}}",
            "it has no spec.nodeSelectors",
        ),
        (
            "spec: {containers: [{name: worker, resources: {limit: {cpu: 1}}}]}",
            "it has no spec.containers[0].resources.limit",
        ),
    ] {
        let refused = Template::parse(template).expect_err(template);
        assert!(refused.ends_with(path), "{refused}");
    }
    Template::parse("spec: {containers: [{name: worker, resources: {limits: {cpu: 1}}}], volumes: [{name: a, emptyDir: {}}], priority: null}")
        .expect("all of it is known");
}

/// A schedule whose store is another cloud's, and what lets in there stands in a Secret: the caller's own, or
/// one that it names.
fn in_cloud(url: &str, way: Way, keys: Credential<Keys>) -> Spec {
    let mut spec = spec("shop");
    let place = Place::from(url.parse::<StoreUrl>().expect("a place"));
    spec.schedule.plan.store = Store::new(place, way, keys).expect("a store");
    spec
}

/// What a CronJob's pod has in its environment.
fn environment(settings: &Settings, spec: &Spec) -> Vec<EnvVar> {
    let pod = cron_job(settings, spec)
        .spec
        .and_then(|it| it.job_template.spec?.template.spec);
    let mut env = pod.expect("a pod").containers[0]
        .env
        .clone()
        .expect("variables");
    env.retain(|it| {
        ["STORE_", "S3_", "GOOGLE_", "AZURE_", "STORAGE_"]
            .iter()
            .any(|prefix| it.name.starts_with(prefix))
    });
    env
}

#[test]
fn the_golden_environments_of_stores_in_other_clouds_and_below_prefixes() {
    let given = || Credential::Inline(Some(Keys(vec!["hunter2".into(), "hunter2".into()])));
    let named = |key: &str| {
        Credential::Reference(Reference {
            secret: "cloud".to_owned(),
            keys: vec![key.to_owned()],
        })
    };
    let mut settings = settings();
    settings.workers.settings.azure.account_endpoint = "https://blob.example".parse().ok();
    let all = [
        in_cloud("gs://backups/team-a", Way::ServiceAccount, given()),
        in_cloud("gs://backups", Way::ServiceAccount, named("key.json")),
        in_cloud("gs://backups", Way::Pair, given()),
        in_cloud("az://acme/backups/team-a", Way::AccountKey, given()),
        in_cloud("az://acme/backups", Way::Signature, named("sas")),
        in_cloud("az://acme/backups", Way::Pair, Credential::Ambient),
        in_cloud("s3://backups/team-a", Way::Pair, given()),
    ];
    let all: Vec<Vec<EnvVar>> = all.iter().map(|it| environment(&settings, it)).collect();
    let text = format!("{all:?}");
    assert!(!text.contains("hunter2"), "{text}");
    check("stores", &all);
}

#[test]
fn the_golden_restore() {
    let wanted = conformance::restore("shop", "0", 0);
    let name = "restore-0a1b2c3d-postgres";
    let job = restore_job(&settings(), name, &wanted, None);
    check("restore_job", &job);
    let shorter = Restore {
        ttl: Some(7200),
        ..wanted
    };
    let job = restore_job(&settings(), name, &shorter, None);
    let ttl = job.spec.and_then(|it| it.ttl_seconds_after_finished);
    assert_eq!(ttl, Some(7200));
}

/// Issue 14, section 3: a PostgreSQL that runs beside the worker, with the Restricted profile.
#[test]
fn the_golden_restore_drill() {
    let mut wanted = conformance::restore("restore_drill_shop", "0", 0);
    wanted.target.host = "127.0.0.1".to_owned();
    wanted.drill = Some(Drill {
        sql: vec!["SELECT count(*) > 0 FROM orders".to_owned()],
        image: Some("postgres:17".to_owned()),
    });
    let job = restore_job(&settings(), "restore-0a1b2c3d-postgres", &wanted, None);
    check("restore_drill", &job);
}

#[test]
fn the_golden_secret() {
    let owner = OwnerReference {
        api_version: "batch/v1".to_owned(),
        kind: "CronJob".to_owned(),
        name: NAME.to_owned(),
        uid: "6f9619ff-8b86-d011-b42d-00c04fc964ff".to_owned(),
        controller: Some(true),
        block_owner_deletion: None,
    };
    let schedule = shop().schedule;
    let about = About {
        component: Component::Backup,
        database: &schedule.plan.source,
    };
    let vars = conformance::workers().backup(&schedule).to_env();
    check(
        "secret",
        &secret(&settings(), SECRET, owner, (&about, &vars)),
    );
}

#[test]
fn a_cron_job_that_is_being_made_is_suspended_and_says_it_is_not_complete() {
    let whole = cron_job(&settings(), &shop());
    let gate = gated(&whole);
    assert_eq!(gate.spec.as_ref().and_then(|it| it.suspend), Some(true));
    check("cron_job_being_made", &gate);
    assert!(RENDERED.of(whole.annotations()).is_some());
    assert!(RENDERED.of(gate.annotations()).is_none());
}

/// How Kubernetes expands a variable's value, where no other variable is known to it: `$$` is `$`,
/// `$(NAME)` of a known name is replaced, everything else stays.
fn expanded(value: &str, known: &str) -> String {
    let mut expanded = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|it| it.split_once(')'))
        {
            let replaced = if name == known {
                "REPLACED"
            } else {
                &format!("$({name})")
            };
            expanded.push_str(replaced);
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    expanded + rest
}

#[test]
fn u41_a_value_with_dollars_arrives_as_it_was_given() {
    for given in [
        "$$",
        "$(DB_HOST)",
        "a$b",
        "$",
        "$$$(DB_HOST)$",
        "$$(DB_HOST",
        "(x)",
    ] {
        let cron_job = cron_job(&settings(), &spec(given));
        let pod = cron_job
            .spec
            .and_then(|it| it.job_template.spec?.template.spec);
        let env = pod.expect("a pod").containers[0]
            .env
            .clone()
            .expect("variables");
        let name = env.iter().find(|it| it.name == "DB_NAME");
        let rendered = name.and_then(|it| it.value.as_deref());
        let rendered = rendered.expect("a value");
        assert_eq!(expanded(rendered, "DB_HOST"), given, "{rendered}");
    }
}

pub(super) const TEMPLATE: &str = r#"
metadata:
  labels: {team: data, app.kubernetes.io/managed-by: somebody}
  annotations: {note: from the administrator}
spec:
  nodeSelector: {disk: fast}
  tolerations: [{key: backups, operator: Exists}]
  imagePullSecrets: [{name: registry}]
  automountServiceAccountToken: true
  hostNetwork: true
  restartPolicy: OnFailure
  securityContext: {runAsNonRoot: false, runAsUser: 0, fsGroup: 2000}
  containers:
    - name: worker
      image: elsewhere/else:1
      resources: {requests: {cpu: 500m}, limits: {memory: 1Gi}}
      env:
        - {name: HTTPS_PROXY, value: "http://proxy:3128"}
        - {name: DB_PASSWORD, value: not-this}
      volumeMounts: [{name: ca, mountPath: /etc/ca}]
      securityContext: {privileged: true, runAsUser: 0, capabilities: {add: [SYS_ADMIN]}}
    - name: backup-restore-job
      image: elsewhere/other:1
    - name: proxy
      image: registry.local/proxy:1
      securityContext: {privileged: true}
  volumes: [{name: ca, configMap: {name: ca}}]
"#;
