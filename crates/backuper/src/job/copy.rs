//! The second store that a complete backup is copied to: `COPY_TO`, and each variable of a store and of a
//! retention with `COPY_` before its name.

use std::ffi::OsString;

use clap::{Arg, ArgMatches, Args, Command, CommandFactory as _, FromArgMatches, Parser};

use super::var::Var;
use super::{RetentionSettings, StoreSettings};
use crate::advice::{name_for_copies, of_copies};
use crate::storage::Config;

/// Before the name of each variable of a store.
const PREFIX: &str = "COPY_";

/// Where complete backups are copied to, and how many are kept there.
#[derive(Clone, Debug, Default)]
pub struct CopySettings {
    /// The store; where it is not named, nothing is copied.
    pub store: StoreSettings,
    /// What is kept there.
    pub retention: RetentionSettings,
}

/// The same by the names that a store's own variables have.
#[derive(Debug, Parser)]
struct Plain {
    #[command(flatten)]
    store: StoreSettings,

    #[command(flatten)]
    retention: RetentionSettings,
}

impl CopySettings {
    /// The second store as a plain [`Config`]; none where nothing is copied.
    ///
    /// # Errors
    /// A sentence that names the variable to set.
    pub fn config(&self) -> Result<Option<Config>, String> {
        if !self.store.is_named() {
            return Ok(None);
        }
        let config = self.store.config();
        config
            .map(Some)
            .map_err(|sentence| format!("the second store (COPY_TO): {}", of_copies(&sentence)))
    }

    /// The variables of this part of the contract.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self { store, retention } = self;
        if !store.is_named() {
            return Vec::new();
        }
        let mut vars = store.to_env();
        vars.extend(retention.to_env());
        let renamed = vars.into_iter().filter_map(|it| {
            let name = name_for_copies(it.name)?;
            Some(Var { name, ..it })
        });
        renamed.collect()
    }
}

/// Each argument of [`Plain`], under the name that its variable has there.
fn arguments() -> impl Iterator<Item = (String, Arg)> {
    let command = Plain::command();
    let arguments: Vec<Arg> = command.get_arguments().cloned().collect();
    arguments.into_iter().filter_map(|it| {
        let name = it.get_env()?.to_str()?.to_owned();
        Some((name, it))
    })
}

fn id(name: &str) -> String {
    format!("{PREFIX}{name}")
}

impl Args for CopySettings {
    fn augment_args(command: Command) -> Command {
        arguments().fold(command, |command, (name, argument)| {
            let Some(variable) = name_for_copies(&name) else {
                return command;
            };
            let help = argument.get_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            command.arg(
                argument
                    .id(id(&name))
                    .env(variable)
                    .help(format!("Of the second store: {help}")),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for CopySettings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        // The values are read once more under their own names, and nothing else is read with them.
        let mut command = Command::default().no_binary_name(true);
        let mut given: Vec<OsString> = Vec::new();
        for (name, argument) in arguments() {
            if let Some(value) = matches.get_raw(&id(&name)).and_then(Iterator::last) {
                let mut argument: OsString = format!("--{name}=").into();
                argument.push(value);
                given.push(argument);
            }
            command = command.arg(argument.long(name).env(None::<&'static str>));
        }
        let Plain { store, retention } =
            Plain::from_arg_matches(&command.try_get_matches_from(given)?)?;
        Ok(Self { store, retention })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::job::Value;
    use crate::runtime::settings::misspelt::NAMES;
    use crate::runtime::settings::{Instead, read_from};
    use crate::storage::Place;

    #[derive(Debug, Parser)]
    struct Both {
        #[command(flatten)]
        store: StoreSettings,
        #[command(flatten)]
        copy: CopySettings,
    }

    fn read(pairs: &[(&str, &str)]) -> Both {
        read_from(pairs.iter().copied()).unwrap()
    }

    #[test]
    fn every_variable_of_a_store_has_a_name_for_the_second_one() {
        for (name, _) in arguments() {
            assert!(
                name_for_copies(&name).is_some(),
                "COPY_{name} is not among the NAMES"
            );
        }
        let copies = NAMES.iter().filter(|it| it.starts_with(PREFIX));
        assert_eq!(copies.count(), arguments().count());
    }

    #[test]
    fn the_second_stores_variables_are_its_own() {
        let both = read(&[
            ("S3_BUCKET_NAME", "one"),
            ("S3_REGION", "here"),
            ("COPY_TO", "s3://two/prefix"),
            ("COPY_S3_ENDPOINT", "http://s3:9000"),
            ("COPY_S3_ACCESS_KEY", "ak"),
            ("COPY_S3_SECRET_KEY", "hunter2"),
            ("COPY_MAX_BACKUP_COUNT", "7"),
            ("COPY_KEEP_DAILY", "3"),
        ]);
        let Some(Place::S3(place)) = both.copy.config().unwrap().map(|it| it.place) else {
            panic!("it is on S3");
        };
        assert_eq!(place.bucket.to_string(), "two");
        assert_eq!(place.endpoint.as_deref(), Some("http://s3:9000"));
        assert_eq!(place.region, None);
        assert_eq!(both.copy.retention.last.0, 7);
        let Place::S3(first) = both.store.config().unwrap().place else {
            panic!("it is on S3");
        };
        assert_eq!((first.bucket.as_str(), first.endpoint), ("one", None));
        assert!(!format!("{both:?}").contains("hunter2"));
        let vars = both.copy.to_env();
        let pairs: Vec<(&str, String)> = vars
            .iter()
            .map(|it| match &it.value {
                Value::Plain(value) => (it.name, value.clone()),
                Value::Secret(value) => (it.name, value.expose_secret().to_owned()),
            })
            .collect();
        let pairs: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(name, it)| (*name, it.as_str()))
            .collect();
        assert_eq!(
            format!("{:?}", read(&pairs).copy),
            format!("{:?}", both.copy)
        );
        let shown: Vec<&str> = vars
            .iter()
            .filter(|it| matches!(it.value, Value::Secret(_)))
            .map(|it| it.name)
            .collect();
        assert_eq!(shown, ["COPY_S3_ACCESS_KEY", "COPY_S3_SECRET_KEY"]);
    }

    #[test]
    fn what_is_wrong_is_said_with_the_variables_name() {
        assert!(read(&[]).copy.config().unwrap().is_none());
        assert!(read(&[]).copy.to_env().is_empty());
        let half = read(&[("COPY_TO", "s3://two"), ("COPY_S3_ACCESS_KEY", "ak")]);
        let said = half.copy.config().unwrap_err();
        assert_eq!(
            said,
            "the second store (COPY_TO): COPY_S3_ACCESS_KEY and COPY_S3_SECRET_KEY go together; set both or neither"
        );
        let other = read(&[("COPY_TO", "s3://two"), ("COPY_S3_BUCKET_NAME", "three")]);
        let said = other.copy.config().unwrap_err();
        let words = "COPY_TO names another place than COPY_S3_BUCKET_NAME";
        assert!(said.contains(words), "{said}");
        let wrong = read_from::<Both, _>([("COPY_TO", "nowhere")]);
        let Err(Instead::Refuse(said)) = wrong else {
            panic!("{wrong:?}");
        };
        assert!(said.contains("COPY_TO"), "{said}");
    }
}
