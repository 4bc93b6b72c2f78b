//! Who may do what: the Role, and the network.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::Role;
use kube::api::{Api, ListParams};

use super::site::Site;
use super::world::{RELEASE, SYSTEM, World, block_on, eventually, kubectl, try_run};

/// The scheduler's pods that are ready.
pub(crate) fn schedulers(world: &World) -> Vec<Pod> {
    let pods: Api<Pod> = world.api();
    let ours =
        format!("app.kubernetes.io/component=scheduler,app.kubernetes.io/instance={RELEASE}");
    let ours = ListParams::default().labels(&ours);
    eventually("two schedulers", async || {
        let mut all = pods.list(&ours).await.ok()?.items;
        all.retain(|it| {
            let conditions = it
                .status
                .iter()
                .flat_map(|it| it.conditions.iter().flatten());
            let ready = conditions
                .into_iter()
                .any(|it| it.type_ == "Ready" && it.status == "True");
            ready && it.metadata.deletion_timestamp.is_none()
        });
        (all.len() == 2).then_some(all)
    })
}

pub(crate) fn scheduler_addresses(world: &World) -> Vec<String> {
    let address = |pod: &Pod| pod.status.clone()?.pod_ip;
    schedulers(world).iter().filter_map(address).collect()
}

/// The account of the chart, as the audit log names it.
fn account() -> String {
    format!("system:serviceaccount:{SYSTEM}:{RELEASE}")
}

#[test]
fn the_scheduler_asks_for_nothing_that_its_role_does_not_give() {
    let site = Site::new("role");
    site.fill(10);
    let name = site.schedule(&site.request()).cronjob_name;
    site.update(&name, site.request());
    site.succeeds(&site.run_now(&name));
    site.succeeds(&site.restore("0").unwrap());
    for (verb, resource, may) in [
        ("create", "secrets", true),
        ("patch", "cronjobs.batch", true),
        ("watch", "jobs.batch", true),
        ("update", "leases.coordination.k8s.io", true),
        ("create", "events.events.k8s.io", true),
        ("create", "tokenreviews.authentication.k8s.io", false),
        ("get", "secrets", false),
        ("list", "secrets", false),
        ("delete", "pods", false),
        ("create", "pods", false),
        ("get", "configmaps", false),
    ] {
        let (allowed, _, _) = try_run(
            "kubectl",
            &[
                "-n",
                SYSTEM,
                "auth",
                "can-i",
                verb,
                resource,
                "--as",
                &account(),
            ],
        );
        assert_eq!(allowed, may, "{verb} {resource}");
    }
    if !super::shell::is_ours() {
        eprintln!("NOT TRIED: the audit log of a cluster that is not ours");
        return;
    }
    let used = everything_asked_was_given(site.world);
    for needed in [
        ("patch", "secrets"),
        ("create", "jobs"),
        ("patch", "jobs"),
        ("watch", "jobs"),
        ("get", "cronjobs"),
        ("patch", "cronjobs"),
    ] {
        let needed = (needed.0.to_owned(), needed.1.to_owned());
        assert!(used.contains(&needed), "{needed:?}: {used:?}");
    }
}

/// Reads the audit log of our own cluster; gives the verbs and resources that were asked for.
fn everything_asked_was_given(world: &World) -> BTreeSet<(String, String)> {
    let roles: Api<Role> = world.api();
    let role = block_on(roles.get(RELEASE)).unwrap();
    let mut given = BTreeSet::new();
    for rule in role.rules.unwrap() {
        for resource in rule.resources.iter().flatten() {
            given.extend(
                rule.verbs
                    .iter()
                    .map(|verb| (verb.clone(), resource.clone())),
            );
        }
    }
    let log = std::fs::read_to_string(super::shell::state().join("audit.log")).unwrap();
    let mut used = BTreeSet::new();
    for line in log.lines() {
        let Ok(event) = serde_json::from_str::<serde_json::Value>(line) else {
            continue;
        };
        if event["user"]["username"] != account() || event["objectRef"]["resource"].is_null() {
            continue;
        }
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let object = &event["objectRef"];
        let resource = match object["subresource"].as_str() {
            Some(part) => format!("{}/{part}", text(&object["resource"])),
            None => text(&object["resource"]),
        };
        let asked = (text(&event["verb"]), resource);
        assert!(given.contains(&asked), "asked for {asked:?}: {line}");
        let code = &event["responseStatus"]["code"];
        assert_ne!(code, 403, "{line}");
        used.insert(asked);
    }
    used
}

/// Whether a pod in a namespace is answered by the scheduler.
fn is_answered_in(namespace: &str, address: &str) -> bool {
    is_answered(namespace, "run=probe", address)
}

fn is_answered(namespace: &str, labels: &str, address: &str) -> bool {
    let image = format!(
        "{}scheduler:{}",
        std::env::var("IMAGE_PREFIX").unwrap(),
        env!("CARGO_PKG_VERSION")
    );
    let name = format!("probe-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
    let (done, _, _) = try_run(
        "kubectl",
        &[
            "-n",
            namespace,
            "run",
            &name,
            "--rm",
            "--attach",
            "--restart=Never",
            "--quiet",
            "--pod-running-timeout=2m",
            &format!("--image={image}"),
            "--image-pull-policy=IfNotPresent",
            &format!("--labels={labels}"),
            &format!("--env=PROBE={address}:50051"),
        ],
    );
    done
}

#[test]
fn the_network_policy_lets_in_who_may_and_nobody_else() {
    let site = Site::new("network");
    let sum = site.fill(10);
    for namespace in ["e2e-core", "e2e-stranger"] {
        let _new = try_run("kubectl", &["create", "namespace", namespace]);
    }
    let address = site.world.adapter.clone();
    World::upgrade(&["networkPolicy.enabled=false"]);
    assert!(
        (0..10).any(|_| is_answered_in("e2e-stranger", &address)),
        "without a policy"
    );
    // As it is when nothing is said, but for the core's namespace.
    World::upgrade(&[
        "networkPolicy.coreNamespaceLabels.kubernetes\\.io/metadata\\.name=e2e-core",
        "networkPolicy.workerPorts={5432,9000}",
    ]);
    let mut enforced = false;
    for _ in 0..20 {
        enforced = !is_answered_in("e2e-stranger", &address);
        if enforced {
            break;
        }
    }
    if !enforced && !super::shell::is_ours() {
        eprintln!("NOT PROVED: this cluster's network does not enforce policies");
    } else {
        assert!(enforced, "a stranger is let in");
    }
    assert!(is_answered_in("e2e-core", &address), "the core is kept out");
    if enforced {
        let worker = "app.kubernetes.io/managed-by=postgres-adapter";
        assert!(!is_answered("e2e-core", worker, &address), "a worker calls");
    }
    // Workers reach what they need.
    let name = site.schedule(&site.request()).cronjob_name;
    site.succeeds(&site.run_now(&name));
    site.sql("DROP TABLE items");
    site.succeeds(&site.restore("0").unwrap());
    assert_eq!(site.checksum(), sum);
    World::upgrade(&[]);
    kubectl(&[
        "delete",
        "namespace",
        "e2e-core",
        "e2e-stranger",
        "--wait=false",
    ]);
}
