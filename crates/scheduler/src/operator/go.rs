//! Durations and sizes as dbtether writes them, which is as Go does.

use jiff::SignedDuration;

use crate::domain::cron;

/// Reads a duration: `1h30m`, `1.5h`, `90s`.
///
/// # Errors
/// When it is none.
pub(super) fn duration(text: &str) -> Result<SignedDuration, String> {
    let (is_negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let parsed = cron::go_duration(rest).filter(|_| !(is_negative && rest.starts_with('+')));
    let parsed = parsed.ok_or_else(|| {
        format!(
            "{text:?} is no duration; write it in hours, minutes and seconds, such as 168h or 1h30m"
        )
    })?;
    Ok(if is_negative { -parsed } else { parsed })
}

/// Writes one.
pub(super) fn written(duration: SignedDuration) -> String {
    let sign = if duration.is_negative() { "-" } else { "" };
    let whole = duration.unsigned_abs();
    let (seconds, nanos) = (whole.as_secs(), whole.subsec_nanos());
    if seconds == 0 {
        let (unit, size) = match nanos {
            0 => return "0s".to_owned(),
            1..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        return format!("{sign}{}{unit}", decimal(u64::from(nanos), size));
    }
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let rest = decimal(
        (seconds % 60) * 1_000_000_000 + u64::from(nanos),
        1_000_000_000,
    );
    match (hours, minutes) {
        (0, 0) => format!("{sign}{rest}s"),
        (0, minutes) => format!("{sign}{minutes}m{rest}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{rest}s"),
    }
}

/// A count of parts as whole ones, with what is left behind a point and without the zeros at its end.
fn decimal(parts: u64, of: u64) -> String {
    let (whole, rest) = (parts / of, parts % of);
    if rest == 0 {
        return whole.to_string();
    }
    let width = of.ilog10() as usize;
    let text = format!("{whole}.{rest:0width$}");
    text.trim_end_matches('0').to_owned()
}

/// A size of which people read the beginning: `1.5 MiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = bytes.ilog2() / 10;
    let unit = 1_u128 << (10 * power);
    let tenths = (u128::from(bytes) * 10 + unit / 2) / unit;
    let name = UNITS.get(power as usize - 1).copied().unwrap_or("EiB");
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_as_go_does() {
        for (text, expected) in [
            ("24h", "24h0m0s"),
            ("1.5h", "1h30m0s"),
            ("90s", "1m30s"),
            ("1m0.25s", "1m0.25s"),
            ("12345ms", "12.345s"),
            ("0", "0s"),
            ("1500us", "1.5ms"),
            ("2us", "2µs"),
            ("3ns", "3ns"),
            ("-1h", "-1h0m0s"),
        ] {
            assert_eq!(written(duration(text).unwrap()), expected, "{text}");
        }
        for text in ["", "7d", "1", "h", "-", "-+1h", "1 h", "1h-2m"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_have_one_decimal() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536 * 1024, "1.5 MiB"),
            (5 * 1024 * 1024 * 1024, "5.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }
}
