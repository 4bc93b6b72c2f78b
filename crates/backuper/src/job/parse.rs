//! Parsers of single settings, as clap's `value_parser` takes them.

use std::num::NonZeroU16;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

/// An optional setting. An alias, since clap gives the bare word `Option` a meaning of its
/// own (an absent argument) that cannot express an empty variable.
pub type Maybe<T> = Option<T>;

/// Reads an optional setting: empty is `None`.
///
/// # Errors
/// What `T` says about a text that is not empty.
pub fn maybe<T>(text: &str) -> Result<Maybe<T>, String>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|error: T::Err| error.to_string())
}

/// Reads how many streams run side by side; empty is `None`.
///
/// # Errors
/// When it is no such number.
pub fn jobs(text: &str) -> Result<Maybe<NonZeroU16>, String> {
    maybe(text).map_err(|_no_count| {
        format!(
            "a number from 1 to {} is needed, or nothing for as many as there are cores",
            u16::MAX
        )
    })
}

/// Reads a time; empty is `None`.
///
/// # Errors
/// When it is none, or of no zone.
pub fn time(text: &str) -> Result<Maybe<Timestamp>, String> {
    maybe(text).map_err(|_no_time| {
        "a time with its zone is needed, such as 2026-11-20T21:05:27Z".to_owned()
    })
}

/// Reads a secret. It never fails, so that no error text can hold one.
///
/// # Errors
/// None; the signature is clap's.
pub fn secret(text: &str) -> Result<Maybe<SecretString>, std::convert::Infallible> {
    Ok((!text.is_empty()).then(|| SecretString::from(text)))
}

/// Reads a text that must not be empty.
///
/// # Errors
/// When it is.
pub(crate) fn non_empty(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads a duration such as `5min` or `90s`; a bare number is seconds.
///
/// # Errors
/// When it is neither.
pub fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(text).map_err(|error| error.to_string())
}

/// Reads how long to wait for a lock; empty: five minutes. 0 is no limit, as PostgreSQL's
/// `lock_timeout` has it, which counts milliseconds in 32 bits.
///
/// # Errors
/// As [`duration`], and when PostgreSQL could not count it.
pub fn lock_wait_timeout(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_millis(i32::MAX.unsigned_abs() as u64);
    if text.is_empty() {
        return Ok(Duration::from_secs(300));
    }
    let time = duration(text)?;
    // Less than what it counts would be no limit at all.
    if time > LONGEST || (!time.is_zero() && time.as_millis() == 0) {
        return Err("0 (no limit) or a time from 1ms to 24days is needed".to_owned());
    }
    Ok(time)
}

pub(crate) fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a port from 1 to 65535 is needed".to_owned()),
        Ok(port) => Ok(port),
    }
}

/// `false` in any of Go's spellings switches verification off; what cannot be read is an error
/// rather than a guess. Empty: true.
///
/// # Errors
/// When it is neither.
pub fn secure(text: &str) -> Result<bool, String> {
    if text.is_empty() {
        return Ok(true);
    }
    flag(text)
}

/// Reads true or false where neither may be said; empty is `None`.
///
/// # Errors
/// When it is something else.
pub(crate) fn maybe_flag(text: &str) -> Result<Maybe<bool>, String> {
    (!text.is_empty()).then(|| flag(text)).transpose()
}

/// Reads true or false, in any of Go's spellings. Empty: false.
///
/// # Errors
/// When it is neither.
pub fn flag(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "1" | "yes" => Ok(true),
        "" | "false" | "f" | "0" | "no" => Ok(false),
        _ => Err("true or false is needed".to_owned()),
    }
}
