//! `numeric`, in groups of four decimal digits. The layout is that of `numeric_recv` in
//! `src/backend/utils/adt/numeric.c`.

const NEGATIVE: u16 = 0x4000;
const NOT_A_NUMBER: u16 = 0xC000;
const INFINITE: u16 = 0xD000;
const MINUS_INFINITE: u16 = 0xF000;
/// Decimal digits of a group.
const GROUP: usize = 4;
/// The most digits behind the point that the server takes (`NUMERIC_DSCALE_MAX`).
const MOST_BEHIND: usize = 0x3FFF;
/// The most digits before it.
const MOST_BEFORE: usize = 131_072;

/// Appends what `numeric_out` has written; none: it has not.
pub(super) fn append(field: &[u8], to: &mut Vec<u8>) -> Option<()> {
    let special = match field {
        b"NaN" => Some(NOT_A_NUMBER),
        b"Infinity" => Some(INFINITE),
        b"-Infinity" => Some(MINUS_INFINITE),
        _ => None,
    };
    if let Some(sign) = special {
        return head(to, 0, 0, sign, 0);
    }
    let (sign, number) = match field {
        [b'-', number @ ..] => (NEGATIVE, number),
        number => (0, number),
    };
    let (before, behind) = match memchr::memchr(b'.', number) {
        Some(at) => (number.get(..at)?, number.get(at + 1..)?),
        None => (number, &[][..]),
    };
    let only_digits = |it: &[u8]| it.iter().all(u8::is_ascii_digit);
    let is_written_so = (1..=MOST_BEFORE).contains(&before.len())
        && behind.len() <= MOST_BEHIND
        && (number.len() == before.len() || !behind.is_empty())
        && only_digits(before)
        && only_digits(behind);
    if !is_written_so {
        return None;
    }
    let begin = to.len();
    head(to, 0, 0, 0, 0)?;
    let digits = to.len();
    // The first group has what is left over, the last one zeros behind it.
    let (first, groups) = before.split_at(before.len() % GROUP);
    let mut weight = i32::try_from(before.len().div_ceil(GROUP)).ok()? - 1;
    let mut leading = true;
    let mut push = |group: &[u8], to: &mut Vec<u8>| {
        let value = group
            .iter()
            .fold(0u16, |sum, it| sum * 10 + u16::from(it - b'0'));
        if leading && value == 0 {
            weight -= 1;
            return;
        }
        leading = false;
        to.extend(value.to_be_bytes());
    };
    if !first.is_empty() {
        push(first, to);
    }
    groups.chunks(GROUP).for_each(|it| push(it, to));
    for group in behind.chunks(GROUP) {
        let mut whole = [b'0'; GROUP];
        whole.get_mut(..group.len())?.copy_from_slice(group);
        push(&whole, to);
    }
    while to.len() > digits && to.ends_with(&[0, 0]) {
        to.truncate(to.len() - 2);
    }
    let count = (to.len() - digits) / 2;
    // Of zero the server keeps no sign and no weight.
    let (weight, sign) = if count == 0 { (0, 0) } else { (weight, sign) };
    let mut written = Vec::with_capacity(8);
    head(&mut written, count, weight, sign, behind.len())?;
    to.get_mut(begin..digits)?.copy_from_slice(&written);
    Some(())
}

fn head(to: &mut Vec<u8>, digits: usize, weight: i32, sign: u16, scale: usize) -> Option<()> {
    to.extend(i16::try_from(digits).ok()?.to_be_bytes());
    to.extend(i16::try_from(weight).ok()?.to_be_bytes());
    to.extend(sign.to_be_bytes());
    to.extend(u16::try_from(scale).ok()?.to_be_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weight, sign, scale, digits.
    fn made(field: &str) -> Option<(i16, u16, u16, Vec<u16>)> {
        let mut to = vec![7];
        append(field.as_bytes(), &mut to)?;
        assert_eq!(to.remove(0), 7);
        let words: Vec<u16> = to
            .chunks(2)
            .map(|it| u16::from_be_bytes([it[0], it[1]]))
            .collect();
        assert_eq!(usize::from(words[0]), words.len() - 4, "{field}");
        Some((
            words[1].cast_signed(),
            words[2],
            words[3],
            words[4..].to_vec(),
        ))
    }

    #[test]
    fn groups_are_counted_from_the_point() {
        assert_eq!(made("0"), Some((0, 0, 0, vec![])));
        assert_eq!(made("0.00"), Some((0, 0, 2, vec![])));
        assert_eq!(made("1"), Some((0, 0, 0, vec![1])));
        assert_eq!(
            made("-12345.678"),
            Some((1, NEGATIVE, 3, vec![1, 2345, 6780]))
        );
        assert_eq!(made("10000"), Some((1, 0, 0, vec![1])));
        assert_eq!(made("100000000.0001"), Some((2, 0, 4, vec![1, 0, 0, 1])));
        assert_eq!(made("0.00001"), Some((-2, 0, 5, vec![1000])));
        assert_eq!(made("NaN"), Some((0, NOT_A_NUMBER, 0, vec![])));
        assert_eq!(made("-Infinity"), Some((0, MINUS_INFINITE, 0, vec![])));
        for other in ["", "-", ".5", "5.", "1e3", "+1", "1.2.3", "infinity", " 1"] {
            assert_eq!(made(other), None, "{other}");
        }
    }
}
