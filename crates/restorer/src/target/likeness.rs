//! What belongs to a database itself, as its server has it: read of one database, and given to another that is to
//! take its place. PostgreSQL manual, 23 (managing databases) and 53.15 (`pg_database`).
//!
//! pg_dump knows all of that too, but it reads the whole catalogue first, and locks every table for it.

use std::fmt;

use backuper::archive::manifest::Locale;
use backuper::postgres::{self, Target, probe};
use backuper::runtime::Failure;
use backuper::text::sql::{literal, quote};
use tokio_postgres::Client;

/// Settings whose value is a list of names, each quoted for itself: `variable_is_guc_list_quote` in PostgreSQL's
/// `src/bin/pg_dump/dumputils.c`.
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// What CREATE DATABASE does not take from the template it takes from here; no tablespace where it is the template's.
const DATABASE: &str = "
    SELECT d.oid, pg_get_userbyid(d.datdba)::text,
           (SELECT t.spcname::text FROM pg_tablespace t WHERE t.oid = d.dattablespace
               AND t.oid IS DISTINCT FROM (SELECT dattablespace FROM pg_database WHERE datname = 'template0')),
           d.datconnlimit, d.datistemplate, shobj_description(d.oid, 'pg_database')
      FROM pg_database d WHERE d.datname = current_database()";

/// In the order in which they were granted: whoever grants something was given it before.
const GRANTS: &str = "
    SELECT nullif(a.grantor, d.datdba) IS NOT NULL, quote_ident(pg_get_userbyid(a.grantor)),
           CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
           a.privilege_type, a.is_grantable
      FROM pg_database d, aclexplode(d.datacl) WITH ORDINALITY AS a (grantor, grantee, privilege_type, is_grantable, number)
     WHERE d.datname = current_database()
     ORDER BY a.number";

/// Of the database, and of roles in it.
const CONFIGURED: &str = "
    SELECT r.rolname::text, s.setconfig
      FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole
     WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
     ORDER BY r.rolname NULLS FIRST";

const LABELS: &str = "
    SELECT provider, label FROM pg_shseclabel
     WHERE classoid = 'pg_database'::regclass
       AND objoid = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// What belongs to a database itself.
#[derive(Clone, Debug)]
pub struct Likeness {
    /// What it keeps when it is renamed.
    pub(crate) oid: u32,
    /// `pg_database_size`, bytes.
    pub(crate) size_bytes: u64,
    /// Its comment.
    pub(crate) comment: Option<String>,
    major: u32,
    owner: String,
    encoding: String,
    locale: Locale,
    tablespace: Option<String>,
    connection_limit: i32,
    is_template: bool,
    grants: Vec<Grant>,
    settings: Vec<Setting>,
    labels: Vec<(String, String)>,
}

/// One privilege; names are quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Grant {
    /// Who has granted it; none: the owner.
    grantor: Option<String>,
    grantee: String,
    privilege: String,
    with_grant_option: bool,
}

/// A setting of the database, or of a role in it. Its value may be a secret.
#[derive(Clone, PartialEq, Eq)]
struct Setting {
    role: Option<String>,
    name: String,
    value: String,
}

impl fmt::Debug for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Setting");
        shown.field("role", &self.role).field("name", &self.name);
        shown.finish_non_exhaustive()
    }
}

/// A statement that gives a database something of its likeness.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Given {
    /// What it sets, without its value.
    pub(crate) what: String,
    /// It has its value, which may be a secret.
    pub(crate) sql: String,
}

impl fmt::Debug for Given {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Given");
        shown.field("what", &self.what).finish_non_exhaustive()
    }
}

impl Likeness {
    /// Reads that of the database that a session is in.
    ///
    /// # Errors
    /// What the server said.
    pub(crate) async fn of(session: &Client, target: &Target) -> Result<Self, Failure> {
        let description = probe::describe(session, target).await?;
        let failed =
            |error: tokio_postgres::Error| postgres::Error::new("examining", target, &error);
        let row = session.query_one(DATABASE, &[]).await.map_err(failed)?;
        let grants = session.query(GRANTS, &[]).await.map_err(failed)?;
        let configured = session.query(CONFIGURED, &[]).await.map_err(failed)?;
        let labels = session.query(LABELS, &[]).await.map_err(failed)?;
        let mut settings = Vec::new();
        for row in &configured {
            let role: Option<String> = row.get(0);
            for pair in row.get::<_, Vec<String>>(1) {
                let Some((name, value)) = pair.split_once('=') else {
                    continue;
                };
                settings.push(Setting {
                    role: role.clone(),
                    name: name.to_owned(),
                    value: value.to_owned(),
                });
            }
        }
        let major = description.major();
        let locale = description.locale;
        Ok(Self {
            oid: row.get(0),
            size_bytes: description.size_bytes,
            comment: row.get(5),
            major,
            owner: row.get(1),
            encoding: description.encoding,
            locale: Locale {
                provider: locale.provider.to_owned(),
                collate: locale.collate,
                ctype: locale.ctype,
                locale: locale.locale,
                icu_rules: locale.icu_rules,
            },
            tablespace: row.get(2),
            connection_limit: row.get(3),
            is_template: row.get(4),
            grants: grants.iter().map(Grant::read).collect(),
            settings,
            labels: labels.iter().map(|it| (it.get(0), it.get(1))).collect(),
        })
    }

    /// Its encoding and its locale.
    pub(super) fn kind(&self) -> (String, Locale) {
        (self.encoding.clone(), self.locale.clone())
    }

    /// The options of CREATE DATABASE beside those.
    pub(super) fn options(&self) -> String {
        let tablespace = self.tablespace.as_deref().map(quote);
        let tablespace = tablespace.map_or_else(String::new, |it| format!(" TABLESPACE {it}"));
        format!(" OWNER {}{tablespace}", quote(&self.owner))
    }

    /// Whether a backup of this encoding and this locale had another one.
    pub(super) fn differs_from(&self, encoding: &str, locale: &Locale) -> bool {
        let is_same = self.locale.collate == locale.collate
            && self.locale.ctype == locale.ctype
            && (self.major < 15 || self.locale.locale == locale.locale);
        self.encoding != encoding || !is_same
    }

    /// The statements that give a database its privileges: in the place of all that it has, and of what it was given
    /// of an earlier likeness.
    pub(crate) fn privileges(&self, name: &str, before: Option<&Self>) -> Vec<Given> {
        let given = |sql: String| Given {
            what: "privileges".to_owned(),
            sql,
        };
        let earlier = before.map_or(&[][..], |it| &it.grants);
        if self.grants.is_empty() || self.grants == earlier {
            return Vec::new();
        }
        let name = quote(name);
        let owner = quote(&self.owner);
        let mut grantees = vec!["PUBLIC", &owner];
        grantees.extend(
            earlier
                .iter()
                .chain(&self.grants)
                .map(|it| it.grantee.as_str()),
        );
        grantees.sort_unstable();
        grantees.dedup();
        let mut sql: Vec<String> = grantees
            .iter()
            .map(|it| format!("REVOKE ALL ON DATABASE {name} FROM {it} CASCADE"))
            .collect();
        sql.extend(self.grants.iter().map(|it| it.sql(&name)));
        // Between revoking and granting nobody is to be found without.
        vec![given(sql.join("; "))]
    }

    /// What has changed of owner and privileges since an earlier likeness: a database that was made like that one is
    /// given it. Privileges go with their owner, so he comes first.
    pub(crate) fn since(&self, before: &Self, name: &str) -> Vec<Given> {
        let mut statements = Vec::new();
        if before.owner != self.owner {
            let (name, owner) = (quote(name), quote(&self.owner));
            statements.push(Given {
                what: "owner".to_owned(),
                sql: format!("ALTER DATABASE {name} OWNER TO {owner}"),
            });
        }
        statements.extend(self.privileges(name, Some(before)));
        statements
    }

    /// The statements that give a database the rest, but for its comment: when it has its contents, since a setting
    /// may be one that a load does not survive.
    pub(crate) fn rest(&self, name: &str) -> Vec<Given> {
        let database = quote(name);
        let mut statements = Vec::new();
        let mut give = |what: &str, sql: String| {
            statements.push(Given {
                what: what.to_owned(),
                sql,
            });
        };
        if self.connection_limit != -1 {
            let limit = self.connection_limit;
            give(
                "connection limit",
                format!("ALTER DATABASE {database} CONNECTION LIMIT {limit}"),
            );
        }
        if self.is_template {
            give(
                "being a template",
                format!("ALTER DATABASE {database} IS_TEMPLATE true"),
            );
        }
        for (provider, label) in &self.labels {
            let (provider, label) = (quote(provider), literal(label));
            let sql = format!("SECURITY LABEL FOR {provider} ON DATABASE {database} IS {label}");
            give("security label", sql);
        }
        for setting in &self.settings {
            give(&setting.what(), setting.sql(&database));
        }
        statements
    }
}

impl Grant {
    fn read(row: &tokio_postgres::Row) -> Self {
        let by_another: bool = row.get(0);
        Self {
            grantor: by_another.then(|| row.get(1)),
            grantee: row.get(2),
            privilege: row.get(3),
            with_grant_option: row.get(4),
        }
    }

    fn sql(&self, database: &str) -> String {
        let Self {
            grantor,
            grantee,
            privilege,
            with_grant_option,
        } = self;
        let option = if *with_grant_option {
            " WITH GRANT OPTION"
        } else {
            ""
        };
        let grant = format!("GRANT {privilege} ON DATABASE {database} TO {grantee}{option}");
        match grantor {
            None => grant,
            // GRANTED BY takes no other than the role that speaks.
            Some(it) => format!("SET LOCAL ROLE {it}; {grant}; RESET ROLE"),
        }
    }
}

impl Setting {
    fn what(&self) -> String {
        let of = self
            .role
            .as_deref()
            .map(|it| format!(" for role {}", quote(it)));
        format!("setting {}{}", self.name, of.unwrap_or_default())
    }

    fn sql(&self, database: &str) -> String {
        let of = match &self.role {
            Some(role) => format!("ALTER ROLE {} IN DATABASE {database}", quote(role)),
            None => format!("ALTER DATABASE {database}"),
        };
        let value = if LISTS.contains(&self.name.as_str()) {
            let each: Vec<String> = names_in(&self.value).iter().map(|it| literal(it)).collect();
            each.join(", ")
        } else {
            literal(&self.value)
        };
        format!("{of} SET {} TO {value}", quote(&self.name))
    }
}

/// The names in a list as settings keep it: between commas, some between double quotes.
fn names_in(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = list.trim_start();
    loop {
        let (name, after) = match rest.strip_prefix('"') {
            Some(quoted) => until_quote(quoted),
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].trim_end().to_owned(), &rest[end..])
            }
        };
        names.push(name);
        match after.trim_start().strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None => return names,
        }
    }
}

/// A name up to its closing quote, and what follows that.
fn until_quote(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('"') {
        name.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return (name, rest),
        }
    }
    name.push_str(rest);
    (name, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_names_is_read_as_postgresql_writes_it() {
        for (list, names) in [
            (r#""$user", public"#, &["$user", "public"][..]),
            (r#""""#, &[""]),
            (r#"a, "b ""c"", d",e"#, &["a", r#"b "c", d"#, "e"]),
            ("a", &["a"]),
        ] {
            assert_eq!(names_in(list), names, "{list}");
        }
    }

    #[test]
    fn a_setting_is_quoted_and_its_value_is_shown_nowhere() {
        let setting = |role: Option<&str>, name: &str, value: &str| Setting {
            role: role.map(str::to_owned),
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let path = setting(None, "search_path", r#""$user", app"#);
        assert_eq!(
            path.sql(r#""d""#),
            r#"ALTER DATABASE "d" SET "search_path" TO '$user', 'app'"#
        );
        let key = setting(Some("o'x"), "my.key", "hunter'2");
        assert_eq!(
            key.sql(r#""d""#),
            r#"ALTER ROLE "o'x" IN DATABASE "d" SET "my.key" TO 'hunter''2'"#
        );
        assert_eq!(key.what(), r#"setting my.key for role "o'x""#);
        let given = Given {
            what: key.what(),
            sql: key.sql("d"),
        };
        assert!(!format!("{key:?}{given:?}").contains("hunter"));
    }
}
