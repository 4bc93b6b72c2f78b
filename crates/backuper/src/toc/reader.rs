//! Reads the head of an archive, text by text: `ReadHead` and `ReadToc` in `pg_backup_archiver.c`.

use std::io::Read;
use std::ops::Range;

use super::encoding::TextEncoding;
use super::{Entry, Error, Layout, MAGIC, Section, Toc, number};

/// The oldest and the newest format that is read.
const OLDEST: (u8, u8) = (1, 12);
const NEWEST: (u8, u8) = (1, 16);
/// The format byte of the custom format.
const CUSTOM: u8 = 1;
/// The longest text that is believed, in bytes: PostgreSQL's own limit for one value.
const LONGEST: usize = 1 << 30;

/// Where texts of an entry stand, each with its length before it.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    pub(super) definition: Range<usize>,
    pub(super) drop: Range<usize>,
    pub(super) copy: Range<usize>,
    pub(super) owner: Range<usize>,
}

pub(super) struct Reader<R> {
    pub(super) source: R,
    /// Bytes that were read.
    pub(super) position: usize,
    /// Of the last entry.
    pub(super) places: Places,
    pub(super) layout: Layout,
    /// Of the texts behind the entry that names it, which is the first one.
    encoding: TextEncoding,
}

impl<R: Read> Reader<R> {
    pub(super) fn begin(source: R) -> Result<Self, Error> {
        let mut reader = Self {
            source,
            position: 0,
            places: Places::default(),
            layout: Layout {
                int_size: 4,
                compressed: false,
                minor: 0,
                offset_size: 8,
            },
            encoding: TextEncoding::Utf8,
        };
        let magic = reader.upto(MAGIC.len());
        if !MAGIC.starts_with(&magic) {
            return Err(Error::NotAnArchive);
        }
        let [major, minor, _revision] = reader.array()?;
        if (major, minor) < OLDEST || (major, minor) > NEWEST {
            return Err(Error::Version(major, minor));
        }
        let [int_size, offset_size, format] = reader.array()?;
        let layout = &mut reader.layout;
        layout.minor = minor;
        layout.int_size = usize::from(int_size);
        layout.offset_size = usize::from(offset_size);
        if !(1..=8).contains(&layout.int_size) || !(1..=8).contains(&layout.offset_size) {
            return Err(Error::Damaged(
                "a number of that many bytes is not possible",
            ));
        }
        if format != CUSTOM {
            return Err(Error::NotAnArchive);
        }
        // A level until 1.14, an algorithm since; 0 is none of either.
        reader.layout.compressed = if minor >= 15 {
            reader.byte()? != 0
        } else {
            reader.int()? != 0
        };
        Ok(reader)
    }

    /// What comes before the entries, and how many there are.
    pub(super) fn beginning(&mut self) -> Result<(Toc, i64), Error> {
        // Seconds, minutes, hours, day, month, year, daylight saving.
        for _ in 0..7 {
            self.int()?;
        }
        let toc = Toc {
            database: self.text()?.unwrap_or_default(),
            server_version: self.text()?.unwrap_or_default(),
            dump_version: self.text()?.unwrap_or_default(),
            ..Toc::default()
        };
        Ok((toc, self.int()?))
    }

    /// So many bytes, or what there is.
    fn upto(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A failure is short as well.
        let _short = self
            .source
            .by_ref()
            .take(count as u64)
            .read_to_end(&mut bytes);
        self.position += bytes.len();
        bytes
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        let read = self.source.read_exact(&mut bytes);
        read.map_err(|_short| Error::CutShort)?;
        self.position += N;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, Error> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn int(&mut self) -> Result<i64, Error> {
        let mut bytes = [0; 9];
        let bytes = &mut bytes[..=self.layout.int_size];
        let read = self.source.read_exact(bytes);
        read.map_err(|_short| Error::CutShort)?;
        self.position += bytes.len();
        number(bytes).ok_or(Error::Damaged("a number is too large"))
    }

    /// A length, then that many bytes; a negative length is no text at all.
    fn text(&mut self) -> Result<Option<String>, Error> {
        let length = self.int()?;
        if length < 0 {
            return Ok(None);
        }
        let length = usize::try_from(length)
            .ok()
            .filter(|it| *it <= LONGEST)
            .ok_or(Error::Damaged("a text is too long"))?;
        let bytes = self.upto(length);
        if bytes.len() < length {
            return Err(Error::CutShort);
        }
        self.encoding.decode(bytes).map(Some).ok_or(Error::Encoding)
    }

    /// A text, and where it stands.
    fn placed(&mut self) -> Result<(String, Range<usize>), Error> {
        let begin = self.position;
        let text = self.text()?.unwrap_or_default();
        Ok((text, begin..self.position))
    }

    fn oid(&mut self) -> Result<u32, Error> {
        let text = self.text()?.unwrap_or_default();
        text.parse()
            .map_err(|_not_a_number| Error::Damaged("an oid is not a number"))
    }

    pub(super) fn entry(&mut self) -> Result<Entry, Error> {
        let id = self.int()?;
        let _had_dumper = self.int()?;
        let catalog = self.oid()?;
        let oid = self.oid()?;
        let tag = self.text()?.unwrap_or_default();
        let kind = self.text()?.unwrap_or_default();
        let section = match self.int()? {
            2 => Section::PreData,
            3 => Section::Data,
            4 => Section::PostData,
            _ => Section::None,
        };
        let (definition, place) = self.placed()?;
        self.places.definition = place;
        if kind == "ENCODING" {
            self.encoding = TextEncoding::set_by(&definition);
        }
        let (drop, place) = self.placed()?;
        self.places.drop = place;
        let (_copy, place) = self.placed()?;
        self.places.copy = place;
        let namespace = self.text()?.filter(|it| !it.is_empty());
        let tablespace = self.text()?.filter(|it| !it.is_empty());
        if self.layout.minor >= 14 {
            let _access_method = self.text()?;
        }
        if self.layout.minor >= 16 {
            let _relation_kind = self.int()?;
        }
        let (owner, place) = self.placed()?;
        self.places.owner = place;
        let _with_oids = self.text()?;
        let mut needs = Vec::new();
        while let Some(needed) = self.text()? {
            needs.push(
                needed
                    .parse()
                    .map_err(|_not_a_number| Error::Damaged("a dependency is not a number"))?,
            );
        }
        let _data_state = self.byte()?;
        let offset_size = self.layout.offset_size;
        if self.upto(offset_size).len() < offset_size {
            return Err(Error::CutShort);
        }
        Ok(Entry {
            id,
            catalog,
            oid,
            tag,
            kind,
            section,
            definition,
            drop,
            namespace,
            tablespace,
            owner,
            needs,
        })
    }
}
