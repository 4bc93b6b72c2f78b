//! A schedule in a message.

use backuper::job::maybe;
use backuper::retention::Retention;

use super::options::Messages;
use crate::api::door::Door;
use crate::api::proto::v1;
use crate::api::status::Violation;
use crate::domain::cron::Cron;
use crate::domain::labels::labels;
use crate::domain::name::{Name, Wrong};
use crate::domain::schedule::Plan;
use crate::service::put::Wanted;

/// Reads a request for a schedule.
pub(in crate::api) fn put(request: v1::PutScheduleRequest) -> Result<Wanted, Vec<Violation>> {
    let v1::PutScheduleRequest {
        name,
        database,
        store,
        cron,
        time_zone,
        max_backup_count,
        labels: labelled,
        core_addr,
        // Not of the schedule, but of the call.
        skip_checks: _,
        validate_only,
        retention,
        format,
        encryption,
        globals,
        filters,
        jobs,
    } = request;
    let mut door = Door::default();
    let name = (!name.is_empty()).then(|| Name::given(&name));
    let name = door.take("name", name.transpose());
    let database = door.take("database", database.ok_or(Wrong("it is missing")));
    let source = database.and_then(|it| door.databases("database.", it));
    let store = door.take("store", store.ok_or(Wrong("it is missing")));
    let store = store.and_then(|it| door.store_of("store.", it));
    let zone = door.take("time_zone", time_zone.parse());
    let cron = zone.and_then(|zone| door.take("cron", Cron::in_zone(&cron, zone)));
    let labels = door.take("labels", labels(labelled));
    let core = door.take("core_addr", maybe(&core_addr));
    let options = door.options(Messages {
        retention,
        format,
        encryption,
        filters,
        globals,
        jobs,
    });
    let wanted = (|| {
        let (source, several) = source?;
        Some(Wanted {
            name: name?,
            plan: Plan {
                source,
                several,
                store: store?,
                core: core?,
                cron: cron?,
                keep: Retention(max_backup_count),
            },
            labels: labels?,
            options: options?,
            validate_only,
        })
    })();
    door.opened(wanted)
}
