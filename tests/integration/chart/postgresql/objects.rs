//! Which objects there are, under which names: those that the three documents name.

use super::{container, named, names, only, pod, rendered, stateful_set};

/// 3.1, 3.3, 3.4, 4.5, 4.20.
#[test]
fn objects_have_the_documents_names() {
    let documents = rendered(&["replication.replicas=3"]);
    assert_eq!(names(&documents, "StatefulSet"), ["postgresql"]);
    let services = names(&documents, "Service");
    assert_eq!(
        services,
        [
            "postgresql",
            "postgresql-master",
            "postgresql-read",
            "postgresql-hl"
        ]
        .map(str::to_owned)
    );
    assert!(names(&documents, "ConfigMap").contains(&"postgresql-config".to_owned()));
    assert_eq!(
        names(&documents, "Secret"),
        ["postgresql", "postgresql-patroni"]
    );
    let named_otherwise = names(
        &rendered(&["primary.name=primary", "readReplicas.name=reader"]),
        "Service",
    );
    assert!(named_otherwise.contains(&"postgresql-primary".to_owned()));
    assert!(named_otherwise.contains(&"postgresql-reader".to_owned()));
    // A client of `helm test` is no member.
    for document in documents.iter().filter(|it| it["kind"] != "Pod") {
        let labels = &document["metadata"]["labels"];
        assert_eq!(labels["app.kubernetes.io/name"], "postgresql");
        assert_eq!(labels["app.kubernetes.io/instance"], "postgresql");
    }
}

/// Patroni's first ConfigMap is its scope's name with `-config` behind it.
#[test]
fn patronis_own_objects_are_none_of_the_charts() {
    let documents = rendered(&[]);
    let patroni = super::file(&documents, "postgresql-config", "patroni.yaml");
    assert_eq!(patroni["scope"], "postgresql-ha");
    let labels = &stateful_set(&documents)["template"]["metadata"]["labels"];
    assert_eq!(labels["cluster-name"], "postgresql-ha");
    assert_eq!(
        patroni["kubernetes"]["labels"],
        stateful_set(&documents)["selector"]["matchLabels"]
    );
}

/// 2.4, 3.2, 4.3.
#[test]
fn each_pod_has_a_volume_of_the_size_that_is_asked_for() {
    let documents = rendered(&[]);
    let claim = &stateful_set(&documents)["volumeClaimTemplates"][0];
    assert_eq!(claim["metadata"]["name"], "postgresql-storage");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "10Gi");
    assert_eq!(claim["spec"]["accessModes"][0], "ReadWriteOnce");
    assert!(claim["spec"]["storageClassName"].is_null());
    // Nothing that a later version of the chart would change: a claim's template is for ever.
    assert_eq!(claim["metadata"]["labels"].as_mapping().unwrap().len(), 2);
    let mounts = &container(&documents, "postgresql")["volumeMounts"];
    assert_eq!(
        named(mounts, "postgresql-storage")["mountPath"],
        "/var/lib/postgresql/data"
    );
    let asked = rendered(&[
        "primary.persistence.size=500Gi",
        "global.defaultStorageClass=ssd",
    ]);
    let claim = &stateful_set(&asked)["volumeClaimTemplates"][0]["spec"];
    assert_eq!(claim["resources"]["requests"]["storage"], "500Gi");
    assert_eq!(claim["storageClassName"], "ssd");
    let both = [
        "global.defaultStorageClass=ssd",
        "primary.persistence.storageClass=fast",
    ];
    let claim = stateful_set(&rendered(&both))["volumeClaimTemplates"][0]["spec"].clone();
    assert_eq!(claim["storageClassName"], "fast");
    let policy = &stateful_set(&documents)["persistentVolumeClaimRetentionPolicy"];
    assert_eq!(policy["whenDeleted"], "Retain");
    assert_eq!(policy["whenScaled"], "Retain");
    let none = rendered(&["primary.persistence.enabled=false"]);
    assert!(stateful_set(&none)["volumeClaimTemplates"].is_null());
    assert!(named(&pod(&none)["volumes"], "postgresql-storage")["emptyDir"].is_mapping());
}

/// 2.2, 2.3, 4.1: the same number under the names of both documents, however it is written.
#[test]
fn the_number_of_replicas_is_said_by_either_of_two_names() {
    for (values, pods) in [
        (&[][..], 1),
        (&["replication.replicas=3"], 4),
        (&["readReplicas.replicaCount=3"], 4),
        (&["readReplicas.replicaCount:=\"2\""], 3),
        (&["readReplicas.replicaCount:=2.0"], 3),
        (
            &["readReplicas.replicaCount:=0", "architecture=replication"],
            1,
        ),
        (&["readReplicas.replicaCount:=\"0\""], 1),
        (&["architecture=replication"], 2),
        (&["architecture=standalone"], 1),
        (
            &["replication.replicas=2", "readReplicas.replicaCount=2"],
            3,
        ),
    ] {
        let documents = rendered(values);
        assert_eq!(stateful_set(&documents)["replicas"], pods, "{values:?}");
        let settings = super::file(&documents, "postgresql-config", "settings.yaml");
        assert_eq!(settings["members"], pods, "{values:?}");
    }
}

/// 2.3, 2.6, 2.9.
#[test]
fn writers_get_the_primary_and_readers_a_replica_where_there_is_one() {
    let role = |values: &[&str], name: &str| {
        only(&rendered(values), "Service", name)["spec"]["selector"]["role"].clone()
    };
    for replicas in ["replication.replicas=0", "replication.replicas=2"] {
        assert_eq!(role(&[replicas], "postgresql"), "primary");
        assert_eq!(role(&[replicas], "postgresql-master"), "primary");
        assert!(role(&[replicas], "postgresql-hl").is_null());
    }
    assert_eq!(
        role(&["replication.replicas=2"], "postgresql-read"),
        "replica"
    );
    assert_eq!(role(&[], "postgresql-read"), "primary");
    assert_eq!(
        role(
            &["readReplicas.service.fallbackToPrimary=false"],
            "postgresql-read"
        ),
        "replica"
    );
}

/// 2.7: each of the two has annotations and a load balancer of its own.
#[test]
fn each_endpoint_is_exposed_as_its_own_values_say() {
    let values = [
        "primary.service.type=LoadBalancer",
        "primary.service.loadBalancerClass=example.com/nlb",
        "primary.service.loadBalancerSourceRanges={10.0.0.0/8,192.168.0.0/16}",
        "primary.service.externalTrafficPolicy=Local",
        r#"primary.service.annotations:={"external-dns.alpha.kubernetes.io/hostname":"writer.{{ .Release.Namespace }}.example","a":"true"}"#,
        "readReplicas.service.type=LoadBalancer",
        r#"readReplicas.service.annotations:={"external-dns.alpha.kubernetes.io/hostname":"reader.example"}"#,
        "primary.service.ports.postgresql=6432",
    ];
    let documents = rendered(&values);
    let host = "external-dns.alpha.kubernetes.io/hostname";
    let writer = only(&documents, "Service", "postgresql-master");
    assert_eq!(
        writer["metadata"]["annotations"][host],
        "writer.production.example"
    );
    assert_eq!(writer["metadata"]["annotations"]["a"], "true");
    assert_eq!(writer["spec"]["type"], "LoadBalancer");
    assert_eq!(writer["spec"]["loadBalancerClass"], "example.com/nlb");
    assert_eq!(
        writer["spec"]["loadBalancerSourceRanges"][1],
        "192.168.0.0/16"
    );
    assert_eq!(writer["spec"]["externalTrafficPolicy"], "Local");
    assert_eq!(writer["spec"]["ports"][0]["port"], 6432);
    assert_eq!(writer["spec"]["ports"][0]["targetPort"], "tcp-postgresql");
    let reader = only(&documents, "Service", "postgresql-read");
    assert_eq!(reader["metadata"]["annotations"][host], "reader.example");
    assert!(reader["spec"]["loadBalancerSourceRanges"].is_null());
    let plain = only(&documents, "Service", "postgresql");
    assert_eq!(plain["spec"]["type"], "ClusterIP");
    assert!(plain["metadata"]["annotations"].is_null());
}

/// A platform's parameter is a text, and no list.
#[test]
fn who_may_call_is_a_list_or_a_text() {
    let ranges = |value: &str| {
        let service = ["primary.service.type=LoadBalancer", value];
        only(&rendered(&service), "Service", "postgresql-master")["spec"]["loadBalancerSourceRanges"].clone()
    };
    let list = r#"primary.service.loadBalancerSourceRanges:=["10.0.0.0/8","2001:db8::/32"]"#;
    let text = r#"primary.service.loadBalancerSourceRanges:="10.0.0.0/8, 2001:db8::/32""#;
    assert_eq!(ranges(list), ranges(text));
    assert_eq!(ranges(text)[1], "2001:db8::/32");
}

/// 2.21.
#[test]
fn ports_say_their_protocol_to_a_mesh() {
    for service in rendered(&[]).iter().filter(|it| it["kind"] == "Service") {
        assert_eq!(service["spec"]["ports"][0]["name"], "tcp-postgresql");
    }
}

/// 2.20.
#[test]
fn the_network_policy_lets_in_what_is_needed() {
    let policy =
        |values: &[&str]| only(&rendered(values), "NetworkPolicy", "postgresql")["spec"].clone();
    let open = policy(&["metrics.enabled=true"]);
    assert_eq!(open["ingress"][0]["ports"][0]["port"], 5432);
    assert!(open["ingress"][0]["from"].is_null());
    assert_eq!(open["ingress"][1]["ports"][0]["port"], 8008);
    let own = &open["ingress"][1]["from"][0]["podSelector"]["matchLabels"];
    assert_eq!(own["app.kubernetes.io/instance"], "postgresql");
    assert_eq!(open["ingress"][2]["ports"][0]["port"], 9187);
    assert_eq!(open["policyTypes"].as_sequence().unwrap().len(), 2);
    let closed = policy(&["networkPolicy.allowExternal=false"]);
    let from = &closed["ingress"][0]["from"];
    assert_eq!(&from[0]["podSelector"]["matchLabels"], own);
    assert_eq!(
        from[1]["podSelector"]["matchLabels"]["postgresql-client"],
        "true"
    );
    assert_eq!(closed["ingress"].as_sequence().unwrap().len(), 2);
    let ports: Vec<_> = open["egress"]
        .as_sequence()
        .unwrap()
        .iter()
        .map(|it| it["ports"][0]["port"].as_u64())
        .collect();
    assert_eq!(ports, [Some(53), Some(5432), Some(443)]);
    let out = policy(&["networkPolicy.allowExternalEgress=true"]);
    assert_eq!(
        out["egress"],
        serde_yaml_ng::from_str::<serde_yaml_ng::Value>("[{}]").unwrap()
    );
    assert!(names(&rendered(&["networkPolicy.enabled=false"]), "NetworkPolicy").is_empty());
}

/// 2.20: each kind of pods has a policy, and what people add is in all of them.
#[test]
fn more_rules_hold_for_all_pods_of_the_release() {
    let on = [
        "pooler.enabled=true",
        "pgbackrest.enabled=true",
        "pgbackrest.s3.bucket=wal",
        "pgbackrest.s3.existingSecret=keys",
        "primary.persistence.initialSize=5Gi",
    ];
    let policies = [
        "postgresql",
        "postgresql-pooler",
        "postgresql-pgbackrest",
        "postgresql-volumes",
    ];
    // As OpenShift has it.
    let dns = r#"networkPolicy.extraEgress:=[{"ports":[{"port":5353}]}]"#;
    let documents = rendered(&[&on[..], &[dns]].concat());
    for policy in policies {
        let spec = only(&documents, "NetworkPolicy", policy)["spec"].clone();
        let egress = spec["egress"].as_sequence().unwrap();
        assert_eq!(egress[0]["ports"][0]["port"], 53, "{policy}");
        let last = egress.last().unwrap();
        assert_eq!(last["ports"][0]["port"], 5353, "{policy}");
    }
    let open = rendered(&[&on[..], &["networkPolicy.allowExternalEgress=true"]].concat());
    for policy in policies {
        let egress = only(&open, "NetworkPolicy", policy)["spec"]["egress"].clone();
        let anything = serde_yaml_ng::from_str::<serde_yaml_ng::Value>("[{}]").unwrap();
        assert_eq!(egress, anything, "{policy}");
    }
    let called = r#"networkPolicy.extraIngress:=[{"ports":[{"port":6432}]}]"#;
    let documents = rendered(&[&on[..], &[called]].concat());
    for policy in &policies[..2] {
        let spec = only(&documents, "NetworkPolicy", policy)["spec"].clone();
        let last = spec["ingress"].as_sequence().unwrap().last().unwrap();
        assert_eq!(last["ports"][0]["port"], 6432, "{policy}");
    }
}

/// 2.14, and what Patroni was seen to need.
#[test]
fn drains_take_one_pod_and_patroni_may_do_what_it_does() {
    let documents = rendered(&[]);
    let budget = only(&documents, "PodDisruptionBudget", "postgresql");
    assert_eq!(budget["spec"]["maxUnavailable"], 1);
    let role = only(&documents, "Role", "postgresql");
    let rules = serde_yaml_ng::to_string(&role["rules"]).unwrap();
    for word in [
        "secrets",
        "exec",
        "update",
        "delete",
        "services",
        "endpoints",
        "\"*\"",
    ] {
        assert!(!rules.contains(word), "{word}: {rules}");
    }
    let role = names(&rendered(&["rbac.create=false"]), "Role");
    assert!(role.is_empty());
}
