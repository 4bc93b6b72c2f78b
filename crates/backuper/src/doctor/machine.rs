//! The machine on which the checks run, as a worker's would be.

use super::finding::{Finding, Findings};
use super::{Check, Subject};
use crate::job::CheckJob;
use crate::postgres::tools::Tools;
use crate::runtime::parallelism;

const NAMES: &[&str] = &["programs", "cores"];

pub(super) async fn check(job: &CheckJob) -> Vec<Check> {
    let mut findings = Findings::new(Subject::Machine, NAMES);
    let installed = Tools::installed(&job.connection.programs).await;
    let versions: Vec<&str> = installed.iter().map(Tools::version).collect();
    findings.add(
        "programs",
        if versions.is_empty() {
            Finding::wrong(
                "no pg_dump, pg_restore and psql are installed; use an image with them, install postgresql-client, or name their directory in PG_BIN_DIRS",
            )
        } else {
            Finding::ok(format!("PostgreSQL's programs: {}", versions.join(", ")))
        },
    );
    let cores = parallelism::cores();
    let jobs = parallelism::jobs(job.jobs, cores);
    findings.add(
        "cores",
        Finding::ok(format!(
            "{cores} cores; a backup reads {jobs} streams at once"
        )),
    );
    findings.all("nobody has asked")
}
