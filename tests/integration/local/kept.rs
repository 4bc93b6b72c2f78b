//! What is secret, in the local engine's file: that of requests, and nothing of the administrator's.

use std::path::Path;
use std::sync::Arc;

use scheduler::engine::local::{Local, Settings};
use scheduler::engine::{Engine as _, Whose};

use super::{NAME, every, file, settings, succeeded, watch, worker};
use crate::testbed::{block_on, folder};

const FLEETS: &str = "fleets-hunter3";

fn open(data: &Path, worker: &Path) -> Local {
    let mut settings: Settings = settings(data, worker);
    let copy = &mut settings.workers.settings.copy.store;
    copy.url = Some("s3://two/prefix".parse().unwrap());
    copy.access_key = Some("copy-key".into());
    copy.secret_key = Some(FLEETS.into());
    Local::open(settings).expect("opened")
}

/// Whether a text is anywhere in the file, or in what SQLite has beside it.
fn is_written(data: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(data).unwrap().flatten();
    let files = files.filter(|it| it.path().is_file());
    files.into_iter().any(|it| {
        let bytes = std::fs::read(it.path()).unwrap();
        bytes.windows(text.len()).any(|it| it == text.as_bytes())
    })
}

#[test]
fn the_administrators_secrets_are_told_to_workers_and_are_not_in_the_file() {
    let (data, out) = (folder("data"), folder("out").join("env"));
    let script = worker(&format!("env >> {}", out.display()));
    let engine = open(&data, &script);
    let schedule = every(3_600);
    block_on(engine.put(&schedule, Whose::Its)).unwrap();
    let password = |engine: &Local| {
        let kept = block_on(engine.secrets(&schedule.name)).unwrap();
        kept.unwrap().contains_key("DB_PASSWORD")
    };
    assert!(password(&engine));
    assert!(!is_written(&data, FLEETS));
    drop(engine);
    // As a version before this one has kept it.
    let rows = file(&data);
    let changed = rows
        .execute(
            "UPDATE schedules SET secrets = json_set(secrets, '$.COPY_S3_SECRET_KEY', ?1) WHERE name = ?2",
            [FLEETS, NAME],
        )
        .unwrap();
    assert_eq!(changed, 1);
    drop(rows);
    assert!(is_written(&data, FLEETS));
    let engine = open(&data, &script);
    assert!(!is_written(&data, FLEETS));
    assert!(password(&engine));
    block_on(engine.run(&schedule.name, "now")).unwrap();
    let seen = watch(Arc::new(engine), |it| !it.is_empty());
    assert!(seen.iter().all(succeeded), "{seen:?}");
    let told = std::fs::read_to_string(out).unwrap();
    let line = format!("COPY_S3_SECRET_KEY={FLEETS}");
    assert!(told.lines().any(|it| it == line), "{told}");
}
