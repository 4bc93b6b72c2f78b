//! README's way from nothing to a restored database on a cluster, each command as it stands there.

use super::site::Site;
use super::world::{SERVERS, World, repository};

/// README's part below a heading.
pub(crate) fn section(heading: &str) -> String {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let (_, rest) = readme.split_once(&format!("\n{heading}\n")).expect(heading);
    let end = rest.find("\n## ").unwrap_or(rest.len());
    rest[..end].to_owned()
}

/// The shell commands in a part of README, one block after the other.
pub(crate) fn blocks(section: &str) -> Vec<String> {
    let blocks = section.split("```sh\n").skip(1);
    let blocks = blocks.map(|it| it.split("```").next().unwrap());
    blocks
        .map(|it| {
            it.lines()
                .map(str::trim_start)
                .collect::<Vec<_>>()
                .join("\n")
        })
        .collect()
}

/// A value of the reader's own, where README has one of its.
fn assigned(script: &str, name: &str, value: &str) -> String {
    let word = regex::Regex::new(&format!(r"(?m)(^|\s){name}=\S+")).unwrap();
    assert_eq!(word.find_iter(script).count(), 1, "{name}: {script}");
    let with = format!("${{1}}{name}={value}");
    word.replace(script, with.as_str()).into_owned()
}

/// A shell that goes on from block to block, as the reader's does.
struct Shell(String);

impl Shell {
    /// Runs one more block after all before it; gives what this one printed.
    fn run(&mut self, block: &str) -> String {
        // The port-forward is there a moment later, and ends with the shell.
        let waited = "until (exec 3<>/dev/tcp/127.0.0.1/50051) 2>/dev/null; do sleep 0.2; done";
        let ended = "trap '{ kill $(jobs -p); wait; } 2>/dev/null || true' EXIT";
        let before = &self.0;
        World::shell(&format!("{ended}\n{before}\n{waited}\n{block}"))
    }
}

/// The text behind a field's name in grpcurl's answer.
fn answered(answer: &str, field: &str) -> String {
    let (_, rest) = answer
        .split_once(&format!("\"{field}\": \""))
        .expect(answer);
    rest.split('"').next().unwrap().to_owned()
}

#[test]
fn a_newcomer_gets_from_nothing_to_a_restored_database() {
    let site = Site::new("readme");
    let sum = site.fill(1000);
    let section = section("## On Kubernetes");
    let blocks = blocks(section.split("\n### ").next().unwrap());
    let [install, reader, back_up, restore] = blocks.as_slice() else {
        panic!("four blocks: {blocks:?}");
    };
    assert!(install.starts_with(&World::readme_install()), "{install}");
    let mut reader = reader.clone();
    for (name, value) in [
        ("DB_HOST", format!("postgres.{SERVERS}.svc")),
        ("DB_PASSWORD", "e2e-password".to_owned()),
        ("DB_NAME", site.name.clone()),
        ("S3_ENDPOINT", format!("http://s3.{SERVERS}.svc:9000")),
        ("S3_BUCKET", site.name.clone()),
        ("S3_ACCESS_KEY", "e2e".to_owned()),
        ("S3_SECRET_KEY", "e2e-secret".to_owned()),
    ] {
        reader = assigned(&reader, name, &value);
    }
    let mut shell = Shell(reader);
    let (call, run) = back_up.split_once("\nNAME=").unwrap();
    let name = answered(&shell.run(call), "cronjobName");
    let said = shell.run(&assigned(&format!("NAME={run}"), "NAME", &name));
    assert!(said.contains("backup complete"), "{said}");

    site.sql("DROP TABLE items");
    let (call, wait) = restore.split_once("\nJOB=").unwrap();
    let job = answered(&shell.run(call), "jobName");
    let said = shell.run(&assigned(&format!("JOB={wait}"), "JOB", &job));
    assert!(said.contains("restore complete"), "{said}");
    assert_eq!(site.checksum(), sum);

    rows_of_the_table(&site, &mut shell, &section, &name);
}

/// The table of what to do later.
fn rows_of_the_table(site: &Site, shell: &mut Shell, section: &str, name: &str) {
    let command = |what: &str| {
        let row = section
            .lines()
            .find(|it| it.starts_with(&format!("| {what} |")));
        row.expect(what).split('`').nth(1).unwrap().to_owned()
    };
    let listed = shell.run(&command("see what there is"));
    assert!(listed.contains(name), "{listed}");
    let again = command("back up now")
        .replace("NAME", name)
        .replace(" now-$(date +%s)", " readme-again");
    shell.run(&again);
    site.succeeds("readme-again");
    let waited = shell.run(&command("back up now, and wait").replace("NAME", name));
    assert!(waited.contains("succeeded: backup complete"), "{waited}");
    let said = command("read what a run says").replace("RUN", "readme-again");
    let said = shell.run(&said);
    assert!(said.contains("backup complete and verified"), "{said}");
    let backups = shell.run(&command("see its backups").replace("NAME", name));
    assert!(backups.contains("verified"), "{backups}");
    let sum = site.checksum();
    site.sql("DROP TABLE items");
    let back = shell.run(&command("bring the newest back").replace("NAME", name));
    assert!(back.contains("succeeded: restore complete"), "{back}");
    assert_eq!(site.checksum(), sum);
    let pod = &site.pods_of("readme-again")[0];
    let pod = pod.metadata.name.clone().unwrap();
    let described = shell.run(&command("read why a run failed").replace("POD", &pod));
    assert!(described.contains("backup complete"), "{described}");
    shell.run(&command("pause a schedule").replace("NAME", name));
    assert_eq!(site.cron_job(name).spec.unwrap().suspend, Some(true));
    shell.run(&command("end a schedule").replace("NAME", name));
    super::world::eventually("it is not listed any more", async || {
        let listed = shell.run(&command("see what there is"));
        (!listed.contains(name)).then_some(())
    });
}
