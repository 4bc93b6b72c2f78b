//! A target that is missing: made as the backup's database was, and dropped when it cannot be filled.

use backuper::archive::manifest::Locale;
use backuper::postgres::tools::Directories;
use backuper::postgres::{self, Entrance, Session, Target};
use backuper::runtime::{Deadline, Failure};
use backuper::text::sql::{literal, quote};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::beside::Beside;
use super::deadline::until;
use super::subscription;
use super::versions::{self, Server};
use crate::archive::statements::words;
use crate::archive::toc::Toc;
use crate::resolve::Backup;

/// Databases to speak to while the target is not there yet.
pub(crate) const MAINTENANCE: [&str; 2] = ["postgres", "template1"];

/// What the server answers when it does not have a locale, or not with this encoding.
const NO_SUCH_LOCALE: [SqlState; 4] = [
    SqlState::WRONG_OBJECT_TYPE,
    SqlState::INVALID_PARAMETER_VALUE,
    SqlState::FEATURE_NOT_SUPPORTED,
    SqlState::UNDEFINED_OBJECT,
];

/// A session with a database that is there whatever becomes of the target.
pub(crate) async fn maintenance(target: &Target) -> Result<(Session, Target), Failure> {
    let (entrance, other) = enter_maintenance(target).await?;
    Ok((entrance.session, other))
}

/// The same with a second session, for what has to happen while the first one waits.
pub(crate) async fn enter_maintenance(target: &Target) -> Result<(Entrance, Target), Failure> {
    let mut refusal = None;
    for name in MAINTENANCE {
        let other = target.with_database(name);
        match other.enter("restorer").await {
            Ok(entrance) => return Ok((entrance, other)),
            Err(error) => refusal = Some(error),
        }
    }
    Err(match refusal {
        Some(error) => error.into(),
        None => Failure::refused("no maintenance database"),
    })
}

/// Makes the database as the backup's was, or like the one beside which it is to be; gives whether it was us.
///
/// # Errors
/// What the server said, and what to do about it.
pub(super) async fn create(
    target: &Target,
    programs: &Directories,
    backup: &Backup,
    beside: Option<&Beside>,
) -> Result<bool, Failure> {
    let (client, other) = maintenance(target).await?;
    let row = client
        .query_one("SELECT current_setting('server_version_num')::int4 / 10000, current_setting('server_version')", &[])
        .await
        .map_err(|error| postgres::Error::new("examining", &other, &error))?;
    let major = u32::try_from(row.get::<_, i32>(0)).unwrap_or_default();
    let server = Server {
        major,
        version: row.get(1),
    };
    versions::fit(target, programs, backup, server).await?;
    if let Some(beside) = beside {
        return create_beside((&client, &other), target, backup, (beside, major)).await;
    }
    let kind = kind(backup).map_or_else(String::new, |(encoding, locale)| {
        format!(
            " ENCODING {}{}",
            literal(&encoding),
            options(&locale, major)
        )
    });
    let template = if kind.is_empty() {
        ""
    } else {
        " TEMPLATE template0"
    };
    let name = quote(target.database());
    let Err(error) = client
        .batch_execute(&format!("CREATE DATABASE {name}{template}{kind}"))
        .await
    else {
        tracing::info!(database = %target, "created the database");
        return Ok(true);
    };
    let code = error.code().cloned();
    let error = postgres::Error::new("creating", target, &error);
    match code {
        // Somebody was quicker: then it is there, and theirs. The second code is the catalogue's
        // index speaking, when both were at it at once.
        Some(SqlState::DUPLICATE_DATABASE | SqlState::UNIQUE_VIOLATION) => Ok(false),
        Some(SqlState::INSUFFICIENT_PRIVILEGE) => Err(Failure::refused(format!(
            "{error}; grant role {} CREATEDB, or create the database by hand: an empty one is restored into",
            target.user()
        ))),
        Some(code) if NO_SUCH_LOCALE.contains(&code) => Err(Failure::refused(format!(
            "{error}: the server cannot make a database as the backup's was ({}); create it by hand with an encoding and a locale that the server has: an empty one is restored into",
            kind.trim()
        ))),
        _ => Err(error.into()),
    }
}

/// Makes a database like the one that has its place until it is loaded: whoever uses that name finds encoding, order
/// and equality of texts as they were, whatever the backup's were. The server has made one of this kind before.
async fn create_beside(
    (client, other): (&Client, &Target),
    target: &Target,
    backup: &Backup,
    (beside, major): (&Beside, u32),
) -> Result<bool, Failure> {
    let likeness = &beside.likeness;
    let (encoding, locale) = likeness.kind();
    if kind(backup).is_some_and(|(encoding, locale)| likeness.differs_from(&encoding, &locale)) {
        tracing::warn!(
            database = %target,
            "the backup's database had another encoding or locale than the one that is there, whose own stay"
        );
    }
    let name = quote(target.database());
    let sql = format!(
        "CREATE DATABASE {name} TEMPLATE template0 ENCODING {}{}{}",
        literal(&encoding),
        options(&locale, major),
        likeness.options()
    );
    let created = client.batch_execute(&sql).await;
    created.map_err(|error| {
        let denied = error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
        let error = postgres::Error::new("creating", target, &error);
        match denied {
            true => Failure::refused(format!(
                "{error}: a swap makes a database like the one that is there beside it; grant role {} what that takes, or set RESTORE_MODE=auto, which replaces the contents in place; nothing was changed",
                quote(target.user())
            )),
            false => error.into(),
        }
    })?;
    if let Err(failure) = beside.begin(client, (other, target)).await {
        let dropped = client.batch_execute(&format!("DROP DATABASE {name}")).await;
        if let Err(error) = dropped {
            let error = postgres::Error::new("dropping", target, &error);
            tracing::warn!(%error, "the database that this restore had created is still there, and is empty; drop it");
        }
        return Err(failure);
    }
    tracing::info!(database = %target, "created the database beside the one whose place it is to take");
    Ok(true)
}

/// The encoding and the locale of the database that was backed up.
fn kind(backup: &Backup) -> Option<(String, Locale)> {
    match backup {
        Backup::Archive(_, toc, _) => kind_of(toc),
        Backup::Folder(..) | Backup::Script(..) => {
            let source = &backup.manifest()?.source;
            Some((source.encoding.clone(), source.locale.clone()))
        }
    }
}

/// The same from the statement that would make the database of an archive:
/// `CREATE DATABASE x WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'C';`.
fn kind_of(toc: &Toc) -> Option<(String, Locale)> {
    let entry = toc.entries.iter().find(|it| it.kind == "DATABASE")?;
    let words: Vec<_> = words(&entry.definition).collect();
    let value = |name: &str| {
        let triple = words
            .windows(3)
            .find(|it| it[0].is(name) && it[1].is("="))?;
        let text = triple[2].text.trim_start_matches('E');
        let quoted = text.strip_prefix('\'').and_then(|it| it.strip_suffix('\''));
        Some(quoted.map_or_else(|| text.to_owned(), |it| it.replace("''", "'")))
    };
    let provider = value("LOCALE_PROVIDER").unwrap_or_else(|| "libc".to_owned());
    let both = value("LOCALE");
    // PostgreSQL 15 and 16 say ICU_LOCALE, 17 and newer LOCALE or BUILTIN_LOCALE of its own.
    let own = ["ICU_LOCALE", "BUILTIN_LOCALE"]
        .into_iter()
        .find_map(value)
        .or_else(|| both.clone());
    let part = |name: &str| value(name).or_else(|| both.clone());
    let locale = Locale {
        collate: part("LC_COLLATE")?,
        ctype: part("LC_CTYPE")?,
        locale: own.filter(|_| provider != "libc"),
        icu_rules: value("ICU_RULES"),
        provider,
    };
    Some((value("ENCODING")?, locale))
}

/// The options of `CREATE DATABASE`, as far as this major knows them.
fn options(locale: &Locale, major: u32) -> String {
    let mut sql = format!(
        " LC_COLLATE {} LC_CTYPE {}",
        literal(&locale.collate),
        literal(&locale.ctype)
    );
    if major >= 15 && locale.provider != "libc" {
        sql.push_str(&format!(" LOCALE_PROVIDER {}", locale.provider));
        let option = if locale.provider == "builtin" {
            "BUILTIN_LOCALE"
        } else {
            "ICU_LOCALE"
        };
        if let Some(name) = &locale.locale {
            sql.push_str(&format!(" {option} {}", literal(name)));
        }
        if let Some(rules) = locale.icu_rules.as_ref().filter(|_| major >= 16) {
            sql.push_str(&format!(" ICU_RULES {}", literal(rules)));
        }
    }
    sql
}

/// Removes a database that we made and did not fill. `session` holds the lock on it until the
/// server ends it; without that lock another restore may have entered, and the database stays.
/// Whether it is gone.
pub(crate) async fn drop_database(session: &Client, target: &Target, deadline: Deadline) -> bool {
    if session.is_closed() {
        tracing::warn!(database = %target, "the connection is lost, so the database that this restore had created is still there, and may not be complete; look at it before you write to it or run the restore again, which replaces it");
        return false;
    }
    let removed = async {
        let subscriptions = subscription::remove_all(session);
        let Some(removed) = until(deadline, target, session, subscriptions).await else {
            return Ok(false);
        };
        removed.map_err(|error| postgres::Error::new("dropping", target, &error))?;
        let Some(connected) = deadline.limit(maintenance(target)).await else {
            return Ok(false);
        };
        let (client, other) = connected?;
        // FORCE (PostgreSQL 13): our own session is there, and a program of ours may be.
        let sql = format!(
            "DROP DATABASE IF EXISTS {} WITH (FORCE)",
            quote(target.database())
        );
        // Who waits for standbys might be told that it is still there.
        let here = client.batch_execute("SET synchronous_commit = local").await;
        here.map_err(|error| postgres::Error::new("dropping", &other, &error))?;
        // It must not go on when the next restore has entered.
        let dropping = client.batch_execute(&sql);
        let Some(dropped) = until(deadline, &other, &client, dropping).await else {
            return Ok(false);
        };
        dropped.map_err(|error| postgres::Error::new("dropping", &other, &error))?;
        Ok::<_, Failure>(true)
    };
    match removed.await {
        Ok(true) => {
            tracing::info!(database = %target, "dropped the database that this restore had created");
            return true;
        }
        Ok(false) => {
            tracing::warn!(database = %target, "the server does not answer; the database that this restore had created is still there, and may not be complete; look at it before you write to it, or drop it");
        }
        Err(error) => {
            tracing::warn!(database = %target, %error, "the database that this restore had created is still there, and may not be complete; look at it before you write to it, or drop it");
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_is_given_as_far_as_the_server_knows_it() {
        let icu = Locale {
            provider: "icu".to_owned(),
            collate: "C".to_owned(),
            ctype: "C".to_owned(),
            locale: Some("de-AT".to_owned()),
            icu_rules: Some("&a < b".to_owned()),
        };
        let base = " LC_COLLATE 'C' LC_CTYPE 'C'";
        assert_eq!(options(&icu, 14), base);
        let icu15 = format!("{base} LOCALE_PROVIDER icu ICU_LOCALE 'de-AT'");
        assert_eq!(options(&icu, 15), icu15);
        assert_eq!(options(&icu, 16), format!("{icu15} ICU_RULES '&a < b'"));
    }

    #[test]
    fn an_archive_says_what_its_database_was() {
        let toc = |definition: &str| Toc {
            database: String::new(),
            server_version: String::new(),
            dump_version: String::new(),
            entries: vec![crate::archive::Entry {
                kind: "DATABASE".to_owned(),
                definition: definition.to_owned(),
                ..crate::archive::Entry::default()
            }],
            ..Toc::default()
        };
        for (definition, collate, own) in [
            (
                "CREATE DATABASE x WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'C.UTF-8';",
                "C.UTF-8",
                None,
            ),
            (
                "CREATE DATABASE x WITH TEMPLATE = template0 ENCODING = 'UTF8' LC_COLLATE = 'C' LC_CTYPE = 'de_DE.utf8';",
                "C",
                None,
            ),
            (
                "CREATE DATABASE x WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = icu LOCALE = 'C' ICU_LOCALE = 'de-AT';",
                "C",
                Some("de-AT"),
            ),
            (
                "CREATE DATABASE \"ENCODING = 'x'\" WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = builtin LOCALE = 'C.UTF-8';",
                "C.UTF-8",
                Some("C.UTF-8"),
            ),
        ] {
            let (encoding, locale) = kind_of(&toc(definition)).unwrap();
            assert_eq!(encoding, "UTF8");
            assert_eq!(locale.collate, collate, "{definition}");
            assert_eq!(locale.locale.as_deref(), own, "{definition}");
        }
        assert_eq!(kind_of(&toc("CREATE DATABASE x;")), None);
    }
}
