//! What a backup or a restore depends on: its Database, the DBCluster that this is on, and its BackupStorage.

use std::collections::BTreeMap;
use std::sync::Arc;

use backuper::archive::KeyTemplate;
use backuper::postgres::Target;
use backuper::storage::{Endpoint, Prefix};
use kube::ResourceExt as _;

use super::crd::{BackupStorage, BackupStorageSpec, DBCluster, Stored};
use super::object::Phased as _;
use super::waiting::Stop;
use super::{Guarded, Operator, namespaces};
use crate::domain::credential::Credential;
use crate::domain::database::Database;
use crate::domain::name;
use crate::domain::options::OwnLayout;
use crate::domain::store::{Keys, Place, Store, Way};

/// The keys of a Secret that let into S3, as AWS calls them.
const PAIR: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];

/// What is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// There is none of the name: `database`, `cluster` or `backup storage`.
    Absent(&'static str, String),
    /// It is in this phase.
    Unready(&'static str, String, String),
    /// It cannot be used as it is; the sentence says why.
    Unusable(String),
    /// Its owner has not let this namespace.
    NotAllowed(String),
}

impl Lack {
    /// The reason of a condition.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Absent(..) | Self::Unready(..) => "Waiting",
            Self::Unusable(_) => "Unusable",
            Self::NotAllowed(_) => "NotAllowed",
        }
    }

    /// What a Backup says of it.
    pub(super) fn of_backup(&self) -> String {
        match self {
            Self::Absent(kind, name) => format!("{kind} {name} not found"),
            Self::Unready("cluster", name, _) => format!("cluster {name} is not connected"),
            Self::Unready(kind, name, phase) => {
                format!("{kind} {name} is not ready (phase: {phase})")
            }
            Self::Unusable(why) | Self::NotAllowed(why) => why.clone(),
        }
    }

    /// What a Restore says of it.
    pub(super) fn of_restore(&self) -> String {
        match self {
            Self::Absent("database", name) => format!("target database not found: {name}"),
            Self::Absent(kind, name) => format!("{kind} not found: {name}"),
            Self::Unready(..) | Self::Unusable(_) | Self::NotAllowed(_) => self.of_backup(),
        }
    }
}

/// A database that can be reached.
pub(super) struct Source {
    pub(super) database: Database,
    /// The DBCluster's name.
    pub(super) cluster: String,
}

/// A BackupStorage that may be used.
pub(super) struct Storage {
    pub(super) store: Store,
    pub(super) spec: BackupStorageSpec,
}

impl Operator {
    /// The DBCluster that a Database is on, and the database's name there.
    fn reachable(
        &self,
        namespace: &str,
        named: &str,
    ) -> Result<(Arc<Guarded<DBCluster>>, String), Lack> {
        let absent = || Lack::Absent("database", named.to_owned());
        let found = self.database(namespace, named).ok_or_else(absent)?;
        let object = found
            .0
            .as_ref()
            .map_err(|_unreadable| unreadable("database", named))?;
        let status = object.status.clone().unwrap_or_default();
        let is_of_spec = status.observed_generation == object.metadata.generation;
        let is_ready = status.phase() == Some("Ready") && is_of_spec;
        let cluster = object.spec.cluster_ref.name.clone();
        let (true, None, Some(name)) = (
            is_ready,
            &object.metadata.deletion_timestamp,
            &status.database_name,
        ) else {
            return Err(unready("database", named, status.phase()));
        };
        let found = self.cluster(&cluster);
        let found = found.ok_or_else(|| Lack::Absent("cluster", cluster.clone()))?;
        let object = found
            .0
            .as_ref()
            .map_err(|_unreadable| unreadable("cluster", &cluster))?;
        if !is_connected(object) {
            return Err(unready("cluster", &cluster, None));
        }
        Ok((found, name.clone()))
    }

    /// What the runs on the server of a Database are known by: nothing is read for it but what is known.
    pub(super) fn server_of(&self, namespace: &str, named: &str) -> Result<String, Lack> {
        let (cluster, _) = self.reachable(namespace, named)?;
        let spec = cluster.0.as_ref().map(|it| &it.spec);
        let spec = spec.map_err(|_unreadable| unreadable("cluster", named))?;
        Ok(format!("{}:{}/", spec.endpoint, spec.port))
    }

    /// The database of a Database, with the login of its DBCluster.
    pub(super) async fn source(&self, namespace: &str, named: &str) -> Result<Source, Lack> {
        let (found, name) = self.reachable(namespace, named)?;
        let cluster = found.name_any();
        let object = found
            .0
            .as_ref()
            .map_err(|_unreadable| unreadable("cluster", &cluster))?;
        let database = self.login(object, &name).await?;
        Ok(Source { database, cluster })
    }

    /// A database of this name on a DBCluster that objects of a namespace may use, with its login.
    pub(super) async fn on_cluster(
        &self,
        (cluster, name): (&str, &str),
        namespace: &str,
    ) -> Result<Database, Lack> {
        let found = self.cluster(cluster);
        let found = found.ok_or_else(|| Lack::Absent("cluster", cluster.to_owned()))?;
        let object = found
            .0
            .as_ref()
            .map_err(|_unreadable| unreadable("cluster", cluster))?;
        if !is_connected(object) {
            return Err(unready("cluster", cluster, None));
        }
        let what = format!("DBCluster '{cluster}'");
        let allowed = object.spec.allowed_namespaces.as_ref();
        match self.consents(&what, allowed, namespace).await {
            Ok(Ok(())) => self.login(object, name).await,
            Ok(Err(Stop::Refused(_, why))) => Err(Lack::NotAllowed(why)),
            Ok(Err(Stop::Waiting(_) | Stop::Unasked)) => Err(unready("cluster", cluster, None)),
            Err(error) => Err(Lack::Unusable(backuper::text::chain(&error))),
        }
    }

    async fn login(&self, object: &DBCluster, name: &str) -> Result<Database, Lack> {
        let target = self.target(object).await;
        let unusable = |why| Lack::Unusable(format!("cluster {}: {why}", object.name_any()));
        database(target.map_err(unusable)?, name).map_err(Lack::Unusable)
    }

    /// A BackupStorage that objects of a namespace may use, with what lets in.
    pub(super) async fn storage(&self, namespace: &str, named: &str) -> Result<Storage, Lack> {
        const KIND: &str = "backup storage";
        let found = self.objects.as_ref().and_then(|it| it.storage(named));
        let found = found.ok_or_else(|| Lack::Absent(KIND, named.to_owned()))?;
        let object = found
            .0
            .as_ref()
            .map_err(|_unreadable| unreadable(KIND, named))?;
        let status = object.status.clone().unwrap_or_default();
        let is_of_spec = status.observed_generation == object.metadata.generation;
        let is_ready = status.phase.as_deref() == Some("Ready") && is_of_spec;
        if !is_ready || object.metadata.deletion_timestamp.is_some() {
            return Err(unready(KIND, named, status.phase.as_deref()));
        }
        self.allows_storage(object, namespace).await?;
        let store = self.store(&object.spec).await;
        let store = store.map_err(|why| Lack::Unusable(format!("{KIND} {named}: {why}")))?;
        Ok(Storage {
            store,
            spec: object.spec.clone(),
        })
    }

    async fn allows_storage(&self, object: &BackupStorage, namespace: &str) -> Result<(), Lack> {
        let allowed = object.spec.allowed_namespaces.as_ref();
        let name = object.name_any();
        let labels = if namespaces::needs_labels(allowed, namespace) {
            self.labels(namespace)
                .await
                .map_err(|error| Lack::Unusable(backuper::text::chain(&error)))?
        } else {
            BTreeMap::new()
        };
        match namespaces::allows(allowed, self.settings.all_namespaces, namespace, &labels) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Lack::NotAllowed(format!(
                "backup storage {name} is not for objects of namespace {namespace}: its allowedNamespaces must name it"
            ))),
            Err(why) => Err(Lack::NotAllowed(format!("backup storage {name}: {why}"))),
        }
    }

    /// Where a BackupStorage is, with what lets in.
    pub(super) async fn store(&self, spec: &BackupStorageSpec) -> Result<Store, String> {
        let place = place(spec)?;
        let keys = match &spec.credentials_secret_ref {
            None => Credential::Ambient,
            Some(named) => match self.read_values(named, PAIR).await? {
                [Some(access), Some(secret)] => {
                    Credential::Inline(Some(Keys(vec![access.into(), secret.into()])))
                }
                // As dbtether has it: then it is whom the workers are, where the administrator lends that.
                _ => Credential::Ambient,
            },
        };
        let mut store = Store::new(place, Way::Pair, keys).map_err(|error| error.to_string())?;
        let region = spec.s3.as_ref().map(|it| it.region.clone());
        store.region = region.filter(|it| !it.is_empty());
        Ok(store)
    }
}

/// Where a BackupStorage is.
///
/// # Errors
/// What is wrong with its spec.
pub(super) fn place(spec: &BackupStorageSpec) -> Result<Place, String> {
    let prefix = prefix(spec)?;
    let wrong = |field: &'static str| move |why: String| format!("{field}: {why}");
    let place = match (&spec.s3, &spec.gcs, &spec.azure) {
        (Some(s3), None, None) => {
            let endpoint = s3.endpoint.as_deref().filter(|it| !it.is_empty());
            let endpoint = endpoint.map(str::parse::<Endpoint>).transpose();
            let server = match endpoint.map_err(wrong("s3.endpoint"))? {
                Some(Endpoint::Url(url)) => Some(url),
                None => None,
                Some(Endpoint::Directory(_)) => {
                    return Err("s3.endpoint: a URL of http or https is needed".to_owned());
                }
            };
            Place::S3 {
                server,
                bucket: s3.bucket.parse().map_err(wrong("s3.bucket"))?,
                prefix,
            }
        }
        (None, Some(gcs), None) => Place::Google {
            bucket: gcs.bucket.parse().map_err(wrong("gcs.bucket"))?,
            prefix,
        },
        (None, None, Some(azure)) => Place::Azure {
            account: azure
                .storage_account
                .parse()
                .map_err(|why| format!("azure.storageAccount: {why}"))?,
            container: azure
                .container
                .parse()
                .map_err(|why| format!("azure.container: {why}"))?,
            prefix,
        },
        (None, None, None) => return Err("one of s3, gcs, or azure must be specified".to_owned()),
        _ => return Err("only one of s3, gcs, or azure can be specified".to_owned()),
    };
    Ok(place)
}

/// What all keys of a BackupStorage begin with.
///
/// # Errors
/// When it is no prefix.
pub(super) fn prefix(spec: &BackupStorageSpec) -> Result<Prefix, String> {
    let prefix = spec.prefix.as_deref().unwrap_or_default().parse();
    prefix.map_err(|why| format!("prefix: {why}"))
}

/// The store below a prefix that a backup was put below, and the backup's key there.
///
/// # Errors
/// When the key is not there, or the prefix is none.
pub(super) fn below(
    mut store: Store,
    prefix: Option<&str>,
    path: &str,
) -> Result<(Store, String), String> {
    let prefix: Prefix = prefix
        .unwrap_or_default()
        .parse()
        .map_err(|why| format!("prefix: {why}"))?;
    let key = path.strip_prefix(prefix.as_str());
    let key = key.ok_or_else(|| format!("{path} is not below {prefix}"))?;
    let place = store.place.below(prefix);
    store.place = place.ok_or("a directory has no prefix")?;
    Ok((store, key.to_owned()))
}

/// Under which keys the dumps lie among which a backup is.
///
/// # Errors
/// When its template is none.
pub(super) fn layout(stored: &Stored) -> Result<OwnLayout, String> {
    let template = stored.template.as_deref().map(str::parse::<KeyTemplate>);
    let key_template = template
        .transpose()
        .map_err(|why| format!("the template of its key: {why}"))?;
    let cluster = Some(stored.cluster.clone()).filter(|it| !it.is_empty());
    Ok(OwnLayout {
        cluster_name: cluster.filter(|_| key_template.is_some()),
        key_template,
    })
}

/// A database as workers are told of it.
fn database(target: Target, name: &str) -> Result<Database, String> {
    let Target {
        host,
        port,
        user,
        password,
        database: _,
        sslmode,
        sslrootcert,
        sslcert: _,
        sslkey: _,
        at: _,
    } = target;
    Ok(Database {
        host: name::host(&host).map_err(|why| format!("endpoint {host:?}: {why}"))?,
        port,
        name: name.to_owned(),
        user,
        password: Credential::from(password),
        sslmode: Some(sslmode),
        authorities: sslrootcert,
    })
}

fn is_connected(cluster: &DBCluster) -> bool {
    let status = cluster.status.clone().unwrap_or_default();
    status.phase.as_deref() == Some("Connected")
        && status.observed_generation == cluster.metadata.generation
        && cluster.metadata.deletion_timestamp.is_none()
}

fn unready(kind: &'static str, name: &str, phase: Option<&str>) -> Lack {
    Lack::Unready(kind, name.to_owned(), phase.unwrap_or_default().to_owned())
}

fn unreadable(kind: &'static str, name: &str) -> Lack {
    Lack::Unusable(format!("{kind} {name} cannot be read; correct its spec"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::crd::{Azure, Gcs, S3};

    fn s3(endpoint: Option<&str>) -> BackupStorageSpec {
        BackupStorageSpec {
            s3: Some(S3 {
                bucket: "backups".to_owned(),
                region: "eu-central-1".to_owned(),
                endpoint: endpoint.map(str::to_owned),
            }),
            ..BackupStorageSpec::default()
        }
    }

    /// operator.md, S1.
    #[test]
    fn a_storage_is_in_one_place() {
        let gcs = Some(Gcs {
            bucket: "backups".to_owned(),
            project: "p".to_owned(),
        });
        let azure = Some(Azure {
            container: "backups".to_owned(),
            storage_account: "acme".to_owned(),
        });
        let shown = |spec: &BackupStorageSpec| place(spec).map(|it| it.to_string());
        assert_eq!(shown(&s3(None)).unwrap(), "s3://backups");
        assert_eq!(
            shown(&s3(Some("http://minio:9000"))).unwrap(),
            "http://minio:9000/backups"
        );
        let mut google = BackupStorageSpec {
            gcs: gcs.clone(),
            prefix: Some("team-a".to_owned()),
            ..BackupStorageSpec::default()
        };
        assert_eq!(shown(&google).unwrap(), "gs://backups/team-a");
        let of_azure = BackupStorageSpec {
            azure,
            ..BackupStorageSpec::default()
        };
        assert_eq!(shown(&of_azure).unwrap(), "az://acme/backups");
        google.s3 = s3(None).s3;
        let said = shown(&google).unwrap_err();
        assert_eq!(said, "only one of s3, gcs, or azure can be specified");
        let said = shown(&BackupStorageSpec::default()).unwrap_err();
        assert_eq!(said, "one of s3, gcs, or azure must be specified");
        // The scheduler's own disk is no bucket.
        assert!(shown(&s3(Some("file:///etc"))).is_err());
    }

    /// operator.md, B14.
    #[test]
    fn what_is_missing_is_told_in_dbtethers_words() {
        let absent = |kind| Lack::Absent(kind, "x".to_owned());
        let unready = |kind| Lack::Unready(kind, "x".to_owned(), "P".to_owned());
        for (lack, of_backup, of_restore) in [
            (
                absent("database"),
                "database x not found",
                "target database not found: x",
            ),
            (
                absent("cluster"),
                "cluster x not found",
                "cluster not found: x",
            ),
            (
                absent("backup storage"),
                "backup storage x not found",
                "backup storage not found: x",
            ),
            (
                unready("database"),
                "database x is not ready (phase: P)",
                "database x is not ready (phase: P)",
            ),
            (
                unready("cluster"),
                "cluster x is not connected",
                "cluster x is not connected",
            ),
            (
                unready("backup storage"),
                "backup storage x is not ready (phase: P)",
                "backup storage x is not ready (phase: P)",
            ),
        ] {
            assert_eq!(lack.of_backup(), of_backup);
            assert_eq!(lack.of_restore(), of_restore);
        }
    }

    /// A backup is found again where it was put, whatever the storage's prefix is by now.
    #[test]
    fn a_backup_is_looked_for_below_the_prefix_that_it_was_put_below() {
        let store = || Store::ambient(place(&s3(None)).unwrap());
        let (found, key) = below(store(), Some("team-a"), "team-a/prod/x.sql.gz").unwrap();
        assert_eq!(
            (found.place.to_string().as_str(), key.as_str()),
            ("s3://backups/team-a", "prod/x.sql.gz")
        );
        let (found, key) = below(store(), None, "prod/x.sql.gz").unwrap();
        assert_eq!(
            (found.place.to_string().as_str(), key.as_str()),
            ("s3://backups", "prod/x.sql.gz")
        );
        assert!(below(store(), Some("team-a"), "team-ab/x.sql.gz").is_err());
        assert!(below(store(), Some("../x"), "../x/y").is_err());
    }

    #[test]
    fn a_dump_is_looked_for_by_the_template_that_it_was_made_with() {
        let of = |template: Option<&str>| {
            layout(&Stored {
                cluster: "prod".to_owned(),
                template: template.map(str::to_owned),
                ..Stored::default()
            })
        };
        let dump = of(Some(
            "{{ .ClusterName }}/{{ .DatabaseName }}/{{ .RunID }}.sql.gz",
        ))
        .unwrap();
        assert_eq!(dump.cluster_name.as_deref(), Some("prod"));
        assert!(of(None).unwrap().is_none());
        assert!(of(Some("{{ .Nothing }}")).is_err());
    }
}
