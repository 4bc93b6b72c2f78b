//! Values as COPY writes them in its text format, made what the types' receive functions take.
//!
//! PostgreSQL manual, COPY: file formats. The layouts are those of the `*_recv` functions in
//! `src/backend/utils/adt`. Whatever is not written as the type's output function writes it under
//! pg_dump's settings is not taken, and never guessed.

use super::{datetime, numeric};

/// How a value is made binary, by the base type of its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    /// Types whose binary form is their text: text, varchar, bpchar, json and the labels of enums.
    Text,
    Jsonb,
    Bytea,
    Uuid,
    Date,
    Timestamp,
    Timestamptz,
}

impl Type {
    /// By the number that a base type has in every server's `pg_type.dat`; none: it is not known here.
    pub(crate) fn of(oid: u32, is_enum: bool) -> Option<Self> {
        if is_enum {
            return Some(Self::Text);
        }
        Some(match oid {
            16 => Self::Bool,
            17 => Self::Bytea,
            20 => Self::Int8,
            21 => Self::Int2,
            23 => Self::Int4,
            25 | 114 | 1042 | 1043 => Self::Text,
            700 => Self::Float4,
            701 => Self::Float8,
            1082 => Self::Date,
            1114 => Self::Timestamp,
            1184 => Self::Timestamptz,
            1700 => Self::Numeric,
            2950 => Self::Uuid,
            3802 => Self::Jsonb,
            _ => return None,
        })
    }

    /// Appends a value, given as it stands between two tabs. None: it is not taken, and what was
    /// appended is to be taken away again.
    pub(super) fn append(self, field: &[u8], to: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Bool => to.push(match field {
                b"t" => 1,
                b"f" => 0,
                _ => return None,
            }),
            Self::Int2 => to.extend(i16::try_from(integer(field)?).ok()?.to_be_bytes()),
            Self::Int4 => to.extend(i32::try_from(integer(field)?).ok()?.to_be_bytes()),
            Self::Int8 => to.extend(integer(field)?.to_be_bytes()),
            Self::Float4 => {
                let number: f32 = float(field)?.parse().ok()?;
                to.extend(number.to_be_bytes());
            }
            Self::Float8 => {
                let number: f64 = float(field)?.parse().ok()?;
                to.extend(number.to_be_bytes());
            }
            Self::Numeric => numeric::append(field, to)?,
            Self::Text => unescape(field, to)?,
            Self::Jsonb => {
                // The version of the format.
                to.push(1);
                unescape(field, to)?;
            }
            Self::Bytea => bytea(field, to)?,
            Self::Uuid => uuid(field, to)?,
            Self::Date => to.extend(datetime::date(field)?.to_be_bytes()),
            Self::Timestamp => to.extend(datetime::timestamp(field)?.to_be_bytes()),
            Self::Timestamptz => to.extend(datetime::timestamptz(field)?.to_be_bytes()),
        }
        Some(())
    }
}

/// Takes COPY's backslashes away. Those that `CopyAttributeOutText` writes are taken, and no others.
fn unescape(field: &[u8], to: &mut Vec<u8>) -> Option<()> {
    let mut rest = field;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (before, escaped) = rest.split_at_checked(at)?;
        to.extend_from_slice(before);
        let [_, escaped, after @ ..] = escaped else {
            return None;
        };
        to.push(match escaped {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            b'\\' => b'\\',
            _ => return None,
        });
        rest = after;
    }
    to.extend_from_slice(rest);
    Some(())
}

/// A sign where it is negative, then digits.
fn integer(field: &[u8]) -> Option<i64> {
    let (negative, digits) = match field {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value: i64 = 0;
    for digit in digits {
        let digit = digit.checked_sub(b'0').filter(|it| *it <= 9)?;
        // Downwards, as there is one more of the negative ones.
        value = value.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if negative {
        Some(value)
    } else {
        value.checked_neg()
    }
}

/// As `float8out` writes it: `-1.5`, `1e+20`, `Infinity`, `-Infinity` or `NaN`.
fn float(field: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(field).ok()?;
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let number = unsigned.starts_with(|it: char| it.is_ascii_digit())
        && unsigned
            .bytes()
            .all(|it| it.is_ascii_digit() || matches!(it, b'.' | b'e' | b'+' | b'-'));
    (number || unsigned == "Infinity" || text == "NaN").then_some(text)
}

/// `\x` and hexadecimal digits, its backslash doubled by COPY.
fn bytea(field: &[u8], to: &mut Vec<u8>) -> Option<()> {
    let digits = field.strip_prefix(br"\\x")?;
    let at = to.len();
    to.resize(at + digits.len() / 2, 0);
    faster_hex::hex_decode(digits, to.get_mut(at..)?).ok()
}

/// 8, 4, 4, 4 and 12 hexadecimal digits.
fn uuid(field: &[u8], to: &mut Vec<u8>) -> Option<()> {
    let uuid = uuid::Uuid::try_parse_ascii(field).ok()?;
    // Other forms of it are not `uuid_out`'s.
    if field.len() != 36 {
        return None;
    }
    to.extend_from_slice(uuid.as_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(kind: Type, field: &str) -> Option<Vec<u8>> {
        let mut to = Vec::new();
        kind.append(field.as_bytes(), &mut to).map(|()| to)
    }

    #[test]
    fn what_is_written_otherwise_is_not_taken() {
        for (kind, fields) in [
            (Type::Bool, &["true", "", "T"][..]),
            (Type::Int2, &["32768", "-32769", "+1", "", "-", "1 ", "1e3"]),
            (Type::Int4, &["2147483648", "0x1", "1_000"]),
            (Type::Int8, &["9223372036854775808", "-9223372036854775809"]),
            (
                Type::Float8,
                &["inf", "nan", "+1", ".5", "infinity", "-NaN", "1f", ""],
            ),
            (Type::Text, &["\\N", "\\x41", "\\101", "end\\"]),
            (Type::Jsonb, &["\\."]),
            (
                Type::Bytea,
                &["\\\\x4", "\\\\xzz", "\\x41", "abc", "\\\\000"],
            ),
            (
                Type::Uuid,
                &[
                    "{00000000-0000-0000-0000-000000000000}",
                    "00000000000000000000000000000000",
                    "x",
                ],
            ),
        ] {
            for field in fields {
                assert_eq!(made(kind, field), None, "{kind:?} {field}");
            }
        }
    }

    #[test]
    fn the_ends_of_each_type_are_taken() {
        assert_eq!(made(Type::Int2, "-32768"), Some(vec![0x80, 0]));
        assert_eq!(
            made(Type::Int8, "-9223372036854775808"),
            Some(i64::MIN.to_be_bytes().to_vec())
        );
        assert_eq!(
            made(Type::Int8, "9223372036854775807"),
            Some(i64::MAX.to_be_bytes().to_vec())
        );
        let double = |number: f64| Some(number.to_be_bytes().to_vec());
        assert_eq!(made(Type::Float8, "-0"), double(-0.0));
        assert_eq!(made(Type::Float8, "NaN"), double(f64::NAN));
        assert_eq!(made(Type::Float8, "-Infinity"), double(f64::NEG_INFINITY));
        assert_eq!(made(Type::Float8, "5e-324"), double(5e-324));
        assert_eq!(
            made(Type::Float4, "3.4028235e+38"),
            Some(f32::MAX.to_be_bytes().to_vec())
        );
        assert_eq!(made(Type::Text, "a\\tb\\\\n"), Some(b"a\tb\\n".to_vec()));
        assert_eq!(made(Type::Text, ""), Some(Vec::new()));
        assert_eq!(made(Type::Bytea, "\\\\x"), Some(Vec::new()));
        assert_eq!(made(Type::Bytea, "\\\\x00fF"), Some(vec![0, 255]));
        assert_eq!(made(Type::Jsonb, "{}"), Some(b"\x01{}".to_vec()));
    }
}
