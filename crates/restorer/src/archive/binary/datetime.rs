//! Dates and times as `EncodeDateOnly` and `EncodeDateTime` write them with `DateStyle = ISO`, counted
//! from 2000-01-01. PostgreSQL manual, 8.5: date/time types.

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// 2000-01-01, in days from 0000-03-01.
const EPOCH: i64 = 730_425;
/// Within these years, counted without a year 0 in between, no sum below is too large for an `i64`.
const YEARS: std::ops::RangeInclusive<i64> = -4_713..=5_874_897;

/// Days; the ends of the type are the infinities.
pub(super) fn date(field: &[u8]) -> Option<i32> {
    match field {
        b"infinity" => return Some(i32::MAX),
        b"-infinity" => return Some(i32::MIN),
        _ => {}
    }
    let (field, is_bc) = era(field);
    let (days, rest) = days(field, is_bc)?;
    if !rest.is_empty() {
        return None;
    }
    i32::try_from(days).ok()
}

/// Microseconds; the ends of the type are the infinities.
pub(super) fn timestamp(field: &[u8]) -> Option<i64> {
    infinite(field).or_else(|| {
        let (field, is_bc) = era(field);
        let (local, rest) = local(field, is_bc)?;
        rest.is_empty().then_some(local)
    })
}

/// The same in UTC, of a local time and how far that is east of it.
pub(super) fn timestamptz(field: &[u8]) -> Option<i64> {
    infinite(field).or_else(|| {
        let (field, is_bc) = era(field);
        let (local, rest) = local(field, is_bc)?;
        local.checked_sub(offset(rest)?)
    })
}

fn infinite(field: &[u8]) -> Option<i64> {
    match field {
        b"infinity" => Some(i64::MAX),
        b"-infinity" => Some(i64::MIN),
        _ => None,
    }
}

fn era(field: &[u8]) -> (&[u8], bool) {
    match field.strip_suffix(b" BC") {
        Some(field) => (field, true),
        None => (field, false),
    }
}

/// `YYYY-MM-DD`, with more digits of the year where it has them. Gives what follows.
fn days(field: &[u8], is_bc: bool) -> Option<(i64, &[u8])> {
    let length = memchr::memchr(b'-', field).filter(|it| (4..=7).contains(it))?;
    let (year, rest) = field.split_at_checked(length)?;
    let [b'-', m1, m2, b'-', d1, d2, rest @ ..] = rest else {
        return None;
    };
    let year = digits(year)?;
    if year == 0 {
        return None;
    }
    let year = if is_bc { 1 - year } else { year };
    let (month, day) = (digits(&[*m1, *m2])?, digits(&[*d1, *d2])?);
    let is_leap =
        year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0);
    let last = match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 31,
    };
    if !YEARS.contains(&year) || !(1..=12).contains(&month) || !(1..=last).contains(&day) {
        return None;
    }
    // From March on the leap day is a year's last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let years = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some((years + (153 * month + 2) / 5 + day - 1 - EPOCH, rest))
}

/// A day, a blank, `HH:MM:SS` and up to six digits of a fraction. Gives what follows.
fn local(field: &[u8], is_bc: bool) -> Option<(i64, &[u8])> {
    let (days, rest) = days(field, is_bc)?;
    let [b' ', h1, h2, b':', m1, m2, b':', s1, s2, rest @ ..] = rest else {
        return None;
    };
    let (hour, minute) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
    let second = digits(&[*s1, *s2])?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => {
            let length = rest.iter().take_while(|it| it.is_ascii_digit()).count();
            let (written, rest) = rest.split_at_checked(length)?;
            let missing = 6usize.checked_sub(length).filter(|it| *it < 6)?;
            let scale = 10i64.checked_pow(u32::try_from(missing).ok()?)?;
            (digits(written)? * scale, rest)
        }
        rest => (0, rest),
    };
    let time = ((hour * 60 + minute) * 60 + second) * SECOND + fraction;
    Some((days.checked_mul(DAY)?.checked_add(time)?, rest))
}

/// `+HH`, `+HH:MM` or `+HH:MM:SS`, in microseconds to the east.
fn offset(field: &[u8]) -> Option<i64> {
    let [sign @ (b'+' | b'-'), h1, h2, rest @ ..] = field else {
        return None;
    };
    let (minute, second) = match rest {
        [] => (0, 0),
        [b':', m1, m2] => (digits(&[*m1, *m2])?, 0),
        [b':', m1, m2, b':', s1, s2] => (digits(&[*m1, *m2])?, digits(&[*s1, *s2])?),
        _ => return None,
    };
    if minute > 59 || second > 59 {
        return None;
    }
    let east = ((digits(&[*h1, *h2])? * 60 + minute) * 60 + second) * SECOND;
    Some(if *sign == b'-' { -east } else { east })
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0i64, |sum, it| {
        let digit = it.checked_sub(b'0').filter(|it| *it <= 9)?;
        Some(sum * 10 + i64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_2000() {
        for (text, wanted) in [
            ("2000-01-01", 0),
            ("1999-12-31", -1),
            ("2000-02-29", 59),
            ("2000-03-01", 60),
            ("1970-01-01", -10_957),
            ("0001-01-01", -730_119),
            ("0001-12-31 BC", -730_120),
            // The first and the last day that the type has.
            ("4714-11-24 BC", -2_451_545),
            ("5874897-12-31", 2_145_031_948),
        ] {
            assert_eq!(date(text.as_bytes()), Some(wanted), "{text}");
        }
        for text in [
            "2001-02-29",
            "1900-02-29",
            "2000-13-01",
            "2000-00-01",
            "2000-01-00",
            "2000-04-31",
            "0000-01-01",
            "200-01-01",
            "2000-1-1",
            "2000-01-01 ",
            "01/02/2000",
            "",
            "today",
            "12345678-01-01",
        ] {
            assert_eq!(date(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn times_are_microseconds() {
        let at = |text: &str| timestamp(text.as_bytes());
        assert_eq!(at("2000-01-01 00:00:00"), Some(0));
        assert_eq!(at("2000-01-01 00:00:01.5"), Some(1_500_000));
        assert_eq!(at("1999-12-31 23:59:59.999999"), Some(-1));
        assert_eq!(
            at("294276-12-31 23:59:59.999999"),
            Some(9_223_371_331_199_999_999)
        );
        assert_eq!(at("4714-11-24 00:00:00 BC"), Some(-211_813_488_000_000_000));
        assert_eq!(at("infinity"), Some(i64::MAX));
        let in_utc = |text: &str| timestamptz(text.as_bytes());
        assert_eq!(in_utc("2000-01-01 02:00:00+02"), Some(0));
        assert_eq!(in_utc("2000-01-01 00:00:00-05:30"), Some(19_800_000_000));
        assert_eq!(
            in_utc("1883-11-18 12:03:58-07:52:58"),
            in_utc("1883-11-18 19:56:56+00")
        );
        assert_eq!(
            in_utc("0044-03-15 12:00:00+00 BC"),
            at("0044-03-15 12:00:00 BC")
        );
        for text in [
            "2000-01-01 24:00:00",
            "2000-01-01 00:60:00",
            "2000-01-01 00:00:60",
            "2000-01-01 00:00:00.",
            "2000-01-01 00:00:00.1234567",
            "2000-01-01T00:00:00",
            "2000-01-01",
            "2000-01-01 00:00:00+00",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
        for text in [
            "2000-01-01 00:00:00",
            "2000-01-01 00:00:00+1",
            "2000-01-01 00:00:00 UTC",
            "2000-01-01 00:00:00+00:60",
        ] {
            assert_eq!(in_utc(text), None, "{text}");
        }
    }
}
