//! Where passwords are, and where they are not.

use base64::Engine as _;

use super::{file, only, pod, rendered};

/// 3.4 and the keys of the other documents.
#[test]
fn the_secret_has_the_keys_of_all_documents() {
    let documents = rendered(&[
        "auth.username=salon",
        "auth.password=pw",
        "auth.postgresPassword=admin",
    ]);
    let secret = only(&documents, "Secret", "postgresql");
    let data = &secret["stringData"];
    assert_eq!(data["username"], "salon");
    assert_eq!(data["password"], "pw");
    assert_eq!(data["postgres-password"], "admin");
    for key in ["replication-password", "metrics-password"] {
        assert_eq!(data[key].as_str().unwrap().len(), 24, "{key}");
    }
    assert_eq!(
        secret["metadata"]["annotations"]["helm.sh/resource-policy"],
        "keep"
    );
    let gone = only(
        &rendered(&["auth.keepSecret=false"]),
        "Secret",
        "postgresql",
    );
    assert!(gone["metadata"]["annotations"].is_null());
}

/// 2.10: the superuser has one password, under both of its keys.
#[test]
fn a_username_of_the_superuser_makes_no_second_role() {
    for values in [
        &["auth.username=postgres", "auth.password=one"][..],
        &["auth.postgresPassword=one"],
    ] {
        let documents = rendered(values);
        let data = only(&documents, "Secret", "postgresql")["stringData"].clone();
        assert_eq!(data["password"], "one");
        assert_eq!(data["postgres-password"], "one");
        let settings = file(&documents, "postgresql-config", "settings.yaml");
        assert_eq!(settings["username"], "");
    }
}

/// 2.22.
#[test]
fn no_password_is_anywhere_but_in_a_secret() {
    let words = ["pw-of-salon", "pw-of-admin", "pw-of-replication"];
    let values = [
        "auth.username=salon",
        "auth.password=pw-of-salon",
        "auth.postgresPassword=pw-of-admin",
        "auth.replicationPassword=pw-of-replication",
        "metrics.enabled=true",
    ];
    let documents = rendered(&values);
    for document in documents.iter().filter(|it| it["kind"] != "Secret") {
        let text = serde_yaml_ng::to_string(document).unwrap();
        for word in words {
            assert!(
                !text.contains(word),
                "{word} in {}",
                document["kind"].as_str().unwrap()
            );
        }
    }
    let said = super::notes(&values);
    assert!(!words.iter().any(|it| said.contains(it)), "{said}");
}

#[test]
fn a_secret_of_ones_own_takes_the_place_of_ours() {
    let documents = rendered(&[
        "auth.existingSecret=mine",
        "auth.username=salon",
        "auth.secretKeys.userPasswordKey=user-pw",
        "auth.secretKeys.adminPasswordKey=admin-pw",
        "metrics.enabled=true",
    ]);
    assert_eq!(super::names(&documents, "Secret"), ["postgresql-patroni"]);
    let spec = serde_json::to_value(pod(&documents)).unwrap();
    let volumes = spec["volumes"].as_array().unwrap();
    let secrets = volumes.iter().find(|it| it["name"] == "secrets").unwrap();
    let source = &secrets["projected"]["sources"][0]["secret"];
    assert_eq!(source["name"], "mine");
    let keys: Vec<_> = source["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["key"].as_str().unwrap())
        .collect();
    assert_eq!(
        keys,
        [
            "admin-pw",
            "replication-password",
            "user-pw",
            "metrics-password"
        ]
    );
    let none = rendered(&["auth.existingSecret=mine", "failover.existingSecret=too"]);
    assert!(super::names(&none, "Secret").is_empty());
    // What GitOps renders is the same each time.
    let again = super::render(&["auth.existingSecret=mine", "failover.existingSecret=too"]).stdout;
    let first = super::render(&["auth.existingSecret=mine", "failover.existingSecret=too"]).stdout;
    assert_eq!(first, again);
}

#[test]
fn patronis_api_has_an_authority_and_a_password() {
    let data = only(&rendered(&[]), "Secret", "postgresql-patroni")["data"].clone();
    let text = |key: &str| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(data[key].as_str().unwrap());
        String::from_utf8(bytes.unwrap()).unwrap()
    };
    assert!(text("ca.crt").starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(text("ca.key").contains("PRIVATE KEY-----"));
    assert_eq!(text("patroni-password").len(), 24);
    assert_eq!(text("rewind-password").len(), 24);
}
