//! The encoding of an archive's texts, by PostgreSQL's names. PostgreSQL manual, 23.3.1: supported
//! character sets.

use encoding_rs as rs;

/// What an archive of this encoding is read by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextEncoding {
    /// UTF-8, and SQL_ASCII, of which nobody knows more.
    Utf8,
    /// ISO 8859-1, which the WHATWG's table takes for Windows's.
    Latin1,
    Other(&'static rs::Encoding),
    /// One that is not known here.
    Unknown,
}

/// PostgreSQL's names, and the tables that have their characters.
const NAMES: [(&str, &rs::Encoding); 35] = [
    ("BIG5", rs::BIG5),
    ("EUC_CN", rs::GBK),
    ("EUC_JIS_2004", rs::EUC_JP),
    ("EUC_JP", rs::EUC_JP),
    ("EUC_KR", rs::EUC_KR),
    ("GB18030", rs::GB18030),
    ("GBK", rs::GBK),
    ("ISO_8859_5", rs::ISO_8859_5),
    ("ISO_8859_6", rs::ISO_8859_6),
    ("ISO_8859_7", rs::ISO_8859_7),
    ("ISO_8859_8", rs::ISO_8859_8),
    ("KOI8R", rs::KOI8_R),
    ("KOI8U", rs::KOI8_U),
    ("LATIN10", rs::ISO_8859_16),
    ("LATIN2", rs::ISO_8859_2),
    ("LATIN3", rs::ISO_8859_3),
    ("LATIN4", rs::ISO_8859_4),
    ("LATIN5", rs::WINDOWS_1254),
    ("LATIN6", rs::ISO_8859_10),
    ("LATIN7", rs::ISO_8859_13),
    ("LATIN8", rs::ISO_8859_14),
    ("LATIN9", rs::ISO_8859_15),
    ("SJIS", rs::SHIFT_JIS),
    ("UHC", rs::EUC_KR),
    ("WIN1250", rs::WINDOWS_1250),
    ("WIN1251", rs::WINDOWS_1251),
    ("WIN1252", rs::WINDOWS_1252),
    ("WIN1253", rs::WINDOWS_1253),
    ("WIN1254", rs::WINDOWS_1254),
    ("WIN1255", rs::WINDOWS_1255),
    ("WIN1256", rs::WINDOWS_1256),
    ("WIN1257", rs::WINDOWS_1257),
    ("WIN1258", rs::WINDOWS_1258),
    ("WIN866", rs::IBM866),
    ("WIN874", rs::WINDOWS_874),
];

impl TextEncoding {
    /// The encoding that an archive sets: `SET client_encoding = 'LATIN1';`.
    pub(super) fn set_by(definition: &str) -> Self {
        let name = definition.split('\'').nth(1).unwrap_or_default();
        match name {
            "UTF8" | "SQL_ASCII" | "" => Self::Utf8,
            "LATIN1" => Self::Latin1,
            _ => {
                let known = NAMES.iter().find(|it| it.0 == name);
                known.map_or(Self::Unknown, |it| Self::Other(it.1))
            }
        }
    }

    /// The text; none where it has characters that nobody here knows.
    pub(super) fn decode(self, bytes: Vec<u8>) -> Option<String> {
        if bytes.is_ascii() {
            return String::from_utf8(bytes).ok();
        }
        match self {
            Self::Utf8 => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Self::Latin1 => Some(rs::mem::decode_latin1(&bytes).into_owned()),
            Self::Other(encoding) => {
                let text = encoding.decode_without_bom_handling(&bytes).0;
                Some(text.into_owned())
            }
            Self::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_the_archives_encoding() {
        let decode = |encoding: &str, bytes: &[u8]| {
            TextEncoding::set_by(&format!("SET client_encoding = '{encoding}';\n"))
                .decode(bytes.to_vec())
        };
        let text = |it: &str| Some(it.to_owned());
        assert_eq!(decode("UTF8", "größe".as_bytes()), text("größe"));
        assert_eq!(decode("LATIN1", b"gr\xf6\xdfe \x80"), text("größe \u{80}"));
        assert_eq!(decode("WIN1252", b"\x80"), text("€"));
        assert_eq!(decode("EUC_JP", b"\xbf\xe5"), text("水"));
        assert_eq!(decode("WIN866", b"\x80"), text("А"));
        assert_eq!(decode("MULE_INTERNAL", b"plain"), text("plain"));
        assert_eq!(decode("MULE_INTERNAL", b"\x81\xe4"), None);
    }
}
