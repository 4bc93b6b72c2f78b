//! Whose objects may use something: the consent of its owner.

use std::collections::BTreeMap;

use kube::core::{Selector, SelectorExt as _};

use super::crd::AllowedNamespaces;

/// Whether it depends on a namespace's labels.
pub(super) fn needs_labels(allowed: Option<&AllowedNamespaces>, namespace: &str) -> bool {
    allowed.is_some_and(|it| it.selector.is_some() && !it.names.iter().any(|it| it == namespace))
}

/// Whether objects of a namespace are let.
///
/// # Errors
/// When the selector is none.
pub(super) fn allows(
    allowed: Option<&AllowedNamespaces>,
    by_default: bool,
    namespace: &str,
    labels: &BTreeMap<String, String>,
) -> Result<bool, String> {
    let Some(allowed) = allowed else {
        return Ok(by_default);
    };
    if allowed.names.iter().any(|it| it == namespace) {
        return Ok(true);
    }
    let Some(selector) = allowed.selector.clone() else {
        return Ok(false);
    };
    let selector = Selector::try_from(selector);
    let selector = selector.map_err(|error| format!("allowedNamespaces.selector: {error}"))?;
    Ok(selector.matches(labels))
}

/// What a Database that says nothing says: all may, or else `none`, that is those of its own namespace.
pub(super) fn of_database<'a>(
    said: Option<&'a AllowedNamespaces>,
    all: bool,
    none: &'a AllowedNamespaces,
) -> Option<&'a AllowedNamespaces> {
    said.or((!all).then_some(none))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

    use super::*;

    /// operator-rules.md, decided 6.
    #[test]
    fn a_database_that_says_nothing_is_its_own_namespaces_where_the_administrator_wants_it() {
        let none = AllowedNamespaces::default();
        let says = AllowedNamespaces {
            names: vec!["ns".to_owned()],
            selector: None,
        };
        for (said, all, is_let) in [
            (None, true, true),
            (None, false, false),
            (Some(&says), false, true),
        ] {
            let allowed = of_database(said, all, &none);
            let found = allows(allowed, true, "ns", &BTreeMap::new());
            assert_eq!(found, Ok(is_let), "{said:?} {all}");
        }
    }

    #[test]
    fn a_namespace_is_let_by_its_name_or_its_labels() {
        let labels = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
        let with = |names: &[&str], team: Option<&str>| AllowedNamespaces {
            names: names.iter().map(|it| (*it).to_owned()).collect(),
            selector: team.map(|it| LabelSelector {
                match_labels: Some(BTreeMap::from([("team".to_owned(), it.to_owned())])),
                ..LabelSelector::default()
            }),
        };
        let let_in = |allowed: Option<AllowedNamespaces>, by_default| {
            allows(allowed.as_ref(), by_default, "ns", &labels).unwrap()
        };
        assert!(let_in(None, true));
        assert!(!let_in(None, false));
        assert!(!let_in(Some(with(&[], None)), true));
        assert!(let_in(Some(with(&["x", "ns"], None)), false));
        assert!(let_in(Some(with(&["x"], Some("a"))), false));
        assert!(!let_in(Some(with(&["x"], Some("b"))), true));
        assert!(needs_labels(Some(&with(&["x"], Some("a"))), "ns"));
        assert!(!needs_labels(Some(&with(&["ns"], Some("a"))), "ns"));
    }
}
