//! `make bench`: ours beside every other way to a backup in S3 and back, on the same data, the same
//! PostgreSQL and the same S3 server, several rounds interleaved. Prints medians and ratios.
//!
//! | variable | default | |
//! |---|---|---|
//! | `BENCH_SCALE` | 1 | the size of the databases |
//! | `BENCH_ROUNDS` | 3 | how often each contender runs |
//! | `BENCH_DATABASES` | mixed wide many schema | which ones |
//! | `BENCH_DUMP` | | an archive of pg_dump: a database of your own beside them, `own` |
//! | `BENCH_PART` | contenders growth | or some of the growth: `size`, `tables`, `streams`, `level`, `way`, `start` |
//! | `BENCH_ONLY` | | words: only contenders whose name has one of them; a restore needs its backup too |
//!
//! This program is also the S3 client and the raw COPY of the contenders that need one: see `client`.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "it speaks to a person, and stands on the testbed of the tests"
)]

mod client;
mod contenders;
mod databases;
mod growth;
mod measure;
mod servers;
mod start;
mod table;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the tests use all of it, and this what it needs"
)]
#[path = "../../tests/integration/testbed.rs"]
mod testbed;
mod wire;

use contenders::{Direction, Stage};
use databases::Loaded;
use measure::Figures;
use servers::Servers;

/// What one contender needed in each round.
pub(crate) struct Result {
    pub(crate) contender: &'static str,
    pub(crate) direction: Direction,
    pub(crate) rounds: Vec<Figures>,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("client") {
        return client::main(&arguments.collect::<Vec<_>>());
    }
    let servers = Servers::start();
    println!("{}\n", servers.described());
    let parts = setting("BENCH_PART", "contenders growth".to_owned());
    let parts: Vec<&str> = parts
        .split_whitespace()
        .flat_map(|part| match part {
            "growth" => growth::PARTS.to_vec(),
            part => vec![part],
        })
        .collect();
    if let Some(unknown) = parts
        .iter()
        .find(|it| **it != "contenders" && !growth::PARTS.contains(it))
    {
        panic!("BENCH_PART: there is no {unknown}");
    }
    if parts.contains(&"contenders") {
        contend(&servers);
    }
    growth::measure(&servers, &parts);
}

/// All contenders on all databases.
fn contend(servers: &Servers) {
    for database in databases::wanted() {
        let loaded = databases::load(servers, &database);
        println!("## {}\n\n{}\n", loaded.name, loaded.described);
        let results = play(servers, &loaded);
        table::print(&loaded, &results);
        servers.drop(&loaded.name);
    }
}

/// All contenders in turn, round after round, each time beginning with another one, so that none
/// always finds the same neighbour's traces.
fn play(servers: &Servers, loaded: &Loaded) -> Vec<Result> {
    let stage = Stage::new(servers, loaded);
    let mut results: Vec<Result> = contenders::wanted(loaded)
        .into_iter()
        .map(|it| Result {
            contender: it.name,
            direction: it.direction,
            rounds: Vec::new(),
        })
        .collect();
    for round in 0..rounds() {
        for direction in Direction::ALL {
            let mut turn: Vec<usize> = (0..results.len())
                .filter(|it| results[*it].direction == direction)
                .collect();
            let first = round % turn.len().max(1);
            turn.rotate_left(first);
            for index in turn {
                let result = &mut results[index];
                let figures = stage.run(result.contender, direction);
                eprintln!(
                    "{} round {}: {} {}: {:.1} s",
                    loaded.name,
                    round + 1,
                    direction.word(),
                    result.contender,
                    figures.wall
                );
                result.rounds.push(figures);
            }
        }
    }
    results
}

fn rounds() -> usize {
    setting("BENCH_ROUNDS", 3)
}

/// A setting of the bench, or its default.
pub(crate) fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not what it should be")),
        _ => default,
    }
}
