//! How long a worker takes until pg_dump writes, beside pg_dump alone.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;

use super::contenders::Stage;
use super::databases::{self, Loaded};
use super::servers::Servers;
use super::testbed::folder;
use super::testbed::postgres::installed;

/// A pg_dump that writes down when its first byte came.
const WATCHED: &str = "\
#!/bin/bash
if [ \"$1\" = --version ]; then exec $BIN/pg_dump --version; fi
set -o pipefail
$BIN/pg_dump \"$@\" | (head -c 1; date +%s%N >>$SEEN; exec cat)
";

/// The median, which nothing that ran beside it moves.
const ROUNDS: usize = 9;

pub(crate) fn measure(servers: &Servers, mixed: &Loaded) {
    println!(
        "## Start\n\nMilliseconds from the start to pg_dump's first byte; medians of {ROUNDS}.\n"
    );
    println!("| database | pg_dump alone | in our worker | more |\n|---|---|---|---|");
    row(servers, mixed, "mixed, 154 tables");
    let many = databases::load_many(servers, 5_000);
    row(servers, &many, "many, 5,000 tables");
    servers.drop(&many.name);
    println!();
}

fn row(servers: &Servers, loaded: &Loaded, name: &str) {
    let stage = Stage::new(servers, loaded);
    let programs = folder("watched");
    let seen = programs.join("seen");
    lay(&programs, &seen);
    let work = folder("start");
    let (mut alone, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let dump = programs.join("pg_dump");
        let script = format!(
            "{} --format=custom --compress=0 | cat >/dev/null",
            dump.display()
        );
        alone.push(first_byte(stage.bash(&script, &work), &seen));
        let directory = programs.display().to_string();
        let mut worker = stage.ours("backuper", &loaded.name, &[("PG_BIN_DIRS", &directory)]);
        worker.current_dir(&work).env("TMPDIR", &work);
        ours.push(first_byte(worker, &seen));
    }
    let (alone, ours) = (median(alone), median(ours));
    println!("| {name} | {alone:.0} | {ours:.0} | {:.0} |", ours - alone);
}

fn lay(programs: &Path, seen: &Path) {
    let script = WATCHED
        .replace("$BIN", &installed().display().to_string())
        .replace("$SEEN", &seen.display().to_string());
    let dump = programs.join("pg_dump");
    std::fs::write(&dump, script).unwrap();
    std::fs::set_permissions(&dump, std::fs::Permissions::from_mode(0o755)).unwrap();
    for other in ["pg_restore", "psql"] {
        std::os::unix::fs::symlink(installed().join(other), programs.join(other)).unwrap();
    }
}

/// Milliseconds until the first byte of any pg_dump.
fn first_byte(mut command: Command, seen: &Path) -> f64 {
    if seen.exists() {
        std::fs::remove_file(seen).unwrap();
    }
    let begun = Timestamp::now().as_nanosecond();
    let ended = command.output().unwrap();
    assert!(
        ended.status.success(),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    let seen = std::fs::read_to_string(seen).unwrap();
    let first: i128 = seen.lines().map(|it| it.parse().unwrap()).min().unwrap();
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds are far from 2^53 nanoseconds"
    )]
    let nanoseconds = (first - begun) as f64;
    nanoseconds / 1e6
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
