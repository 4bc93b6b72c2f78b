//! Durations as manifests have them, which are Go's: `1h30m`, `1.5s`, `300ms`.

use std::time::Duration;

/// Longest first, where one begins as another does.
const UNITS: [(&str, f64); 7] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
];

/// Reads a duration; none: it is none, or negative.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut seconds = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|it: char| !it.is_ascii_digit() && it != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let (unit, factor) = UNITS
            .into_iter()
            .find(|(unit, _)| rest[end..].starts_with(unit))?;
        seconds += number * factor;
        rest = &rest[end + unit.len()..];
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// operator.md, W21: what is no duration is said, and stops nothing.
    #[test]
    fn a_duration_is_read_as_go_reads_it() {
        for (text, milliseconds) in [
            ("0", 0),
            ("1ms", 1),
            ("30s", 30_000),
            ("1.5s", 1500),
            ("1h30m", 5_400_000),
            ("2h0m0s", 7_200_000),
            ("500us", 0),
        ] {
            let read = parse(text).map(|it| it.as_millis());
            assert_eq!(read, Some(milliseconds), "{text}");
        }
        for text in ["", "7d", "5", "-1s", "s", "1x", "1.2.3s", "1h 3m"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
