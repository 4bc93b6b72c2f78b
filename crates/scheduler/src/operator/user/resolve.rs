//! Where a user's Databases are: on which DBCluster, under which names, and whether they are for the user.

use std::sync::Arc;

use super::spec::{Entry, Reference};
use crate::operator::crd::Database;
use crate::operator::database::{MISSING, UNCONNECTED, name};
use crate::operator::servers::Server;
use crate::operator::waiting::{Stop, Waiting};
use crate::operator::{Error, Guarded, Operator};
use crate::postgres::database::Origin;

/// A database of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Here {
    /// Its name in PostgreSQL.
    pub(super) name: String,
    /// Whether its object has made it: then what PUBLIC may do there is ours to say.
    pub(super) is_made: bool,
}

/// Where a user is.
pub(super) struct Place {
    pub(super) cluster: String,
    pub(super) server: Arc<Server>,
    /// In the order of the spec.
    pub(super) databases: Vec<Here>,
}

impl Place {
    pub(super) fn names(&self) -> Vec<String> {
        self.databases.iter().map(|it| it.name.clone()).collect()
    }
}

type Found = Option<Arc<Guarded<Database>>>;

/// The DBCluster of some Databases, and their names there, if they are ready.
fn ready(found: &[(&Reference, Found)]) -> Result<(String, Vec<Here>), Stop> {
    let mut on: Option<(&str, String)> = None;
    let mut databases = Vec::new();
    for (reference, found) in found {
        let named = &reference.name;
        let Some(found) = found else {
            return Err(Stop::Waiting(Waiting {
                phase: "Pending",
                message: format!("waiting for Database '{named}'"),
                again: MISSING,
            }));
        };
        let unready = || {
            Stop::Waiting(Waiting {
                phase: "Pending",
                message: format!("waiting for Database '{named}' to be ready"),
                again: UNCONNECTED,
            })
        };
        let Ok(database) = &found.0 else {
            return Err(unready());
        };
        let status = database.status.clone().unwrap_or_default();
        let is_ready = status.phase.as_deref() == Some("Ready");
        if !is_ready || database.metadata.deletion_timestamp.is_some() {
            return Err(unready());
        }
        if status.observed_generation != database.metadata.generation {
            // Its controller will say soon whether it still is.
            return Err(Stop::Unasked);
        }
        let cluster = &database.spec.cluster_ref.name;
        match &on {
            Some((first, of)) if of != cluster => {
                return Err(Stop::Refused(
                    "SeveralClusters",
                    format!(
                        "all databases must be on the same cluster: '{first}' is on '{of}', but '{named}' is on '{cluster}'"
                    ),
                ));
            }
            Some(_) => {}
            None => on = Some((named, cluster.clone())),
        }
        let created = Origin::Created.to_string();
        databases.push(Here {
            name: name(database),
            is_made: status.kept.is_some_and(|it| it.origin == created),
        });
    }
    let cluster = on.map(|(_, cluster)| cluster).unwrap_or_default();
    Ok((cluster, databases))
}

impl Operator {
    /// Where a user of this namespace is.
    pub(super) async fn place(
        &self,
        own: &str,
        entries: &[Entry],
    ) -> Result<Result<Place, Stop>, Error> {
        let mut found = Vec::new();
        for Entry { database, .. } in entries {
            let object = self.database(&database.namespace, &database.name);
            let named = (database.namespace.as_str(), database.name.as_str());
            // What is not there is waited for.
            if object.is_some()
                && let Err(stop) = self.admits(named, own).await?
            {
                return Ok(Err(stop));
            }
            found.push((database, object));
        }
        let (cluster, databases) = match ready(&found) {
            Ok(ready) => ready,
            Err(stop) => return Ok(Err(stop)),
        };
        let server = self.usable(&cluster, own).await?;
        Ok(server.map(|server| Place {
            cluster,
            server,
            databases,
        }))
    }
}

#[cfg(test)]
mod tests {
    use kube::core::DeserializeGuard;
    use serde_json::json;

    use super::*;

    fn reference(name: &str) -> Reference {
        Reference {
            namespace: "team".to_owned(),
            name: name.to_owned(),
        }
    }

    fn database(name: &str, cluster: &str, phase: &str, observed: i64) -> Found {
        let object = json!({
            "apiVersion": "dbtether.io/v1alpha1", "kind": "Database",
            "metadata": {"name": name, "namespace": "team", "generation": 2},
            "spec": {"clusterRef": {"name": cluster}},
            "status": {"phase": phase, "observedGeneration": observed,
                "kept": {"origin": if name == "adopted" { "adopted" } else { "created" }}},
        });
        let object: Database = serde_json::from_value(object).unwrap();
        Some(Arc::new(DeserializeGuard(Ok(object))))
    }

    fn of(found: &[(&str, Found)]) -> String {
        let references: Vec<Reference> = found.iter().map(|it| reference(it.0)).collect();
        let pairs = references.iter().zip(found);
        let pairs: Vec<(&Reference, Found)> =
            pairs.map(|(it, (_, found))| (it, found.clone())).collect();
        match ready(&pairs) {
            Ok((cluster, databases)) => {
                let names: Vec<String> = databases
                    .iter()
                    .map(|it| format!("{} {}", it.name, it.is_made))
                    .collect();
                format!("{cluster}: {}", names.join(", "))
            }
            Err(Stop::Waiting(it)) => format!("{}: {}", it.phase, it.message),
            Err(Stop::Refused(reason, message)) => format!("{reason}: {message}"),
            Err(Stop::Unasked) => "soon".to_owned(),
        }
    }

    /// operator.md, U24 and §5.3.
    #[test]
    fn a_user_waits_for_its_databases_in_their_order() {
        let there = || database("my-app", "c", "Ready", 2);
        assert_eq!(
            of(&[
                ("my-app", there()),
                ("adopted", database("adopted", "c", "Ready", 2))
            ]),
            "c: my_app true, adopted false"
        );
        assert_eq!(
            of(&[("x", None), ("y", None)]),
            "Pending: waiting for Database 'x'"
        );
        assert_eq!(
            of(&[("my-app", there()), ("y", database("y", "c", "Failed", 2))]),
            "Pending: waiting for Database 'y' to be ready"
        );
        assert_eq!(of(&[("y", database("y", "c", "Ready", 1))]), "soon");
        assert_eq!(
            of(&[("my-app", there()), ("b", database("b", "d", "Ready", 2))]),
            "SeveralClusters: all databases must be on the same cluster: 'my-app' is on 'c', but 'b' is on 'd'"
        );
    }
}
