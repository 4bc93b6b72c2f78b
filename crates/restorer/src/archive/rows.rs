//! In which order the rows of a backup are loaded.
//!
//! A check and a generated column may call functions, and these may read other tables. So rows may
//! need rows of others:
//!
//! - A generated column is computed anew, and a function that does not find a row may give another
//!   value without a word. Where one calls a function of the backup, its table comes after all others.
//! - A check refuses rows. Nobody knows beforehand which function reads what, so they are loaded side
//!   by side with all others, and again after them where they were refused.
//! - Functions of extensions read the extensions' own configuration tables (PostgreSQL manual, 38.17.3),
//!   so the rows of those come first where a generated column may need them.
//!
//! What comes one after the other has pg_dump's order, which is by names: what loads with one pg_dump
//! and one pg_restore loads here too.

use std::collections::{BTreeMap, BTreeSet};

use super::toc::{Entry, Section, Toc};
use backuper::text::sql::pattern;

/// What the columns and checks of one table may call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Called {
    /// Functions that the backup has.
    functions: bool,
    /// Something of an extension.
    extensions: bool,
    /// Whether it has a generated column.
    generated: bool,
}

impl Called {
    fn and(self, other: Self) -> Self {
        Self {
            functions: self.functions || other.functions,
            extensions: self.extensions || other.extensions,
            generated: self.generated || other.generated,
        }
    }
}

/// What the tables of a backup call, each by its name as a manifest writes it.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    tables: BTreeMap<String, Called>,
    sequences: BTreeSet<String>,
}

impl Calls {
    /// Of the tables in the schema's archive.
    pub(crate) fn of(schema: &Toc) -> Self {
        let called = called(schema);
        let called = |it: &Entry| called.get(&it.id).copied().unwrap_or_default();
        let tables = schema.entries.iter().filter(|it| is_table(it));
        let sequences = schema.entries.iter().filter(|it| it.kind == "SEQUENCE");
        Self {
            tables: tables.map(|it| (name(it), called(it))).collect(),
            sequences: sequences.map(name).collect(),
        }
    }

    /// Whether the backup makes the table itself. Others come with an extension.
    fn makes(&self, table: &str) -> bool {
        self.tables.contains_key(table)
    }

    /// Whether its rows may be refused for want of others.
    pub(crate) fn may_be_refused(&self, table: &str) -> bool {
        self.tables
            .get(table)
            .is_none_or(|it| it.functions || it.extensions)
    }

    /// Whether a value may depend on the order in which these tables are loaded, or whether rows of
    /// extensions are among them.
    pub(crate) fn want_an_order<'a>(&self, tables: impl IntoIterator<Item = &'a String>) -> bool {
        self.may_compute_another() || tables.into_iter().any(|it| !self.makes(it))
    }

    /// Whether some table calls functions of the backup.
    pub(crate) fn call_functions(&self) -> bool {
        self.tables.values().any(|it| it.functions)
    }

    fn may_compute_another(&self) -> bool {
        let mut all = self.tables.values();
        all.any(|it| it.generated && (it.functions || it.extensions))
    }

    fn computes_by_functions(&self, table: &str) -> bool {
        let called = self.tables.get(table);
        called.is_some_and(|it| it.generated && it.functions)
    }

    fn calls_functions(&self, table: &str) -> bool {
        self.tables.get(table).is_some_and(|it| it.functions)
    }
}

fn is_table(entry: &Entry) -> bool {
    matches!(entry.kind.as_str(), "TABLE" | "FOREIGN TABLE")
}

/// A table's or a sequence's name as a manifest writes it.
pub(crate) fn name(entry: &Entry) -> String {
    pattern(entry.namespace.as_deref().unwrap_or_default(), &entry.tag)
}

/// What each entry calls, by itself or by what it needs: its domains, the tables that it inherits from.
fn called(schema: &Toc) -> BTreeMap<i64, Called> {
    let own = |entry: &Entry| Called {
        functions: matches!(entry.kind.as_str(), "FUNCTION" | "PROCEDURE" | "AGGREGATE"),
        extensions: entry.kind == "EXTENSION",
        generated: is_table(entry)
            && entry.definition.contains(" GENERATED ALWAYS AS (")
            && entry.definition.contains(") STORED"),
    };
    let mut called: BTreeMap<i64, Called> =
        schema.entries.iter().map(|it| (it.id, own(it))).collect();
    let mut needing: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for entry in &schema.entries {
        // What a function needs is its own business.
        if own(entry).functions || own(entry).extensions {
            continue;
        }
        for needed in &entry.needs {
            needing.entry(*needed).or_default().push(entry.id);
        }
    }
    // From each to those that need it, as often as something is added: they may go in circles.
    let calling = called.iter().filter(|it| *it.1 != Called::default());
    let mut pending: Vec<i64> = calling.map(|it| *it.0).collect();
    while let Some(id) = pending.pop() {
        let passed_on = called.get(&id).copied().unwrap_or_default();
        for id in needing.get(&id).into_iter().flatten() {
            if let Some(known) = called.get_mut(id)
                && known.and(passed_on) != *known
            {
                *known = known.and(passed_on);
                pending.push(*id);
            }
        }
    }
    called
}

/// An entry of one of the archives with rows: its place among these, and its number in it.
pub(crate) type Place = (usize, i64);

/// What is taken from one of the archives with rows at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Portion {
    /// Its place among them.
    pub(crate) archive: usize,
    /// The numbers of its entries; none: all of them.
    pub(crate) entries: Option<BTreeSet<i64>>,
}

/// What is loaded before what.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Order {
    /// One after the other, before anything else.
    pub(crate) first: Vec<Portion>,
    /// In any order.
    pub(crate) then: Vec<Portion>,
    /// One after the other, after all others, in [`in_turn`].
    pub(crate) last: BTreeSet<Place>,
}

impl Order {
    /// Of so many archives that nobody has looked into, since that makes no difference.
    pub(crate) fn any(archives: usize) -> Self {
        let whole = |archive| Portion {
            archive,
            entries: None,
        };
        Self {
            then: (0..archives).map(whole).collect(),
            ..Self::default()
        }
    }

    /// Of all but `left_out`. `cautious`: as if each function read other tables.
    pub(crate) fn of(
        calls: &Calls,
        archives: &[Toc],
        left_out: &BTreeSet<Place>,
        cautious: bool,
    ) -> Self {
        let configuration = configuration(calls, archives);
        let first: BTreeSet<Place> = if cautious || calls.may_compute_another() {
            configuration.difference(left_out).copied().collect()
        } else {
            BTreeSet::new()
        };
        let is_last = |entry: &Entry| {
            let table = name(entry);
            is_rows(entry)
                && (calls.computes_by_functions(&table)
                    || cautious && calls.calls_functions(&table))
        };
        let last: BTreeSet<Place> = places(archives, is_last).collect();
        let mut then = Vec::new();
        for (archive, toc) in archives.iter().enumerate() {
            let elsewhere = |id| {
                [&first, &last, left_out]
                    .iter()
                    .any(|it| it.contains(&(archive, id)))
            };
            let (others, here): (Vec<&Entry>, Vec<&Entry>) =
                toc.entries.iter().partition(|it| elsewhere(it.id));
            let entries = (!others.is_empty()).then(|| here.iter().map(|it| it.id).collect());
            // What is left out is counted, which takes a reader too.
            let counts = others.iter().any(|it| left_out.contains(&(archive, it.id)));
            let data = here.iter().any(|it| it.section == Section::Data);
            if data || counts || others.is_empty() {
                then.push(Portion { archive, entries });
            }
        }
        Self {
            first: in_turn(archives, &first),
            then,
            last,
        }
    }
}

/// The rows of extensions' configuration tables, and the values of their sequences.
pub(crate) fn configuration(calls: &Calls, archives: &[Toc]) -> BTreeSet<Place> {
    let is_configuration = |it: &Entry| match it.kind.as_str() {
        "SEQUENCE SET" => !calls.sequences.contains(&name(it)),
        _ => is_rows(it) && !calls.makes(&name(it)),
    };
    places(archives, is_configuration).collect()
}

/// Whether it is the rows of a table.
pub(crate) fn is_rows(entry: &Entry) -> bool {
    entry.kind == "TABLE DATA"
}

fn places(archives: &[Toc], wanted: impl Fn(&Entry) -> bool) -> impl Iterator<Item = Place> {
    let all = archives.iter().enumerate();
    let all = all.flat_map(|(archive, toc)| toc.entries.iter().map(move |it| (archive, it)));
    all.filter(move |(_, it)| wanted(it))
        .map(|(archive, it)| (archive, it.id))
}

/// The entry at a place.
pub(crate) fn entry(archives: &[Toc], (archive, id): Place) -> Option<&Entry> {
    let toc = archives.get(archive)?;
    toc.entries.iter().find(|it| it.id == id)
}

/// These entries in pg_dump's order: each archive has it within itself, and between archives names
/// decide (`DOTypeNameCompare` in PostgreSQL's `src/bin/pg_dump/pg_dump_sort.c`).
pub(crate) fn in_turn(archives: &[Toc], wanted: &BTreeSet<Place>) -> Vec<Portion> {
    let mut queues: Vec<std::iter::Peekable<_>> = archives
        .iter()
        .enumerate()
        .map(|(archive, toc)| {
            let entries = toc.entries.iter();
            entries
                .filter(move |it| wanted.contains(&(archive, it.id)))
                .peekable()
        })
        .collect();
    let mut portions: Vec<Portion> = Vec::new();
    loop {
        let heads = queues.iter_mut().enumerate();
        let next = heads
            .filter_map(|(archive, queue)| queue.peek().map(|it| (&it.namespace, &it.tag, archive)))
            .min()
            .map(|(_, _, archive)| archive);
        let Some(archive) = next else { break };
        let Some(entry) = queues[archive].next() else {
            break;
        };
        match portions.last_mut() {
            Some(Portion {
                archive: last,
                entries: Some(entries),
            }) if *last == archive => {
                entries.insert(entry.id);
            }
            _ => portions.push(Portion {
                archive,
                entries: Some([entry.id].into()),
            }),
        }
    }
    portions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: i64, kind: &str, tag: &str, needs: &[i64]) -> Entry {
        Entry {
            id,
            kind: kind.to_owned(),
            tag: tag.to_owned(),
            section: if kind == "TABLE DATA" {
                Section::Data
            } else {
                Section::PreData
            },
            namespace: Some("public".to_owned()),
            needs: needs.to_vec(),
            ..Entry::default()
        }
    }

    fn generated(mut table: Entry) -> Entry {
        table.definition = "CREATE TABLE public.t (\n    a integer,\n    b text GENERATED ALWAYS AS (public.f(a)) STORED\n);\n".to_owned();
        table
    }

    fn toc(entries: impl IntoIterator<Item = Entry>) -> Toc {
        Toc {
            entries: entries.into_iter().collect(),
            ..Toc::default()
        }
    }

    fn rows(tables: &[(i64, &str)]) -> Toc {
        let entry = |(id, tag): &(i64, &str)| entry(*id, "TABLE DATA", tag, &[]);
        toc(tables.iter().map(entry))
    }

    /// Functions at 1 and an extension at 2, and tables that need them.
    fn calls(computes: bool) -> Calls {
        let computed = entry(13, "TABLE", "computed", &[1]);
        Calls::of(&toc([
            entry(1, "FUNCTION", "f", &[]),
            entry(2, "EXTENSION", "e", &[]),
            entry(3, "DOMAIN", "d", &[1]),
            entry(10, "TABLE", "plain", &[]),
            entry(11, "TABLE", "checked", &[3]),
            entry(12, "TABLE", "extended", &[2, 10]),
            if computes {
                generated(computed)
            } else {
                computed
            },
            entry(14, "TABLE", "inherits", &[13]),
        ]))
    }

    fn portion(archive: usize, entries: &[i64]) -> Portion {
        Portion {
            archive,
            entries: Some(entries.iter().copied().collect()),
        }
    }

    #[test]
    fn what_calls_a_function_may_be_refused_and_nothing_else() {
        let calls = calls(false);
        let refused = [
            "plain",
            "checked",
            "extended",
            "inherits",
            "of_an_extension",
        ]
        .map(|it| calls.may_be_refused(&pattern("public", it)));
        assert_eq!(refused, [false, true, true, true, true]);
    }

    #[test]
    fn what_is_computed_comes_last_and_configuration_first() {
        let archives = [
            rows(&[(1, "checked"), (2, "inherits"), (3, "plain"), (4, "zones")]),
            rows(&[(1, "computed")]),
        ];
        let order = Order::of(&calls(true), &archives, &BTreeSet::new(), false);
        assert_eq!(order.first, [portion(0, &[4])]);
        assert_eq!(order.then, [portion(0, &[1, 3])]);
        assert_eq!(order.last, [(0, 2), (1, 1)].into());
        let last = in_turn(&archives, &order.last);
        assert_eq!(last, [portion(1, &[1]), portion(0, &[2])]);
    }

    #[test]
    fn where_nothing_is_computed_each_archive_is_read_once() {
        let archives = [rows(&[(1, "checked"), (4, "zones")]), rows(&[(1, "plain")])];
        let order = Order::of(&calls(false), &archives, &BTreeSet::new(), false);
        assert_eq!(order, Order::any(2));
        let order = Order::of(&calls(false), &archives, &[(0, 4)].into(), false);
        assert_eq!(order.then[0], portion(0, &[1]));
        let order = Order::of(&calls(false), &archives, &BTreeSet::new(), true);
        assert_eq!(order.first, [portion(0, &[4])]);
        assert_eq!(order.then.len(), 1, "the other one");
        assert_eq!(order.last, [(0, 1)].into());
    }

    #[test]
    fn names_decide_between_archives_and_each_keeps_its_own_order() {
        // A configuration table comes after the one that it refers to, whatever their names.
        let archives = [rows(&[(1, "z"), (2, "a")]), rows(&[(7, "b"), (8, "y")])];
        let all = [(0, 1), (0, 2), (1, 7), (1, 8)].into();
        let wanted = [portion(1, &[7, 8]), portion(0, &[1, 2])];
        assert_eq!(in_turn(&archives, &all), wanted);
    }
}
