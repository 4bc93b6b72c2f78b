//! README's way from nothing to a restored database on a cluster, and what docs/ says to type there, each
//! command as it stands on its page.

#[path = "../integration/readme/known.rs"]
mod known;
#[path = "../integration/readme/pages.rs"]
#[expect(dead_code, reason = "the integration tests read more of it")]
mod pages;

use std::collections::BTreeSet;

use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, ListParams};

use super::site::Site;
use super::world::{
    RELEASE, SERVERS, SYSTEM, World, block_on, eventually, kubectl, repository, try_run,
};
use known::{By, KNOWN};
use pages::{Command, Page};

/// README's part below a heading.
pub(crate) fn section(heading: &str) -> String {
    Page::read(repository(), "README.md").section(heading)
}

/// A page of docs/.
pub(crate) fn page(path: &str) -> String {
    Page::read(repository(), path).text
}

/// The manifests of a page of docs/.
pub(crate) fn manifests(path: &str) -> Vec<String> {
    Page::read(repository(), path).blocks("yaml")
}

/// The shell commands in a part of a page, one block after the other.
pub(crate) fn blocks(text: &str) -> Vec<String> {
    let page = Page {
        path: "a part of a page".to_owned(),
        text: text.to_owned(),
    };
    page.blocks("sh")
}

/// A value of the reader's own, where the page has one of its.
fn assigned(script: &str, name: &str, value: &str) -> String {
    let word = regex::Regex::new(&format!(r"(?m)(^|\s){name}=\S+")).unwrap();
    assert_eq!(word.find_iter(script).count(), 1, "{name}: {script}");
    let with = format!("${{1}}{name}={value}");
    word.replace(script, with.as_str()).into_owned()
}

/// A script with another text, which must be there.
fn with(script: &str, text: &str, ours: &str) -> String {
    assert!(script.contains(text), "{text:?} is not in:\n{script}");
    script.replace(text, ours)
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

/// What other tests have set is away, and a reader's first command has been typed.
fn installed(install: &str) {
    World::get();
    let again = with(
        install,
        "helm install",
        "helm upgrade --install --reset-values",
    );
    World::helm_as_written(&again);
}

fn remove_what_was_left(name: &str) {
    for kind in ["cronjob", "secret"] {
        let place = ["-n", SYSTEM, "delete", kind, name];
        kubectl(&[&place[..], &["--ignore-not-found"]].concat());
    }
}

#[test]
fn a_newcomer_gets_from_nothing_to_a_restored_database() {
    let section = section("## On Kubernetes");
    let blocks = blocks(&section);
    let [block] = blocks.as_slice() else {
        panic!("one block: {blocks:?}");
    };
    let lines: Vec<&str> = block.lines().collect();
    let [install, secret, adapter, put, run, restore] = lines.as_slice() else {
        panic!("six commands: {block}");
    };
    installed(install);
    remove_what_was_left("shop");
    let site = Site::new("readme");
    let sum = site.fill(1000);
    let secret = with(secret, "=password=secret", "=password=e2e-password");
    let secret = with(&secret, "=key=key", "=key=e2e");
    let secret = with(&secret, "=secret=secret", "=secret=e2e-secret");
    World::shell(&secret);
    let host = format!("postgres.{SERVERS}.svc:5432/{}", site.name);
    let put = with(put, "postgres.example:5432/shop", &host);
    let bucket = format!("http://s3.{SERVERS}.svc:9000/{}", site.name);
    let put = with(&put, "https://s3.example/backups", &bucket);
    let shell = |line: &str| World::shell(&format!("{adapter}\n{line}"));
    let said = shell(&put);
    assert!(said.contains("shop"), "{said}");
    let said = shell(run);
    assert!(said.contains("backup complete"), "{said}");
    workers_answer(&shell);
    site.sql("DROP TABLE items");
    let said = shell(restore);
    assert!(said.contains("restore complete"), "{said}");
    assert_eq!(site.checksum(), sum);
    let seen = shell("kubectl -n oiler-backup-system get cronjobs,jobs");
    let words: Vec<&str> = section.split_whitespace().collect();
    let is_said = "`kubectl -n oiler-backup-system get cronjobs,jobs`";
    assert!(words.join(" ").contains(is_said), "{section}");
    assert!(seen.contains("cronjob.batch/shop "), "{seen}");
    shell("adapter delete shop");
    remove_what_was_left("shop");
}

/// Pods that are no runs, each gone a moment later.
fn workers_answer(shell: &dyn Fn(&str) -> String) {
    let said = shell("adapter doctor shop");
    assert!(said.contains("nothing is wrong"), "{said}");
    for what in ["login", "write"] {
        let is_ok = |it: &str| it.starts_with("ok") && it.contains(what);
        assert!(said.lines().any(is_ok), "{what}: {said}");
    }
    let listed = shell("adapter backups shop -o json");
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let key = listed["backups"][0]["key"].as_str().unwrap();
    let said = shell(&format!("adapter backup shop {key}"));
    assert!(said.contains("manifest.json"), "{said}");
    let deleted = format!("adapter delete-backup shop {key}");
    let said = shell(&format!("{deleted} --last --validate-only"));
    assert!(said.contains("nothing is deleted"), "{said}");
    let said = shell(&format!("! {deleted} 2>&1"));
    assert!(said.contains("DELETE_LAST is here --last"), "{said}");
    let left = shell("kubectl -n oiler-backup-system get jobs -l postgres-adapter.io/question");
    assert!(!left.contains("-lst-"), "{left}");
}

#[test]
fn grpcurl_gets_from_nothing_to_a_restored_database() {
    let site = Site::new("contract");
    let sum = site.fill(1000);
    let page = Page::read(repository(), "docs/contract.md");
    let blocks = blocks(&page.section("## On Kubernetes"));
    let [reader, back_up, restore] = blocks.as_slice() else {
        panic!("three blocks: {blocks:?}");
    };
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
}

/// What known.rs says that this test runs, but for a table whose rows are tried one by one.
#[test]
fn the_commands_of_every_day_and_of_the_runbook_run() {
    let site = Site::new("daily");
    let sum = site.fill(1000);
    let name = site.schedule(&site.request()).cronjob_name;
    site.succeeds(&site.run_now(&name));
    let _left = try_run("kubectl", &["delete", "clusterrolebinding", BINDING]);
    let places = r"\b(RELEASE_NS|RELEASE|NAMESPACE|NS|NAME|SCHEDULE|JOB|POD|RUN)\b";
    let places = regex::Regex::new(places).unwrap();
    let mut commands = commands_of("the_commands_of_every_day_and_of_the_runbook_run");
    commands.retain(|it| !(it.page == "docs/kubernetes.md" && it.text.contains("NAME")));
    assert!(commands.len() > 15, "{}", commands.len());
    for command in commands {
        // The older ones go, as the history's limit says.
        let job = newest_job(&site, &name);
        let pod = site.pods_of(&job).remove(0).metadata.name.unwrap();
        let script = places.replace_all(&command.text, |found: &regex::Captures<'_>| {
            let ours = match &found[1] {
                "RELEASE" => RELEASE,
                "NAME" | "SCHEDULE" => &name,
                "JOB" | "RUN" => &job,
                "POD" => &pod,
                _ => SYSTEM,
            };
            ours.to_owned()
        });
        // A log may have nothing of what is looked for.
        let script = match script.contains("| grep") {
            true => format!("{script} || true"),
            false => script.into_owned(),
        };
        World::shell(&script);
        if script.contains("create job") {
            all_jobs_end(&site, &name);
        }
    }
    kubectl(&["delete", "clusterrolebinding", BINDING]);
    rows_of_the_table(&site, &name, &sum);
}

/// The commands of all pages that known.rs says a test runs, each once.
pub(crate) fn commands_of(test: &str) -> Vec<Command> {
    let mut seen = BTreeSet::new();
    let pages = pages::all(repository());
    let mut all: Vec<_> = pages.iter().flat_map(Page::commands).collect();
    all.retain(|command| {
        let row = KNOWN
            .iter()
            .find(|(page, beginning, _)| pages::is(command, page, beginning));
        let is_its = matches!(row, Some((.., by @ By::Pods(_))) if by.text() == test);
        is_its && seen.insert(command.text.clone())
    });
    all
}

async fn jobs_of(site: &Site, schedule: &str) -> Option<Vec<Job>> {
    let jobs: Api<Job> = site.world.api();
    let labelled = format!("postgres-adapter.io/schedule={schedule}");
    let labelled = ListParams::default().labels(&labelled);
    Some(jobs.list(&labelled).await.ok()?.items)
}

fn newest_job(site: &Site, schedule: &str) -> String {
    // It is asked for within other questions too, which have a runtime of their own.
    let asked = || block_on(jobs_of(site, schedule)).unwrap();
    let all = std::thread::scope(|it| it.spawn(asked).join().unwrap());
    let newest = all
        .into_iter()
        .max_by_key(|it| it.metadata.creation_timestamp.clone());
    newest.unwrap().metadata.name.unwrap()
}

/// The next one has a name of its own second, and no other of its schedule beside it.
fn all_jobs_end(site: &Site, schedule: &str) {
    eventually("its jobs end well", async || {
        let all = jobs_of(site, schedule).await?;
        let is_done = |it: &Job| it.status.as_ref()?.completion_time.clone();
        all.iter().all(|it| is_done(it).is_some()).then_some(())
    });
    std::thread::sleep(std::time::Duration::from_secs(1));
}

/// What docs/security.md makes.
const BINDING: &str = "postgres-adapter-token-reviews";

/// The table of docs/kubernetes.md, from top to bottom.
fn rows_of_the_table(site: &Site, name: &str, sum: &str) {
    let page = Page::read(repository(), "docs/kubernetes.md");
    let section = page.section("## Day by day");
    let rows = section.lines().filter(|it| it.contains("NAME"));
    assert_eq!(rows.count(), 6, "each has its turn here");
    let command = |what: &str| {
        let row = section
            .lines()
            .find(|it| it.starts_with(&format!("| {what} |")));
        let text = row.expect(what).split('`').nth(1).unwrap();
        let text = text.replace("NAME", name);
        if text.contains("RUN") {
            text.replace("RUN", &newest_job(site, name))
        } else {
            text
        }
    };
    let run = |what: &str| World::shell(&command(what));
    let listed = run("see what there is");
    assert!(listed.contains(name), "{listed}");
    let seen = run("see it without the scheduler");
    assert!(seen.contains(name), "{seen}");
    run("back up now");
    all_jobs_end(site, name);
    let waited = run("back up now, and wait");
    assert!(waited.contains("succeeded: backup complete"), "{waited}");
    let said = run("read what a run says");
    assert!(said.contains("backup complete and verified"), "{said}");
    let backups = run("see its backups");
    assert!(backups.contains("verified"), "{backups}");
    site.sql("DROP TABLE items");
    let back = run("bring the newest back");
    assert!(back.contains("succeeded: restore complete"), "{back}");
    assert_eq!(site.checksum(), sum);
    run("pause a schedule");
    assert_eq!(site.cron_job(name).spec.unwrap().suspend, Some(true));
    run("end a schedule");
    eventually("it is not listed any more", async || {
        (!run("see what there is").contains(name)).then_some(())
    });
}
