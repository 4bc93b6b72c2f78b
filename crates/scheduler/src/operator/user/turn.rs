//! Which of a user's two logins its Secret has. With `rotation.overlap` a new password is the other login's, and the
//! one before goes on for that long.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::spec::Asked;
use crate::operator::crd::{DatabaseUserStatus, FormerLogin};
use crate::postgres::role::second;

/// What decides whose turn it is.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) asked: &'a Asked,
    pub(super) status: &'a DatabaseUserStatus,
    /// The login that the user's own Secret has.
    pub(super) secret: Option<&'a str>,
    /// Whether another password is due.
    pub(super) is_due: bool,
    /// Whether the Secret was another's until now.
    pub(super) takes: bool,
    pub(super) now: Timestamp,
}

/// The login of a user from now on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Turn {
    pub(super) login: String,
    /// Whether its password becomes another one.
    pub(super) renews: bool,
    /// Whether it is another login than the status tells.
    pub(super) is_another: bool,
    /// The one before.
    pub(super) former: Option<FormerLogin>,
}

impl Turn {
    pub(super) fn of(seen: Seen<'_>) -> Self {
        let Seen {
            asked,
            status,
            secret,
            is_due,
            takes,
            now,
        } = seen;
        let first = asked.username.clone();
        let second = second::name(&first);
        let is_one = |it: &&str| *it == first || Some(*it) == second.as_deref();
        let told = status.login.as_deref().filter(is_one).unwrap_or(&first);
        let held = secret.filter(is_one).unwrap_or(told);
        let login = if held != told {
            // It was written by whoever was stopped before the status was: that password is the new one.
            held.to_owned()
        } else if !is_due {
            told.to_owned()
        } else if told != first {
            first.clone()
        } else {
            let other = asked.overlap.and(second.clone());
            other.unwrap_or_else(|| first.clone())
        };
        let is_another = login != told;
        let former = if is_another {
            let overlap = asked.overlap.unwrap_or(SignedDuration::ZERO);
            Some(FormerLogin {
                name: told.to_owned(),
                until: Time(now.saturating_add(overlap).unwrap_or(now)),
            })
        } else {
            let kept = status.former_login.clone();
            kept.filter(|it| it.name != login && is_one(&it.name.as_str()))
        };
        Self {
            renews: takes || is_due && held == told,
            login,
            is_another,
            former,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::spec::asked;
    use super::super::spec::tests::user;
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn former(name: &str, until: i64) -> Option<FormerLogin> {
        let name = name.to_owned();
        let until = Time(at(until));
        Some(FormerLogin { name, until })
    }

    /// The overlap, the login that the status tells, the one that the Secret has, whether another password is due: the
    /// login, whether its password becomes another one, and the one before.
    const ROWS: &str = "
        1h  -       app       -    app     -      -
        1h  -       app       due  app__2  renews app
        1h  app__2  app__2    due  app     renews app__2
        # Stopped between the Secret and the status.
        1h  -       app__2    due  app__2  -      app
        1h  app__2  app       due  app     -      app__2
        # The Secret was deleted, or names somebody else.
        1h  app__2  -         -    app__2  -      -
        1h  app__2  postgres  -    app__2  -      -
        # The overlap was taken out of the spec.
        -   -       app       due  app     renews -
        -   app__2  app__2    -    app__2  -      -
        -   app__2  app__2    due  app     renews app__2
        # The role was renamed.
        1h  other__2 -        -    app     -      -";

    /// operator.md, W31.
    #[test]
    fn a_login_and_the_one_before_take_turns() {
        let rows = ROWS.lines().map(str::trim);
        for row in rows.filter(|it| !it.is_empty() && !it.starts_with('#')) {
            let words: Vec<_> = row
                .split_whitespace()
                .map(|it| (it != "-").then_some(it))
                .collect();
            let [overlap, told, secret, due, login, renews, before] = words[..] else {
                panic!("{row}");
            };
            let mut spec = json!({"database": {"name": "d"}, "rotation": {"days": 30}});
            spec["rotation"]["overlap"] = json!(overlap);
            let asked = asked(&user("app", spec)).unwrap();
            let status = DatabaseUserStatus {
                login: told.map(str::to_owned),
                ..DatabaseUserStatus::default()
            };
            let turn = Turn::of(Seen {
                asked: &asked,
                status: &status,
                secret,
                is_due: due.is_some(),
                takes: false,
                now: at(100),
            });
            let until = if overlap.is_some() { 3700 } else { 100 };
            assert_eq!(Some(turn.login.as_str()), login, "{row}");
            assert_eq!(turn.renews, renews.is_some(), "{row}");
            assert_eq!(
                turn.former,
                before.and_then(|it| former(it, until)),
                "{row}"
            );
        }
    }

    #[test]
    fn the_one_before_stays_told_until_it_is_shut() {
        let spec = json!({"database": {"name": "d"}, "rotation": {"days": 30, "overlap": "1h"}});
        let asked = asked(&user("app", spec)).unwrap();
        let kept = |former_login: Option<FormerLogin>| {
            let status = DatabaseUserStatus {
                former_login,
                ..DatabaseUserStatus::default()
            };
            let turn = Turn::of(Seen {
                asked: &asked,
                status: &status,
                secret: None,
                is_due: false,
                takes: false,
                now: at(100),
            });
            turn.former
        };
        assert_eq!(kept(former("app__2", 7)), former("app__2", 7));
        // Never the one that is in use, nor one that is none of the role's.
        assert_eq!(kept(former("app", 7)), None);
        assert_eq!(kept(former("postgres", 7)), None);
    }
}
