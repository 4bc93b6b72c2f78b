//! An operator that is killed between any two calls, an API server that forgets, a PostgreSQL that is away, two
//! operators at once, and many objects at once.

mod statements;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use http::{Method, Request};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::client::Body;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::super::own::{self, Own, nothing_between};
use super::super::{Stage, named, served};
use super::texts;
use crate::cluster::{Namespace, eventually};
use crate::kubernetes::between::{Between, Fate};
use crate::roundtrip::server;
use crate::testbed::postgres::{Cluster, shared};
use crate::testbed::proxy::Proxy;
use crate::testbed::unique;
use statements::Statements;

/// How many calls that write, and how many statements that change something, an operator makes for one Database and
/// one DatabaseUser from any of its starts to its end: the last of each is never reached, and the test says so where
/// that is not so any more.
const CALLS: usize = 13;
const STATEMENTS: usize = 7;

/// When an operator is killed, for one Database and its DatabaseUser: with their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    AfterCall(usize),
    AfterStatement(usize),
}

/// What is left of an operator's life, for each pair of objects, by what all their names have in them.
#[derive(Clone, Default)]
struct Lives(Arc<Mutex<BTreeMap<String, Life>>>);

struct Life {
    calls: usize,
    statements: usize,
    is_over: bool,
}

impl Lives {
    fn with<T>(&self, key: &str, act: impl FnOnce(&mut Life) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        act(all.get_mut(key).expect("a life"))
    }

    fn begin(&self, key: &str, end: Option<End>) {
        let (calls, statements) = match end {
            None => (usize::MAX, usize::MAX),
            Some(End::AfterCall(it)) => (it, usize::MAX),
            Some(End::AfterStatement(it)) => (usize::MAX, it),
        };
        let life = Life {
            calls,
            statements,
            is_over: false,
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(key.to_owned(), life);
    }

    /// What becomes of a call.
    fn fate(&self, request: &Request<Body>) -> Fate {
        let path = request.uri().path();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((_, life)) = all.iter_mut().find(|(key, _)| path.contains(key.as_str())) else {
            return Fate::Sent;
        };
        if life.is_over {
            return Fate::Silent;
        }
        if *request.method() == Method::GET || path.contains("/dbclusters/") {
            return Fate::Sent;
        }
        match life.calls.checked_sub(1) {
            Some(left) => {
                life.calls = left;
                Fate::Sent
            }
            None => {
                life.is_over = true;
                Fate::Unheard
            }
        }
    }

    /// Whether a session goes on after a statement.
    fn goes_on(&self, key: &str) -> bool {
        self.with(key, |life| {
            match life.statements.checked_sub(1) {
                Some(left) => life.statements = left,
                None => life.is_over = true,
            }
            !life.is_over
        })
    }
}

/// The majors of the servers that pairs are on by turns: on one server each would wait for all others' turns.
const MAJORS: [u32; 5] = [14, 15, 16, 17, 18];

/// One Database and one DatabaseUser on a DBCluster of their own, which leads to a server by way of a proxy.
struct Pair {
    key: String,
    end: End,
    server: &'static Cluster,
    _proxy: Statements,
}

impl Pair {
    fn database(&self) -> String {
        format!("db-{}", self.key)
    }

    fn user(&self) -> String {
        format!("user-{}", self.key)
    }

    /// What a question to the server is answered with, of which `%` is the database's name, `$` the user's.
    fn ask(&self, sql: &str) -> String {
        let name = |object: String| object.replace('-', "_");
        let sql = sql.replace('%', &name(self.database()));
        let sql = sql.replace('$', &name(self.user()));
        self.server.sql("postgres", &sql)
    }
}

/// As [`eventually`], of what shares a machine and a server with twenty others and may have to be tried again.
async fn patiently(what: &str, mut question: impl AsyncFnMut() -> Option<()>) {
    let began = Instant::now();
    while question().await.is_none() {
        assert!(
            began.elapsed() < Duration::from_secs(180),
            "{what}: not within three minutes"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// All pairs, in one namespace, and an operator that sees them alone.
struct Lot<'a> {
    stage: &'a Stage,
    label: String,
    lives: Lives,
    pairs: Vec<Pair>,
}

/// Makes an object that is for the operators of one test.
async fn make(namespace: &Namespace, label: &str, (kind, name): (&str, &str), spec: Value) {
    let gvk = GroupVersionKind::gvk("dbtether.io", "v1alpha1", kind);
    let resource = ApiResource::from_gvk(&gvk);
    let client = namespace.cluster.client();
    let api: Api<DynamicObject> = match kind {
        "DBCluster" => Api::all_with(client, &resource),
        _ => Api::namespaced_with(client, &namespace.name, &resource),
    };
    let mut object = DynamicObject::new(name, &resource).data(json!({"spec": spec}));
    object
        .labels_mut()
        .insert(own::LABEL.to_owned(), label.to_owned());
    api.create(&PostParams::default(), &object).await.unwrap();
}

impl<'a> Lot<'a> {
    async fn new(stage: &'a Stage) -> Self {
        let lot = unique("k");
        let ends = (0..CALLS).map(End::AfterCall);
        let ends = ends.chain((0..STATEMENTS).map(End::AfterStatement));
        let lives = Lives::default();
        let mut pairs = Vec::new();
        for major in MAJORS {
            let login = ("postgres", server::of(major).cluster.password());
            stage.secret(&format!("of-{major}"), login).await;
        }
        for (index, end) in ends.enumerate() {
            let major = MAJORS[index % MAJORS.len()];
            let server = &server::of(major).cluster;
            let key = format!("{lot}x{index:02}x");
            lives.begin(&key, None);
            let (of, to) = ((lives.clone(), key.clone()), (lives.clone(), key.clone()));
            let is_alive = move || !of.0.with(&of.1, |it| it.is_over);
            let goes_on = move || to.0.goes_on(&to.1);
            let proxy = Statements::start(server.port(), is_alive, goes_on).await;
            let mut cluster = stage.cluster_spec(proxy.port);
            cluster["credentialsSecretRef"]["name"] = json!(format!("of-{major}"));
            let name = format!("dbc-{key}");
            make(&stage.namespace, &lot, ("DBCluster", &name), cluster).await;
            let pair = Pair {
                key,
                end,
                server,
                _proxy: proxy,
            };
            let spec = json!({
                "clusterRef": {"name": name}, "deletionPolicy": "Delete",
                "revokePublicConnect": true,
            });
            make(&stage.namespace, &lot, ("Database", &pair.database()), spec).await;
            let spec = json!({"database": {"name": pair.database()}, "privileges": "admin"});
            make(&stage.namespace, &lot, ("DatabaseUser", &pair.user()), spec).await;
            pairs.push(pair);
        }
        Self {
            stage,
            label: lot,
            lives,
            pairs,
        }
    }

    fn start(&self) -> Own {
        let lives = self.lives.clone();
        let between = Between::new(move |request| lives.fate(request));
        Own::start(self.stage.namespace.cluster, &self.label, &between)
    }

    /// Lets operators do something of which each pair's is killed at its moment, and one after it do the rest.
    async fn do_twice(&self, what: &str, is_done: impl AsyncFn(&Pair) -> bool) {
        for pair in &self.pairs {
            self.lives.begin(&pair.key, Some(pair.end));
        }
        let first = self.start();
        let mut unreached = Vec::new();
        for pair in &self.pairs {
            let what = format!("{what}, {:?}: done or killed", pair.end);
            patiently(&what, async || {
                let is_over = self.lives.with(&pair.key, |it| it.is_over);
                let is_done = !is_over && is_done(pair).await;
                if is_done {
                    unreached.push(pair.end);
                }
                (is_done || is_over).then_some(())
            })
            .await;
        }
        first.kill().await;
        for last in [
            End::AfterCall(CALLS - 1),
            End::AfterStatement(STATEMENTS - 1),
        ] {
            assert!(
                unreached.contains(&last),
                "{what}: more than {last:?}: {unreached:?}"
            );
        }
        for pair in &self.pairs {
            self.lives.begin(&pair.key, None);
        }
        let second = self.start();
        for pair in &self.pairs {
            let what = format!("{what}, after {:?}", pair.end);
            patiently(&what, async || is_done(pair).await.then_some(())).await;
        }
        second.kill().await;
    }

    /// Each has its marks, and none another name; gives the databases' oids.
    async fn is_marked(&self) -> Vec<u32> {
        let mut oids = Vec::new();
        for pair in &self.pairs {
            let found = self.stage.databases().get(&pair.database()).await.unwrap();
            let uid = found.uid().unwrap();
            let kept = found.status.unwrap().kept.unwrap();
            assert_eq!(kept.origin, "created", "{:?}", pair.end);
            let marker =
                "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '%'";
            let own = &self.stage.namespace.name;
            let expected = format!("dbtether:{own}/{}", pair.database());
            assert_eq!(pair.ask(marker), expected);
            let sql = format!("SELECT count(*) FROM pg_database WHERE datname ~ '{uid}'");
            assert_eq!(pair.ask(&sql), "0", "{:?}", pair.end);
            oids.push(kept.oid);
        }
        oids
    }

    /// Each gets another password, once.
    async fn is_rotated(&self) {
        let mut passwords = Vec::new();
        for pair in &self.pairs {
            passwords.push(self.password(pair).await);
            let user = pair.user();
            self.stage
                .annotate_user(&user, "dbtether.io/rotate", "1")
                .await;
        }
        let is_rotated = async |pair: &Pair| {
            let user = self.stage.users().get(&pair.user()).await.unwrap();
            let status = user.status.unwrap_or_default();
            status.rotated_for.as_deref() == Some("1") && self.is_served(pair).await
        };
        self.do_twice("rotated", is_rotated).await;
        for (pair, before) in self.pairs.iter().zip(&passwords) {
            assert_ne!(&self.password(pair).await, before, "{:?}", pair.end);
        }
    }

    async fn password(&self, pair: &Pair) -> String {
        let secret = format!("{}-credentials", pair.user());
        self.stage.data_of(&secret).await["password"].clone()
    }

    /// Whether both are ready, and the user can log in.
    async fn is_served(&self, pair: &Pair) -> bool {
        let database = self.stage.databases().get(&pair.database()).await.unwrap();
        let user = self.stage.users().get(&pair.user()).await.unwrap();
        let phases = [
            database.status.and_then(|it| it.phase),
            user.status.and_then(|it| it.phase),
        ];
        if phases.iter().any(|it| it.as_deref() != Some("Ready")) {
            return false;
        }
        let secret = format!("{}-credentials", pair.user());
        let secret = self.stage.secret_of(&secret).await;
        let Some(secret) = secret else { return false };
        let mut data = texts(&secret);
        data.insert("port".to_owned(), pair.server.port().to_string());
        self.stage.log_in(&data).await.is_some()
    }
}

/// issue 14: between any two calls to the API server and any two statements.
#[test]
fn an_operator_that_is_killed_at_any_moment_leaves_nothing_that_the_next_one_does_not_mend() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        // Of somebody else.
        let server = &server::of(MAJORS[0]).cluster;
        let role = server.role("foreign", "");
        let database = server.database("foreign");
        let verifier = || {
            let sql = format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{role}'");
            server.sql("postgres", &sql)
        };
        let before = verifier();
        let lot = Lot::new(&stage).await;
        lot.do_twice("made", async |pair| lot.is_served(pair).await).await;
        let oids = lot.is_marked().await;
        lot.is_rotated().await;
        for pair in &lot.pairs {
            let (users, databases) = (stage.users(), stage.databases());
            let params = DeleteParams::default();
            users.delete(&pair.user(), &params).await.unwrap();
            databases.delete(&pair.database(), &params).await.unwrap();
        }
        let is_gone = async |pair: &Pair| {
            let user = stage.users().get_opt(&pair.user()).await.unwrap();
            let database = stage.databases().get_opt(&pair.database()).await.unwrap();
            user.is_none() && database.is_none()
        };
        lot.do_twice("deleted", is_gone).await;
        for (pair, oid) in lot.pairs.iter().zip(oids) {
            let sql = "SELECT (SELECT count(*) FROM pg_database WHERE datname = '%') + (SELECT count(*) FROM pg_roles WHERE rolname IN ('$', 'dbtether_owner_OID'))";
            let left = pair.ask(&sql.replace("OID", &oid.to_string()));
            assert_eq!(left, "0", "{:?}", pair.end);
        }
        assert_eq!(verifier(), before);
        assert_eq!(database.sql("SELECT 1"), "1");
    });
}

/// A watch that is too old, and each first write one that comes too late.
#[test]
fn an_api_server_that_forgets_is_asked_again() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        let label = unique("own");
        let seen: Mutex<BTreeMap<String, usize>> = Mutex::default();
        let between = Between::new(move |request: &Request<Body>| {
            let (method, uri) = (request.method(), request.uri());
            let watches = uri.query().is_some_and(|it| it.contains("watch=true"));
            let is_event = uri.path().contains("/events");
            if (*method == Method::GET && !watches) || is_event {
                return Fate::Sent;
            }
            let mut seen = seen.lock().unwrap();
            let count = seen.entry(format!("{method} {}", uri.path())).or_default();
            *count += 1;
            match (*count, watches) {
                (1, true) => Fate::Refused(410),
                (1, false) => Fate::Refused(409),
                _ => Fate::Sent,
            }
        });
        let own = Own::start(stage.namespace.cluster, &label, &between);
        let cluster = unique("dbc-");
        let spec = stage.cluster_spec(stage.server.port());
        make(&stage.namespace, &label, ("DBCluster", &cluster), spec).await;
        let (object, name) = named("forgotten");
        let spec = json!({"clusterRef": {"name": cluster}, "deletionPolicy": "Delete"});
        make(&stage.namespace, &label, ("Database", &object), spec).await;
        let spec = json!({"database": {"name": object}});
        make(&stage.namespace, &label, ("DatabaseUser", &object), spec).await;
        stage.phase(&object, "Ready").await;
        stage.user_in(&object, "Ready").await;
        let data = stage.data_of(&format!("{object}-credentials")).await;
        assert!(stage.log_in(&data).await.is_some());
        stage.delete_user(&object).await;
        stage.delete(&object).await;
        assert!(!stage.has(&name) && !stage.has_role(&name));
        own.kill().await;
    });
}

/// Objects of a server that goes away, each by its object's name and by what it has there.
struct Away<'a> {
    stage: &'a Stage,
    proxy: Proxy,
    /// A Database whose spec changes meanwhile, one that comes, and one that is deleted.
    changes: (String, String),
    comes: (String, String),
    goes: (String, String),
    /// A DatabaseUser whose password is to be another one meanwhile.
    user: (String, String),
}

impl<'a> Away<'a> {
    async fn new(stage: &'a Stage) -> Self {
        let proxy = tokio::task::spawn_blocking(|| Proxy::start(shared().port()));
        let proxy = proxy.await.unwrap();
        let to = Patch::Merge(json!({"spec": {"port": proxy.port()}}));
        let params = PatchParams::default();
        let clusters = stage.clusters();
        clusters.patch(&stage.cluster, &params, &to).await.unwrap();
        stage.cluster_phase("Connected").await;
        let changes = stage.ready_database("changes", json!({})).await;
        let goes = json!({"deletionPolicy": "Delete"});
        let goes = stage.ready_database("goes", goes).await;
        let user = named("stays");
        let spec = json!({"database": {"name": changes.0}});
        stage.user(&user.0, spec).await;
        stage.user_in(&user.0, "Ready").await;
        Self {
            stage,
            proxy,
            changes,
            comes: named("comes"),
            goes,
            user,
        }
    }

    /// As whoever operates it does who cannot wait.
    async fn look(&self, word: &str) {
        let touch = Patch::Merge(json!({"metadata": {"annotations": {"again": word}}}));
        let (clusters, name) = (self.stage.clusters(), &self.stage.cluster);
        let params = PatchParams::default();
        clusters.patch(name, &params, &touch).await.unwrap();
    }

    async fn secret(&self) -> Secret {
        let name = format!("{}-credentials", self.user.0);
        self.stage.secret_of(&name).await.unwrap()
    }

    /// It goes, and all objects are changed.
    async fn goes_away(&self) {
        let stage = self.stage;
        self.proxy.refuse(true);
        self.proxy.cut();
        self.look("1").await;
        stage.cluster_phase("Failed").await;
        let more = json!({"spec": {"extensions": ["hstore"]}});
        stage.change(&self.changes.0, more).await;
        stage.phase(&self.changes.0, "Waiting").await;
        stage.database(&self.comes.0, json!({})).await;
        stage.phase(&self.comes.0, "Waiting").await;
        let user = &self.user.0;
        stage
            .annotate_user(user, "dbtether.io/rotate", "later")
            .await;
        stage.user_in(user, "Pending").await;
        let (databases, params) = (stage.databases(), DeleteParams::default());
        databases.delete(&self.goes.0, &params).await.unwrap();
        stage.phase(&self.goes.0, "Deleting").await;
    }

    /// As if what waits had done so for an hour.
    async fn stays_away(&self) {
        let (stage, params) = (self.stage, PatchParams::default());
        for name in [&self.changes.0, &self.comes.0] {
            let ago = json!({"status": {"pendingSince": "2026-01-01T00:00:00Z"}});
            let (databases, ago) = (stage.databases(), Patch::Merge(ago));
            databases.patch_status(name, &params, &ago).await.unwrap();
            let touch = json!({"metadata": {"annotations": {"again": "1"}}});
            stage.change(name, touch).await;
            let failed = stage.phase(name, "Failed").await;
            let said = super::super::message(&failed);
            assert!(said.starts_with("timeout: waiting for DBCluster"), "{said}");
        }
    }

    async fn comes_back(&self) {
        let stage = self.stage;
        self.proxy.refuse(false);
        self.look("2").await;
        stage.cluster_phase("Connected").await;
        for (object, name) in [&self.changes, &self.comes] {
            let ready = stage.phase(object, "Ready").await;
            assert!(ready.status.unwrap().pending_since.is_none());
            assert!(stage.has(name));
        }
        let extensions = "SELECT count(*) FROM pg_extension WHERE extname = 'hstore'";
        assert_eq!(stage.server.sql(&self.changes.1, extensions), "1");
        eventually("what was deleted is gone", async || {
            let found = stage.databases().get_opt(&self.goes.0).await.unwrap();
            found.is_none().then_some(())
        })
        .await;
        assert!(!stage.has(&self.goes.1));
        let rotated = |it: &scheduler::operator::crd::DatabaseUserStatus| {
            it.rotated_for.as_deref() == Some("later") && it.phase.as_deref() == Some("Ready")
        };
        stage.user_with(&self.user.0, "is rotated", rotated).await;
    }
}

/// operator.md, D3, W11 and W24: nothing is asked of a server that is away, and all of it once it is back.
#[test]
fn a_server_that_was_away_for_an_hour_finds_all_as_it_is_to_be_then() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        let away = Away::new(&stage).await;
        let (secret, verifier) = (away.secret().await, stage.verifier(&away.user.1));
        away.goes_away().await;
        away.stays_away().await;
        assert_eq!(away.secret().await, secret);
        assert_eq!(stage.verifier(&away.user.1), verifier);
        away.comes_back().await;
        assert_ne!(stage.verifier(&away.user.1), verifier);
    });
}

/// Where no Lease has kept them apart: an old leader's last statements, a clock that stands.
#[test]
fn two_operators_at_once_end_with_what_one_does() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        let label = unique("own");
        let both =
            [(); 2].map(|()| Own::start(stage.namespace.cluster, &label, &nothing_between()));
        let cluster = unique("dbc-");
        let spec = stage.cluster_spec(stage.server.port());
        make(&stage.namespace, &label, ("DBCluster", &cluster), spec).await;
        let objects: Vec<String> = (0..4).map(|_| named("both").0).collect();
        let (of, label, cluster) = (&stage.namespace, &label, &cluster);
        let made = objects.iter().map(|object| async move {
            let spec = json!({"clusterRef": {"name": cluster}, "deletionPolicy": "Delete"});
            make(of, label, ("Database", object), spec).await;
            let spec = json!({"database": {"name": object}, "privileges": "owner"});
            make(of, label, ("DatabaseUser", object), spec).await;
        });
        join_all(made).await;
        for object in &objects {
            stage.phase(object, "Ready").await;
            stage.user_in(object, "Ready").await;
            let secret = format!("{object}-credentials");
            eventually("the Secret's password is the role's", async || {
                stage.log_in(&stage.data_of(&secret).await).await.map(drop)
            })
            .await;
            let found = stage.databases().get(object).await.unwrap();
            assert_eq!(found.status.unwrap().kept.unwrap().origin, "created");
        }
        for object in &objects {
            stage.delete_user(object).await;
            stage.delete(object).await;
            let name = object.replace('-', "_");
            assert!(!stage.has(&name) && !stage.has_role(&name));
        }
        for it in both {
            it.kill().await;
        }
    });
}

/// issue 14: however many there are, a server has two sessions of ours. The figure for 500 is the benchmark's.
#[test]
fn many_databases_at_once_take_two_sessions_of_their_server() {
    const MANY: usize = 24;
    served().within(async |namespace| {
        // Its own, where nobody else has a turn.
        let server: &'static Cluster = Box::leak(Box::new(Cluster::start(false)));
        let role = server.role("many", "CREATEDB CREATEROLE");
        let stage = Stage::on(namespace, server, (&role, "p")).await;
        let names: Vec<_> = (0..MANY).map(|_| named("many")).collect();
        let spec = || json!({"extensions": ["hstore"], "deletionPolicy": "Delete"});
        join_all(names.iter().map(|it| stage.database(&it.0, spec()))).await;
        let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}'");
        let mut most = 0;
        for (object, _) in &names {
            let api = stage.databases();
            eventually("it is ready", async || {
                let now: usize = stage.server.sql("postgres", &sessions).parse().unwrap();
                most = most.max(now);
                let status = api.get(object).await.unwrap().status.unwrap_or_default();
                (status.phase.as_deref() == Some("Ready")).then_some(())
            })
            .await;
        }
        assert!(most <= 2, "{most} sessions");
        join_all(names.iter().map(|it| stage.delete(&it.0))).await;
        server.crash();
    });
}
