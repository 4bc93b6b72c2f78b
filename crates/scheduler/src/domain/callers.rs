//! Who calls, and what each may do: one list of the administrator's.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// What a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// To make a schedule.
    Backup,
    /// To change one.
    Update,
    /// To restore.
    Restore,
}

/// Somebody who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name in the list.
    pub name: String,
    rights: Rights,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rights {
    Nothing,
    Everything,
    Places(Vec<String>),
}

/// What a caller may not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} may not {verb} {place}", verb = word(*.verb))]
pub struct Forbidden {
    name: String,
    verb: Verb,
    place: String,
}

fn word(verb: Verb) -> &'static str {
    match verb {
        Verb::Backup => "back up",
        Verb::Update => "change the schedule of",
        Verb::Restore => "restore into",
    }
}

impl Caller {
    /// Whoever it is, where the administrator has no list.
    #[must_use]
    pub fn anybody() -> Self {
        Self {
            name: "anybody".to_owned(),
            rights: Rights::Everything,
        }
    }

    /// Whether it may do this with a database, `host:port/dbname`.
    ///
    /// # Errors
    /// [`Forbidden`].
    pub fn may(&self, verb: Verb, place: &str) -> Result<(), Forbidden> {
        let may = match &self.rights {
            Rights::Nothing => false,
            Rights::Everything => true,
            Rights::Places(patterns) => patterns.iter().any(|it| matches(it, place)),
        };
        if may {
            return Ok(());
        }
        Err(Forbidden {
            name: self.name.clone(),
            verb,
            place: place.to_owned(),
        })
    }

    /// Whether it may do everything everywhere, so that nobody need ask for each place.
    #[must_use]
    pub fn may_everything(&self) -> bool {
        self.rights == Rights::Everything
    }
}

/// A star stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((beginning, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(beginning) else {
        return false;
    };
    let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    ends.into_iter().any(|at| matches(rest, &text[at..]))
}

/// All who may call, each known by a client certificate or by a token.
#[derive(Clone, Debug, Default)]
pub struct Callers(Vec<(Identity, Caller)>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Identity {
    /// A name in the client's certificate.
    Certificate(String),
    /// The SHA-256 of a bearer token.
    Token(Vec<u8>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    callers: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    certificate: Option<String>,
    token: Option<String>,
    role: Role,
    #[serde(default)]
    places: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    Viewer,
    Operator,
    Owner,
}

/// What is wrong with a list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Wrong(String);

impl Callers {
    /// Reads the list, which is YAML.
    ///
    /// # Errors
    /// What is wrong with it, and never a token.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let file: File = serde_yaml_ng::from_str(text).map_err(|it| Wrong(it.to_string()))?;
        let callers = file.callers.into_iter().map(Entry::read);
        let callers: Vec<_> = callers.collect::<Result<_, _>>()?;
        for (number, (identity, caller)) in callers.iter().enumerate() {
            if callers[..number].iter().any(|it| it.0 == *identity) {
                let name = &caller.name;
                return Err(Wrong(format!(
                    "{name}: another caller has the same identity"
                )));
            }
        }
        Ok(Self(callers))
    }

    /// The caller with one of these names in its certificate.
    #[must_use]
    pub fn with_certificate(&self, names: &[String]) -> Option<&Caller> {
        let mut all = self.0.iter();
        let has = |identity: &Identity| match identity {
            Identity::Certificate(name) => names.contains(name),
            Identity::Token(_) => false,
        };
        all.find(|it| has(&it.0)).map(|it| &it.1)
    }

    /// The caller with this token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Option<&Caller> {
        let hash = Identity::Token(Sha256::digest(token).to_vec());
        self.0.iter().find(|it| it.0 == hash).map(|it| &it.1)
    }

    /// Whether somebody is known by a token.
    #[must_use]
    pub fn have_tokens(&self) -> bool {
        let mut all = self.0.iter();
        all.any(|it| matches!(it.0, Identity::Token(_)))
    }

    /// Whether somebody is known by a certificate.
    #[must_use]
    pub fn have_certificates(&self) -> bool {
        let mut all = self.0.iter();
        all.any(|it| matches!(it.0, Identity::Certificate(_)))
    }
}

impl Entry {
    fn read(self) -> Result<(Identity, Caller), Wrong> {
        let Self {
            name,
            certificate,
            token,
            role,
            places,
        } = self;
        let wrong = |why: &str| Wrong(format!("{name}: {why}"));
        let identity = match (certificate, token) {
            (Some(certificate), None) if !certificate.is_empty() => {
                Identity::Certificate(certificate)
            }
            (None, Some(token)) => {
                let hash = token.strip_prefix("sha256:").map(hex::decode);
                match hash {
                    Some(Ok(hash)) if hash.len() == 32 => Identity::Token(hash),
                    _ => {
                        return Err(wrong(
                            "token is not sha256: and 64 hex digits, as `printf %s TOKEN | sha256sum` prints",
                        ));
                    }
                }
            }
            _ => return Err(wrong("it needs either a certificate or a token")),
        };
        let rights = match (role, places.is_empty()) {
            (Role::Viewer, true) => Rights::Nothing,
            (Role::Operator, true) => Rights::Everything,
            (Role::Owner, false) => Rights::Places(places),
            (Role::Owner, true) => return Err(wrong("an owner needs places")),
            (_, false) => return Err(wrong("only an owner has places")),
        };
        Ok((identity, Caller { name, rights }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "
callers:
- {name: core, certificate: oiler-core, role: operator}
- name: team-a
  token: sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b
  role: owner
  places: ['*.team-a.example:5432/*', 'db:5432/a_*']
- {name: eyes, certificate: grafana, role: viewer}
";

    #[test]
    fn callers_may_what_their_role_says() {
        let callers = Callers::parse(LIST).unwrap();
        let core = callers
            .with_certificate(&["x".into(), "oiler-core".into()])
            .unwrap();
        let team = callers.with_token("secret").unwrap();
        let eyes = callers.with_certificate(&["grafana".into()]).unwrap();
        assert_eq!(callers.with_token("secret2"), None);
        assert_eq!(callers.with_certificate(&["team-a".into()]), None);
        let may = |caller: &Caller, place: &str| caller.may(Verb::Restore, place).is_ok();
        assert!(may(core, "anywhere:1/x") && !may(eyes, "anywhere:1/x"));
        for place in ["a.team-a.example:5432/shop", "db:5432/a_b"] {
            assert!(may(team, place), "{place}");
        }
        for place in [
            "team-a.example:5432/shop",
            "a.team-a.example:5433/shop",
            "a.team-a.example.evil:5432/x",
            "db:5432/b",
        ] {
            assert!(!may(team, place), "{place}");
        }
    }

    #[test]
    fn a_list_with_a_mistake_is_none() {
        for (wrong, word) in [
            ("callers: [{name: a, role: operator}]", "either"),
            ("callers: [{name: a, certificate: a, role: king}]", "king"),
            (
                "callers: [{name: a, certificate: a, role: owner}]",
                "places",
            ),
            (
                "callers: [{name: a, certificate: a, role: viewer, places: [x]}]",
                "places",
            ),
            (
                "callers: [{name: a, token: hunter2, role: viewer}]",
                "sha256",
            ),
            (
                "callers: [{name: a, certificate: a, role: viewer, more: 1}]",
                "more",
            ),
            (
                "callers: [{name: a, certificate: x, role: viewer}, {name: b, certificate: x, role: operator}]",
                "same identity",
            ),
        ] {
            let error = Callers::parse(wrong).unwrap_err().to_string();
            assert!(error.contains(word), "{wrong}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, wanted) in [
            ("*", "", true),
            ("a*", "a", true),
            ("a*c", "abc", true),
            ("a*c*", "abcd", true),
            ("a*c", "abcd", false),
            ("ä*", "äö", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, text), wanted, "{pattern} {text}");
        }
    }
}
