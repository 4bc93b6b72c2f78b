//! `make demo`: a newcomer's first hour in two minutes, by the scheduler's own commands. Databases are
//! protected, one is destroyed and brought back, with the programs as they are built and servers that live
//! as long as the demo.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it speaks to a person, and stands on the testbed of the tests"
)]

mod proof;
mod screen;
mod shell;
mod stage;
mod story;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the tests use all of it, and the demo what it needs"
)]
#[path = "../integration/testbed.rs"]
mod testbed;

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

fn main() -> ExitCode {
    let (end, ended) = oneshot::channel();
    // A thread of its own, so that a signal finds us at any point of the story.
    let story = std::thread::spawn(move || {
        let told = story::tell();
        if end.send(told).is_err() {
            // A signal came first. The scheduler dies with the thread that started it, and is to stop by itself.
            screen::rest();
        }
    });
    let outcome = testbed::block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).expect("signals can be heard");
        let mut terminate = signal(SignalKind::terminate()).expect("signals can be heard");
        tokio::select! {
            told = ended => Some(told),
            _ = interrupt.recv() => None,
            _ = terminate.recv() => None,
        }
    });
    match outcome {
        Some(Ok(Ok(()))) => {
            println!("\nThe database is back, row for row.");
            ExitCode::SUCCESS
        }
        Some(Ok(Err(error))) => {
            eprintln!("\nThe demo failed: {error}");
            ExitCode::FAILURE
        }
        Some(Err(_dropped)) => {
            // It panicked and has printed why.
            drop(story.join());
            eprintln!("\nThe demo failed; see above.");
            ExitCode::FAILURE
        }
        None => {
            screen::end();
            if let Some(ended) = stage::stop() {
                eprintln!("\nthe scheduler stopped: {}", ended.status);
            }
            eprintln!("\nStopped; nothing is left running.");
            ExitCode::from(130)
        }
    }
}
