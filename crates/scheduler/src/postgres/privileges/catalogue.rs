//! What the server has: who may do what in the schemas named, to whom their objects belong, who creates.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::{Client, Row};

use super::{Preset, Wanted};
use crate::postgres::failure::{Class, Error};
use crate::postgres::membership::{Administrator, Reach, Role, administrator};
use crate::postgres::statement::ask;

/// PUBLIC, where an access control list names who has a privilege.
pub(super) const PUBLIC: u32 = 0;

/// All that a plan needs to know of one database.
#[derive(Clone, Debug)]
pub struct Found {
    /// Who asks.
    pub us: Administrator,
    /// The user's role.
    pub role: u32,
    /// The role that owns what users leave behind, where there is one.
    pub owner_role: Option<u32>,
    /// All roles that the rest names, by their OIDs.
    pub roles: BTreeMap<u32, Role>,
    /// The schemas named that there are.
    pub schemas: Vec<Schema>,
    /// Tables, views and sequences in them.
    pub relations: Vec<Relation>,
    /// Functions and types whose owner may have to change.
    pub objects: Vec<Object>,
    /// Default privileges for the user's role: of one creator, in one schema or in all of them.
    pub defaults: Vec<Default>,
    /// The roles that create in the schemas.
    pub creators: BTreeSet<u32>,
}

/// One entry of an access control list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Who has the privilege: the user's role, or 0 for everybody.
    pub grantee: u32,
    /// Who gave it: the owner, or somebody with a grant option.
    pub grantor: u32,
    /// `SELECT`.
    pub privilege: String,
    /// Whether the grantee may give it on.
    pub grantable: bool,
}

/// A schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub owner: u32,
    /// Who may do what.
    pub acl: Vec<Item>,
    /// Whether the owner role may create in it.
    pub open_to_owner_role: bool,
}

/// A table, a view or a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `relkind`.
    pub kind: char,
    /// Whose it is.
    pub owner: u32,
    /// Who may do what.
    pub acl: Vec<Item>,
    /// What the user's role may do with single columns.
    pub columns: Vec<String>,
    /// Whether it is an extension's.
    pub of_extension: bool,
    /// Whether it is the sequence of a column, whose owner is its table's.
    pub of_column: bool,
    /// Whether its query, or a rule of it, runs with its owner's rights. PostgreSQL manual, 41.5: rules and privileges.
    pub definer: bool,
}

/// A function or a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// As `ALTER` names it: `FUNCTION "public"."f"(integer)`.
    pub sql: String,
    /// Its schema.
    pub schema: String,
    /// Whose it is.
    pub owner: u32,
    /// Whether it runs with its owner's rights.
    pub definer: bool,
}

/// Default privileges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Default {
    /// Whose future objects they are on.
    pub creator: u32,
    /// Where; none for everywhere.
    pub schema: Option<String>,
    /// `r` for tables, `S` for sequences.
    pub kind: char,
    /// Who may do what.
    pub acl: Vec<Item>,
}

/// Reads what there is in the session's database.
///
/// # Errors
/// What the server said; [`Class::Missing`] where there is no such role.
pub async fn found(client: &Client, wanted: &Wanted) -> Result<Found, Error> {
    let us = administrator(client).await?;
    let sql = "SELECT (SELECT oid FROM pg_roles WHERE rolname = $1::text),
                      (SELECT oid FROM pg_roles WHERE rolname = $2::text)";
    let names = ask(client, READING, sql, &[&wanted.role, &wanted.owner_role]).await?;
    let oid = |column| {
        names
            .first()
            .and_then(|it| it.get::<_, Option<u32>>(column))
    };
    let Some(role) = oid(0) else {
        let reason = format!("role {} does not exist", wanted.role);
        return Err(Error::because(Class::Missing, READING, reason));
    };
    let creators = creators(client, &us, wanted, role).await?;
    let mut found = Found {
        us,
        role,
        owner_role: oid(1),
        roles: BTreeMap::new(),
        schemas: schemas(client, wanted, role, oid(1)).await?,
        relations: relations(client, wanted, role).await?,
        objects: objects(client, wanted, role).await?,
        defaults: defaults(client, wanted, role).await?,
        creators,
    };
    found.roles = roles(client, &found).await?;
    Ok(found)
}

const READING: &str = "reading who may do what";

/// The entries for the user's role ($2) and for PUBLIC.
const ITEMS: &str = "coalesce(array_agg(a.grantee), '{}'), coalesce(array_agg(a.grantor), '{}'),
    coalesce(array_agg(a.privilege_type), '{}'), coalesce(array_agg(a.is_grantable), '{}')";

fn items(row: &Row, first: usize) -> Vec<Item> {
    let grantees: Vec<u32> = row.get(first);
    let grantors: Vec<u32> = row.get(first + 1);
    let privileges: Vec<String> = row.get(first + 2);
    let grantable: Vec<bool> = row.get(first + 3);
    let who = grantees.into_iter().zip(grantors);
    let what = privileges.into_iter().zip(grantable);
    let items = who.zip(what);
    items
        .map(|((grantee, grantor), (privilege, grantable))| Item {
            grantee,
            grantor,
            privilege,
            grantable,
        })
        .collect()
}

async fn schemas(
    client: &Client,
    wanted: &Wanted,
    role: u32,
    owner_role: Option<u32>,
) -> Result<Vec<Schema>, Error> {
    let sql = format!(
        "SELECT n.nspname::text, n.nspowner, coalesce(has_schema_privilege($3::oid, n.oid, 'CREATE'), false), i.*
           FROM pg_namespace n, LATERAL (SELECT {ITEMS}
             FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a WHERE a.grantee IN (0, $2::oid)) i
          WHERE n.nspname = ANY($1::text[]) ORDER BY n.oid"
    );
    let rows = ask(
        client,
        READING,
        &sql,
        &[&wanted.schemas, &role, &owner_role],
    )
    .await?;
    let schema = |row: &Row| Schema {
        name: row.get(0),
        owner: row.get(1),
        open_to_owner_role: row.get(2),
        acl: items(row, 3),
    };
    Ok(rows.iter().map(schema).collect())
}

async fn relations(client: &Client, wanted: &Wanted, role: u32) -> Result<Vec<Relation>, Error> {
    let sql = format!(
        "SELECT n.nspname::text, c.relname::text, c.relkind::text, c.relowner,
                EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'),
                c.relkind = 'S' AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                   AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')),
                (SELECT coalesce(array_agg(DISTINCT a.privilege_type), '{{}}')
                   FROM pg_attribute t, aclexplode(t.attacl) a
                  WHERE t.attrelid = c.oid AND t.attacl IS NOT NULL AND a.grantee = $2::oid),
                EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND NOT (r.ev_type = '1' AND c.relkind = 'v'
                   AND coalesce((SELECT option_value::boolean FROM pg_options_to_table(c.reloptions)
                                  WHERE option_name = 'security_invoker'), false))),
                i.*
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
                LATERAL (SELECT {ITEMS} FROM aclexplode(coalesce(c.relacl,
                    acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", c.relowner))) a
                  WHERE a.grantee IN (0, $2::oid)) i
          WHERE n.nspname = ANY($1::text[]) AND c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
          ORDER BY c.oid"
    );
    let rows = ask(client, READING, &sql, &[&wanted.schemas, &role]).await?;
    let relation = |row: &Row| Relation {
        schema: row.get(0),
        name: row.get(1),
        kind: row.get::<_, &str>(2).chars().next().unwrap_or('r'),
        owner: row.get(3),
        of_extension: row.get(4),
        of_column: row.get(5),
        columns: row.get(6),
        definer: row.get(7),
        acl: items(row, 8),
    };
    Ok(rows.iter().map(relation).collect())
}

/// Functions and types that are the role's, and for `owner` those that are not.
async fn objects(client: &Client, wanted: &Wanted, role: u32) -> Result<Vec<Object>, Error> {
    let sql = "
        SELECT o.sql, n.nspname::text, o.owner, o.definer
          FROM (SELECT 'pg_proc'::regclass AS class, p.oid, p.pronamespace AS space, p.proowner AS owner, p.prosecdef AS definer,
                       format('%s %I.%I(%s)', CASE p.prokind WHEN 'p' THEN 'PROCEDURE' WHEN 'a' THEN 'AGGREGATE' ELSE 'FUNCTION' END,
                              s.nspname, p.proname,
                              coalesce(nullif(pg_get_function_identity_arguments(p.oid), ''),
                                       CASE p.prokind WHEN 'a' THEN '*' ELSE '' END)) AS sql
                  FROM pg_proc p JOIN pg_namespace s ON s.oid = p.pronamespace WHERE s.nspname = ANY($1::text[])
                UNION ALL
                SELECT 'pg_type'::regclass, t.oid, t.typnamespace, t.typowner, false,
                       format('%s %I.%I', CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, s.nspname, t.typname)
                  FROM pg_type t JOIN pg_namespace s ON s.oid = t.typnamespace
                 WHERE s.nspname = ANY($1::text[])
                   AND (t.typtype IN ('e', 'd', 'r')
                     OR t.typtype = 'c' AND (SELECT c.relkind FROM pg_class c WHERE c.oid = t.typrelid) = 'c')) o
          JOIN pg_namespace n ON n.oid = o.space
         WHERE (o.owner = $2::oid) <> $3::bool
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e')
         ORDER BY o.oid";
    let not_yet = wanted.preset == Preset::Owner;
    let rows = ask(client, READING, sql, &[&wanted.schemas, &role, &not_yet]).await?;
    let object = |row: &Row| Object {
        sql: row.get(0),
        schema: row.get(1),
        owner: row.get(2),
        definer: row.get(3),
    };
    Ok(rows.iter().map(object).collect())
}

async fn defaults(client: &Client, wanted: &Wanted, role: u32) -> Result<Vec<Default>, Error> {
    let sql = format!(
        "SELECT d.defaclrole, n.nspname::text, d.defaclobjtype::text, i.*
           FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace,
                LATERAL (SELECT {ITEMS} FROM aclexplode(d.defaclacl) a WHERE a.grantee = $2::oid) i
          WHERE d.defaclobjtype IN ('r', 'S') AND d.defaclrole <> $2::oid
            AND (d.defaclnamespace = 0 OR n.nspname = ANY($1::text[]))
          ORDER BY d.oid"
    );
    let rows = ask(client, READING, &sql, &[&wanted.schemas, &role]).await?;
    let default = |row: &Row| Default {
        creator: row.get(0),
        schema: row.get(1),
        kind: row.get::<_, &str>(2).chars().next().unwrap_or('r'),
        acl: items(row, 3),
    };
    Ok(rows.iter().map(default).collect())
}

/// Who owns something in the schemas, may create there by more than PUBLIC's right, or administers the server:
/// what it restores is its own at first. The user's own objects need no grants.
///
/// From who may create down to their members: how many roles a server has makes no difference.
async fn creators(
    client: &Client,
    us: &Administrator,
    wanted: &Wanted,
    role: u32,
) -> Result<BTreeSet<u32>, Error> {
    // Until 16 it is the member's attribute, and not the membership's.
    let (inherits, owner_inherits) = if us.version >= 160_000 {
        ("m.inherit_option", "true")
    } else {
        (
            "(SELECT rolinherit FROM pg_roles WHERE oid = m.member)",
            "(SELECT rolinherit FROM pg_roles WHERE oid = d.datdba)",
        )
    };
    let sql = format!(
        "WITH RECURSIVE
             spaces AS (SELECT * FROM pg_namespace WHERE nspname = ANY($1::text[])),
             makers (oid) AS (
                 SELECT a.grantee FROM spaces s, aclexplode(coalesce(s.nspacl, acldefault('n', s.nspowner))) a
                  WHERE a.privilege_type = 'CREATE' AND a.grantee <> 0
                 UNION SELECT nspowner FROM spaces
                 UNION SELECT b.member FROM makers, LATERAL (
                     SELECT m.member FROM pg_auth_members m WHERE m.roleid = makers.oid AND {inherits}
                      UNION ALL
                     SELECT d.datdba FROM pg_database d JOIN pg_roles o ON o.oid = makers.oid
                      WHERE d.datname = current_database() AND o.rolname = 'pg_database_owner' AND {owner_inherits}) b),
             owners AS (SELECT DISTINCT c.relowner FROM pg_class c JOIN spaces s ON s.oid = c.relnamespace
                         WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
                           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                                              AND d.objid = c.oid AND d.deptype = 'e'))
        SELECT r.oid
          FROM (SELECT oid, true FROM makers UNION SELECT relowner, false FROM owners
                UNION SELECT oid, false FROM pg_roles WHERE rolname = current_user) c (oid, is_maker)
          -- How few they are the planner does not know: it would read all roles.
         CROSS JOIN LATERAL (SELECT * FROM pg_roles WHERE oid = c.oid OFFSET 0) r
         WHERE r.oid <> $2::oid AND r.rolname !~ '^pg_' AND NOT (c.is_maker AND r.rolsuper)"
    );
    let rows = ask(client, READING, &sql, &[&wanted.schemas, &role]).await?;
    Ok(rows.iter().map(|it| it.get(0)).collect())
}

/// The roles that are named, and whether we may act for them.
async fn roles(client: &Client, found: &Found) -> Result<BTreeMap<u32, Role>, Error> {
    let mut oids: BTreeSet<u32> = found.creators.clone();
    oids.insert(found.role);
    oids.extend(found.owner_role);
    oids.extend(found.objects.iter().map(|it| it.owner));
    oids.extend(found.defaults.iter().map(|it| it.creator));
    let owned = found.relations.iter().map(|it| (it.owner, &it.acl));
    for (owner, acl) in owned.chain(found.schemas.iter().map(|it| (it.owner, &it.acl))) {
        oids.insert(owner);
        oids.extend(acl.iter().map(|it| it.grantor));
    }
    let oids: Vec<u32> = oids.into_iter().collect();
    let sql = format!(
        "SELECT r.oid, r.rolname::text, {} FROM pg_roles r WHERE r.oid = ANY($1::oid[])",
        found.us.reach()
    );
    let rows = ask(client, READING, &sql, &[&oids]).await?;
    let role = |row: &Row| {
        let role = Role {
            name: row.get(1),
            reach: Reach::parse(row.get(2)),
        };
        (row.get(0), role)
    };
    Ok(rows.iter().map(role).collect())
}
