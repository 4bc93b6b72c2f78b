//! A schedule in a message.

use backuper::job::maybe;
use backuper::retention::Retention;

use super::options::Messages;
use crate::api::door::{Door, filled};
use crate::api::proto::v1;
use crate::api::status::Violation;
use crate::domain::cron::Cron;
use crate::domain::labels::labels;
use crate::domain::name::{Name, Wrong};
use crate::domain::schedule::Plan;
use crate::domain::zone::Zone;
use crate::service::proving::Proving;
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
        verify,
    } = request;
    let mut door = Door::default();
    let name = (!name.is_empty()).then(|| Name::given(&name));
    let name = door.take("name", name.transpose());
    let database = door.take("database", database.ok_or(Wrong("it is missing")));
    let source = database.and_then(|it| door.databases("database.", it));
    let store = door.take("store", store.ok_or(Wrong("it is missing")));
    let store = store.and_then(|it| door.store_of("store.", it));
    let zone: Option<Zone> = door.take("time_zone", time_zone.parse());
    let verify = match verify {
        Some(verify) => door.proving(verify, zone.clone()).map(Some),
        None => Some(None),
    };
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
            verify: verify?,
            validate_only,
        })
    })();
    door.opened(wanted)
}

impl Door {
    /// Drills at times of their own, in the schedule's zone.
    fn proving(&mut self, message: v1::Verify, zone: Option<Zone>) -> Option<Proving> {
        let v1::Verify { cron, server, sql } = message;
        self.below("verify.");
        let cron = zone.and_then(|zone| self.take("cron", Cron::in_zone(&cron, zone)));
        let sql: Option<Vec<String>> = sql.iter().map(|it| self.take("sql", filled(it))).collect();
        let server = self.drill_server("verify.server.", server, None);
        Some(Proving {
            cron: cron?,
            server: server?,
            sql: sql?,
        })
    }
}
