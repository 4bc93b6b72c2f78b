//! What a schedule has of its own, in messages.

use std::num::{NonZeroU16, NonZeroU32};

use backuper::archive::encryption::Recipients;
use backuper::job::{FilterSettings, Format, maybe};
use backuper::retention::{AtLeast, Calendar};
use backuper::storage::Tags;

use crate::api::door::Door;
use crate::api::proto::v1;
use crate::domain::name::{self, Wrong};
use crate::domain::options::filters::{of_schemas, of_tables};
use crate::domain::options::{
    Filters, MoreRecipients, Options, OwnFormat, OwnGlobals, OwnLayout, OwnRetention, OwnTries,
};

/// The part of a request that says it.
#[derive(Debug, Default)]
pub(super) struct Messages {
    pub(super) retention: Option<v1::RetentionRules>,
    pub(super) format: Option<v1::BackupFormat>,
    pub(super) encryption: Option<v1::Encryption>,
    pub(super) filters: Option<v1::Filters>,
    pub(super) globals: Option<v1::Globals>,
    pub(super) jobs: u32,
}

impl Door {
    /// What a schedule has of its own.
    pub(super) fn options(&mut self, messages: Messages) -> Option<Options> {
        let Messages {
            retention,
            format,
            encryption,
            filters,
            globals,
            jobs,
        } = messages;
        let retention = match retention {
            Some(rules) => self.own_retention(rules).map(Some),
            None => Some(None),
        };
        let format = self.own_format(format.unwrap_or_default());
        let encryption = self.more_recipients(encryption.unwrap_or_default());
        let filters = self.filters(filters.unwrap_or_default());
        let globals = self.own_globals(globals.unwrap_or_default());
        let jobs = u16::try_from(jobs).map(NonZeroU16::new);
        let jobs = self.take("jobs", jobs.map_err(|_too_many| "65535 at most are needed"));
        let (format, layout) = format?;
        Some(Options {
            retention: retention?,
            format,
            layout,
            encryption: encryption?,
            filters: filters?,
            globals: globals?,
            jobs: jobs?,
            tries: OwnTries::default(),
            tags: Tags::default(),
            // Its server may be the schedule's: that is read beside it.
            verify: None,
        })
    }

    fn own_retention(&mut self, rules: v1::RetentionRules) -> Option<OwnRetention> {
        let v1::RetentionRules {
            max_backup_count,
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
            days,
            at_least,
            time_zone,
            objects,
        } = rules;
        self.below("retention.");
        if max_backup_count != 0 {
            let why = "it stands beside retention, in the schedule's own max_backup_count";
            self.take::<()>("max_backup_count", Err(Wrong(why)));
        }
        let zone = self.take("time_zone", time_zone.parse());
        self.below("");
        Some(OwnRetention {
            rules: Calendar {
                hourly,
                daily,
                weekly,
                monthly,
                yearly,
                days,
            },
            at_least: NonZeroU32::new(at_least).map(AtLeast).unwrap_or_default(),
            zone: zone?,
            objects,
        })
    }

    fn own_format(&mut self, message: v1::BackupFormat) -> Option<(OwnFormat, OwnLayout)> {
        let v1::BackupFormat {
            kind,
            sql_owners,
            sql_clean,
            compression_level,
            key_template,
            cluster_name,
        } = message;
        self.below("format.");
        let format: Option<Option<Format>> = self.take("kind", maybe(&kind));
        let level = (compression_level != 0).then(|| compression_level.to_string().parse());
        let level = self.take("compression_level", level.transpose());
        let key_template = self.take("key_template", maybe(&key_template));
        let cluster_name = self.take("cluster_name", name::without_nul(&cluster_name));
        if format == Some(Some(Format::Archive)) {
            let why = "it is for plain SQL: leave it out, or say kind: sql.gz";
            for (field, is_said) in [("sql_owners", sql_owners), ("sql_clean", sql_clean)] {
                if is_said == Some(true) {
                    self.take::<()>(field, Err(Wrong(why)));
                }
            }
        }
        self.below("");
        let format = OwnFormat {
            format: format?,
            sql_owners,
            sql_clean,
            compression_level: level?,
        };
        let layout = OwnLayout {
            key_template: key_template?,
            cluster_name: cluster_name.filter(|it| !it.is_empty()),
        };
        Some((format, layout))
    }

    fn more_recipients(&mut self, message: v1::Encryption) -> Option<MoreRecipients> {
        let v1::Encryption {
            recipients,
            manifest,
        } = message;
        let read = (!recipients.is_empty()).then(|| recipients.join("\n").parse::<Recipients>());
        let recipients = self.take("encryption.recipients", read.transpose())?;
        Some(MoreRecipients {
            recipients,
            manifest,
        })
    }

    fn filters(&mut self, message: v1::Filters) -> Option<Filters> {
        let v1::Filters {
            include_schemas,
            exclude_schemas,
            include_tables,
            exclude_tables,
            exclude_table_data,
        } = message;
        self.below("filters.");
        let include_schemas = self.take("include_schemas", of_schemas(&include_schemas));
        let exclude_schemas = self.take("exclude_schemas", of_schemas(&exclude_schemas));
        let include_tables = self.take("include_tables", of_tables(&include_tables));
        let exclude_tables = self.take("exclude_tables", of_tables(&exclude_tables));
        let exclude_table_data = self.take("exclude_table_data", of_tables(&exclude_table_data));
        self.below("");
        Some(Filters(FilterSettings {
            include_schemas: include_schemas?,
            exclude_schemas: exclude_schemas?,
            include_tables: include_tables?,
            exclude_tables: exclude_tables?,
            exclude_table_data: exclude_table_data?,
        }))
    }

    fn own_globals(&mut self, message: v1::Globals) -> Option<OwnGlobals> {
        let v1::Globals { enabled, passwords } = message;
        let passwords = self.take("globals.passwords", maybe(&passwords))?;
        Some(OwnGlobals {
            globals: enabled,
            passwords,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(messages: Messages) -> Result<Options, Vec<String>> {
        let mut door = Door::default();
        let options = door.options(messages);
        let opened = door.opened(options);
        opened.map_err(|all| all.into_iter().map(|it| it.field).collect())
    }

    #[test]
    fn nothing_said_is_nothing_of_its_own() {
        let silent = Messages {
            format: Some(v1::BackupFormat::default()),
            encryption: Some(v1::Encryption::default()),
            globals: Some(v1::Globals::default()),
            ..Messages::default()
        };
        assert!(read(silent).unwrap().are_none());
        // Rules that keep nothing beside the count are some all the same: the administrator's do not hold.
        let counted = Messages {
            retention: Some(v1::RetentionRules::default()),
            ..Messages::default()
        };
        assert_eq!(
            read(counted).unwrap().retention,
            Some(OwnRetention::default())
        );
    }

    #[test]
    fn all_that_is_wrong_is_named_by_its_field() {
        let wrong = Messages {
            retention: Some(v1::RetentionRules {
                max_backup_count: 7,
                time_zone: "Berlin".to_owned(),
                ..v1::RetentionRules::default()
            }),
            format: Some(v1::BackupFormat {
                kind: "tar".to_owned(),
                compression_level: 20,
                key_template: "{{ .Namespace }}".to_owned(),
                cluster_name: "a\0b".to_owned(),
                ..v1::BackupFormat::default()
            }),
            encryption: Some(v1::Encryption {
                recipients: vec!["age1plugin".to_owned()],
                manifest: false,
            }),
            filters: Some(v1::Filters {
                include_schemas: vec!["a.b".to_owned()],
                exclude_table_data: vec!["\"open".to_owned()],
                ..v1::Filters::default()
            }),
            globals: Some(v1::Globals {
                enabled: None,
                passwords: "md5".to_owned(),
            }),
            jobs: 70_000,
        };
        let fields = [
            "retention.max_backup_count",
            "retention.time_zone",
            "format.kind",
            "format.compression_level",
            "format.key_template",
            "format.cluster_name",
            "encryption.recipients",
            "filters.include_schemas",
            "filters.exclude_table_data",
            "globals.passwords",
            "jobs",
        ];
        assert_eq!(read(wrong).unwrap_err(), fields);
    }

    #[test]
    fn what_archives_do_not_have_is_not_said_of_them() {
        let archive = |owners, clean| {
            read(Messages {
                format: Some(v1::BackupFormat {
                    kind: "archive".to_owned(),
                    sql_owners: owners,
                    sql_clean: clean,
                    ..v1::BackupFormat::default()
                }),
                ..Messages::default()
            })
        };
        assert_eq!(
            archive(Some(true), None).unwrap_err(),
            ["format.sql_owners"]
        );
        assert_eq!(archive(None, Some(true)).unwrap_err(), ["format.sql_clean"]);
        assert!(archive(Some(false), None).is_ok());
    }

    /// What stands there by mistake may be a private key.
    #[test]
    fn a_private_key_among_the_public_ones_is_not_repeated() {
        let mut door = Door::default();
        let key = "AGE-SECRET-KEY-1QQQQ".to_owned();
        let message = v1::Encryption {
            recipients: vec![key.clone()],
            manifest: false,
        };
        assert!(door.more_recipients(message).is_none());
        let said = door.opened::<()>(None).unwrap_err().remove(0).why;
        assert!(
            said.contains("private key") && !said.contains(&key),
            "{said}"
        );
    }
}
