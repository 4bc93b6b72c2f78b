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
