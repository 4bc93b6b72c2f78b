//! The scheduler's commands as a person types them: what is shown is what is run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::screen::{prompt, rest_if_ended, say};
use crate::testbed::programs::{self, Ended, Prepared};
use crate::testbed::{Env, folder};

/// How long a command may take on a slow machine.
const LIMIT: Duration = Duration::from_secs(300);

/// A folder and what was exported in it.
#[derive(Debug)]
pub(crate) struct Shell {
    folder: PathBuf,
    exported: Env,
}

impl Shell {
    /// In a new folder.
    pub(crate) fn new() -> Self {
        Self {
            folder: folder("demo"),
            exported: Env::new(),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// `export NAME=VALUE …`
    pub(crate) fn export(&mut self, variables: Env) {
        let pairs = variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        say(format_args!(
            "$ export {}",
            pairs.collect::<Vec<_>>().join(" ")
        ));
        self.exported.extend(variables);
    }

    /// A file that its owner alone may read.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn secret(&self, name: &str, content: &str) -> Result<(), String> {
        let path = self.folder.join(name);
        let written = fs::write(&path, content)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o600)));
        written.map_err(|error| format!("{}: {error}", path.display()))
    }

    /// A command line of the scheduler, ready to be run. Words are what stands between blanks.
    pub(crate) fn prepared(&self, line: &str) -> Prepared {
        let words = line.split_whitespace().filter(|it| *it != "\\").skip(1);
        programs::scheduler(&self.exported)
            .current_dir(&self.folder)
            .args(words)
    }

    /// Shows a command line, runs it, and shows what it prints while it prints it.
    ///
    /// # Errors
    /// When its exit code is another one.
    pub(crate) fn run(&self, line: &str, code: i32) -> Result<Ended, String> {
        prompt(line);
        let mut running = self.prepared(line).start();
        let start = Instant::now();
        // Standard error comes last: a command complains when it has nothing else to say.
        let mut shown = 0;
        while !running.ended() && start.elapsed() < LIMIT {
            shown += show(&running.printed(), shown, false);
            std::thread::sleep(Duration::from_millis(50));
            rest_if_ended();
        }
        let ended = running.wait_within(Duration::from_secs(1));
        show(&ended.printed(), shown, true);
        if code != 0 {
            say(format_args!("(exit code {})", ended.code().unwrap_or(-1)));
        }
        if ended.code() == Some(code) {
            Ok(ended)
        } else {
            Err(format!("{line}: {}, and not {code}", ended.status))
        }
    }
}

/// Shows what is new in a text, by whole lines until it is complete; how many bytes that was.
fn show(text: &str, shown: usize, is_complete: bool) -> usize {
    let new = text.get(shown..).unwrap_or_default();
    let length = match new.rfind('\n') {
        _ if is_complete => new.len(),
        Some(end) => end + 1,
        None => 0,
    };
    say(&new[..length]);
    length
}
