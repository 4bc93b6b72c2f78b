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
    /// To see a schedule, its runs and what they said.
    View,
    /// To run a schedule beside its times.
    Run,
    /// To suspend a schedule or let it go on.
    Suspend,
    /// To delete a schedule.
    Delete,
    /// To end a run.
    Cancel,
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
    Viewing,
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
        Verb::View => "view",
        Verb::Run => "run the schedule of",
        Verb::Suspend => "suspend or resume the schedule of",
        Verb::Delete => "delete the schedule of",
        Verb::Cancel => "cancel a run of",
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

    /// Who has written the file of declared schedules.
    #[must_use]
    pub fn administrator() -> Self {
        Self {
            name: "the administrator".to_owned(),
            rights: Rights::Everything,
        }
    }

    /// Who acts for objects of Kubernetes: whoever may write those.
    #[must_use]
    pub fn operator() -> Self {
        Self {
            name: "the operator".to_owned(),
            rights: Rights::Everything,
        }
    }

    /// Whoever may open a socket that is the scheduler's own user's.
    #[must_use]
    pub fn of_machine() -> Self {
        Self {
            name: "this machine".to_owned(),
            rights: Rights::Everything,
        }
    }

    /// Whether it may do this with a database, `host:port/dbname`.
    ///
    /// # Errors
    /// [`Forbidden`].
    pub fn may(&self, verb: Verb, place: &str) -> Result<(), Forbidden> {
        let may = match &self.rights {
            Rights::Viewing => verb == Verb::View,
            Rights::Everything => true,
            Rights::Places(patterns) => patterns.iter().any(|it| is_place(it, place)),
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

/// Whether a pattern, `host:port/dbname` with stars or a star alone, means a place. Host, port and name are
/// matched each for itself: the name is the caller's choice, and may look like anything.
#[must_use]
pub fn is_place(pattern: &str, place: &str) -> bool {
    let parts = |text: &str| {
        let (server, name) = text.split_once('/')?;
        let (host, port) = server.rsplit_once(':')?;
        Some([host.to_owned(), port.to_owned(), name.to_owned()])
    };
    if pattern == "*" {
        return true;
    }
    let both = parts(pattern).zip(parts(place));
    both.is_some_and(|(pattern, mut place)| {
        // A list of databases begins like one of them and has others in it: only who may all may it. A star in
        // it is what a star of the pattern takes, and nothing else does.
        if place[2].contains(['?', ',', '!', '"']) {
            place[2] = "\0".to_owned();
        }
        let mut pairs = pattern.iter().zip(&place);
        pairs.all(|(pattern, part)| matches(pattern, part))
    })
}

/// Whether a text is `host:port/dbname` with stars, or a star alone.
#[must_use]
pub fn is_pattern(text: &str) -> bool {
    let server = text.split_once('/').map(|(server, _)| server);
    text == "*" || server.is_some_and(|it| it.contains(':'))
}

/// A star stands for any text.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let Some((beginning, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(beginning) else {
        return false;
    };
    let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    ends.into_iter().any(|at| matches(rest, &text[at..]))
}

/// Whom a token belongs to that Kubernetes has issued, in Kubernetes' words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// `system:serviceaccount:NAMESPACE:NAME`.
    pub name: String,
    /// `system:serviceaccounts:NAMESPACE`, for instance.
    pub groups: Vec<String>,
}

/// The SHA-256 of a token: what is kept of it.
pub type TokenHash = [u8; 32];

/// What is kept of a token.
#[must_use]
pub fn hash(token: &str) -> TokenHash {
    Sha256::digest(token).into()
}

/// All who may call, each known by a client certificate, by a token, or by an account of Kubernetes.
#[derive(Clone, Debug, Default)]
pub struct Callers(Vec<(Identity, Caller)>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Identity {
    /// A name in the client's certificate.
    Certificate(String),
    /// A bearer token of ours.
    Token(TokenHash),
    /// The user that a token of Kubernetes belongs to.
    User(String),
    /// A group that this user is in.
    Group(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    callers: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Entry {
    name: String,
    certificate: Option<String>,
    token: Option<String>,
    service_account: Option<String>,
    group: Option<String>,
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

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody may call.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The caller with one of these names in its certificate.
    #[must_use]
    pub fn with_certificate(&self, names: &[String]) -> Option<&Caller> {
        self.first(|it| matches!(it, Identity::Certificate(name) if names.contains(name)))
    }

    /// The caller with this token.
    #[must_use]
    pub fn with_token(&self, token: &TokenHash) -> Option<&Caller> {
        self.first(|it| matches!(it, Identity::Token(hash) if hash == token))
    }

    /// The caller that is this user of Kubernetes; else the first whose group it is in.
    #[must_use]
    pub fn with_user(&self, user: &User) -> Option<&Caller> {
        let own = self.first(|it| matches!(it, Identity::User(name) if *name == user.name));
        own.or_else(|| {
            self.first(|it| matches!(it, Identity::Group(name) if user.groups.contains(name)))
        })
    }

    /// Whether somebody is known by a token, of ours or of Kubernetes.
    #[must_use]
    pub fn have_tokens(&self) -> bool {
        self.have_users() || self.first(|it| matches!(it, Identity::Token(_))).is_some()
    }

    /// Whether somebody is known by a certificate.
    #[must_use]
    pub fn have_certificates(&self) -> bool {
        let found = self.first(|it| matches!(it, Identity::Certificate(_)));
        found.is_some()
    }

    /// Whether somebody is known as a user of Kubernetes, or by a group.
    #[must_use]
    pub fn have_users(&self) -> bool {
        let found = self.first(|it| matches!(it, Identity::User(_) | Identity::Group(_)));
        found.is_some()
    }

    fn first(&self, is_it: impl Fn(&Identity) -> bool) -> Option<&Caller> {
        let found = self.0.iter().find(|(identity, _)| is_it(identity));
        found.map(|(_, caller)| caller)
    }
}

impl Entry {
    fn read(self) -> Result<(Identity, Caller), Wrong> {
        let Self {
            name,
            certificate,
            token,
            service_account,
            group,
            role,
            places,
        } = self;
        let wrong = |why: &str| Wrong(format!("{name}: {why}"));
        let identity = match (certificate, token, service_account, group) {
            (Some(name), None, None, None) if !name.is_empty() => Ok(Identity::Certificate(name)),
            (None, Some(token), None, None) => token_of(&token),
            (None, None, Some(account), None) => account_of(&account),
            (None, None, None, Some(name)) if !name.is_empty() => Ok(Identity::Group(name)),
            _ => Err("it needs one of certificate, token, serviceAccount and group"),
        };
        let identity = identity.map_err(wrong)?;
        if let Some(place) = places.iter().find(|it| !is_pattern(it)) {
            return Err(wrong(&format!(
                "{place:?} is no place: HOST:PORT/DBNAME is needed, each with stars, or * alone"
            )));
        }
        let rights = match (role, places.is_empty()) {
            (Role::Viewer, true) => Rights::Viewing,
            (Role::Operator, true) => Rights::Everything,
            (Role::Owner, false) => Rights::Places(places),
            (Role::Owner, true) => return Err(wrong("an owner needs places")),
            (_, false) => return Err(wrong("only an owner has places")),
        };
        Ok((identity, Caller { name, rights }))
    }
}

fn token_of(text: &str) -> Result<Identity, &'static str> {
    let given = text.strip_prefix("sha256:").map(hex::decode);
    let given = given.and_then(|it| TokenHash::try_from(it.ok()?).ok());
    // What `printf %s "$TOKEN"` gives where TOKEN is not set would let in everybody.
    if given == Some(hash("")) {
        return Err("token is the hash of an empty text: the token was not set");
    }
    given
        .map(Identity::Token)
        .ok_or("token is not sha256: and 64 hex digits, as `printf %s TOKEN | sha256sum` prints")
}

/// The user name that Kubernetes gives an account.
fn account_of(text: &str) -> Result<Identity, &'static str> {
    let is_word = |it: &str| {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        !it.is_empty() && it.chars().all(allowed)
    };
    match text.split_once('/') {
        Some((namespace, name)) if is_word(namespace) && is_word(name) => Ok(Identity::User(
            format!("system:serviceaccount:{namespace}:{name}"),
        )),
        _ => Err("serviceAccount is not NAMESPACE/NAME"),
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
        let team = callers.with_token(&hash("secret")).unwrap();
        let eyes = callers.with_certificate(&["grafana".into()]).unwrap();
        assert_eq!(callers.with_token(&hash("secret2")), None);
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
            ("callers: [{name: a, role: operator}]", "one of"),
            ("callers: [{name: a, certificate: a, role: king}]", "king"),
            (
                "callers: [{name: a, certificate: a, role: owner}]",
                "places",
            ),
            (
                "callers: [{name: a, certificate: a, role: viewer, places: ['*']}]",
                "places",
            ),
            (
                "callers: [{name: a, token: hunter2, role: viewer}]",
                "sha256",
            ),
            (
                "callers: [{name: a, token: hunter2, group: b, role: viewer}]",
                "one of",
            ),
            (
                "callers: [{name: a, serviceAccount: ci, role: viewer}]",
                "NAMESPACE/NAME",
            ),
            (
                "callers: [{name: a, serviceAccount: 'a:b/c', role: viewer}]",
                "NAMESPACE/NAME",
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
    fn a_user_of_kubernetes_is_known_by_its_name_before_its_groups() {
        let callers = "
callers:
- {name: all, group: 'system:serviceaccounts:team-a', role: viewer}
- {name: ci, serviceAccount: team-a/ci, role: operator}
";
        let callers = Callers::parse(callers).unwrap();
        let user = |name: &str, group: &str| User {
            name: format!("system:serviceaccount:{name}"),
            groups: vec![format!("system:serviceaccounts{group}")],
        };
        let name = |user: User| callers.with_user(&user).map(|it| it.name.as_str());
        assert_eq!(name(user("team-a:ci", ":team-a")), Some("ci"));
        assert_eq!(name(user("team-a:web", ":team-a")), Some("all"));
        assert_eq!(name(user("team-b:ci", ":team-b")), None);
        assert_eq!(name(user("team-a:ci2", "")), None);
        assert!(callers.have_tokens() && callers.have_users());
        assert!(!callers.have_certificates());
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

    /// A database's name is the caller's choice, and may look like another host.
    #[test]
    fn a_place_is_matched_part_by_part() {
        for (pattern, place, wanted) in [
            (
                "*.team-a.example:5432/*",
                "db.team-a.example:5432/shop",
                true,
            ),
            (
                "*.team-a.example:5432/*",
                "evil:5432/x.team-a.example:5432/y",
                false,
            ),
            ("db:5432/a*", "db:5432/a_b", true),
            ("db*:5432/a", "db:1/x:5432/a", false),
            ("*:*/shop", "[::1]:5432/shop", true),
            ("::1:5432/*", "::1:5432/x", true),
            ("*", "anything:1/at all", true),
            ("db:5432", "db:5432/shop", false),
            // Lists: who may all that they may mean.
            ("db:5432/*", "db:5432/*,!test_*", true),
            ("db:5432/a*", "db:5432/a*", true),
            ("db:5432/a*", "db:5432/a*b", true),
            ("db:5432/a*", "db:5432/*", false),
            ("db:5432/a", "db:5432/a*", false),
            ("db:5432/a*", "db:5432/a*,shop", false),
            ("db:5432/a*", "db:5432/a,shop", false),
            ("db:5432/a*p", "db:5432/a,shop", false),
            ("db:5432/a?", "db:5432/a?", false),
            ("db:5432/a*", "db:5432/a\",*,\"", false),
        ] {
            assert_eq!(is_place(pattern, place), wanted, "{pattern} {place}");
        }
    }

    #[test]
    fn what_lets_in_everybody_by_mistake_is_refused() {
        let unset = "callers: [{name: a, token: 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', role: operator}]";
        let refused = Callers::parse(unset).unwrap_err().to_string();
        assert!(refused.contains("empty"), "{refused}");
        let nowhere = "callers: [{name: a, certificate: a, role: owner, places: [db]}]";
        let refused = Callers::parse(nowhere).unwrap_err().to_string();
        assert!(refused.contains("HOST:PORT/DBNAME"), "{refused}");
    }
}
