//! Passwords as they are generated for users.

use secrecy::SecretString;

/// What a password is where nobody says.
const LENGTH: usize = 16;
const SHORTEST: usize = 12;
const LONGEST: usize = 64;
/// How many there are of each class at least.
const OF_EACH: usize = 3;

const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &[u8] = b"0123456789";
/// Those that need no quotes in a URL, a shell or a file of settings.
const SPECIALS: &[u8] = b"._-";
const ALL: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

/// The system gives no randomness: without it there is no password.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the operating system gives no random numbers: {0}")]
pub struct NoRandomness(String);

/// A new password of so many characters: 16 for 0, and from 12 to 64. At least three each of lower
/// case, upper case, digits and `._-`, the others any of these.
///
/// # Errors
/// Where the operating system gives no random numbers.
pub fn generate(length: usize) -> Result<SecretString, NoRandomness> {
    let length = match length {
        0 => LENGTH,
        other => other.clamp(SHORTEST, LONGEST),
    };
    let mut password = Vec::with_capacity(length);
    for class in [LOWER, UPPER, DIGITS, SPECIALS] {
        for _ in 0..OF_EACH {
            password.push(one_of(class)?);
        }
    }
    while password.len() < length {
        password.push(one_of(ALL)?);
    }
    // Fisher and Yates: every order is as likely as any other.
    for last in (1..password.len()).rev() {
        password.swap(last, below(last + 1)?);
    }
    let text: String = password.into_iter().map(char::from).collect();
    Ok(SecretString::from(text))
}

fn one_of(class: &[u8]) -> Result<u8, NoRandomness> {
    Ok(class[below(class.len())?])
}

/// A number below this one, which is 256 at most: bytes that would favour the small ones are thrown
/// away.
fn below(limit: usize) -> Result<usize, NoRandomness> {
    let fair = 256 - 256 % limit;
    loop {
        let mut byte = [0_u8];
        getrandom::fill(&mut byte).map_err(|error| NoRandomness(error.to_string()))?;
        let number = usize::from(byte[0]);
        if number < fair {
            return Ok(number % limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use secrecy::ExposeSecret as _;

    use super::*;

    fn generated(length: usize) -> String {
        generate(length).unwrap().expose_secret().to_owned()
    }

    #[test]
    fn u3_a_length_is_sixteen_or_between_twelve_and_sixty_four() {
        for (asked, given) in [(0, 16), (24, 24), (8, 12), (100, 64), (12, 12), (64, 64)] {
            assert_eq!(generated(asked).len(), given, "{asked}");
        }
    }

    #[test]
    fn u4_each_password_has_three_of_each_class_in_any_order_and_is_the_only_one() {
        let mut all = BTreeSet::new();
        let mut first = BTreeSet::new();
        for _ in 0..1000 {
            let password = generated(0);
            let bytes = password.as_bytes();
            assert!(bytes.iter().all(|it| ALL.contains(it)), "{password}");
            for class in [LOWER, UPPER, DIGITS, SPECIALS] {
                let of_class = bytes.iter().filter(|it| class.contains(it)).count();
                assert!(of_class >= OF_EACH, "{password}");
            }
            first.insert(bytes[0]);
            assert!(all.insert(password));
        }
        // Unshuffled, each would begin with a lower letter.
        assert!(first.len() > 26, "{first:?}");
    }
}
