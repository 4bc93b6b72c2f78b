//! The roles that this restore has made: they stay, however it ends, so its last line names them.

use std::sync::{Arc, Mutex, PoisonError};

use backuper::runtime::Failure;

use super::roles::named;

/// Roles, noted as they are made: a restore may be stopped at any time after.
#[derive(Clone, Debug, Default)]
pub struct Made(Arc<Mutex<State>>);

#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    None,
    /// The server was told to keep them, and has not answered.
    Asked(Vec<String>),
    Made(Vec<String>),
}

impl Made {
    /// The server is about to be told to keep these.
    pub(super) fn asked(&self, names: &[String]) {
        self.set(State::Asked(names.to_vec()));
    }

    /// It has answered that these are there.
    pub(super) fn are(&self, names: &[String]) {
        self.set(State::Made(names.to_vec()));
    }

    /// It has answered that there are none.
    pub(super) fn are_not(&self) {
        self.set(State::None);
    }

    fn set(&self, state: State) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// A failure that says what stays of the restore.
    #[must_use]
    pub fn told_with(&self, failure: Failure) -> Failure {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stay = match &*state {
            State::None => return failure,
            State::Asked(names) => format!(
                "it is not known whether the roles were made, which stay then: {}",
                named(names)
            ),
            State::Made(names) => format!("the roles that it has made stay: {}", named(names)),
        };
        let said = failure
            .sentence
            .replace("nothing was changed", "nothing in the database was changed");
        Failure {
            sentence: format!("{said}; {stay}"),
            ..failure
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_what_was_made_before_it_and_nothing_else() {
        let made = Made::default();
        let failure = || Failure::refused("conflict; nothing was changed");
        assert_eq!(made.told_with(failure()), failure());
        let names = ["a,b".to_owned(), "o\"x".to_owned()];
        made.asked(&names);
        let told = made.told_with(failure()).sentence;
        assert!(told.contains("not known"), "{told}");
        made.are(&names);
        assert_eq!(
            made.told_with(failure()).sentence,
            "conflict; nothing in the database was changed; the roles that it has made stay: \"a,b\", \"o\"\"x\""
        );
        made.are_not();
        assert_eq!(made.told_with(failure()), failure());
    }
}
