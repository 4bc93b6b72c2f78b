//! What is sent to the server instead of a password, so that it stands in no log of the server.

use postgres_protocol::password;
use secrecy::{ExposeSecret, SecretString};

use super::failure::Error;

/// In which form a password is sent. What is not [`Form::Scram`] is the caller's decision, and to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The verifier of SCRAM-SHA-256: the default of PostgreSQL 14 and later.
    Scram,
    /// The hash that a server with `password_encryption = md5` keeps, whose clients may know no other.
    Md5,
    /// As it is: for servers that check passwords, and therefore take no verifier. It may stand in their logs.
    Clear,
}

impl Form {
    /// What a server keeps, by its `password_encryption`.
    #[must_use]
    pub fn of_server(password_encryption: &str) -> Self {
        match password_encryption {
            "md5" | "on" => Self::Md5,
            _ => Self::Scram,
        }
    }

    /// What may be tried when the server has refused this form: modules that check passwords (`passwordcheck`,
    /// `credcheck`, those of managed servers) say no to what they cannot read. None where nothing else helps.
    #[must_use]
    pub fn after(self, refusal: &Error) -> Option<Self> {
        // invalid_parameter_value, feature_not_supported, invalid_password and what extensions raise
        // without saying more: P0001 and XX000.
        let refused = refusal.state.as_ref().is_some_and(|state| {
            ["22023", "0A000", "28P01", "P0001", "XX000"].contains(&state.code())
        });
        (refused && self != Self::Clear).then_some(Self::Clear)
    }
}

/// What goes between the quotes of `PASSWORD '…'`. The verifier is what PostgreSQL itself would keep, with
/// 4096 rounds and 16 random bytes of salt. A password is normalised (SASLprep) as the server and libpq do
/// it: one with characters that SASLprep forbids is taken as it is. Our own are ASCII and need none of it.
#[must_use]
pub fn encode(password: &SecretString, role: &str, form: Form) -> SecretString {
    let clear = password.expose_secret();
    match form {
        Form::Scram => password::scram_sha_256(clear.as_bytes()).into(),
        Form::Md5 => password::md5(clear.as_bytes(), role).into(),
        Form::Clear => clear.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::failure::Class;
    use super::*;

    #[test]
    fn a_verifier_is_the_text_that_postgresql_keeps_and_another_one_each_time() {
        let password = SecretString::from("secret");
        let verifier = || {
            encode(&password, "r", Form::Scram)
                .expose_secret()
                .to_owned()
        };
        let (one, other) = (verifier(), verifier());
        assert_ne!(one, other, "the salt is random");
        assert!(one.starts_with("SCRAM-SHA-256$4096:"), "{one}");
        assert_eq!(one.split('$').count(), 3);
        assert!(!one.contains("secret"));
    }

    #[test]
    fn a_server_of_md5_gets_its_hash() {
        assert_eq!(Form::of_server("scram-sha-256"), Form::Scram);
        assert_eq!(Form::of_server("md5"), Form::Md5);
        let hash = encode(&SecretString::from("p"), "r", Form::Md5);
        // SELECT 'md5' || md5('pr')
        assert_eq!(hash.expose_secret(), "md564e1e1cbe1ca8e88ef3a838a3e7b57d6");
    }

    #[test]
    fn clear_text_is_offered_only_after_a_refusal_of_the_verifier() {
        let mut refusal = Error::because(Class::Other, "setting a password", "no");
        assert_eq!(Form::Scram.after(&refusal), None);
        refusal.state = Some(tokio_postgres::error::SqlState::INVALID_PARAMETER_VALUE);
        assert_eq!(Form::Scram.after(&refusal), Some(Form::Clear));
        assert_eq!(Form::Clear.after(&refusal), None);
        refusal.state = Some(tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE);
        assert_eq!(Form::Scram.after(&refusal), None);
    }
}
