//! What the demo shows: headings, lines, and a line that moves while something takes its time.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Whether a signal has ended the story.
static ENDED: AtomicBool = AtomicBool::new(false);

/// From now on the story shows nothing.
pub(crate) fn end() {
    ENDED.store(true, Ordering::Relaxed);
}

/// Rests until the process ends.
pub(crate) fn rest() -> ! {
    loop {
        std::thread::park();
    }
}

/// Rests when a signal has ended the story.
pub(crate) fn rest_if_ended() {
    if ENDED.load(Ordering::Relaxed) {
        rest();
    }
}

/// A numbered heading.
pub(crate) fn step(number: u32, title: &str) {
    rest_if_ended();
    println!("\n== {number}. {title}");
}

/// What is worth knowing of what comes next.
pub(crate) fn remark(text: &str) {
    rest_if_ended();
    println!("\n   # {text}");
}

/// A command line, apart from what came before.
pub(crate) fn prompt(line: &str) {
    rest_if_ended();
    println!();
    say(format_args!("$ {line}"));
}

/// Lines below a heading.
pub(crate) fn say(lines: impl std::fmt::Display) {
    rest_if_ended();
    for line in lines.to_string().lines() {
        println!("{}", format!("   {line}").trim_end());
    }
}

/// Asks again and again until there is an answer, and shows that time passes.
///
/// # Errors
/// When the time is up, or when `question` says that there will be no answer.
pub(crate) fn wait<T>(
    what: &str,
    limit: Duration,
    mut question: impl FnMut() -> Result<Option<T>, String>,
) -> Result<T, String> {
    let start = Instant::now();
    let moving = std::io::stdout().is_terminal();
    let mut shown = Instant::now();
    loop {
        rest_if_ended();
        if let Some(answer) = question()? {
            if moving {
                print!("\r\x1b[K");
            }
            say(format_args!(
                "{what}: {:.1} s",
                start.elapsed().as_secs_f64()
            ));
            return Ok(answer);
        }
        if start.elapsed() > limit {
            return Err(format!("{what}: not within {} s", limit.as_secs()));
        }
        let pause = Duration::from_secs(if moving { 1 } else { 10 });
        if shown.elapsed() >= pause {
            shown = Instant::now();
            let seconds = start.elapsed().as_secs();
            if moving {
                print!("\r   {what} … {seconds} s");
                std::io::stdout()
                    .flush()
                    .map_err(|error| error.to_string())?;
            } else {
                say(format_args!("{what} … {seconds} s"));
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Does something in another thread and shows that time passes.
///
/// # Errors
/// When it takes longer than ten minutes or panics.
pub(crate) fn during<T: Send>(what: &str, work: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(work);
        wait(what, Duration::from_secs(600), || {
            Ok(thread.is_finished().then_some(()))
        })?;
        thread
            .join()
            .map_err(|_panic| format!("{what}: it panicked; see above"))
    })
}
