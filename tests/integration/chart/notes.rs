//! What a person reads after `helm install`.

use super::{chart, helm, with_values};

fn notes(values: &[&str]) -> String {
    let chart = chart();
    let helm = helm(&["install", "adapter", chart.to_str().unwrap()]).args([
        "--namespace",
        "system",
        "--dry-run=client",
    ]);
    let said = with_values(helm, values).succeed().stdout;
    let (_, notes) = said.split_once("\nNOTES:\n").expect("notes");
    notes.to_owned()
}

/// S01.
#[test]
fn a_port_that_serves_anybody_is_said_with_who_reaches_it() {
    let said = notes(&[]);
    for words in [
        "ALLOW_ANYONE=true",
        "oiler-backup-system",
        "namespace monitoring",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let open = notes(&["networkPolicy.enabled=false"]);
    assert!(
        open.contains("networkPolicy.enabled=true lets in"),
        "{open}"
    );
    let outside = notes(&["service.type=NodePort"]);
    assert!(outside.contains("networkPolicy.extraIngress"), "{outside}");
    let tls = ["tls.enabled=true", "tls.existingSecret=tls"];
    for asked in ["tls.clientCaSecret=ca", "access.callersSecret=callers"] {
        let said = notes(&[&tls[..], &[asked]].concat());
        assert!(!said.contains("ALLOW_ANYONE"), "{said}");
    }
}

/// Values, and some words of what is said about them.
const WITHOUT_EFFECT: &[(&[&str], &str)] = &[
    (
        &["serviceMonitor.interval=10s"],
        "without serviceMonitor.enabled",
    ),
    (
        &["prometheusRule.labels.a=b"],
        "without prometheusRule.enabled",
    ),
    (
        &[
            "networkPolicy.enabled=false",
            "networkPolicy.workerPorts:=[1]",
        ],
        "without networkPolicy.enabled",
    ),
    (
        &[
            "podDisruptionBudget.enabled=false",
            "podDisruptionBudget.maxUnavailable=2",
        ],
        "without podDisruptionBudget.enabled",
    ),
    (
        &["admissionPolicy.extraImages:=[\"a:1\"]"],
        "without admissionPolicy.enabled",
    ),
    (
        &["workers.encryption.manifest=true"],
        "workers.encryption.manifest needs workers.encryption.recipients",
    ),
    (
        &["workers.encryption.identityKey=age"],
        "workers.encryption.identityKey has no effect",
    ),
    (
        &["workers.copy.credentials.secret=keys"],
        "workers.copy.credentials has no effect without workers.copy.url",
    ),
    (
        &["workers.globals.enabled=true"],
        "workers.globals.enabled needs workers.encryption.recipients",
    ),
    (
        &[
            "workers.globals:={\"enabled\":true,\"passwords\":\"none\"}",
            "workers.format=sql.gz",
        ],
        "workers.globals.enabled is for workers.format=archive",
    ),
    (
        &["workers.globals.passwords=none"],
        "workers.globals.passwords has no effect",
    ),
    (
        &["workers.s3.caBundle.key=ca.pem"],
        "workers.s3.caBundle.key has no effect",
    ),
    (
        &[
            "serviceAccount.create=false",
            "serviceAccount.annotations.a=b",
        ],
        "serviceAccount.annotations has no effect",
    ),
    (
        &[
            "workers.serviceAccount.create=false",
            "workers.serviceAccount.annotations.a=b",
        ],
        "workers.serviceAccount.annotations has no effect",
    ),
    (
        &["serviceAccount.annotations.eks\\.amazonaws\\.com/role-arn=a"],
        "set workers.serviceAccount.annotations",
    ),
    (
        &["workers.serviceAccount.annotations.eks\\.amazonaws\\.com/role-arn=a"],
        "workers.s3.ambientBuckets",
    ),
    (&["access.tokenReview=true"], "access.callersSecret"),
    (&["podMonitor.labels.a=b"], "without podMonitor.enabled"),
    (
        &["service.nodePort=30051"],
        "service.nodePort has no effect",
    ),
    (
        &["service.loadBalancerClass=a"],
        "service.loadBalancerClass has no effect",
    ),
    (
        &["tls.certManager.renewBefore=1h"],
        "tls.certManager.renewBefore has no effect",
    ),
    (
        &["tls.existingSecret=x"],
        "tls.existingSecret has no effect",
    ),
    (&["tls.testClientSecret=x"], "without tls.clientCaSecret"),
    (
        &["tls.certManager.issuerRef.name=x"],
        "tls.certManager.issuerRef has no effect",
    ),
    (
        &["tls.certManager.duration=1h"],
        "tls.certManager.duration has no effect",
    ),
];

/// In an overlay of several releases they do no harm, and an upgrade must not fail for them.
#[test]
fn values_without_an_effect_are_warned_of() {
    for (values, words) in WITHOUT_EFFECT {
        let said = notes(values);
        let warned = said
            .lines()
            .any(|it| it.starts_with("WARNING: ") && it.contains(words));
        assert!(warned, "{values:?}: {said}");
    }
    let said = notes(&[]);
    assert!(!said.contains("no effect"), "{said}");
}

#[test]
fn where_the_secrets_of_schedules_must_be_is_said() {
    let schedule = "schedules:=[{\"name\":\"shop\",\"cron\":\"@daily\",\"database\":{\"host\":\"db\",\"dbname\":\"b\",\"user\":\"u\",\"passwordSecret\":{\"name\":\"shop-db\"}},\"store\":{\"bucket\":\"b\",\"keysSecret\":{\"name\":\"s3\"}}}]";
    let said = notes(&[schedule, "workers.namespace=elsewhere"]);
    for words in [
        "as they are declared: shop.",
        "kubectl -n elsewhere get secrets s3 shop-db",
        "its backups stay",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!notes(&[]).contains("get secrets"));
}

/// A caller chooses the host that a password is shown to.
#[test]
fn secrets_that_anybody_may_name_are_warned_of() {
    let said = notes(&["secretReferences={shop-*}", "workers.namespace=elsewhere"]);
    assert!(
        said.contains("in the namespace elsewhere for credentials: shop-*"),
        "{said}"
    );
    assert!(
        said.contains("WARNING: secretReferences lets whoever reaches"),
        "{said}"
    );
    let known = notes(&["secretReferences={shop-*}", "access.callersSecret=callers"]);
    assert!(!known.contains("WARNING: secretReferences"), "{known}");
    let all = notes(&["secretReferences={*}", "access.callersSecret=callers"]);
    assert!(all.contains("every Secret"), "{all}");
}

#[test]
fn what_helm_uninstall_leaves_is_said() {
    let said = notes(&["workers.namespace=elsewhere"]);
    assert!(said.contains("helm uninstall"), "{said}");
    assert!(said.contains("kubectl -n elsewhere patch {} -p"), "{said}");
}
