//! What pg_dumpall says of a server's roles. It is read and never run: what comes of it is written anew, name by
//! name, and what is not known here has no effect.
//!
//! How it is written: `dumpRoles`, `dumpRoleMembership` and `dumpUserConfig` in PostgreSQL's
//! `src/bin/pg_dump/pg_dumpall.c`.

mod tokens;

use std::collections::{BTreeMap, BTreeSet};

use secrecy::SecretString;

use tokens::Token;

/// Roles, and who is a member of which.
#[derive(Clone, Debug, Default)]
pub struct Globals {
    pub(crate) roles: BTreeMap<String, Role>,
    pub(crate) memberships: Vec<Membership>,
}

/// A role.
#[derive(Clone, Debug, Default)]
pub(crate) struct Role {
    pub(crate) attributes: BTreeSet<Attribute>,
    pub(crate) connection_limit: Option<i32>,
    /// Its hash.
    pub(crate) password: Option<SecretString>,
    pub(crate) valid_until: Option<String>,
    pub(crate) settings: Vec<Setting>,
    pub(crate) comment: Option<String>,
}

/// What a role may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Attribute {
    Superuser,
    Replication,
    BypassRls,
    CreateRole,
    CreateDb,
    Inherit,
    Login,
}

/// A setting of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) values: Vec<String>,
}

/// One role as a member of another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) role: String,
    pub(crate) member: String,
    pub(crate) admin: bool,
    /// From PostgreSQL 16 on.
    pub(crate) inherit: Option<bool>,
    /// From PostgreSQL 16 on.
    pub(crate) set: Option<bool>,
}

/// Why it cannot be read. No text of it is shown: it may be a password's hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub(crate) struct Unreadable {
    line: usize,
    why: &'static str,
}

impl Attribute {
    const ALL: [Self; 7] = [
        Self::Superuser,
        Self::Replication,
        Self::BypassRls,
        Self::CreateRole,
        Self::CreateDb,
        Self::Inherit,
        Self::Login,
    ];

    /// As SQL has it.
    pub(crate) fn keyword(self) -> &'static str {
        match self {
            Self::Superuser => "SUPERUSER",
            Self::Replication => "REPLICATION",
            Self::BypassRls => "BYPASSRLS",
            Self::CreateRole => "CREATEROLE",
            Self::CreateDb => "CREATEDB",
            Self::Inherit => "INHERIT",
            Self::Login => "LOGIN",
        }
    }
}

impl Globals {
    /// Reads what pg_dumpall has written.
    ///
    /// # Errors
    /// Where it is not as pg_dumpall writes it.
    pub(crate) fn read(text: &str) -> Result<Self, Unreadable> {
        let mut globals = Self::default();
        for statement in tokens::statements(text)? {
            let line = statement.line;
            globals
                .take(&statement.tokens)
                .map_err(|why| Unreadable { line, why })?;
        }
        Ok(globals)
    }

    fn take(&mut self, tokens: &[Token]) -> Result<(), &'static str> {
        let is = |at: usize, word: &str| tokens.get(at).is_some_and(|it| it.is(word));
        let name = |at: usize| tokens.get(at).and_then(Token::name);
        if is(0, "CREATE") && is(1, "ROLE") {
            let (Some(name), 3) = (name(2), tokens.len()) else {
                return Err("a role is made in another way than pg_dumpall makes one");
            };
            if self
                .roles
                .insert(name.to_owned(), Role::default())
                .is_some()
            {
                return Err("a role is made twice");
            }
        } else if is(0, "ALTER") && is(1, "ROLE") {
            let role = name(2).and_then(|it| self.roles.get_mut(it));
            // Of one that it does not make, it says nothing to us.
            match role {
                Some(role) if is(3, "WITH") => role.take(&tokens[4..])?,
                Some(role) if is(3, "SET") => role.settings.push(setting(&tokens[4..])?),
                _ => {}
            }
        } else if is(0, "COMMENT") && is(1, "ON") && is(2, "ROLE") && is(4, "IS") {
            let role = name(3).and_then(|it| self.roles.get_mut(it));
            if let (Some(role), [_, _, _, _, _, Token::Text(text)]) = (role, tokens) {
                role.comment = Some(text.clone());
            }
        } else if is(0, "GRANT") && is(2, "TO") {
            self.memberships.push(membership(tokens)?);
        }
        // The rest is of tablespaces, parameters and labels, and of the session.
        Ok(())
    }
}

impl Role {
    pub(crate) fn has(&self, attribute: Attribute) -> bool {
        self.attributes.contains(&attribute)
    }

    /// What follows `WITH`.
    fn take(&mut self, mut tokens: &[Token]) -> Result<(), &'static str> {
        while let [Token::Word(word), rest @ ..] = tokens {
            tokens = match (word.as_str(), rest) {
                ("CONNECTION", [limit, Token::Word(number), rest @ ..]) if limit.is("LIMIT") => {
                    let number = number
                        .parse()
                        .map_err(|_other| "a connection limit is no number")?;
                    self.connection_limit = Some(number);
                    rest
                }
                ("PASSWORD", [Token::Text(hash), rest @ ..]) => {
                    if !is_hash(hash) {
                        return Err("a password is no hash");
                    }
                    self.password = Some(hash.clone().into());
                    rest
                }
                ("VALID", [until, Token::Text(time), rest @ ..]) if until.is("UNTIL") => {
                    self.valid_until = Some(time.clone());
                    rest
                }
                (word, rest) => {
                    let bare = word.strip_prefix("NO").unwrap_or(word);
                    let known = |it: &&Attribute| bare == it.keyword();
                    let Some(attribute) = Attribute::ALL.iter().find(known) else {
                        return Err(
                            "a role has an attribute that this restorer does not know; use a newer one",
                        );
                    };
                    if bare != word {
                        self.attributes.remove(attribute);
                    } else {
                        self.attributes.insert(*attribute);
                    }
                    rest
                }
            };
        }
        if tokens.is_empty() {
            Ok(())
        } else {
            Err("a role's attributes are not as pg_dumpall writes them")
        }
    }
}

/// What PostgreSQL stores, and no password: it takes what is no hash for one. `get_password_type` in its
/// `src/backend/libpq/crypt.c`, `parse_scram_secret` in `auth-scram.c` beside it.
fn is_hash(text: &str) -> bool {
    let md5 = text.strip_prefix("md5");
    md5.is_some_and(|it| it.len() == 32 && it.bytes().all(|it| it.is_ascii_hexdigit()))
        || text.strip_prefix("SCRAM-SHA-256$").is_some_and(is_scram)
}

/// `4096:SALT$STORED:SERVER`, three times base64; the keys have 32 bytes.
fn is_scram(text: &str) -> bool {
    let of_base64 = |it: u8| it.is_ascii_alphanumeric() || b"+/=".contains(&it);
    let is_key = |it: &str| it.len() == 44 && it.ends_with('=') && it.bytes().all(of_base64);
    let Some((iterations, (salt, (stored, server)))) =
        text.split_once(':').and_then(|(it, rest)| {
            let (salt, keys) = rest.split_once('$')?;
            Some((it, (salt, keys.split_once(':')?)))
        })
    else {
        return false;
    };
    iterations.parse::<u32>().is_ok()
        && !salt.is_empty()
        && salt.bytes().all(of_base64)
        && is_key(stored)
        && is_key(server)
}

/// What follows `SET`.
fn setting(tokens: &[Token]) -> Result<Setting, &'static str> {
    const OTHER: &str = "a role's setting is not as pg_dumpall writes it";
    let [name, to, values @ ..] = tokens else {
        return Err(OTHER);
    };
    let (Some(name), true) = (name.name(), to.is("TO")) else {
        return Err(OTHER);
    };
    let mut all = Vec::new();
    for (at, token) in values.iter().enumerate() {
        match token {
            Token::Text(value) if at % 2 == 0 => all.push(value.clone()),
            Token::Mark(',') if at % 2 == 1 => {}
            _ => return Err(OTHER),
        }
    }
    if values.len() % 2 == 0 {
        return Err(OTHER);
    }
    Ok(Setting {
        name: name.to_owned(),
        values: all,
    })
}

fn membership(tokens: &[Token]) -> Result<Membership, &'static str> {
    const OTHER: &str = "a membership is not as pg_dumpall writes it";
    let name = |at: usize| tokens.get(at).and_then(Token::name).map(str::to_owned);
    let (Some(role), Some(member)) = (name(1), name(3)) else {
        return Err(OTHER);
    };
    let mut membership = Membership {
        role,
        member,
        ..Membership::default()
    };
    let mut rest = &tokens[4..];
    if let [with, options @ ..] = rest
        && with.is("WITH")
    {
        rest = options;
        loop {
            let [Token::Word(option), Token::Word(value), after @ ..] = rest else {
                return Err(OTHER);
            };
            match (option.as_str(), value.as_str()) {
                ("ADMIN", "OPTION" | "TRUE") => membership.admin = true,
                ("ADMIN", "FALSE") => {}
                ("INHERIT", "TRUE" | "FALSE") => membership.inherit = Some(value == "TRUE"),
                ("SET", "TRUE" | "FALSE") => membership.set = Some(value == "TRUE"),
                _ => return Err(OTHER),
            }
            rest = after;
            let [Token::Mark(','), after @ ..] = rest else {
                break;
            };
            rest = after;
        }
    }
    match rest {
        [] => Ok(membership),
        [granted, by, _grantor] if granted.is("GRANTED") && by.is("BY") => Ok(membership),
        _ => Err(OTHER),
    }
}

#[cfg(test)]
mod tests;
