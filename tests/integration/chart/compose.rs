//! deploy/compose.yaml, as far as it can be tried without Docker: settings that there are, programs of the
//! versions that the tests run.

use serde_yaml_ng::Value;

use super::read;
use crate::cluster::kept_by_with;
use crate::testbed::Env;
use crate::testbed::programs::scheduler;

fn compose() -> Value {
    serde_yaml_ng::from_str(&read("deploy/compose.yaml")).unwrap()
}

#[test]
fn every_setting_in_the_compose_file_is_one_of_the_schedulers() {
    let help = scheduler(&Env::new()).args(["--help"]).succeed().stdout;
    let compose = compose();
    let given = &compose["services"]["scheduler"]["environment"];
    for name in given.as_mapping().unwrap().keys() {
        let name = name.as_str().unwrap();
        let mut known = help.lines().filter_map(|it| it.split_whitespace().next());
        assert!(known.any(|it| it == name), "{name}: {help}");
    }
}

#[test]
fn the_compose_file_has_the_versions_that_the_tests_have() {
    let ours = format!(":{}", env!("CARGO_PKG_VERSION"));
    let text = read("deploy/compose.yaml");
    let images = text.lines().filter(|it| it.contains("postgres-adapter-"));
    for image in images {
        assert!(image.trim_end().ends_with(&ours), "{image}");
    }
    let store = kept_by_with("go-program.sh", &["versitygw"]);
    let store = store.file_name().unwrap().to_str().unwrap().to_owned();
    let image = compose()["services"]["s3"]["image"].clone();
    let version = store.strip_prefix("versitygw-").unwrap();
    let image = image.as_str().unwrap();
    assert!(image.ends_with(&format!(":{version}")), "{image} {store}");
}

/// A folder of the store is a bucket, so that it must be there before the server is asked.
#[test]
fn the_compose_file_makes_the_bucket_where_the_server_looks_for_it() {
    let compose = compose();
    let services = &compose["services"];
    let words = |it: &Value| serde_yaml_ng::to_string(it).unwrap();
    let made = words(&services["bucket"]["entrypoint"]);
    assert!(made.contains("/store/backups"), "{made}");
    assert_eq!(services["bucket"]["volumes"], services["s3"]["volumes"]);
    assert!(words(&services["s3"]["command"]).contains("/store\n"));
    let waits = &services["s3"]["depends_on"]["bucket"]["condition"];
    assert_eq!(*waits, "service_completed_successfully");
}
