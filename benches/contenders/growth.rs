//! How the cost grows: with size, with the number of tables, with streams, with the compression level,
//! and with the way to S3.

use std::time::Duration;

use super::contenders::{Direction, OURS, PUBLISHED, Stage};
use super::databases::{self, Loaded};
use super::measure::Figures;
use super::servers::Servers;
use super::wire::Wire;

const MEBI: f64 = 1_048_576.0;

/// The median of the rounds by wall.
fn median(stage: &Stage<'_>, name: &str, direction: Direction) -> Figures {
    let mut runs: Vec<Figures> = (0..super::rounds())
        .map(|_| stage.run(name, direction))
        .collect();
    runs.sort_by(|a, b| a.wall.total_cmp(&b.wall));
    runs[runs.len() / 2]
}

/// The parts, in their order.
pub(crate) const PARTS: [&str; 6] = ["size", "tables", "streams", "level", "way", "start"];

/// Those parts that are asked for.
pub(crate) fn measure(servers: &Servers, parts: &[&str]) {
    let scale: f64 = super::setting("BENCH_SCALE", 1.0);
    let wanted = |part: &str| parts.contains(&part);
    if wanted("size") {
        with_size(servers, scale * 0.25);
    }
    if wanted("tables") {
        with_tables(servers, scale);
    }
    if !parts.iter().any(|it| PARTS[2..].contains(it)) {
        return;
    }
    let loaded = databases::load(servers, "mixed");
    if wanted("streams") {
        with_streams(servers, &loaded);
    }
    if wanted("level") {
        with_level(servers, &loaded);
    }
    if wanted("way") {
        with_the_way(servers, &loaded);
    }
    if wanted("start") {
        super::start::measure(servers, &loaded);
    }
    servers.drop(&loaded.name);
}

#[expect(
    clippy::cast_precision_loss,
    reason = "bytes of a bench are far from 2^53"
)]
fn own(figures: &Figures) -> f64 {
    figures.own_memory as f64 / MEBI
}

fn with_size(servers: &Servers, scale: f64) {
    println!("## With size\n\nThe mixed database.\n");
    println!(
        "| size | backup s | MB/s | own RSS MiB | restore s | MB/s | own RSS MiB |\n|---|---|---|---|---|---|---|"
    );
    for times in [1.0, 4.0, 16.0] {
        let loaded = databases::load_at(servers, "mixed", scale * times);
        let stage = Stage::new(servers, &loaded);
        let backup = median(&stage, OURS, Direction::Backup);
        let restore = median(&stage, OURS, Direction::Restore);
        let rate = |it: &Figures| loaded.bytes / 1e6 / it.wall;
        println!(
            "| ×{times} ({:.0} MB) | {:.1} | {:.0} | {:.0} | {:.1} | {:.0} | {:.0} |",
            loaded.bytes / 1e6,
            backup.wall,
            rate(&backup),
            own(&backup),
            restore.wall,
            rate(&restore),
            own(&restore)
        );
        servers.drop(&loaded.name);
    }
    println!();
}

fn with_tables(servers: &Servers, scale: f64) {
    println!("## With tables\n\nOne row each; seconds.\n");
    println!(
        "| tables | backup | published | ratio | restore | published | ratio |\n|---|---|---|---|---|---|---|"
    );
    for tables in [10, 100, 1_000, 5_000, 20_000] {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of tables"
        )]
        let tables = ((f64::from(tables) * scale.min(1.0)) as u32).max(1);
        let loaded = databases::load_many(servers, tables);
        let stage = Stage::new(servers, &loaded);
        let wall = |name, direction| median(&stage, name, direction).wall;
        let (ours, theirs) = (
            wall(OURS, Direction::Backup),
            wall(PUBLISHED, Direction::Backup),
        );
        let (back, their_back) = (
            wall(OURS, Direction::Restore),
            wall(PUBLISHED, Direction::Restore),
        );
        println!(
            "| {tables} | {ours:.2} | {theirs:.2} | {:.2} | {back:.2} | {their_back:.2} | {:.2} |",
            theirs / ours,
            their_back / back
        );
        servers.drop(&loaded.name);
    }
    println!();
}

fn with_streams(servers: &Servers, loaded: &Loaded) {
    println!("## With streams\n\nThe mixed database.\n");
    println!(
        "| streams | backup s | client CPU s | own RSS MiB | restore s | own RSS MiB |\n|---|---|---|---|---|---|"
    );
    for streams in [1, 2, 4] {
        let mut stage = Stage::new(servers, loaded);
        stage.streams = Some(streams);
        let backup = median(&stage, OURS, Direction::Backup);
        let restore = median(&stage, OURS, Direction::Restore);
        println!(
            "| {streams} | {:.1} | {:.1} | {:.0} | {:.1} | {:.0} |",
            backup.wall,
            backup.client_cpu,
            own(&backup),
            restore.wall,
            own(&restore)
        );
    }
    println!();
}

fn with_level(servers: &Servers, loaded: &Loaded) {
    println!("## With the compression level\n\nThe mixed database.\n");
    println!(
        "| COMPRESSION_LEVEL | backup s | client CPU s | stored MiB | restore s | client CPU s |\n|---|---|---|---|---|---|"
    );
    for level in [1, 2, 3, 6, 9] {
        let mut stage = Stage::new(servers, loaded);
        stage.level = Some(level);
        let backup = median(&stage, OURS, Direction::Backup);
        let restore = median(&stage, OURS, Direction::Restore);
        #[expect(
            clippy::cast_precision_loss,
            reason = "bytes of a bench are far from 2^53"
        )]
        let stored = backup.stored as f64 / MEBI;
        println!(
            "| {level} | {:.1} | {:.1} | {stored:.1} | {:.1} | {:.1} |",
            backup.wall, backup.client_cpu, restore.wall, restore.client_cpu
        );
    }
    println!();
}

fn with_the_way(servers: &Servers, loaded: &Loaded) {
    println!("## With the way to S3\n\nThe mixed database; a proxy stands in for the wire.\n");
    println!(
        "| wire | backup s | ÷ 0 ms | own RSS MiB | restore s | ÷ 0 ms | own RSS MiB |\n|---|---|---|---|---|---|---|"
    );
    let wires = [
        ("0 ms", 0, None),
        ("5 ms", 5, None),
        ("50 ms", 50, None),
        ("1 Gbit/s", 0, Some(125e6)),
        ("100 Mbit/s", 0, Some(12.5e6)),
    ];
    let mut without = None;
    for (name, milliseconds, width) in wires {
        let round_trip = Duration::from_millis(milliseconds);
        let laid = Wire { round_trip, width }.lay(servers.s3_port);
        let mut stage = Stage::new(servers, loaded);
        stage.through = Some(laid.port);
        let backup = median(&stage, OURS, Direction::Backup);
        let restore = median(&stage, OURS, Direction::Restore);
        let (first, second) = *without.get_or_insert((backup.wall, restore.wall));
        println!(
            "| {name} | {:.1} | {:.2} | {:.0} | {:.1} | {:.2} | {:.0} |",
            backup.wall,
            backup.wall / first,
            own(&backup),
            restore.wall,
            restore.wall / second,
            own(&restore)
        );
    }
    println!();
}
