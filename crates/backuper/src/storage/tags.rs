//! What is said of a backup on each of its objects, for people and for rules of the store: tags on S3, metadata on
//! Google Cloud Storage and Azure.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Tags of an object, `key=value` separated by commas.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html>
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(Vec<(String, String)>);

impl Tags {
    /// S3's limits.
    const MOST: usize = 10;
    const LONGEST_KEY: usize = 128;
    const LONGEST_VALUE: usize = 256;

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Of these pairs what an object can have: the first ten that have a key and a value, and `_` in the place of a
    /// character that no tag has.
    #[must_use]
    pub fn fitted<K: AsRef<str>>(pairs: impl IntoIterator<Item = (K, String)>) -> Self {
        let fitted = |text: &str, longest: usize| -> String {
            let allowed = text.chars().map(|it| if is_allowed(it) { it } else { '_' });
            allowed.take(longest).collect()
        };
        let pairs = pairs.into_iter().map(|(key, value)| {
            (
                fitted(key.as_ref(), Self::LONGEST_KEY),
                fitted(&value, Self::LONGEST_VALUE),
            )
        });
        let some = pairs.filter(|(key, value)| !key.is_empty() && !value.is_empty());
        Self(some.take(Self::MOST).collect())
    }

    /// These, and of the others as many as an object can have beside them; where both have a key, it is these'.
    #[must_use]
    pub fn and(&self, others: &Self) -> Self {
        let is_new = |pair: &&(String, String)| self.0.iter().all(|(key, _)| *key != pair.0);
        let all = self.0.iter().chain(others.0.iter().filter(is_new));
        Self(all.take(Self::MOST).cloned().collect())
    }

    /// The keys of others that are not here with their values.
    pub(super) fn lacks<'a>(&self, others: &'a Self) -> Vec<&'a str> {
        let missing = others.0.iter().filter(|it| !self.0.contains(it));
        missing.map(|(key, _)| key.as_str()).collect()
    }

    /// Keys and values.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// As S3's header has them: a query string.
    pub(super) fn header(&self) -> Option<String> {
        let encoded = |it: &str| utf8_percent_encode(it, NON_ALPHANUMERIC).to_string();
        let pairs: Vec<String> = self
            .0
            .iter()
            .map(|(key, value)| format!("{}={}", encoded(key), encoded(value)))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("&"))
    }
}

fn is_allowed(it: char) -> bool {
    it.is_alphanumeric() || " +-=._:/@".contains(it)
}

impl FromStr for Tags {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut tags: Vec<(String, String)> = Vec::new();
        for pair in text.split(',').map(str::trim).filter(|it| !it.is_empty()) {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| format!("{pair:?} is no key=value"))?;
            if !key.chars().chain(value.chars()).all(is_allowed) {
                return Err(format!(
                    "{pair:?} has other characters than letters, digits, spaces and + - = . _ : / @"
                ));
            }
            if !(1..=Self::LONGEST_KEY).contains(&key.chars().count())
                || value.chars().count() > Self::LONGEST_VALUE
            {
                return Err(format!(
                    "{pair:?}: a key has 1 to {} characters and a value {} at most",
                    Self::LONGEST_KEY,
                    Self::LONGEST_VALUE
                ));
            }
            if key.to_ascii_lowercase().starts_with("aws:") {
                return Err(format!("{key:?}: keys that begin with aws: are AWS's own"));
            }
            if tags.iter().any(|(it, _)| it == key) {
                return Err(format!("{key:?} is there twice"));
            }
            tags.push((key.to_owned(), value.to_owned()));
        }
        if tags.len() > Self::MOST {
            return Err(format!("an object has {} tags at most", Self::MOST));
        }
        Ok(Self(tags))
    }
}

impl fmt::Display for Tags {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (key, value)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(formatter, "{comma}{key}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_what_s3_takes_and_nothing_else() {
        for (text, header) in [
            ("", None),
            ("team=dba", Some("team=dba")),
            (" a=b , c d=e=f/g ,", Some("a=b&c%20d=e%3Df%2Fg")),
            ("größe=ä", Some("gr%C3%B6%C3%9Fe=%C3%A4")),
            ("empty=", Some("empty=")),
        ] {
            let tags: Tags = text.parse().unwrap();
            assert_eq!(tags.header().as_deref(), header, "{text}");
            assert_eq!(tags.to_string().parse(), Ok(tags), "{text}");
        }
        let (long_key, long_value) = (
            format!("{}=b", "k".repeat(129)),
            format!("a={}", "v".repeat(257)),
        );
        let many: Vec<String> = (0..11).map(|it| format!("k{it}=v")).collect();
        for wrong in [
            "team",
            "=b",
            "a=b&c",
            "a=<b>",
            "AWS:x=y",
            "a=b,a=c",
            &long_key,
            &long_value,
            &many.join(","),
        ] {
            assert!(wrong.parse::<Tags>().is_err(), "{wrong}");
        }
        assert!(many[..10].join(",").parse::<Tags>().is_ok());
    }

    #[test]
    fn what_no_tag_can_have_is_left_out_of_those_that_somebody_else_has_named() {
        let named = [
            ("database", "shop,\"1\""),
            ("cluster", ""),
            ("backup-name", "größe"),
        ];
        let fitted = Tags::fitted(named.map(|(key, value)| (key, value.to_owned())));
        assert_eq!(fitted.to_string(), "database=shop__1_,backup-name=größe");
        assert_eq!(fitted.to_string().parse(), Ok(fitted.clone()));
        let own: Tags = "team=dba,database=mine".parse().unwrap();
        let both = own.and(&fitted).to_string();
        assert_eq!(both, "team=dba,database=mine,backup-name=größe");
        assert_eq!(own.and(&fitted).lacks(&fitted), ["database"]);
        let many: Vec<String> = (0..10).map(|it| format!("k{it}=v")).collect();
        let many: Tags = many.join(",").parse().unwrap();
        assert_eq!(many.and(&fitted), many);
        assert_eq!(many.lacks(&fitted), ["database", "backup-name"]);
    }
}
