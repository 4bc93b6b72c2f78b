//! How the backup of each database ended, and of all of them in one sentence.

use std::time::Duration;

use crate::runtime::{Failure, Shutdown, Verdict};
use crate::selection::written;
use crate::summary;
use crate::text::shortened;

/// How many failures a sentence has with their reasons; the others are counted.
const TOLD: usize = 3;
/// How many names a sentence has.
const NAMED: usize = 20;
/// How much it has of one reason: Kubernetes takes 4096 bytes for all of it.
const REASON: usize = 900;

/// What became of one database.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) name: String,
    pub(super) oid: Option<u32>,
    /// Whether it is written out, and no pattern alone has found it.
    pub(super) is_named: bool,
    pub(super) how: How,
}

/// How it ended.
#[derive(Debug)]
pub(super) enum How {
    /// With a sentence of its own.
    Ended(Result<String, Failure>),
    /// We were asked to stop before its turn.
    NotBegun,
    /// Somebody has dropped it meanwhile, and nobody asks for its backup.
    Dropped,
    /// Somebody has shut it to everybody meanwhile.
    Shut,
}

impl Ended {
    fn is_gone(&self) -> bool {
        matches!(self.how, How::Dropped | How::Shut)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure().is_some()
    }

    /// It is there by another name, and has no backup.
    pub(super) fn rename(&mut self, now: &str) {
        let sentence = format!(
            "it was renamed to {} since the run began, and has no backup yet; run the backup again",
            written(now)
        );
        self.how = How::Ended(Err(Failure::try_again(sentence)));
    }

    fn failure(&self) -> Option<&Failure> {
        match &self.how {
            How::Ended(Err(failure)) if failure.verdict != Verdict::Uncopied => Some(failure),
            How::Ended(_) | How::NotBegun | How::Dropped | How::Shut => None,
        }
    }

    fn sentence(&self) -> Option<&str> {
        match &self.how {
            How::Ended(Ok(sentence)) => Some(sentence),
            How::Ended(Err(_)) => self.uncopied().map(|it| it.sentence.as_str()),
            How::NotBegun | How::Dropped | How::Shut => None,
        }
    }

    /// Its backup is complete, and the copy of it is not.
    fn uncopied(&self) -> Option<&Failure> {
        match &self.how {
            How::Ended(Err(failure)) => Some(failure).filter(|it| it.verdict == Verdict::Uncopied),
            How::Ended(Ok(_)) | How::NotBegun | How::Dropped | How::Shut => None,
        }
    }
}

/// The sentence that ends the log, and what it is worth: all, some or none.
pub(super) fn conclude(
    ended: &[Ended],
    elapsed: Duration,
    shutdown: &Shutdown,
) -> Result<String, Failure> {
    let done: Vec<&Ended> = ended.iter().filter(|it| it.sentence().is_some()).collect();
    let failed: Vec<&Ended> = ended.iter().filter(|it| it.has_failed()).collect();
    let gone = ended.iter().filter(|it| it.is_gone());
    let of_all = format!(
        "{} of {} databases are backed up",
        done.len(),
        ended.len() - gone.count()
    );
    let gone = gone_meanwhile(ended);
    let is_all = done.len() + failed.len() == ended.len() && failed.is_empty();
    if let Some(signal) = shutdown.signal().filter(|_| !is_all) {
        let done = match done.as_slice() {
            [] => String::new(),
            done => format!(" ({})", names(done)),
        };
        return Err(Failure {
            verdict: Verdict::Stopped(signal),
            sentence: format!(
                "the backup was stopped by signal {signal} before it was complete: {of_all}{done}; run it again"
            ),
        });
    }
    let uncopied = without_copies(ended);
    if failed.is_empty() {
        if done.is_empty() {
            return Err(Failure::refused(format!(
                "nothing is backed up: no database that DB_NAME means is there and open any more{gone}"
            )));
        }
        if !uncopied.is_empty() {
            return Err(Failure {
                verdict: Verdict::Uncopied,
                sentence: format!("{of_all}{uncopied}{gone}"),
            });
        }
        let sentences = done.iter().filter_map(|it| it.sentence());
        let stored: u64 = sentences.filter_map(summary::stored_bytes).sum();
        return Ok(format!(
            "{of_all} and verified: {}{gone} ({:.1} s, {stored} bytes stored)",
            names(&done),
            elapsed.as_secs_f64()
        ));
    }
    Err(Failure {
        verdict: worth(&failed, !done.is_empty()),
        sentence: format!("{of_all}; {}{gone}{uncopied}", reasons(&failed)),
    })
}

/// What became of those that are there no more, or let nobody in.
fn gone_meanwhile(ended: &[Ended]) -> String {
    let dropped: Vec<&Ended> = ended
        .iter()
        .filter(|it| matches!(it.how, How::Dropped))
        .collect();
    let shut: Vec<&Ended> = ended
        .iter()
        .filter(|it| matches!(it.how, How::Shut))
        .collect();
    let told = [("dropped meanwhile", dropped), ("shut meanwhile", shut)];
    let told = told.iter().filter(|(_, all)| !all.is_empty());
    told.map(|(what, all)| format!("; {what}: {}", names(all)))
        .collect()
}

/// Those that are backed up and not copied, each reason without the words of the backup before it: these are long,
/// and what is left of the sentence has to say that.
fn without_copies(ended: &[Ended]) -> String {
    let uncopied: Vec<&Ended> = ended.iter().filter(|it| it.uncopied().is_some()).collect();
    match uncopied.as_slice() {
        [] => String::new(),
        uncopied => format!("; {}", reasons(uncopied)),
    }
}

/// What trying all of it again is worth: what is done need not be done again.
fn worth(failed: &[&Ended], is_partly_done: bool) -> Verdict {
    let is_wrong = |it: &&Ended| {
        it.failure()
            .is_some_and(|it| it.verdict == Verdict::Refused)
    };
    if is_partly_done {
        Verdict::Incomplete
    } else {
        Verdict::of(!failed.iter().all(is_wrong))
    }
}

/// Each reason once, with all that it is the reason of.
fn reasons(failed: &[&Ended]) -> String {
    let mut groups: Vec<(&str, Vec<&Ended>)> = Vec::new();
    for ended in failed {
        let uncopied = ended.uncopied();
        let uncopied = uncopied.and_then(|it| summary::why_uncopied(&it.sentence));
        let failed = ended.failure().map(|it| it.sentence.as_str());
        let Some(reason) = failed.or(uncopied) else {
            continue;
        };
        match groups.iter_mut().find(|(it, _)| *it == reason) {
            Some((_, all)) => all.push(ended),
            None => groups.push((reason, vec![ended])),
        }
    }
    let told = groups.iter().take(TOLD);
    let told = told.map(|(reason, all)| format!("{}: {}", names(all), shortened(reason, REASON)));
    let mut reasons = told.collect::<Vec<_>>().join("; ");
    let others = groups.iter().skip(TOLD).flat_map(|(_, all)| all);
    let others: Vec<&Ended> = others.copied().collect();
    if !others.is_empty() {
        reasons.push_str(&format!("; and {} more: {}", others.len(), names(&others)));
    }
    reasons
}

fn names(ended: &[&Ended]) -> String {
    let named = ended.iter().take(NAMED).map(|it| written(&it.name));
    let mut names = named.collect::<Vec<_>>().join(", ");
    if ended.len() > NAMED {
        names.push_str(&format!(" and {} more", ended.len() - NAMED));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(name: &str, outcome: Result<&str, Failure>) -> Ended {
        Ended {
            name: name.to_owned(),
            oid: Some(7),
            is_named: false,
            how: How::Ended(outcome.map(str::to_owned)),
        }
    }

    fn done(name: &str) -> Ended {
        ended(
            name,
            Ok("backup complete and verified: x (1 tables, 9 bytes dumped, 5 bytes stored, 1.0 s)"),
        )
    }

    fn concluded(ended: &[Ended]) -> Result<String, Failure> {
        conclude(ended, Duration::from_secs(2), &Shutdown::default())
    }

    #[test]
    fn a_backup_whose_copy_is_missing_is_done_and_told() {
        let uncopied = || {
            let sentence = "backup complete and verified: x (5 bytes stored, 1.0 s); it is not copied to s3://b: down";
            let failure = Failure {
                verdict: Verdict::Uncopied,
                sentence: sentence.to_owned(),
            };
            ended("b", Err(failure))
        };
        let failure = concluded(&[done("app"), uncopied()]).unwrap_err();
        assert_eq!(failure.verdict, Verdict::Uncopied);
        assert!(summary::is_uncopied(&failure.sentence), "{failure}");
        assert!(failure.sentence.starts_with("2 of 2"), "{failure}");
        assert!(
            failure
                .sentence
                .ends_with("; b: it is not copied to s3://b: down"),
            "{failure}"
        );
        let lost = ended("c", Err(Failure::try_again("the server is gone")));
        let failure = concluded(&[uncopied(), lost]).unwrap_err();
        assert_eq!(failure.verdict, Verdict::Incomplete);
        assert_eq!(
            failure.sentence,
            "1 of 2 databases are backed up; c: the server is gone; b: it is not copied to s3://b: down"
        );
    }

    /// A part's filters may be as long as anything.
    #[test]
    fn that_a_copy_is_missing_is_not_cut_with_what_the_backup_says_of_itself() {
        let long = format!(
            "backup complete and verified: x (5 bytes stored, 1.0 s), {}; it is not copied to s3://b: down",
            "only these tables ".repeat(300)
        );
        let failure = Failure {
            verdict: Verdict::Uncopied,
            sentence: long,
        };
        let failure = concluded(&[ended("b", Err(failure))]).unwrap_err();
        assert!(summary::is_uncopied(&failure.sentence), "{failure}");
        assert_eq!(
            failure.sentence,
            "1 of 1 databases are backed up; b: it is not copied to s3://b: down"
        );
    }

    #[test]
    fn all_of_them_are_a_success_with_the_bytes_of_all() {
        let sentence = concluded(&[done("app"), done("a,b")]).unwrap();
        assert_eq!(
            sentence,
            "2 of 2 databases are backed up and verified: app, \"a,b\" (2.0 s, 10 bytes stored)"
        );
        assert_eq!(summary::stored_bytes(&sentence), Some(10));
    }

    #[test]
    fn some_of_them_are_no_success_and_none_is_worth_what_each_of_them_is() {
        let wrong = || Failure::refused("no such database; check DB_NAME");
        let lost = || Failure::try_again("the server is gone");
        let failure = concluded(&[
            done("app"),
            ended("b", Err(lost())),
            ended("c", Err(wrong())),
        ]);
        let failure = failure.unwrap_err();
        assert_eq!(failure.verdict, Verdict::Incomplete);
        assert_eq!(
            failure.sentence,
            "1 of 3 databases are backed up; b: the server is gone; c: no such database; check DB_NAME"
        );
        let verdict = |all: &[Ended]| concluded(all).unwrap_err().verdict;
        let both = [ended("b", Err(lost())), ended("c", Err(wrong()))];
        assert_eq!(verdict(&both), Verdict::TryAgain);
        assert_eq!(verdict(&both[1..]), Verdict::Refused);
    }

    #[test]
    fn what_was_dropped_meanwhile_counts_neither_as_done_nor_as_failed() {
        let mut gone = ended("tmp", Err(Failure::refused("no such database")));
        gone.how = How::Dropped;
        let sentence = concluded(&[done("app"), gone]).unwrap();
        assert_eq!(
            sentence,
            "1 of 1 databases are backed up and verified: app; dropped meanwhile: tmp (2.0 s, 5 bytes stored)"
        );
        let mut gone = ended("tmp", Err(Failure::refused("no such database")));
        gone.how = How::Dropped;
        let verdict = concluded(&[gone]).unwrap_err().verdict;
        assert_eq!(verdict, Verdict::Refused);
        let mut shut = ended("shut", Err(Failure::try_again("no connections")));
        shut.how = How::Shut;
        let sentence = concluded(&[done("app"), shut]).unwrap();
        assert!(sentence.contains("1 of 1") && sentence.contains("; shut meanwhile: shut"));
    }

    #[test]
    fn one_reason_of_several_is_told_once() {
        let gone = || Err(Failure::try_again("the store is gone"));
        let all = [ended("a", gone()), done("b"), ended("c", gone())];
        assert_eq!(
            concluded(&all).unwrap_err().sentence,
            "1 of 3 databases are backed up; a, c: the store is gone"
        );
    }

    #[test]
    fn a_sentence_has_the_first_reasons_and_counts_the_others() {
        let all: Vec<Ended> = (0..30)
            .map(|it| {
                let reason = format!("{it}{}", "é".repeat(5_000));
                ended(&format!("d{it}"), Err(Failure::refused(reason)))
            })
            .collect();
        let sentence = concluded(&all).unwrap_err().sentence;
        assert!(sentence.contains("; and 27 more: d3, d4,"), "{sentence}");
        assert!(sentence.ends_with("and 7 more"), "{sentence}");
        assert!(sentence.chars().count() < 3_500);
    }
}
