//! One database on one server: made, backed up, and restored in one way after the other.

use std::ops::RangeInclusive;

use super::databases::{Ending, Sample, Unless};
use super::picture::{Own, Picture};
use super::server::Server;
use super::subject::{Revision, Subject};
use crate::testbed::Env;
use crate::testbed::programs::Ended;
use crate::workers::var;

/// A way to restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// In place over the database as it was backed up.
    OverItself,
    /// In place over the database after changes.
    OverChanged,
    /// The database is missing.
    Missing,
    /// The database is there and empty.
    Empty,
    /// A single archive as the published adapter stores it, by its key; the database is missing.
    Archive,
    /// A plain script by its key, into an empty database.
    Script,
    /// Not ours but pg_dump and pg_restore, to see what can be asked for.
    Stock,
}

impl Way {
    /// Whether the database is missing, so that the restore makes it and brings what belongs to it.
    fn makes_the_database(self) -> bool {
        matches!(self, Self::Missing | Self::Archive | Self::Stock)
    }

    /// Whether it restores what stock tools have made.
    fn takes_a_single_object(self) -> bool {
        matches!(self, Self::Archive | Self::Script | Self::Stock)
    }

    fn revision(self) -> Revision {
        match self {
            Self::Archive => Revision::Archive,
            Self::Script => Revision::Script,
            _ => Revision::Latest,
        }
    }
}

/// What went wrong in one way, a line each.
pub(super) type Wrong = Vec<String>;

pub(super) struct Trial {
    subject: Subject,
    /// What a restore is to bring.
    expected: Picture,
    /// Whether the database is known to be as expected.
    as_expected: bool,
}

impl Trial {
    /// Makes the database and backs it up; nothing where the backup may be refused, and was.
    pub(super) fn prepare(
        server: &'static Server,
        sample: Sample,
        ways: &[Way],
    ) -> Result<Option<Self>, Wrong> {
        let subject = Subject::new(server, sample);
        subject.create(&[Some(sample.contents())]);
        if ways.iter().any(|it| it.takes_a_single_object()) {
            subject.store_singles();
        }
        let ended = subject.back_up();
        if ended.code() == Some(2) && sample.backup_may_refuse {
            return Ok(None);
        }
        if ended.code() != Some(0) {
            return Err(vec![short(&ended)]);
        }
        let (made_with, wanted) = (subject.made_with(), server.pg_dump);
        if made_with.split('.').next() != Some(wanted) {
            return Err(vec![format!(
                "made with pg_dump {made_with}, and not {wanted}"
            )]);
        }
        subject.run(sample.part("lacking"));
        Ok(Some(Self {
            expected: subject.look(),
            subject,
            as_expected: true,
        }))
    }

    /// Restores in one way; gives what went wrong.
    pub(super) fn restore(&mut self, way: Way) -> Wrong {
        let mut wrong = if way == Way::Stock {
            self.stock_tools()
        } else {
            self.ends_as_it_must(way)
        };
        let calls = self.subject.publisher.calls();
        wrong.extend((calls > 0).then(|| format!("the publisher was called {calls} times")));
        wrong
    }

    fn ends_as_it_must(&mut self, way: Way) -> Wrong {
        let sample = self.subject.sample;
        let stock_cannot = sample.stock_cannot.is_some();
        match sample.ending {
            _ if way == Way::OverChanged && !sample.in_the_way.is_empty() => {
                self.is_refused(way, Named::All(sample.in_the_way), 2..=2)
            }
            // What stock pg_dump has written is in its order, and a restore may do better with it.
            Ending::Whole if matches!(way, Way::Archive | Way::Script) && stock_cannot => {
                if self.succeeds(way, &Vec::new(), 0, &[]).is_empty() {
                    return Wrong::new();
                }
                self.is_refused(way, Named::NoWord, 1..=2)
            }
            _ if way == Way::Script && sample.psql_cannot.is_some() => {
                self.is_refused(way, Named::NoWord, 1..=2)
            }
            // A script names all that the target lacks.
            _ if way == Way::Script && stock_cannot => self.is_refused(way, Named::NoWord, 1..=2),
            Ending::Whole => self.succeeds(way, &Vec::new(), 0, &[]),
            Ending::Warned(words) => self.succeeds(way, &Vec::new(), 0, words),
            Ending::Refused(words, unless) => {
                let mut wrong = self.is_refused(way, Named::All(words), 2..=2);
                wrong.extend(
                    unless
                        .into_iter()
                        .flat_map(|it| self.goes_on(way, words, it)),
                );
                wrong
            }
            Ending::Failed(words, unless) => {
                let mut wrong = self.is_refused(way, Named::One(words), 1..=2);
                wrong.extend(self.goes_on(way, words, unless));
                wrong
            }
        }
    }

    /// With a setting it ends otherwise; what is left out is named where the exit code says so.
    fn goes_on(&mut self, way: Way, words: &[&str], unless: Unless) -> Wrong {
        let Unless { name, value, code } = unless;
        let words = if code == 0 { &[] } else { words };
        let wrong = self.succeeds(way, &var(name, value), code, words);
        let each = wrong.iter().map(|it| format!("{name}={value}: {it}"));
        each.collect()
    }

    /// Nothing changes, and the last line says why.
    fn is_refused(&mut self, way: Way, named: Named, codes: RangeInclusive<i32>) -> Wrong {
        self.begin(way);
        let before = (!way.makes_the_database()).then(|| self.subject.look());
        let ended = self.subject.restore(way.revision(), &Vec::new());
        if !ended.code().is_some_and(|it| codes.contains(&it)) {
            return vec![format!("should be refused ({codes:?}): {}", short(&ended))];
        }
        let mut wrong = named.missing_in(ended.last_line());
        match (before, self.subject.is_there()) {
            (Some(before), true) => {
                let after = self.subject.look();
                wrong.extend(after.contents_differ(&before));
                wrong.extend(after.own_differs(before.own()));
            }
            (None, false) => {}
            (Some(_), false) => wrong.push("the database is gone".to_owned()),
            (None, true) => wrong.push("the database that was made is still there".to_owned()),
        }
        wrong
    }

    /// All comes back that is expected; warnings have these words in them.
    fn succeeds(&mut self, way: Way, more: &Env, code: i32, words: &[&str]) -> Wrong {
        let own_before = self.begin(way);
        let ended = self.subject.restore(way.revision(), more);
        if ended.code() != Some(code) {
            return vec![short(&ended)];
        }
        let mut wrong = unsaid(&ended, words);
        if way == Way::OverChanged {
            wrong.extend(self.what_stays());
        }
        wrong.extend(self.is_as_expected(own_before.as_ref()));
        wrong
    }

    /// How the database differs from what is expected; what belongs to it is as it was before where
    /// it was there before.
    fn is_as_expected(&mut self, own_before: Option<&Own>) -> Wrong {
        let after = self.subject.look();
        let mut wrong = after.contents_differ(&self.expected);
        wrong.extend(after.own_differs(own_before.unwrap_or(self.expected.own())));
        if own_before.is_none() {
            wrong.extend(after.creation_differs(&self.expected));
        }
        wrong.extend(after.unanalyzed());
        self.as_expected = wrong.is_empty();
        wrong
    }

    /// What the backup does not know must be there, and is taken away.
    fn what_stays(&self) -> Option<String> {
        let stays = self.subject.sample.part("stays");
        let ran = super::caught(|| self.subject.run(stays));
        ran.err().map(|it| format!("does not stay: {it}"))
    }

    fn stock_tools(&mut self) -> Wrong {
        self.begin(Way::Stock);
        let ended = self.subject.restore_with_pg_restore();
        let mut wrong = if ended.status.success() {
            self.is_as_expected(None)
        } else {
            vec![short(&ended)]
        };
        self.as_expected = false;
        wrong.retain(|it| !it.starts_with("no statistics"));
        match self.subject.sample.stock_cannot {
            None => wrong,
            Some(_) if !wrong.is_empty() => Wrong::new(),
            Some(reason) => vec![format!("stock tools can, and the table says: {reason}")],
        }
    }

    /// Brings the target to where a way begins; gives what belongs to the database itself then.
    fn begin(&mut self, way: Way) -> Option<Own> {
        let Self { subject, .. } = self;
        let sample = subject.sample;
        let is_as_expected = std::mem::take(&mut self.as_expected);
        let (contents, lacking) = (Some(sample.contents()), sample.part("lacking"));
        match way {
            Way::OverItself if is_as_expected => Some(self.expected.own().clone()),
            Way::OverItself => Some(subject.create(&[contents, lacking])),
            Way::OverChanged => {
                if !is_as_expected {
                    subject.create(&[contents, lacking]);
                }
                Some(subject.run(sample.part("changed")))
            }
            Way::Empty | Way::Script => Some(subject.create(&[sample.part("prepared")])),
            Way::Missing | Way::Archive | Way::Stock => {
                subject.drop();
                None
            }
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // The next test may have a database of this name on the same server.
        if let Err(error) = super::caught(|| self.subject.drop()) {
            eprintln!("{}: {error}", self.subject.sample.name);
        }
    }
}

/// What the last line of a refusal is to name.
#[derive(Clone, Copy)]
enum Named<'a> {
    All(&'a [&'a str]),
    One(&'a [&'a str]),
    NoWord,
}

impl Named<'_> {
    fn missing_in(self, line: &str) -> Wrong {
        let is_missing = |it: &&&str| !line.contains(**it);
        let missing: Vec<&&str> = match self {
            Self::NoWord => Vec::new(),
            Self::One(words) if words.iter().any(|it| line.contains(it)) => Vec::new(),
            Self::All(words) | Self::One(words) => words.iter().filter(is_missing).collect(),
        };
        let each = missing
            .iter()
            .map(|it| format!("does not name {it:?}: {line}"));
        each.collect()
    }
}

/// The words that no warning has in it.
fn unsaid(ended: &Ended, words: &[&str]) -> Wrong {
    let printed = ended.printed();
    let is_warning = |it: &&str| it.contains("WARN") || it.contains("ERROR");
    let warnings: Vec<&str> = printed.lines().filter(is_warning).collect();
    let is_unsaid = |word: &&&str| !warnings.iter().any(|it| it.contains(**word));
    let unsaid = words.iter().filter(is_unsaid);
    unsaid
        .map(|it| format!("no warning names {it:?}"))
        .collect()
}

/// A program's end in a line, without its time.
fn short(ended: &Ended) -> String {
    let code = ended
        .code()
        .map_or("no exit code".to_owned(), |it| it.to_string());
    let line = ended.last_line();
    let line = line.split_once("Z ").map_or(line, |(_, rest)| rest.trim());
    format!("exit code {code}: {line}")
}
