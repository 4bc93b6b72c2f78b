//! A database as its object wants it: claimed, made, changed and let go.
//!
//! Two marks prove whose a database is. The first is its comment, `dbtether:<namespace>/<name>`, as
//! every version of dbtether writes it. The second is the comment of a role without login that has the
//! database's oid in its name: it says which object of which cluster, whether that has made the database
//! or found it, and which comment it had before. Any role with CREATEROLE may write it, on every version,
//! and a database that was dropped and made anew has another one.

use std::fmt;

use backuper::postgres::{Error, Target};
use backuper::text::sql::{literal, quote};
use tokio_postgres::Client;

use super::owner::Owner;
use super::server::Facts;

const MARKER: &str = "dbtether:";
const RECORD: &str = "dbtether-database:v1 ";

/// Databases that the server or its provider keeps for itself.
const RESERVED: [&str; 7] = [
    // Whoever administers the server, this operator included, comes in by it.
    "postgres",
    "template0",
    "template1",
    "rdsadmin",
    "cloudsqladmin",
    "azure_maintenance",
    "azure_sys",
];

impl Owner {
    /// The text of the first mark.
    #[must_use]
    pub fn database_marker(&self) -> String {
        format!("{MARKER}{}/{}", self.namespace, self.name)
    }
}

/// Whose a database is by its comment: namespace and name.
#[must_use]
pub fn marked(comment: &str) -> Option<(&str, &str)> {
    comment.strip_prefix(MARKER)?.split_once('/')
}

/// How an object came by its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It made it, and may drop it.
    Created,
    /// It found it, and never drops it unasked.
    Adopted,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Created => "created",
            Self::Adopted => "adopted",
        })
    }
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        [Self::Created, Self::Adopted]
            .into_iter()
            .find(|it| it.to_string() == text)
    }
}

/// The second mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// [`Owner::cluster`].
    pub cluster: String,
    /// [`Owner::uid`].
    pub object: String,
    /// How the object came by it.
    pub origin: Origin,
    /// The database's comment before it was marked.
    pub comment: Option<String>,
}

impl fmt::Display for Record {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cluster,
            object,
            origin,
            comment,
        } = self;
        write!(
            formatter,
            "{RECORD}cluster={cluster} object={object} origin={origin}"
        )?;
        match comment {
            Some(comment) => write!(formatter, " comment={comment}"),
            None => Ok(()),
        }
    }
}

impl Record {
    /// Reads one back; none: it is another text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(RECORD)?.strip_prefix("cluster=")?;
        let (cluster, rest) = rest.split_once(" object=")?;
        let (object, rest) = rest.split_once(" origin=")?;
        let (origin, comment) = match rest.split_once(" comment=") {
            Some((origin, comment)) => (origin, Some(comment.to_owned())),
            None => (rest, None),
        };
        Some(Self {
            cluster: cluster.to_owned(),
            object: object.to_owned(),
            origin: Origin::parse(origin)?,
            comment,
        })
    }

    fn is_of(&self, owner: &Owner) -> bool {
        self.cluster == owner.cluster && self.object == owner.uid
    }
}

/// What the names of databases' own roles begin with.
pub(crate) const OWNER_ROLES: &str = "dbtether_owner_";

/// The role that has the second mark in its comment, and what users of the database leave when they go.
#[must_use]
pub fn owner_role(oid: u32) -> String {
    format!("{OWNER_ROLES}{oid}")
}

/// A database that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Unlike that of any other database of the server, before and after.
    pub oid: u32,
    /// Its comment.
    pub comment: Option<String>,
    /// The second mark: of the role, or of the object's status where no role could be made.
    pub record: Option<Record>,
    /// Whether the role with the second mark is there.
    pub has_role: bool,
    /// Whether we may write its comment: its owner's right.
    pub owned: bool,
    /// Whether PUBLIC may connect.
    pub public_connect: bool,
    /// Whether it is a template.
    pub template: bool,
}

const FOUND: &str = "
    SELECT d.oid, c.description, rc.description, r.oid IS NOT NULL,
           pg_has_role(d.datdba, 'USAGE') OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
           EXISTS (SELECT FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
                    WHERE a.grantee = 0 AND a.privilege_type = 'CONNECT'),
           d.datistemplate
      FROM pg_database d
      LEFT JOIN pg_shdescription c ON c.objoid = d.oid AND c.classoid = 'pg_database'::regclass
      LEFT JOIN pg_roles r ON r.rolname = 'dbtether_owner_' || d.oid AND NOT r.rolcanlogin
      LEFT JOIN pg_shdescription rc ON rc.objoid = r.oid AND rc.classoid = 'pg_authid'::regclass
     WHERE d.datname = $1";

/// The database of this name; none: there is none.
///
/// # Errors
/// What the server said.
pub async fn find(client: &Client, target: &Target, name: &str) -> Result<Option<Found>, Error> {
    let row = client.query_opt(FOUND, &[&name]).await;
    let row = row.map_err(|error| Error::new("looking for a database in", target, &error))?;
    Ok(row.map(|row| Found {
        oid: row.get(0),
        comment: row.get(1),
        record: row.get::<_, Option<&str>>(2).and_then(Record::parse),
        has_role: row.get(3),
        owned: row.get(4),
        public_connect: row.get(5),
        template: row.get(6),
    }))
}

/// Whether there is a database with this oid, whatever its name.
///
/// # Errors
/// What the server said.
pub async fn is_there(client: &Client, target: &Target, oid: u32) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT FROM pg_database WHERE oid = $1)";
    let row = client.query_one(sql, &[&oid]).await;
    let row = row.map_err(|error| Error::new("looking for a database in", target, &error))?;
    Ok(row.get(0))
}

/// Whose a database is, and what an object that wants it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// There is none.
    Create,
    /// It is the object's.
    Ours(Origin),
    /// Nobody's, or taken over by the administrator's word.
    Adopt,
    /// Another's; why, and what helps.
    Refused(String),
}

/// Decides whose a database is.
#[must_use]
pub fn claim(name: &str, found: Option<&Found>, owner: &Owner, force: bool) -> Claim {
    if name.starts_with(UNFINISHED) {
        return Claim::Refused(format!(
            "databases are called {UNFINISHED}… while they are made; name another one than {name}"
        ));
    }
    if RESERVED.contains(&name) || found.is_some_and(|it| it.template) {
        return Claim::Refused(reserved(name));
    }
    let Some(found) = found else {
        return Claim::Create;
    };
    let (namespace, object) = (&owner.namespace, &owner.name);
    let refused = |whose: String| {
        Claim::Refused(format!(
            "database {name} is owned by {whose}, cannot be claimed by {namespace}/{object} (use annotation dbtether.io/force-adopt to override)"
        ))
    };
    let comment = found.comment.as_deref().unwrap_or_default();
    let is_ours = comment == owner.database_marker();
    match (&found.record, marked(comment)) {
        // Somebody may have written a comment over the first mark.
        (Some(record), mark) if record.is_of(owner) && (is_ours || mark.is_none()) => {
            Claim::Ours(record.origin)
        }
        _ if force => Claim::Adopt,
        // Its name is there once in a cluster: the object before it is gone.
        (Some(record), Some(_)) if is_ours && record.cluster == owner.cluster => Claim::Adopt,
        (None, Some(_)) if is_ours => Claim::Adopt,
        (Some(record), Some(_)) if is_ours => refused(format!(
            "{namespace}/{object} of another Kubernetes cluster ({})",
            record.cluster
        )),
        (_, Some((namespace, object))) => refused(format!("{namespace}/{object}")),
        (Some(record), None) => refused(format!(
            "another object ({} of Kubernetes cluster {}), whose mark in its comment was written over",
            record.object, record.cluster
        )),
        (None, None) => Claim::Adopt,
    }
}

fn reserved(name: &str) -> String {
    format!("database {name} is the server's own or a template; name another one")
}

/// What the names of databases begin with that are being made.
const UNFINISHED: &str = "dbtether_new_";

/// The name of an object's database until that is marked: by the object's uid, so that whoever is stopped between
/// the two finds it again as its own, and nobody takes it for one that was there before.
#[must_use]
pub fn unfinished(owner: &Owner) -> String {
    format!("{UNFINISHED}{}", owner.uid)
}

/// The statement that makes a database, which nobody can enter before it is finished. It stands alone: it runs in
/// no transaction.
#[must_use]
pub fn create(unfinished: &str) -> String {
    format!(
        "CREATE DATABASE {} ALLOW_CONNECTIONS false",
        quote(unfinished)
    )
}

/// The statements that give a database its name and its marks, in one transaction.
#[must_use]
pub fn finish(
    (unfinished, name): (&str, &str),
    found: &Found,
    owner: &Owner,
    facts: &Facts,
) -> Vec<String> {
    let mut statements = mark(unfinished, found, owner, Origin::Created, facts);
    let from = quote(unfinished);
    statements.push(format!("ALTER DATABASE {from} ALLOW_CONNECTIONS true"));
    statements.push(format!("ALTER DATABASE {from} RENAME TO {}", quote(name)));
    statements
}

/// The statements that mark a database as an object's; none when it is marked. The caller executes them in one
/// transaction, so there is never one mark without the other.
#[must_use]
pub fn mark(
    name: &str,
    found: &Found,
    owner: &Owner,
    origin: Origin,
    facts: &Facts,
) -> Vec<String> {
    let mut statements = Vec::new();
    let marker = owner.database_marker();
    let before = found.comment.as_deref().unwrap_or_default();
    // What the comment was before the first of all marks.
    let comment = match marked(before) {
        Some(_) => found.record.as_ref().and_then(|it| it.comment.clone()),
        None => found.comment.clone(),
    };
    let record = Record {
        cluster: owner.cluster.clone(),
        object: owner.uid.clone(),
        origin,
        comment,
    };
    if before != marker {
        statements.push(comment_on(name, Some(&marker)));
    }
    if facts.createrole || facts.superuser {
        let role = owner_role(found.oid);
        if !found.has_role {
            statements.push(format!("CREATE ROLE {} NOLOGIN", quote(&role)));
        }
        if !found.has_role || found.record.as_ref() != Some(&record) {
            let text = literal(&record.to_string());
            statements.push(format!("COMMENT ON ROLE {} IS {text}", quote(&role)));
        }
    }
    statements
}

fn comment_on(name: &str, comment: Option<&str>) -> String {
    let comment = comment.map_or_else(|| "NULL".to_owned(), literal);
    format!("COMMENT ON DATABASE {} IS {comment}", quote(name))
}

/// The statements that bring a database's privileges to what its object wants.
#[must_use]
pub fn alter(name: &str, found: &Found, revoke_public_connect: bool) -> Vec<String> {
    let revoke = revoke_public_connect && found.public_connect;
    revoke
        .then(|| format!("REVOKE CONNECT ON DATABASE {} FROM PUBLIC", quote(name)))
        .into_iter()
        .collect()
}

/// What becomes of a database whose object goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is dropped.
    Drop,
    /// It stays, and loses the object's marks.
    Release,
    /// It stays as it is; why.
    Leave(String),
}

/// Decides what becomes of a database. It is asked in the session that acts, right before.
#[must_use]
pub fn removal(
    name: &str,
    found: Option<&Found>,
    owner: &Owner,
    drop: bool,
    force: bool,
) -> Removal {
    let Some(found) = found else {
        return Removal::Leave(format!("there is no database {name}"));
    };
    if found.comment.as_deref() != Some(&owner.database_marker()) {
        return Removal::Leave(format!(
            "database {name} does not carry the mark of {}/{}",
            owner.namespace, owner.name
        ));
    }
    match &found.record {
        Some(record) if !record.is_of(owner) && !force => Removal::Leave(format!(
            "database {name} is another object's of the same name ({} of cluster {})",
            record.object, record.cluster
        )),
        _ if !drop => Removal::Release,
        Some(record) if record.origin == Origin::Created => Removal::Drop,
        _ if force => Removal::Drop,
        _ => Removal::Release,
    }
}

/// The statement that drops a database, with the sessions that are in it (PostgreSQL 13 and later); alone, as
/// it runs in no transaction.
#[must_use]
pub fn drop_database(name: &str) -> String {
    format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quote(name))
}

/// The statements that take an object's marks off a database that stays: the comment that it had comes back.
#[must_use]
pub fn release(name: &str, found: &Found) -> Vec<String> {
    let comment = found.record.as_ref().and_then(|it| it.comment.as_deref());
    let mut statements = vec![comment_on(name, comment)];
    if found.has_role {
        let role = owner_role(found.oid);
        statements.push(format!("COMMENT ON ROLE {} IS NULL", quote(&role)));
    }
    statements
}

/// The statement that drops the role of the second mark; it fails where that owns what users have left.
#[must_use]
pub fn drop_owner_role(oid: u32) -> String {
    format!("DROP ROLE IF EXISTS {}", quote(&owner_role(oid)))
}

/// Which of these extensions a database lacks, by its own session.
///
/// # Errors
/// What the server said.
pub async fn missing_extensions(
    client: &Client,
    target: &Target,
    wanted: &[String],
) -> Result<Vec<String>, Error> {
    let sql = "SELECT e FROM unnest($1::text[]) WITH ORDINALITY AS w (e, n)
                WHERE NOT EXISTS (SELECT FROM pg_extension WHERE extname = e) ORDER BY n";
    let rows = client.query(sql, &[&wanted]).await;
    let rows = rows.map_err(|error| Error::new("examining", target, &error))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The statement that makes an extension, in the schema that its users expect.
#[must_use]
pub fn create_extension(name: &str) -> String {
    format!(
        "SET search_path = public; CREATE EXTENSION IF NOT EXISTS {}; SET search_path = pg_catalog",
        quote(name)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::server::tests::facts;

    fn owner() -> Owner {
        Owner {
            namespace: "team-a".to_owned(),
            name: "orders".to_owned(),
            uid: "u1".to_owned(),
            cluster: "k1".to_owned(),
        }
    }

    fn record(object: &str, cluster: &str, origin: Origin) -> Record {
        Record {
            cluster: cluster.to_owned(),
            object: object.to_owned(),
            origin,
            comment: None,
        }
    }

    fn found(comment: Option<&str>, record: Option<Record>) -> Found {
        Found {
            oid: 5,
            comment: comment.map(str::to_owned),
            has_role: record.is_some(),
            record,
            owned: true,
            public_connect: true,
            template: false,
        }
    }

    const OURS: Option<&str> = Some("dbtether:team-a/orders");

    #[test]
    fn a_record_reads_back_what_it_wrote() {
        for comment in [None, Some("our orders: comment=x origin=y".to_owned())] {
            let record = Record {
                comment,
                ..record("u", "k", Origin::Adopted)
            };
            assert_eq!(Record::parse(&record.to_string()), Some(record));
        }
        assert_eq!(Record::parse("made by hand"), None);
    }

    /// operator.md, D12.
    #[test]
    fn a_marker_without_a_slash_is_nobodys() {
        assert_eq!(marked("dbtether:orders"), None);
        assert_eq!(marked("the shop"), None);
        assert_eq!(marked("dbtether:a/b"), Some(("a", "b")));
    }

    /// operator.md, D8 to D11.
    #[test]
    fn whose_a_database_is_decides_what_may_be_done() {
        let claimed = |found: Option<Found>, force| claim("o", found.as_ref(), &owner(), force);
        assert_eq!(claimed(None, false), Claim::Create);
        let adopted = [
            found(None, None),
            found(Some("the shop's"), None),
            // As upstream left it, and as an object of that name before.
            found(OURS, None),
            found(OURS, Some(record("u0", "k1", Origin::Created))),
        ];
        for it in adopted {
            assert_eq!(claimed(Some(it.clone()), false), Claim::Adopt, "{it:?}");
        }
        for origin in [Origin::Created, Origin::Adopted] {
            let it = found(OURS, Some(record("u1", "k1", origin)));
            assert_eq!(claimed(Some(it.clone()), false), Claim::Ours(origin));
            assert_eq!(claimed(Some(it), true), Claim::Ours(origin));
            let over = found(Some("ours"), Some(record("u1", "k1", origin)));
            assert_eq!(claimed(Some(over), false), Claim::Ours(origin));
        }
        let foreign = [
            found(Some("dbtether:team-b/orders"), None),
            found(OURS, Some(record("u1", "k2", Origin::Created))),
            found(None, Some(record("u1", "k2", Origin::Created))),
            found(
                Some("the shop's"),
                Some(record("u0", "k1", Origin::Created)),
            ),
        ];
        for it in foreign {
            let refused = claimed(Some(it.clone()), false);
            assert!(
                matches!(&refused, Claim::Refused(it) if it.contains("force-adopt")),
                "{refused:?}"
            );
            assert_eq!(claimed(Some(it), true), Claim::Adopt);
        }
        let template = Found {
            template: true,
            ..found(None, None)
        };
        assert!(matches!(claimed(Some(template), true), Claim::Refused(_)));
        for name in ["template1", "postgres", "dbtether_new_u2"] {
            let own = claim(name, Some(&found(None, None)), &owner(), true);
            assert!(matches!(own, Claim::Refused(_)), "{name}");
        }
    }

    #[test]
    fn both_marks_are_written_and_the_comment_before_is_kept() {
        let new = found(Some("the \"shop\"'s"), None);
        let statements = mark("o", &new, &owner(), Origin::Adopted, &facts());
        assert_eq!(
            statements,
            [
                "COMMENT ON DATABASE \"o\" IS 'dbtether:team-a/orders'",
                "CREATE ROLE \"dbtether_owner_5\" NOLOGIN",
                "COMMENT ON ROLE \"dbtether_owner_5\" IS 'dbtether-database:v1 cluster=k1 object=u1 origin=adopted comment=the \"shop\"''s'",
            ]
        );
        let marked = found(OURS, Some(record("u1", "k1", Origin::Created)));
        assert!(mark("o", &marked, &owner(), Origin::Created, &facts()).is_empty());
        let kept = Record {
            comment: Some("was".to_owned()),
            ..record("u0", "k1", Origin::Created)
        };
        let taken = mark(
            "o",
            &found(OURS, Some(kept)),
            &owner(),
            Origin::Adopted,
            &facts(),
        );
        assert_eq!(taken.len(), 1);
        assert!(
            taken[0].ends_with("origin=adopted comment=was'"),
            "{taken:?}"
        );
        let less = Facts {
            createrole: false,
            ..facts()
        };
        let only = mark("o", &found(None, None), &owner(), Origin::Created, &less);
        assert_eq!(only.len(), 1, "{only:?}");
    }

    /// operator.md, W2; operator-rules.md, decided 1.
    #[test]
    fn only_what_the_object_has_made_is_dropped() {
        let removed =
            |found: Option<Found>, drop, force| removal("o", found.as_ref(), &owner(), drop, force);
        let created = || Some(found(OURS, Some(record("u1", "k1", Origin::Created))));
        let adopted = || Some(found(OURS, Some(record("u1", "k1", Origin::Adopted))));
        assert_eq!(removed(created(), true, false), Removal::Drop);
        assert_eq!(removed(created(), false, false), Removal::Release);
        assert_eq!(removed(adopted(), true, false), Removal::Release);
        assert_eq!(removed(adopted(), true, true), Removal::Drop);
        assert_eq!(
            removed(Some(found(OURS, None)), true, false),
            Removal::Release
        );
        let others = [
            None,
            Some(found(None, None)),
            Some(found(Some("dbtether:team-b/orders"), None)),
            Some(found(OURS, Some(record("u1", "k2", Origin::Created)))),
            Some(found(OURS, Some(record("u0", "k1", Origin::Created)))),
        ];
        for it in others {
            for drop in [true, false] {
                let removed = removed(it.clone(), drop, false);
                assert!(matches!(removed, Removal::Leave(_)), "{it:?}: {removed:?}");
            }
        }
    }

    #[test]
    fn what_stays_gets_its_comment_back() {
        let kept = Record {
            comment: Some("it's ours".to_owned()),
            ..record("u1", "k1", Origin::Adopted)
        };
        let sql = release("o", &found(OURS, Some(kept)));
        assert_eq!(
            sql,
            [
                "COMMENT ON DATABASE \"o\" IS 'it''s ours'",
                "COMMENT ON ROLE \"dbtether_owner_5\" IS NULL"
            ]
        );
        let sql = release("o", &found(OURS, None));
        assert_eq!(sql, ["COMMENT ON DATABASE \"o\" IS NULL"]);
    }

    #[test]
    fn names_are_quoted() {
        let found = found(None, None);
        let statements = alter("a\"b", &found, true);
        assert_eq!(
            statements,
            ["REVOKE CONNECT ON DATABASE \"a\"\"b\" FROM PUBLIC"]
        );
        assert!(alter("a", &found, false).is_empty());
        assert!(create("a\"; DROP").contains("\"a\"\"; DROP\""));
        let finished = finish(("dbtether_new_u1", "a"), &found, &owner(), &facts());
        assert!(
            finished[0]
                .starts_with("COMMENT ON DATABASE \"dbtether_new_u1\" IS 'dbtether:team-a/orders'")
        );
        let last = finished.last().unwrap();
        assert_eq!(last, "ALTER DATABASE \"dbtether_new_u1\" RENAME TO \"a\"");
    }
}
