//! DBCluster: whether its server answers, and may be administered.

use std::sync::Arc;
use std::time::Duration;

use backuper::postgres::{self, Authorities, SslMode, Target};
use backuper::runtime::settings;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use kube::api::Api;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use secrecy::SecretString;

use super::crd::{DBCluster, DBClusterSpec, DBClusterStatus, EnvRef, KeyRef, SecretRef};
use super::object::Phased;
use super::{Error, Guarded, Operator, REPAIR, about, now, status};
use crate::postgres::server::Facts;

/// Before a server that did not answer is asked again.
const FAILED: Duration = Duration::from_secs(30);
/// Bytes of certificates: Linux gives a process 128 KiB in one variable.
const AUTHORITIES: usize = 100 * 1024;
/// The database that is always there.
const MAINTENANCE: &str = "postgres";

/// Whether the role may do all that is asked of it.
const PRIVILEGED: &str = "Privileged";

/// A DBCluster's state, as its phase and conditions tell it.
type Examined = Result<Facts, (&'static str, String)>;

pub(super) async fn reconcile(
    object: Arc<Guarded<DBCluster>>,
    operator: Arc<Operator>,
) -> Result<Action, Error> {
    let cluster = match &object.0 {
        Ok(cluster) => cluster,
        Err(invalid) => {
            let api = Api::<Guarded<DBCluster>>::all(operator.client.clone());
            status::unreadable(&api, &object, &invalid.error).await?;
            return Ok(Action::await_change());
        }
    };
    if cluster.metadata.deletion_timestamp.is_some() {
        operator.servers.forget(&cluster.name_any());
        return Ok(Action::await_change());
    }
    let examined = operator.examine(cluster).await;
    let before = cluster.status.clone().unwrap_or_default();
    let after = told(&before, cluster.metadata.generation, &examined, now());
    let api = Api::<DBCluster>::all(operator.client.clone());
    let is_new = status::write(&api, cluster, &before, &after).await?;
    if is_new && before.phase != after.phase {
        let (type_, reason) = match &examined {
            Ok(_) => (EventType::Normal, "Connected"),
            Err((reason, _)) => (EventType::Warning, *reason),
        };
        let message = after.message.as_deref().unwrap_or_default();
        operator.publish(cluster, type_, reason, message).await;
    }
    if is_new {
        operator.wake_users_of(&cluster.name_any());
    }
    let again = if examined.is_ok() { REPAIR } else { FAILED };
    Ok(Action::requeue(about(again, &cluster.metadata)))
}

/// What the status says.
fn told(
    before: &DBClusterStatus,
    generation: Option<i64>,
    examined: &Examined,
    now: Timestamp,
) -> DBClusterStatus {
    let mut after = DBClusterStatus {
        observed_generation: generation,
        ..before.clone()
    };
    let of = (generation, now);
    let ready = match examined {
        Ok(facts) => {
            after.phase = Some("Connected".to_owned());
            after.message = Some("connection successful".to_owned());
            after.postgres_version = Some(facts.version.clone());
            after.system_identifier.clone_from(&facts.system_identifier);
            let lacking = facts.lacking();
            let (reason, message) = match &lacking {
                None => ("Sufficient", "the role may create databases and roles"),
                Some(lacking) => ("InsufficientPrivileges", lacking.as_str()),
            };
            let privileged = status::condition(PRIVILEGED, lacking.is_none(), reason, message, of);
            status::set(&mut after.conditions, privileged);
            status::condition(status::READY, true, "Connected", "the server answers", of)
        }
        Err((reason, message)) => {
            after.phase = Some("Failed".to_owned());
            after.message = Some(message.clone());
            status::condition(status::READY, false, reason, message, of)
        }
    };
    status::set(&mut after.conditions, ready);
    if after != *before {
        after.last_check_time = Some(Time(now));
    }
    after
}

impl Phased for DBClusterStatus {
    fn phase(&self) -> Option<&str> {
        self.phase.as_deref()
    }

    fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
}

impl Operator {
    /// Asks the server of a DBCluster what it is, and remembers how it is reached.
    async fn examine(&self, cluster: &DBCluster) -> Examined {
        let name = cluster.name_any();
        let failed = |reason, what: &str, error: &dyn std::fmt::Display| {
            self.servers.forget(&name);
            (reason, format!("{what}: {error}"))
        };
        let target = self.target(cluster).await;
        let target =
            target.map_err(|error| failed("CredentialsError", "credentials error", &error))?;
        let server = self.servers.set(&name, identity(cluster), target);
        let facts = server.examine().await;
        facts.map_err(|error| failed("ConnectionFailed", "connection failed", &reason(&error)))
    }

    /// How a DBCluster's server is reached.
    pub(super) async fn target(&self, cluster: &DBCluster) -> Result<Target, String> {
        let spec = &cluster.spec;
        let (user, password) = match credentials(spec)? {
            Credentials::Env(names) => from_env(names)?,
            Credentials::Secret(secret) => self.read_secret(secret).await?,
        };
        if !is_host(&spec.endpoint) {
            return Err(format!(
                "endpoint {:?} is no host name or address; it has no scheme, port or path, and the port is spec.port",
                spec.endpoint
            ));
        }
        let sslmode: SslMode = match &spec.tls {
            Some(tls) => tls
                .mode
                .parse()
                .map_err(|error| format!("tls.mode: {error}"))?,
            None => self.settings.sslmode,
        };
        let named = spec.tls.as_ref().and_then(|it| it.ca_secret_ref.as_ref());
        let sslrootcert = match named {
            Some(named) => Some(self.authorities(named).await?),
            None if matches!(sslmode, SslMode::VerifyCa | SslMode::VerifyFull) => {
                return Err(format!(
                    "sslmode {sslmode} needs tls.caSecretRef: a Secret with the authorities that sign the server's certificate"
                ));
            }
            None => None,
        };
        Ok(Target {
            host: spec.endpoint.clone(),
            port: u16::try_from(spec.port)
                .map_err(|error| format!("port {}: {error}", spec.port))?,
            user,
            password: Some(password),
            database: MAINTENANCE.to_owned(),
            sslmode,
            sslrootcert,
            sslcert: None,
            sslkey: None,
            at: None,
        })
    }

    /// The authorities that a key of a Secret has.
    async fn authorities(&self, named: &KeyRef) -> Result<Authorities, String> {
        let KeyRef {
            name,
            namespace,
            key,
        } = named;
        let secret = SecretRef {
            name: name.clone(),
            namespace: namespace.clone(),
        };
        let [found] = self.read_values(&secret, [key.as_str()]).await?;
        let found = found.ok_or_else(|| {
            format!("secret {namespace}/{name} must contain {key:?} with certificates in PEM")
        })?;
        authorities(&found).map_err(|why| format!("secret {namespace}/{name}, {key:?}: {why}"))
    }

    async fn read_secret(&self, named: &SecretRef) -> Result<(String, SecretString), String> {
        let SecretRef { name, namespace } = named;
        match self.read_values(named, ["username", "password"]).await? {
            [Some(user), Some(password)] => Ok((user, password.into())),
            _ => Err(format!(
                "secret {namespace}/{name} must contain 'username' and 'password', neither of them empty"
            )),
        }
    }

    /// What a Secret has under these keys; none where it is empty.
    pub(super) async fn read_values<const N: usize>(
        &self,
        named: &SecretRef,
        keys: [&str; N],
    ) -> Result<[Option<String>; N], String> {
        let SecretRef { name, namespace } = named;
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let found = api.get_opt(name).await;
        let found = found.map_err(|error| {
            format!("secret {namespace}/{name} cannot be read: {}", said(&error))
        })?;
        let found = found.ok_or_else(|| format!("secret {namespace}/{name} not found"))?;
        Ok(keys.map(|key| {
            let data = found.data.as_ref().and_then(|it| it.get(key));
            let text = data.and_then(|it| std::str::from_utf8(&it.0).ok());
            text.filter(|it| !it.is_empty()).map(str::to_owned)
        }))
    }
}

/// Certificates, as a worker can be told them.
fn authorities(pem: &str) -> Result<Authorities, String> {
    if pem.len() > AUTHORITIES {
        return Err(format!(
            "{} bytes are more than the {AUTHORITIES} that a worker can be given; leave the authorities of this server alone in it",
            pem.len()
        ));
    }
    let Ok(found) = pem.parse::<Authorities>();
    match found.count() {
        Ok(0) => Err("there is no certificate in PEM in it".to_owned()),
        Ok(_) => Ok(found),
        Err(why) => Err(format!("no certificates in PEM: {why}")),
    }
}

/// A name of DNS or an IP address: no port, no URI, and no directory of a socket.
fn is_host(endpoint: &str) -> bool {
    let is_name = !endpoint.is_empty()
        && endpoint
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    is_name || endpoint.parse::<std::net::IpAddr>().is_ok()
}

/// The API server's sentence.
fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}

/// A DBCluster as its spec is now.
pub(super) fn identity(cluster: &DBCluster) -> (String, i64) {
    let uid = cluster.uid().unwrap_or_default();
    (uid, cluster.metadata.generation.unwrap_or_default())
}

/// Where a DBCluster's credentials are.
enum Credentials<'a> {
    Env(&'a EnvRef),
    Secret(&'a SecretRef),
}

fn credentials(spec: &DBClusterSpec) -> Result<Credentials<'_>, String> {
    match (&spec.credentials_from_env, &spec.credentials_secret_ref) {
        (Some(names), _) => Ok(Credentials::Env(names)),
        (None, Some(secret)) => Ok(Credentials::Secret(secret)),
        (None, None) => {
            Err("one of credentialsSecretRef and credentialsFromEnv must be specified".to_owned())
        }
    }
}

fn from_env(names: &EnvRef) -> Result<(String, SecretString), String> {
    use secrecy::ExposeSecret as _;
    let value = |name: &str| {
        settings::named(name)?.ok_or_else(|| {
            format!("environment variable {name} of the operator is not set, or empty")
        })
    };
    let user = value(&names.username)?;
    Ok((user.expose_secret().to_owned(), value(&names.password)?))
}

/// What a server or the network said, without where that was.
fn reason(error: &postgres::Error) -> String {
    error.reason.clone()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::postgres::server::tests::facts;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// operator.md, C7.
    #[test]
    fn the_status_changes_where_something_has() {
        let none = DBClusterStatus::default();
        let first = told(&none, Some(1), &Ok(facts()), at(1));
        assert_eq!(first.phase.as_deref(), Some("Connected"));
        assert_eq!(told(&first, Some(1), &Ok(facts()), at(2)), first);
        let newer = told(&first, Some(2), &Ok(facts()), at(2));
        assert_eq!(newer.last_check_time, Some(Time(at(2))));
        let failed = Err(("ConnectionFailed", "connection failed: no".to_owned()));
        let failed = told(&first, Some(1), &failed, at(3));
        assert_eq!(failed.phase.as_deref(), Some("Failed"));
        // What is not known now is what was known.
        assert_eq!(failed.postgres_version, first.postgres_version);
        let conditions = failed.conditions.unwrap();
        let ready = conditions.iter().find(|it| it.type_ == "Ready").unwrap();
        assert_eq!(
            (ready.status.as_str(), ready.reason.as_str()),
            ("False", "ConnectionFailed")
        );
    }

    #[test]
    fn a_role_that_lacks_something_is_told_beside_the_phase() {
        let less = Facts {
            createdb: false,
            ..facts()
        };
        let after = told(&DBClusterStatus::default(), None, &Ok(less), at(1));
        assert_eq!(after.phase.as_deref(), Some("Connected"));
        let conditions = after.conditions.unwrap();
        let it = conditions.iter().find(|it| it.type_ == PRIVILEGED).unwrap();
        assert_eq!(it.reason, "InsufficientPrivileges");
        assert!(it.message.contains("CREATEDB"), "{}", it.message);
    }

    #[test]
    fn an_endpoint_is_a_host_and_nothing_else() {
        for endpoint in [
            "db",
            "my-cluster.xxx.rds.amazonaws.com",
            "10.0.0.1",
            "::1",
            "pg_1",
        ] {
            assert!(is_host(endpoint), "{endpoint}");
        }
        for endpoint in [
            "",
            "db:5432",
            "postgres://db",
            "/tmp",
            " db",
            "[::1]:5432",
            "a,b",
        ] {
            assert!(!is_host(endpoint), "{endpoint}");
        }
    }

    #[test]
    fn authorities_are_certificates_and_few_enough_for_a_worker() {
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(authorities(pem).map(|it| it.to_string()).unwrap(), pem);
        // A path would be one of the operator's own files.
        for (text, why) in [
            ("/etc/passwd", "no certificate"),
            ("system", "no certificate"),
            ("-----BEGIN CERTIFICATE-----\nAAAA", "no certificates"),
            (&pem.repeat(2000), "bytes are more"),
        ] {
            let said = authorities(text).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }

    /// operator.md, C5 and C6.
    #[test]
    fn variables_come_before_a_secret_and_one_of_them_has_to_be() {
        let env = json!({"username": "U", "password": "P"});
        let secret = json!({"name": "s", "namespace": "n"});
        let of = |more: serde_json::Value| {
            let mut spec = json!({"endpoint": "db"});
            spec.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            serde_json::from_value::<DBClusterSpec>(spec).unwrap()
        };
        let neither = of(json!({}));
        let why = credentials(&neither).err().unwrap();
        assert!(why.contains("must be specified"), "{why}");
        let both = of(json!({"credentialsFromEnv": env, "credentialsSecretRef": secret}));
        assert!(matches!(credentials(&both), Ok(Credentials::Env(_))));
        let one = of(json!({"credentialsSecretRef": secret}));
        assert!(matches!(credentials(&one), Ok(Credentials::Secret(_))));
    }

    /// operator.md, C4.
    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let names = EnvRef {
            username: "NO_SUCH_USER_IN_TESTS".to_owned(),
            password: "NO_SUCH_PASSWORD_IN_TESTS".to_owned(),
        };
        let error = from_env(&names).unwrap_err();
        assert!(error.contains("NO_SUCH_USER_IN_TESTS"), "{error}");
        let ours = EnvRef {
            username: "AGE_IDENTITY".to_owned(),
            ..names
        };
        let error = from_env(&ours).unwrap_err();
        assert!(error.contains("AGE_IDENTITY"), "{error}");
    }
}
