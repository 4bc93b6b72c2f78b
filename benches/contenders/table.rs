//! Medians, ratios, and the bars of docs/performance.md.

use super::Result;
use super::contenders::{Direction, FLOOR, LOAD_FLOOR, OURS, PUBLISHED};
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
        let names: Vec<&str> = FIGURES.iter().map(|(name, _)| *name).collect();
        println!(
            "| {} | {} | MB/s | wall ÷ ours |",
            direction.word(),
            names.join(" | ")
        );
        println!("|---|{}---|---|", "---|".repeat(names.len()));
        let ours = of_it.iter().find(|it| it.contender == OURS);
        for result in &of_it {
            row(loaded, result, ours.copied());
        }
        println!();
    }
    bars(&loaded.name, results);
}

fn row(loaded: &Loaded, result: &Result, ours: Option<&Result>) {
    let wall = median(result, |it| it.wall);
    let figures: Vec<String> = FIGURES
        .iter()
        .map(|(_, figure)| format!("{:.1}", median(result, *figure)))
        .collect();
    let ratio = ours.map_or("".to_owned(), |it| {
        format!("{:.2}", wall / median(it, |it| it.wall))
    });
    let rate = loaded.bytes / 1e6 / wall;
    println!(
        "| {} | {} | {rate:.0} | {ratio} |",
        result.contender.replace('|', "\\|"),
        figures.join(" | ")
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
const OTHERS: &[&str] = &["many", "wide", "own"];
const BARS: [Bar; 9] = {
    use Direction::{Backup, InPlace, Restore};
    [
        Bar::new(
            "backup, published ÷ ours",
            MIXED,
            (Backup, PUBLISHED),
            (Backup, OURS),
        )
        .at_least(7.5),
        Bar::new(
            "backup, ours ÷ floor",
            MIXED,
            (Backup, OURS),
            (Backup, FLOOR),
        )
        .at_most(1.25),
        Bar::new(
            "backup, client CPU, ours ÷ published",
            MIXED,
            (Backup, OURS),
            (Backup, PUBLISHED),
        )
        .of(|it| it.client_cpu)
        .at_most(0.15),
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
        .at_most(1.15),
        Bar::new(
            "in place, published ÷ ours",
            MIXED,
            (InPlace, PUBLISHED),
            (InPlace, OURS),
        )
        .at_least(1.2),
        Bar::new(
            "backup, published ÷ ours",
            OTHERS,
            (Backup, PUBLISHED),
            (Backup, OURS),
        )
        .at_least(1.0),
        Bar::new(
            "restore, published ÷ ours",
            OTHERS,
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
