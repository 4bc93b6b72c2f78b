//! The demo from top to bottom.

use std::time::{Duration, Instant};

use scheduler::api::proto::{BackupRequest, BackupRestore, UpdateBackupRequest};

use crate::screen::{during, say, step, wait};
use crate::stage::{self, Stage, alive, get, printed, rows};
use crate::testbed::{block_on, postgres};

/// How long a backup or a restore of this size may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Tells it.
///
/// # Errors
/// The first thing that is not as it should be.
pub(crate) fn tell() -> Result<(), String> {
    let (mut stage, before) = stage::set()?;
    let began = Instant::now();
    let schedule = back_up(&mut stage)?;
    show(&stage)?;
    stand_down(&mut stage, schedule)?;
    destroy(&stage, &before)?;
    restore(&mut stage)?;
    compare(&stage, &before)?;
    metrics(&stage)?;
    step(10, "Clean up");
    stage::stop();
    say(format_args!(
        "all is stopped; {:.0} s after the first call",
        began.elapsed().as_secs_f64()
    ));
    Ok(())
}

fn back_up(stage: &mut Stage) -> Result<UpdateBackupRequest, String> {
    step(
        3,
        "Backup, by gRPC, with a schedule that fires every minute",
    );
    let request = BackupRequest {
        db_uri: "127.0.0.1".to_owned(),
        db_port: stage.port(),
        db_user: "postgres".to_owned(),
        db_pass: postgres::shared().password().to_owned(),
        db_name: stage.database.name().to_owned(),
        database_type: "postgres".to_owned(),
        schedule: "* * * * *".to_owned(),
        s3_endpoint: stage.s3.endpoint(),
        s3_access_key: stage.s3.access_key().to_owned(),
        s3_secret_key: stage.s3.secret_key().to_owned(),
        s3_bucket_name: stage.s3.bucket().to_owned(),
        core_addr: stage.core.address(),
        max_backup_count: 5,
        ..BackupRequest::default()
    };
    let answer = block_on(stage.client.backup(request.clone()))
        .map_err(|status| format!("Backup: {status}"))?
        .into_inner();
    say(format_args!(
        "answer: {} {:?}",
        answer.cronjob_name, answer.status
    ));
    let report = wait(
        "the minute turns and the backup is complete",
        PATIENCE,
        || {
            alive()?;
            Ok(stage.core.backups().pop())
        },
    )?;
    if !report.success {
        return Err(format!("the backup failed:\n{}", printed()));
    }
    say(format_args!(
        "reported to the core: {} in {} ms",
        report.name, report.time_elapsed
    ));
    Ok(UpdateBackupRequest {
        request: Some(request),
        cronjob_name: answer.cronjob_name,
        cronjob_namespace: answer.cronjob_namespace,
    })
}

fn show(stage: &Stage) -> Result<(), String> {
    step(5, "What is in the bucket");
    for object in stage.s3.objects() {
        say(format_args!("{:>10}  {}", object.size, object.key));
    }
    let key = stage.s3.manifests().pop().ok_or("there is no manifest")?;
    let manifest = String::from_utf8(stage.s3.read(&key)).map_err(|error| error.to_string())?;
    say(&manifest);
    Ok(())
}

/// Without this a backup of the ruins would be the newest one soon.
fn stand_down(stage: &mut Stage, mut update: UpdateBackupRequest) -> Result<(), String> {
    step(6, "Update: from now on at three in the morning");
    if let Some(request) = &mut update.request {
        request.schedule = "0 3 * * *".to_owned();
    }
    let answer = block_on(stage.client.update(update))
        .map_err(|status| format!("Update: {status}"))?
        .into_inner();
    say(format_args!(
        "answer: {} {:?}",
        answer.cronjob_name, answer.status
    ));
    Ok(())
}

fn destroy(stage: &Stage, before: &str) -> Result<(), String> {
    step(7, "Destroy the data");
    say(include_str!("destroy.sql"));
    stage.database.sql(include_str!("destroy.sql"));
    let ruins = stage.database.checksums();
    if ruins == before {
        return Err("the data is still there; the demo would prove nothing".to_owned());
    }
    say(rows(&ruins));
    Ok(())
}

fn restore(stage: &mut Stage) -> Result<(), String> {
    step(8, "Restore, by gRPC, the newest backup");
    let request = BackupRestore {
        db_uri: "127.0.0.1".to_owned(),
        db_port: stage.port(),
        db_user: "postgres".to_owned(),
        db_pass: postgres::shared().password().to_owned(),
        db_name: stage.database.name().to_owned(),
        database_type: "postgres".to_owned(),
        s3_endpoint: stage.s3.endpoint(),
        s3_access_key: stage.s3.access_key().to_owned(),
        s3_secret_key: stage.s3.secret_key().to_owned(),
        s3_bucket_name: stage.s3.bucket().to_owned(),
        backup_revision: "0".to_owned(),
        core_addr: stage.core.address(),
        ..BackupRestore::default()
    };
    let answer = block_on(stage.client.restore(request))
        .map_err(|status| format!("Restore: {status}"))?
        .into_inner();
    say(format_args!(
        "answer: {} {:?}",
        answer.job_name, answer.status
    ));
    let report = wait("the restore is complete", PATIENCE, || {
        alive()?;
        Ok(stage.core.restores().pop())
    })?;
    if !report.success {
        return Err(format!("the restore failed:\n{}", printed()));
    }
    say(format_args!(
        "reported to the core: {} in {} ms",
        report.name, report.time_elapsed
    ));
    Ok(())
}

fn compare(stage: &Stage, before: &str) -> Result<(), String> {
    step(9, "Compare the checksums of every table");
    let after = during("the checksums are taken", || stage.database.checksums())?;
    for line in after.lines() {
        let same = before.lines().any(|it| it == line);
        say(format_args!(
            "{} {line}",
            if same { "same" } else { "DIFFERENT" }
        ));
    }
    if after != before {
        return Err(format!(
            "the tables differ; before:\n{before}\nafter:\n{after}"
        ));
    }
    let invoices = stage.database.sql("SELECT last_value FROM shop.invoices");
    let objects = stage
        .database
        .sql("SELECT count(*) FROM pg_largeobject_metadata");
    if (invoices.as_str(), objects.as_str()) != ("4711", "1") {
        return Err(format!(
            "the sequence says {invoices}, and there are {objects} large objects"
        ));
    }
    say("same the sequence, and the large object");
    Ok(())
}

fn metrics(stage: &Stage) -> Result<(), String> {
    say("");
    let text = get(&format!("{}/metrics", stage.admin))?;
    let ours = text
        .lines()
        .filter(|it| !it.starts_with('#') && !it.starts_with("process_"));
    let mut count = 0;
    for line in ours {
        say(line);
        count += 1;
    }
    if count == 0 {
        return Err("/metrics says nothing".to_owned());
    }
    Ok(())
}
