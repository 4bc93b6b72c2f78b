//! Values as PostgreSQL's output functions write them, from what its send functions write: `src/backend/utils/adt`.

use std::ops::Range;

use super::{Error, Type};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// 2000-01-01, in days from 0000-03-01.
const EPOCH: i64 = 730_425;
/// Days of 400 years.
const ERA: i64 = 146_097;

/// The days and microseconds that the types have, counted from 2000-01-01: `IS_VALID_DATE` and `IS_VALID_TIMESTAMP` in
/// `datatype/timestamp.h`.
const DATES: Range<i32> = -2_451_545..2_145_031_949;
const TIMESTAMPS: Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;
/// What four digits of a numeric, which are sent as one number, are less than.
const FOUR: u16 = 10_000;

pub(super) fn fixed<const N: usize>(value: &[u8]) -> Result<[u8; N], Error> {
    value.try_into().map_err(|_other_length| Error::Value)
}

/// Writes a value that has come as a whole.
pub(super) fn write(of: Type, value: &[u8], text: &mut Vec<u8>) -> Result<(), Error> {
    match of {
        Type::Bool => match value {
            [0] => text.push(b'f'),
            [1] => text.push(b't'),
            _ => return Err(Error::Value),
        },
        Type::Int2 => decimal(i16::from_be_bytes(fixed(value)?), text),
        Type::Int4 => decimal(i32::from_be_bytes(fixed(value)?), text),
        Type::Int8 => decimal(i64::from_be_bytes(fixed(value)?), text),
        Type::Oid => decimal(u32::from_be_bytes(fixed(value)?), text),
        Type::Uuid => uuid(&fixed(value)?, text),
        Type::Date => match i32::from_be_bytes(fixed(value)?) {
            i32::MAX => text.extend_from_slice(b"infinity"),
            i32::MIN => text.extend_from_slice(b"-infinity"),
            days if DATES.contains(&days) => {
                let is_bc = day(days.into(), text);
                era(is_bc, text);
            }
            _ => return Err(Error::Value),
        },
        Type::Timestamp => timestamp(i64::from_be_bytes(fixed(value)?), b"", text)?,
        Type::Timestamptz => timestamp(i64::from_be_bytes(fixed(value)?), b"+00", text)?,
        Type::Numeric => numeric(value, text)?,
        Type::Text | Type::Jsonb | Type::Bytea => return Err(Error::Value),
    }
    Ok(())
}

/// `CopyAttributeOutText` in `copyto.c`, in an encoding whose every ASCII byte is that character.
pub(super) fn escape(mut piece: &[u8], text: &mut Vec<u8>) {
    while let Some(at) = first_special(piece) {
        let (before, from) = piece.split_at(at);
        text.extend_from_slice(before);
        let [special, rest @ ..] = from else { return };
        text.push(b'\\');
        text.push(match special {
            8 => b'b',
            9 => b't',
            10 => b'n',
            11 => b'v',
            12 => b'f',
            13 => b'r',
            other => *other,
        });
        piece = rest;
    }
    text.extend_from_slice(piece);
}

/// Looked for in blocks, of which the compiler makes a few instructions each.
fn first_special(piece: &[u8]) -> Option<usize> {
    let is_special = |it: u8| (it.wrapping_sub(8) < 6) | (it == b'\\');
    let (blocks, _) = piece.as_chunks::<16>();
    let plain = |it: &&[u8; 16]| !it.iter().fold(false, |any, it| any | is_special(*it));
    let from = blocks.iter().take_while(plain).count() * 16;
    let rest = piece.get(from..)?;
    let at = rest.iter().position(|it| is_special(*it))?;
    Some(from + at)
}

pub(super) fn hex(piece: &[u8], text: &mut Vec<u8>) {
    let from = text.len();
    text.resize(from + piece.len() * 2, 0);
    // There is room for each.
    let _written = faster_hex::hex_encode(piece, &mut text[from..]);
}

fn decimal(value: impl itoa::Integer, text: &mut Vec<u8>) {
    text.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A number of two digits; of others the last two.
fn two(number: i64) -> [u8; 2] {
    [number / 10 % 10, number % 10].map(digit)
}

fn four(number: i64) -> [u8; 4] {
    [
        number / 1_000 % 10,
        number / 100 % 10,
        number / 10 % 10,
        number % 10,
    ]
    .map(digit)
}

fn digit(number: i64) -> u8 {
    // It has one digit.
    b'0' + u8::try_from(number).unwrap_or(0)
}

fn uuid(value: &[u8; 16], text: &mut Vec<u8>) {
    for (part, range) in [0..4, 4..6, 6..8, 8..10, 10..16].into_iter().enumerate() {
        if part > 0 {
            text.push(b'-');
        }
        hex(&value[range], text);
    }
}

/// Writes a day, counted from 2000-01-01; whether it is before the first year.
fn day(days: i64, text: &mut Vec<u8>) -> bool {
    let days = days + EPOCH;
    let (era, of_era) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    // The last day of four, of a hundred and of four hundred years is the one that others lack.
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / (ERA - 1)) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    // From March on.
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let year = year + era * 400 + i64::from(month >= 10);
    let month = if month < 10 { month + 3 } else { month - 9 };
    let is_bc = year <= 0;
    let year = if is_bc { 1 - year } else { year };
    if year < 10_000 {
        text.extend_from_slice(&four(year));
    } else {
        decimal(year, text);
    }
    let ([m1, m2], [d1, d2]) = (two(month), two(day));
    text.extend_from_slice(&[b'-', m1, m2, b'-', d1, d2]);
    is_bc
}

fn era(is_bc: bool, text: &mut Vec<u8>) {
    if is_bc {
        text.extend_from_slice(b" BC");
    }
}

fn timestamp(value: i64, zone: &[u8], text: &mut Vec<u8>) -> Result<(), Error> {
    let infinite: &[u8] = match value {
        i64::MAX => b"infinity",
        i64::MIN => b"-infinity",
        value if TIMESTAMPS.contains(&value) => b"",
        _ => return Err(Error::Value),
    };
    if !infinite.is_empty() {
        text.extend_from_slice(infinite);
        return Ok(());
    }
    let is_bc = day(value.div_euclid(DAY), text);
    let time = value.rem_euclid(DAY);
    let (seconds, fraction) = (time / SECOND, time % SECOND);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let ([h1, h2], [m1, m2], [s1, s2]) = (two(hour), two(minute), two(second));
    text.extend_from_slice(&[b' ', h1, h2, b':', m1, m2, b':', s1, s2]);
    if fraction > 0 {
        text.push(b'.');
        text.extend_from_slice(&two(fraction / 10_000));
        text.extend_from_slice(&four(fraction));
        while text.last() == Some(&b'0') {
            text.pop();
        }
    }
    text.extend_from_slice(zone);
    era(is_bc, text);
    Ok(())
}

/// `numeric_send` and `get_str_from_var` in `numeric.c`.
fn numeric(value: &[u8], text: &mut Vec<u8>) -> Result<(), Error> {
    const NEGATIVE: u16 = 0x4000;
    let (head, digits) = value.split_at_checked(8).ok_or(Error::Value)?;
    let [c1, c2, w1, w2, s1, s2, d1, d2] = fixed(head)?;
    let count = u16::from_be_bytes([c1, c2]);
    let sign = u16::from_be_bytes([s1, s2]);
    let scale = u16::from_be_bytes([d1, d2]);
    let (digits, rest) = digits.as_chunks::<2>();
    let are_digits = digits.iter().all(|it| u16::from_be_bytes(*it) < FOUR);
    if digits.len() != usize::from(count) || !rest.is_empty() || !are_digits {
        return Err(Error::Value);
    }
    let special: &[u8] = match sign {
        0 => b"",
        NEGATIVE => {
            text.push(b'-');
            b""
        }
        0xC000 => b"NaN",
        0xD000 => b"Infinity",
        0xF000 => b"-Infinity",
        _ => return Err(Error::Value),
    };
    if !special.is_empty() {
        text.extend_from_slice(special);
        return Ok(());
    }
    let weight = i32::from(i16::from_be_bytes([w1, w2]));
    let group = |at: i32| {
        let at = usize::try_from(at).ok().and_then(|it| digits.get(it));
        at.map_or(0, |it| i64::from(u16::from_be_bytes(*it)))
    };
    if weight < 0 {
        text.push(b'0');
    } else {
        decimal(group(0), text);
        for at in 1..=weight {
            text.extend_from_slice(&four(group(at)));
        }
    }
    if scale > 0 {
        text.push(b'.');
        let end = text.len() + usize::from(scale);
        let mut at = weight + 1;
        while text.len() < end {
            text.extend_from_slice(&four(group(at)));
            at += 1;
        }
        text.truncate(end);
    }
    Ok(())
}
