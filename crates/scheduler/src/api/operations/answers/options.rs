//! What a schedule has of its own, in messages.

use backuper::retention::Calendar;

use crate::api::proto::v1;
use crate::domain::options::filters::Texts;
use crate::domain::options::{
    Filters, MoreRecipients, OwnFormat, OwnGlobals, OwnLayout, OwnRetention,
};

pub(super) fn retention(own: OwnRetention) -> v1::RetentionRules {
    let OwnRetention {
        rules,
        at_least,
        zone,
        objects,
    } = own;
    let Calendar {
        hourly,
        daily,
        weekly,
        monthly,
        yearly,
        days,
    } = rules;
    v1::RetentionRules {
        // It stands beside them.
        max_backup_count: 0,
        hourly,
        daily,
        weekly,
        monthly,
        yearly,
        days,
        at_least: at_least.0.get(),
        time_zone: zone.to_string(),
        objects,
    }
}

/// None where all of it is the administrator's.
pub(super) fn format(format: OwnFormat, layout: OwnLayout) -> Option<v1::BackupFormat> {
    let OwnFormat {
        format: kind,
        sql_owners,
        sql_clean,
        compression_level,
    } = format;
    let OwnLayout {
        key_template,
        cluster_name,
    } = layout;
    let level = compression_level.and_then(|it| u32::try_from(it.get()).ok());
    let message = v1::BackupFormat {
        kind: kind.map_or_else(String::new, |it| it.to_string()),
        sql_owners,
        sql_clean,
        compression_level: level.unwrap_or_default(),
        key_template: key_template.map_or_else(String::new, |it| it.to_string()),
        cluster_name: cluster_name.unwrap_or_default(),
    };
    (message != v1::BackupFormat::default()).then_some(message)
}

/// None where there is no key beside the administrator's.
pub(super) fn encryption(more: MoreRecipients) -> Option<v1::Encryption> {
    let MoreRecipients {
        recipients,
        manifest,
    } = more;
    let recipients = recipients.map_or_else(Vec::new, |it| it.texts());
    let message = v1::Encryption {
        recipients,
        manifest,
    };
    (message != v1::Encryption::default()).then_some(message)
}

/// None where all of the database is backed up.
pub(super) fn filters(filters: Filters) -> Option<v1::Filters> {
    let Texts {
        include_schemas,
        exclude_schemas,
        include_tables,
        exclude_tables,
        exclude_table_data,
    } = filters.into();
    let message = v1::Filters {
        include_schemas,
        exclude_schemas,
        include_tables,
        exclude_tables,
        exclude_table_data,
    };
    (message != v1::Filters::default()).then_some(message)
}

/// None where it is the administrator's.
pub(super) fn globals(own: OwnGlobals) -> Option<v1::Globals> {
    let OwnGlobals { globals, passwords } = own;
    let message = v1::Globals {
        enabled: globals,
        passwords: passwords.map_or_else(String::new, |it| it.to_string()),
    };
    (message != v1::Globals::default()).then_some(message)
}
