//! The demo from top to bottom.

use std::time::{Duration, Instant};

use scheduler::api::proto::BackupRequest;
use scheduler::api::proto::backup_service_client::BackupServiceClient;
use tonic::transport::Endpoint;

use crate::proof::{Rows, compare};
use crate::screen::{during, remark, say, step};
use crate::stage::{self, Stage};
use crate::testbed::block_on;
use crate::testbed::core::{Core, Mood};
use crate::testbed::postgres;

/// Tells it, and stops everything however it ends.
///
/// # Errors
/// The first thing that is not as it should be.
pub(crate) fn tell() -> Result<(), String> {
    let began = Instant::now();
    let told = stage::set().and_then(|(stage, before)| acts(&stage, &before));
    step(11, "Clean up");
    if let Some(ended) = stage::stop() {
        if told.is_err() {
            say(&ended.stderr);
        }
        say(format_args!("the scheduler stopped: {}", ended.status));
    }
    say(format_args!(
        "the servers and their folder go with this program; {:.0} s in all",
        began.elapsed().as_secs_f64()
    ));
    told
}

fn acts(stage: &Stage, before: &Rows) -> Result<(), String> {
    protect(stage)?;
    run(stage)?;
    look(stage)?;
    backups(stage)?;
    core(stage)?;
    destroy(stage, before)?;
    restore(stage)?;
    prove(stage, before)
}

/// The command that makes the schedule of a database.
fn put(stage: &Stage, name: &str, password: &str, more: &str) -> String {
    let (port, store) = (stage.postgres(), stage.store());
    format!(
        "scheduler put {name} --database postgres@127.0.0.1:{port}/{name} --password-file {password} \\\n    \
         --store {store} --keys-file s3.keys --cron @daily --keep 7{more}"
    )
}

fn protect(stage: &Stage) -> Result<(), String> {
    step(3, "Protect two databases");
    stage.shell.run(&put(stage, "shop", "password", ""), 0)?;
    remark("What would not work is refused:");
    let wrong = put(stage, "stock", "old-password", "");
    stage.shell.run(&wrong, 2)?;
    remark("Unless one insists, as we do to see a backup fail:");
    let wrong = put(stage, "stock", "old-password", " --skip-checks");
    stage.shell.run(&wrong, 0)?;
    Ok(())
}

fn run(stage: &Stage) -> Result<(), String> {
    step(4, "Back both up now");
    stage.shell.run("scheduler run shop --wait", 0)?;
    stage.shell.run("scheduler run stock --wait", 3)?;
    Ok(())
}

fn look(stage: &Stage) -> Result<(), String> {
    step(5, "What is protected, what failed, and why");
    stage.shell.run("scheduler ls", 0)?;
    stage.shell.run("scheduler runs", 0)?;
    stage.shell.run("scheduler doctor stock", 3)?;
    remark("So it needs its right password:");
    stage.shell.run(&put(stage, "stock", "password", ""), 0)?;
    stage.shell.run("scheduler run stock --wait", 0)?;
    stage.shell.run("scheduler ls", 0)?;
    Ok(())
}

fn backups(stage: &Stage) -> Result<(), String> {
    step(6, "What there is to restore");
    let listed = stage.shell.run("scheduler backups shop", 0)?;
    let newest = listed.stdout.lines().nth(1);
    let key = newest.and_then(|it| it.split_whitespace().next());
    let key = key.ok_or("no backup is listed")?;
    stage
        .shell
        .run(&format!("scheduler backup shop {key}"), 0)?;
    Ok(())
}

/// The same scheduler by the contract of oiler-backup, which has no commands.
fn core(stage: &Stage) -> Result<(), String> {
    step(
        7,
        "The oiler-backup core may ask as well, by its own gRPC contract",
    );
    let core = Core::start(Mood::Recording);
    let request = BackupRequest {
        db_uri: "127.0.0.1".to_owned(),
        db_port: i64::from(stage.postgres()),
        db_user: "postgres".to_owned(),
        db_pass: postgres::shared().password().to_owned(),
        db_name: stage.shop.name().to_owned(),
        database_type: "postgres".to_owned(),
        schedule: "0 3 * * *".to_owned(),
        s3_endpoint: stage.s3.endpoint(),
        s3_access_key: stage.s3.access_key().to_owned(),
        s3_secret_key: stage.s3.secret_key().to_owned(),
        s3_bucket_name: stage.s3.bucket().to_owned(),
        core_addr: core.address(),
        max_backup_count: 5,
        ..BackupRequest::default()
    };
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{}", stage.port))
        .map_err(|error| error.to_string())?
        .timeout(Duration::from_secs(30));
    let answer = block_on(async {
        let channel = endpoint
            .connect()
            .await
            .map_err(|error| error.to_string())?;
        let answer = BackupServiceClient::new(channel).backup(request).await;
        answer.map_err(|status| format!("Backup: {status}"))
    })?
    .into_inner();
    say(format_args!("Backup answers: {:?}", answer.status));
    let command = format!("scheduler run {} --wait", answer.cronjob_name);
    stage.shell.run(&command, 0)?;
    let report = core.backups().pop().ok_or("the core was told nothing")?;
    say(format_args!(
        "the core was told: {} success={} in {} ms",
        report.name, report.success, report.time_elapsed
    ));
    stage
        .shell
        .run(&format!("scheduler delete {}", answer.cronjob_name), 0)?;
    Ok(())
}

fn destroy(stage: &Stage, before: &Rows) -> Result<(), String> {
    step(8, "A bad afternoon");
    say(include_str!("destroy.sql"));
    stage.shop.sql(include_str!("destroy.sql"));
    let ruins = Rows::of(&stage.shop);
    if ruins == *before {
        return Err("the data is still there; the demo would prove nothing".to_owned());
    }
    say(format_args!("what is left: {ruins}"));
    Ok(())
}

fn restore(stage: &Stage) -> Result<(), String> {
    step(9, "Bring it back");
    remark("So that no backup of what is left becomes the newest one:");
    stage.shell.run("scheduler suspend shop", 0)?;
    remark("Beside it first, to look at what would come back:");
    stage
        .shell
        .run("scheduler restore shop --into shop_copy --wait", 0)?;
    let copy = stage.shop.cluster().existing("shop_copy");
    say(format_args!("shop_copy has {}", Rows::of(&copy)));
    remark("And over it:");
    stage
        .shell
        .run("scheduler restore shop --in-place --wait", 0)?;
    stage.shell.run("scheduler resume shop", 0)?;
    Ok(())
}

fn prove(stage: &Stage, before: &Rows) -> Result<(), String> {
    step(
        10,
        "A checksum over the rows of every table says whether all is as it was",
    );
    let copy = stage.shop.cluster().existing("shop_copy");
    let (after, of_copy) = during("the checksums are taken", || {
        (Rows::of(&stage.shop), Rows::of(&copy))
    })?;
    compare(&stage.shop, before, &after)?;
    if of_copy != *before {
        return Err("the copy is not the same".to_owned());
    }
    say("same the copy, in all of these");
    Ok(())
}
