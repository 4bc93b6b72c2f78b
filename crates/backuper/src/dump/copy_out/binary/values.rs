//! Values as PostgreSQL's output functions write them, from what its send functions write: `src/backend/utils/adt`.

use std::io::Write as _;
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
        Type::Int2 => decimal(i16::from_be_bytes(fixed(value)?).into(), text),
        Type::Int4 => decimal(i32::from_be_bytes(fixed(value)?).into(), text),
        Type::Int8 => decimal(i64::from_be_bytes(fixed(value)?), text),
        Type::Oid => decimal(u32::from_be_bytes(fixed(value)?).into(), text),
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
    let is_special = |it: &u8| matches!(it, 8..=13 | b'\\');
    while let Some(at) = piece.iter().position(is_special) {
        text.extend_from_slice(&piece[..at]);
        text.push(b'\\');
        text.push(match piece[at] {
            8 => b'b',
            9 => b't',
            10 => b'n',
            11 => b'v',
            12 => b'f',
            13 => b'r',
            other => other,
        });
        piece = &piece[at + 1..];
    }
    text.extend_from_slice(piece);
}

pub(super) fn hex(piece: &[u8], text: &mut Vec<u8>) {
    let from = text.len();
    text.resize(from + piece.len() * 2, 0);
    // There is room for each.
    let _written = faster_hex::hex_encode(piece, &mut text[from..]);
}

fn decimal(value: i64, text: &mut Vec<u8>) {
    put(text, format_args!("{value}"));
}

/// Into memory, where nothing fails.
fn put(text: &mut Vec<u8>, what: std::fmt::Arguments<'_>) {
    let _written = text.write_fmt(what);
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
    put(text, format_args!("{year:04}-{month:02}-{day:02}"));
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
    put(text, format_args!(" {hour:02}:{minute:02}:{second:02}"));
    if fraction > 0 {
        put(text, format_args!(".{fraction:06}"));
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
    let head: Vec<u16> = numbers(head).collect();
    let [count, weight, sign, scale] = head[..] else {
        return Err(Error::Value);
    };
    let digits: Vec<u16> = numbers(digits).collect();
    let is_whole = value.len() == 8 + 2 * usize::from(count);
    if !is_whole || digits.iter().any(|it| *it >= FOUR) {
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
    let weight = i32::from(weight.cast_signed());
    let group = |at: i32| {
        let at = usize::try_from(at).ok();
        at.and_then(|it| digits.get(it)).copied().unwrap_or(0)
    };
    if weight < 0 {
        text.push(b'0');
    } else {
        put(text, format_args!("{}", group(0)));
        for at in 1..=weight {
            put(text, format_args!("{:04}", group(at)));
        }
    }
    if scale > 0 {
        text.push(b'.');
        let end = text.len() + usize::from(scale);
        let mut at = weight + 1;
        while text.len() < end {
            put(text, format_args!("{:04}", group(at)));
            at += 1;
        }
        text.truncate(end);
    }
    Ok(())
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u16> {
    let pairs = bytes.chunks_exact(2);
    pairs.map(|it| it.iter().fold(0, |sum, it| sum << 8 | u16::from(*it)))
}
