//! What a schedule has of its own, beside what the administrator has set for all.

use backuper::archive::codec::CompressionLevel;
use backuper::job::{
    BackupJob, EncryptionSettings, Format, FormatSettings, GlobalsSettings, LayoutSettings,
    RetentionSettings,
};

use super::Workers;
use crate::domain::options::{MoreRecipients, OwnFormat, OwnGlobals, OwnLayout};
use crate::domain::schedule::Schedule;

impl Workers {
    /// What is kept of a schedule's backups: so many, and beside them what its own rules keep or, where it has
    /// none, the administrator's. Who keeps all of them and has no rules keeps all.
    #[must_use]
    pub fn retention(&self, schedule: &Schedule) -> RetentionSettings {
        let last = schedule.plan.keep;
        match schedule.own().retention {
            Some(own) => own.beside(last),
            None if last.0 == 0 => RetentionSettings::default(),
            None => RetentionSettings {
                last,
                calendar: self.settings.calendar.clone(),
                objects: false,
            },
        }
    }

    pub(super) fn format(&self, own: &OwnFormat) -> FormatSettings {
        let all = self.settings.format;
        FormatSettings {
            format: own.format.unwrap_or(all.format),
            sql_owners: own.sql_owners.unwrap_or(all.sql_owners),
            sql_clean: own.sql_clean.unwrap_or(all.sql_clean),
        }
    }

    /// Whether a schedule's backups are plain SQL.
    #[must_use]
    pub fn makes_plain_sql(&self, schedule: &Schedule) -> bool {
        self.format(&schedule.own().format).format != Format::Archive
    }

    pub(super) fn compression_level(&self, own: &OwnFormat) -> CompressionLevel {
        let all = self.settings.compression_level;
        own.compression_level.unwrap_or(all)
    }

    /// Where a schedule's dumps in plain SQL lie.
    #[must_use]
    pub fn keys_of(&self, schedule: &Schedule) -> LayoutSettings {
        self.layout(&schedule.own().layout)
    }

    pub(super) fn layout(&self, own: &OwnLayout) -> LayoutSettings {
        let all = self.settings.layout.clone();
        LayoutSettings {
            key_template: own.key_template.clone().or(all.key_template),
            cluster_name: own.cluster_name.clone().or(all.cluster_name),
        }
    }

    /// The administrator's keys stay whatever a schedule says.
    pub(super) fn encryption(&self, own: &MoreRecipients) -> EncryptionSettings {
        let all = self.settings.encryption.clone();
        let encrypt_to = match (all.encrypt_to, own.recipients.clone()) {
            (Some(all), Some(more)) => Some(all.and(more)),
            (all, more) => all.or(more),
        };
        EncryptionSettings {
            encrypt_to,
            encrypt_to_file: all.encrypt_to_file,
            encrypt_manifest: all.encrypt_manifest || own.manifest,
        }
    }

    pub(super) fn globals(&self, own: &OwnGlobals) -> GlobalsSettings {
        let all = self.settings.globals;
        GlobalsSettings {
            globals: own.globals.unwrap_or(all.globals),
            globals_passwords: own.passwords.unwrap_or(all.globals_passwords),
        }
    }

    /// Whether what a schedule has of its own and what the administrator has set fit together: each backup
    /// would be refused otherwise.
    ///
    /// # Errors
    /// The worker's own sentence.
    pub fn fits(&self, schedule: &Schedule) -> Result<(), String> {
        let mut job: BackupJob = self.backup(schedule);
        job.layout.layout()?;
        job.check_part()?;
        // The file with more keys is the workers', who read it.
        let has_file = job.encryption.encrypt_to_file.take().is_some();
        let recipients = if has_file && job.encryption.encrypt_to.is_none() {
            None
        } else {
            job.encryption.recipients()?
        };
        let is_encrypted = has_file || recipients.is_some();
        job.globals
            .wanted(job.format.format, is_encrypted)
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::access::Places;
    use crate::engine::conformance;
    use crate::workers::WorkerSettings;

    const FLEETS: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
    const OWN: &str = "age1cy0su9fwf3gf9mw868g5yut09p6nytfmmnktexz2ya5uqg9vl9sss4euqm";

    fn workers() -> Workers {
        let mut settings = WorkerSettings::plain();
        settings.calendar.daily = 30;
        settings.encryption.encrypt_to = FLEETS.parse().ok();
        settings.layout.cluster_name = Some("prod".to_owned());
        Workers {
            settings,
            places: Places::default(),
        }
    }

    fn schedule(keep: u32, own: &str) -> Schedule {
        let mut schedule = conformance::schedule("shop");
        schedule.plan.keep.0 = keep;
        schedule.options = serde_json::from_str(own).unwrap();
        schedule
    }

    #[test]
    fn own_rules_are_in_the_place_of_the_fleets() {
        let of = |keep, own: &str| workers().retention(&schedule(keep, own));
        assert_eq!(of(7, "{}").calendar.daily, 30);
        assert_eq!(of(0, "{}"), RetentionSettings::default());
        let own = of(0, r#"{"retention":{"rules":{"weekly":4},"objects":true}}"#);
        assert_eq!((own.calendar.weekly, own.calendar.daily), (4, 0));
        assert!(own.objects);
        let counted = of(7, r#"{"retention":{}}"#);
        assert_eq!((counted.last.0, counted.calendar.daily), (7, 0));
    }

    /// What a DBCluster and a BackupStorage say is for their workers alone.
    #[test]
    fn a_databases_sslmode_and_a_stores_region_come_before_the_fleets() {
        use backuper::postgres::SslMode;
        let mut workers = workers();
        workers.settings.region = Some("us-east-1".to_owned());
        let plain = schedule(7, "{}");
        let mut own = plain.clone();
        own.plan.source.sslmode = Some(SslMode::VerifyFull);
        own.plan.store.region = Some("eu-central-1".to_owned());
        let of = |schedule: &Schedule| {
            let job = workers.backup(schedule);
            (job.database.connection.sslmode, job.store.region)
        };
        assert_eq!(of(&plain), (SslMode::Prefer, Some("us-east-1".to_owned())));
        assert_eq!(
            of(&own),
            (SslMode::VerifyFull, Some("eu-central-1".to_owned()))
        );
    }

    /// A schedule may add keys, and takes none away.
    #[test]
    fn the_administrators_keys_stay_beside_a_schedules() {
        let own = format!(r#"{{"encryption":{{"recipients":"{OWN}"}}}}"#);
        let job = workers().backup(&schedule(7, &own));
        let keys = job.encryption.encrypt_to.map(|it| it.to_string());
        assert_eq!(keys, Some(format!("{FLEETS},{OWN}")));
        let none = workers().backup(&schedule(7, "{}"));
        assert_eq!(none.encryption.encrypt_to.map(|it| it.len()), Some(1));
    }

    #[test]
    fn what_could_never_be_a_backup_does_not_fit() {
        let mut workers = workers();
        workers.settings.encryption.encrypt_to = None;
        let named =
            r#"{"layout":{"key_template":"{{.ClusterName}}/{{.DatabaseName}}/{{.RunID}}"}}"#;
        assert_eq!(workers.fits(&schedule(7, named)), Ok(()));
        let plain = workers.backup(&schedule(7, named)).layout;
        assert_eq!(plain.cluster_name.as_deref(), Some("prod"));
        workers.settings.layout.cluster_name = None;
        let why = workers.fits(&schedule(7, named)).unwrap_err();
        assert!(why.contains("CLUSTER_NAME"), "{why}");
        let hidden = workers.fits(&schedule(7, r#"{"encryption":{"manifest":true}}"#));
        assert!(hidden.unwrap_err().contains("ENCRYPT_MANIFEST"));
        workers.settings.encryption.encrypt_to_file = Some("/not/here".into());
        assert_eq!(
            workers.fits(&schedule(7, r#"{"encryption":{"manifest":true}}"#)),
            Ok(())
        );
    }
}
