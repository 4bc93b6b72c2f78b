//! Medians, ratios, and the bars of docs/performance.md.

use super::Result;
use super::contenders::{Direction, FLOOR, LOAD_FLOOR, OURS, PARALLEL, PUBLISHED};
use super::databases::Loaded;
use super::measure::Figures;

const MEBI: f64 = 1_048_576.0;

/// A figure and how it is taken from a run.
type Figure = fn(&Figures) -> f64;

#[expect(
    clippy::cast_precision_loss,
    reason = "bytes of a bench are far from 2^53"
)]
const FIGURES: [(&str, Figure); 7] = [
    ("wall s", |it| it.wall),
    ("client CPU s", |it| it.client_cpu),
    ("server CPU s", |it| it.server_cpu),
    ("RSS MiB", |it| it.memory as f64 / MEBI),
    ("own RSS MiB", |it| it.own_memory as f64 / MEBI),
    ("scratch MiB", |it| it.scratch as f64 / MEBI),
    ("stored MiB", |it| it.stored as f64 / MEBI),
];

fn median(result: &Result, figure: Figure) -> f64 {
    let mut all: Vec<f64> = result.rounds.iter().map(figure).collect();
    all.sort_by(f64::total_cmp);
    let middle = all.len() / 2;
    if all.len().is_multiple_of(2) {
        f64::midpoint(all[middle - 1], all[middle])
    } else {
        all[middle]
    }
}

pub(crate) fn print(loaded: &Loaded, results: &[Result]) {
    for direction in Direction::ALL {
        let of_it: Vec<&Result> = results
            .iter()
            .filter(|it| it.direction == direction)
            .collect();
        if of_it.is_empty() {
            continue;
        }
        head(direction.word());
        for result in &of_it {
            row(result, |it| format!("{:.1}", it.of(loaded, result)));
        }
        println!();
        if let Some(ours) = of_it.iter().find(|it| it.contender == OURS) {
            head(&format!("{}, ÷ ours", direction.word()));
            for result in of_it.iter().filter(|it| it.contender != OURS) {
                row(result, |it| {
                    let (own, others) = (it.of(loaded, ours), it.of(loaded, result));
                    if own == 0.0 {
                        "–".to_owned()
                    } else {
                        format!("{:.2}", others / own)
                    }
                });
            }
            println!();
        }
    }
    bars(&loaded.name, results);
}

/// A column: a median, or the rows' bytes a second that come of it.
enum Column {
    Median(&'static str, Figure),
    Rate,
}

impl Column {
    fn all() -> impl Iterator<Item = Self> {
        let medians = FIGURES.iter().map(|(name, it)| Self::Median(name, *it));
        medians.chain([Self::Rate])
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Median(name, _) => name,
            Self::Rate => "MB/s",
        }
    }

    fn of(&self, loaded: &Loaded, result: &Result) -> f64 {
        match self {
            Self::Median(_, figure) => median(result, *figure),
            Self::Rate => loaded.bytes / 1e6 / median(result, WALL),
        }
    }
}

fn head(what: &str) {
    let names: Vec<&str> = Column::all().map(|it| it.name()).collect();
    println!("| {what} | {} |", names.join(" | "));
    println!("|---|{}", "---|".repeat(names.len()));
}

fn row(result: &Result, cell: impl Fn(&Column) -> String) {
    let cells: Vec<String> = Column::all().map(|it| cell(&it)).collect();
    println!(
        "| {} | {} |",
        result.contender.replace('|', "\\|"),
        cells.join(" | ")
    );
}

/// One bar: what is divided by what, and where it must be.
struct Bar {
    what: &'static str,
    databases: &'static [&'static str],
    over: (Direction, &'static str),
    under: (Direction, &'static str),
    figure: Figure,
    least: Option<f64>,
    most: Option<f64>,
}

const WALL: Figure = |it| it.wall;

#[expect(
    clippy::cast_precision_loss,
    reason = "bytes of a bench are far from 2^53"
)]
const STORED: Figure = |it| it.stored as f64;

impl Bar {
    const fn new(
        what: &'static str,
        databases: &'static [&'static str],
        over: (Direction, &'static str),
        under: (Direction, &'static str),
    ) -> Self {
        Self {
            what,
            databases,
            over,
            under,
            figure: WALL,
            least: None,
            most: None,
        }
    }

    const fn of(self, figure: Figure) -> Self {
        Self { figure, ..self }
    }

    const fn at_least(self, least: f64) -> Self {
        Self {
            least: Some(least),
            ..self
        }
    }

    const fn at_most(self, most: f64) -> Self {
        Self {
            most: Some(most),
            ..self
        }
    }
}

const MIXED: &[&str] = &["mixed"];
const MANY: &[&str] = &["many"];
const WIDE: &[&str] = &["wide"];
const OWN: &[&str] = &["own"];
const SCHEMA: &[&str] = &["schema"];
const BARS: [Bar; 15] = {
    use Direction::{Backup, InPlace, Restore};
    [
        Bar::new(
            "backup, published ÷ ours",
            MIXED,
            (Backup, PUBLISHED),
            (Backup, OURS),
        )
        .at_least(8.0),
        Bar::new(
            "backup, ours ÷ floor",
            MIXED,
            (Backup, OURS),
            (Backup, FLOOR),
        )
        .at_most(1.0),
        Bar::new(
            "backup, client CPU, ours ÷ published",
            MIXED,
            (Backup, OURS),
            (Backup, PUBLISHED),
        )
        .of(|it| it.client_cpu)
        .at_most(0.11),
        Bar::new(
            "backup, server CPU, ours ÷ published",
            MIXED,
            (Backup, OURS),
            (Backup, PUBLISHED),
        )
        .of(|it| it.server_cpu)
        .at_most(0.8),
        Bar::new(
            "stored, ours ÷ published",
            MIXED,
            (Backup, OURS),
            (Backup, PUBLISHED),
        )
        .of(STORED)
        .at_most(0.95),
        Bar::new(
            "restore, published ÷ ours",
            MIXED,
            (Restore, PUBLISHED),
            (Restore, OURS),
        )
        .at_least(1.8),
        Bar::new(
            "restore, ours ÷ floor",
            MIXED,
            (Restore, OURS),
            (Restore, LOAD_FLOOR),
        )
        .at_most(0.95),
        Bar::new(
            "in place, published ÷ ours",
            MIXED,
            (InPlace, PUBLISHED),
            (InPlace, OURS),
        )
        .at_least(1.2),
        Bar::new(
            "backup, published ÷ ours",
            MANY,
            (Backup, PUBLISHED),
            (Backup, OURS),
        )
        .at_least(1.2),
        Bar::new(
            "restore, published ÷ ours",
            MANY,
            (Restore, PUBLISHED),
            (Restore, OURS),
        )
        .at_least(1.1),
        Bar::new(
            "restore, ours ÷ pg_restore -j",
            SCHEMA,
            (Restore, OURS),
            (Restore, PARALLEL),
        )
        .at_most(1.0),
        Bar::new(
            "backup, published ÷ ours",
            WIDE,
            (Backup, PUBLISHED),
            (Backup, OURS),
        )
        .at_least(1.4),
        Bar::new(
            "restore, published ÷ ours",
            WIDE,
            (Restore, PUBLISHED),
            (Restore, OURS),
        )
        .at_least(1.15),
        Bar::new(
            "backup, published ÷ ours",
            OWN,
            (Backup, PUBLISHED),
            (Backup, OURS),
        )
        .at_least(1.0),
        Bar::new(
            "restore, published ÷ ours",
            OWN,
            (Restore, PUBLISHED),
            (Restore, OURS),
        )
        .at_least(1.0),
    ]
};

fn bars(database: &str, results: &[Result]) {
    println!("| bar | must be | is | |\n|---|---|---|---|");
    for bar in BARS.iter().filter(|it| it.databases.contains(&database)) {
        let of = |(direction, name): (Direction, &str)| {
            let result = results
                .iter()
                .find(|it| it.direction == direction && it.contender == name);
            result.map(|it| median(it, bar.figure))
        };
        let (Some(over), Some(under)) = (of(bar.over), of(bar.under)) else {
            continue;
        };
        verdict(bar.what, over / under, bar.least, bar.most);
    }
    for direction in Direction::ALL {
        let ours = results
            .iter()
            .find(|it| it.direction == direction && it.contender == OURS);
        if let Some(ours) = ours {
            let name = |what: &str| format!("{}, {what}", direction.word());
            let memory = median(ours, FIGURES[4].1);
            verdict(&name("RSS of our process, MiB"), memory, None, Some(64.0));
            let scratch = median(ours, FIGURES[5].1);
            verdict(&name("scratch, MiB"), scratch, None, Some(0.0));
        }
    }
    println!();
}

fn verdict(what: &str, is: f64, least: Option<f64>, most: Option<f64>) {
    let met = least.is_none_or(|it| is >= it) && most.is_none_or(|it| is <= it);
    let must = match (least, most) {
        (Some(least), _) => format!("≥ {least}"),
        (None, Some(most)) => format!("≤ {most}"),
        (None, None) => String::new(),
    };
    println!(
        "| {what} | {must} | {is:.2} | {} |",
        if met { "met" } else { "**not met**" }
    );
}
