//! A second store that is the first one, or lies in it.

use super::super::testbed::programs::backuper;
use super::super::testbed::s3_faults::{Fault, Faults};
use super::super::testbed::{Env, env, folder};
use super::super::workers::{Stage, var, with};

/// The bucket of the first store at another address, with a retention that would remove its backups.
fn the_same_bucket(stage: &Stage, endpoint: &str) -> Env {
    env([
        ("COPY_TO", &format!("s3://{}", stage.s3.bucket())),
        ("COPY_S3_ENDPOINT", endpoint),
        ("COPY_S3_ACCESS_KEY", stage.s3.access_key()),
        ("COPY_S3_SECRET_KEY", stage.s3.secret_key()),
        ("COPY_MAX_BACKUP_COUNT", "1"),
    ])
}

#[test]
fn a_directory_that_is_the_first_store_by_a_link_or_lies_in_it_is_refused_before_a_byte_is_dumped()
{
    let stage = Stage::new("linked");
    let (store, links) = (folder("store"), folder("links"));
    let link = links.join("again");
    std::os::unix::fs::symlink(&store, &link).unwrap();
    let url = |path: &std::path::Path| format!("file://{}", path.display());
    let first = with(&stage.database.env(), &var("STORE_URL", &url(&store)));
    for (second, words) in [
        (link.clone(), "names the same place"),
        (store.join("copies"), "within the backups' own store"),
        (link.join("copies"), "within the backups' own store"),
    ] {
        let ended = backuper(&with(&first, &var("COPY_TO", &url(&second)))).run();
        ended.expect_code(2);
        assert!(ended.last_line().contains(words), "{ended}");
        assert!(ended.last_line().contains("leave COPY_TO out"), "{ended}");
        assert_eq!(std::fs::read_dir(&store).unwrap().count(), 0);
    }
}

#[test]
fn a_prefix_within_the_first_stores_own_is_refused() {
    let stage = Stage::new("within");
    let within = env([
        (
            "COPY_TO",
            format!("s3://{}/copies", stage.s3.bucket()).as_str(),
        ),
        ("COPY_S3_ENDPOINT", &stage.s3.endpoint()),
    ]);
    let ended = stage.backup(&within);
    ended.expect_code(2);
    let words = "within the backups' own store";
    assert!(ended.last_line().contains(words), "{ended}");
    stage.nothing_is_stored();
}

/// Whoever cannot see whether two addresses lead to one place must not let one's retention go over the other.
#[test]
fn a_place_of_which_nobody_knows_whether_it_is_the_first_one_is_not_copied_to() {
    let stage = Stage::new("unknown");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS v");
    stage.back_up(&env([]));
    let first = Faults::start(stage.s3.port());
    first.on("GET", "/running", 1_000, Fault::Answer(403));
    let first = var("S3_ENDPOINT", &first.endpoint());
    let ended = stage.backup(&with(
        &the_same_bucket(&stage, &stage.s3.endpoint()),
        &first,
    ));
    ended.expect_code(5);
    assert!(ended.last_line().contains("/running"), "{ended}");
    assert_eq!(stage.s3.manifests().len(), 2);
}

#[test]
fn nobody_is_told_that_the_next_backup_is_copied_where_none_will_be() {
    let stage = Stage::new("never");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS v");
    let again = Faults::start(stage.s3.port());
    let ended = stage.backup(&the_same_bucket(&stage, &again.endpoint()));
    ended.expect_code(5);
    let last = ended.last_line();
    assert!(last.contains("it is not copied to s3://"), "{ended}");
    assert!(last.ends_with("or leave COPY_TO out"), "{ended}");
}

#[test]
fn a_second_store_that_is_mistyped_is_told_by_its_own_variables() {
    let (stage, gone) = (Stage::new("mistyped"), folder("gone").join("disk"));
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS v");
    let url = format!("file://{}", gone.display());
    let bucket = env([
        ("COPY_TO", "s3://no-such-bucket"),
        ("COPY_S3_ENDPOINT", &stage.s3.endpoint()),
        ("COPY_S3_ACCESS_KEY", stage.s3.access_key()),
        ("COPY_S3_SECRET_KEY", stage.s3.secret_key()),
    ]);
    for (second, words) in [
        (
            var("COPY_TO", &url),
            "correct the setting that names it, COPY_TO or COPY_S3_ENDPOINT",
        ),
        (bucket, "correct COPY_TO or COPY_S3_BUCKET_NAME"),
    ] {
        let ended = stage.backup(&second);
        ended.expect_code(5);
        assert!(ended.last_line().contains(words), "{ended}");
    }
}
