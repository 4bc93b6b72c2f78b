//! The commands of the pages on one machine, with real programs and servers.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::{assigned, command, page, pages, with};
use crate::encryption::Pair;
use crate::testbed::postgres::{Cluster, free_port};
use crate::testbed::programs::{self, Ended, Prepared, Running, repository};
use crate::testbed::s3::S3;
use crate::testbed::{Env, env, folder, wait_for};

/// A reader's machine: a home, a database server, and a shell that finds the programs.
struct Machine {
    home: PathBuf,
    cluster: Cluster,
    port: String,
    admin_port: String,
}

impl Machine {
    fn new() -> Self {
        Self {
            home: folder("home"),
            cluster: Cluster::start(false),
            port: free_port().to_string(),
            admin_port: free_port().to_string(),
        }
    }

    fn data(&self) -> String {
        format!("{}/adapter", self.home.display())
    }

    fn store(&self) -> String {
        format!("{}/backups", self.home.display())
    }

    /// What the reader's shell knows, the passwords too that it would be asked for.
    fn prepared(&self, program: &str) -> Prepared {
        let ours = programs::folder().display();
        let password = self.cluster.password();
        Prepared::new(program)
            .env("PATH", &format!("{ours}:/usr/local/bin:/usr/bin:/bin"))
            .env("HOME", self.home.to_str().unwrap())
            .env("PORT", &self.port)
            .env("ADMIN_PORT", &self.admin_port)
            .env("ADAPTER_DB_PASSWORD", password)
            .current_dir(repository())
    }

    /// A scheduler, and the directory that it may store in.
    fn with_scheduler(&self) -> Running {
        self.with_scheduler_of(&Env::new())
    }

    fn with_scheduler_of(&self, settings: &Env) -> Running {
        std::fs::create_dir_all(self.store()).unwrap();
        let mut running = self
            .prepared("setpriv")
            .args(["--pdeathsig", "KILL", "--", "scheduler"])
            .env("DATA_DIR", &self.data())
            .env("FILE_ROOT", &self.store())
            .envs(settings)
            .start();
        running.wait_until_it_prints("serving");
        running
    }

    fn bash(&self, script: &str) -> Ended {
        self.prepared("bash")
            .args(["-euo", "pipefail", "-c", script])
            .env("DATA_DIR", &self.data())
            .run()
    }

    /// A script that must succeed; what it prints.
    #[track_caller]
    fn shell(&self, script: &str) -> String {
        let ended = self.bash(script);
        assert!(ended.status.success(), "{script}\n{ended}");
        ended.stdout
    }

    /// The page's server is ours.
    fn at_home(&self, script: &str) -> String {
        let ours = format!("127.0.0.1:{}", self.cluster.port());
        script.replace("127.0.0.1:5432", &ours)
    }

    /// A schedule of a database that has some rows, and its name.
    fn schedule(&self, name: &str) {
        let database = self.cluster.named(name);
        database.sql("CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) n");
        let put = command("docs/operating.md", "scheduler put shop");
        let put = with(&put, "put shop", &format!("put {name}"));
        let put = with(&put, "5432/shop", &format!("5432/{name}"));
        let put = with(&put, " -W", "");
        self.shell(&self.at_home(&put));
    }

    /// The name of the newest run.
    fn newest_run(&self) -> String {
        let runs = self.shell("scheduler runs -n 1 -o json");
        let runs: serde_json::Value = serde_json::from_str(&runs).unwrap();
        runs["runs"][0]["name"].as_str().expect("a run").to_owned()
    }

    /// The keys of the backups of a schedule, the newest first.
    fn keys(&self, schedule: &str) -> Vec<String> {
        let backups = self.shell(&format!("scheduler backups {schedule} -o json"));
        let backups: serde_json::Value = serde_json::from_str(&backups).unwrap();
        let all = backups["backups"].as_array().expect("backups");
        let keys = all.iter().map(|it| it["key"].as_str().unwrap().to_owned());
        keys.collect()
    }
}

#[test]
fn six_commands_lead_from_nothing_to_a_backup_and_back() {
    let machine = Machine::new();
    let shop = machine.cluster.named("shop");
    shop.sql(include_str!("../../demo/shop.sql"));
    let block = command("README.md", "cargo build --release");
    let mut lines: Vec<&str> = block.lines().collect();
    assert_eq!(lines.len(), 6, "{block}");
    // Built they are: every test needs them.
    assert_eq!(lines.remove(0), "cargo build --release");
    let started = lines.iter().position(|it| it.ends_with('&')).unwrap();
    // Whoever types is slower than a scheduler that starts.
    let waits = "until scheduler probe >$HOME/probe 2>&1; do kill -0 $!; sleep 0.2; done";
    lines.insert(started + 1, waits);
    let script = machine.at_home(&lines.join("\n"));
    let ours = programs::folder().to_str().unwrap();
    let script = with(&script, "$PWD/target/release", ours);
    // A terminal, on which somebody answers what is asked.
    let put = script
        .lines()
        .find(|it| it.starts_with("scheduler put"))
        .unwrap();
    assert!(put.ends_with(" -W"), "{put}");
    let typed = format!("script -qec \"{put}\" $HOME/typed <$HOME/answer");
    let script = with(&script, put, &typed);
    let answer = format!("{}\n", machine.cluster.password());
    std::fs::write(machine.home.join("answer"), answer).unwrap();
    let ended = "trap '{ kill $(jobs -p); wait; } 2>/dev/null || true' EXIT";
    let script = format!("unset ADAPTER_DB_PASSWORD\n{ended}\n{script}");
    let said = machine.shell(&script);
    for word in ["backup complete", "restore complete"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let back = machine.cluster.existing("shop_copy");
    assert_eq!(back.checksums(), shop.checksums());
    assert_eq!(back.dump(), shop.dump());
}

/// All commands of the scheduler between back-quotes, and then operating.md's list from top to bottom.
#[test]
fn every_command_of_the_scheduler_does_what_the_pages_say() {
    let machine = Machine::new();
    let _scheduler = machine.with_scheduler();
    machine.schedule("shop");
    machine.shell("scheduler run shop --wait && sleep 1 && scheduler run shop --wait");
    let file = page("docs/operating.md").blocks("yaml").remove(0);
    let file = with(&file, "/var/backups", &machine.store());
    let file = with(&file, "5432", &machine.cluster.port().to_string());
    std::fs::write(machine.home.join("schedules.yaml"), file).unwrap();
    let key = machine.keys("shop").pop().unwrap();
    let ours = |text: &str| {
        let text = text.replace("FILE", "$HOME/schedules.yaml");
        let names = regex::Regex::new(r"\b(NAME|RUN|KEY|SCHEDULE)\b").unwrap();
        let filled = names.replace_all(&text, |found: &regex::Captures<'_>| match &found[1] {
            "RUN" => machine.newest_run(),
            "KEY" => key.clone(),
            _ => "shop".to_owned(),
        });
        filled.into_owned()
    };
    let mut spoken = BTreeSet::new();
    for page in pages::all(repository()) {
        for command in page.commands() {
            if command.text.starts_with("scheduler ") && command.text.lines().count() == 1 {
                // What ends the schedule is in the list below.
                assert!(!command.text.contains("delete"), "{command:?}");
                let is_ours = super::known(&command).unwrap().0 == super::KNOWN.len() - 1;
                if is_ours && spoken.insert(command.text.clone()) {
                    machine.shell(&ours(&command.text));
                }
            }
        }
    }
    assert!(spoken.len() > 5, "{spoken:?}");
    for line in command("docs/operating.md", "scheduler ls ").lines() {
        let said = machine.shell(&ours(line));
        let verb = line.split_whitespace().nth(1).unwrap();
        let word = match verb {
            "ls" | "show" => "shop",
            "runs" => "succeeded",
            "run" => "backup complete",
            "backups" => "verified",
            "verify" => "restore drill passed",
            "backup" => "manifest.json",
            // The newest run is a backup or the drill of the same second.
            "logs" | "watch" if said.contains("restore drill passed") => continue,
            "logs" | "watch" => "complete",
            "completions" => "complete -F",
            _ => continue,
        };
        assert!(said.contains(word), "{line}\n{said}");
    }
    let gone = machine.bash("scheduler show shop");
    gone.expect_code(2);
    let readable = command("docs/operating.md", "scheduler put readable");
    machine.shell(&machine.at_home(&readable));
    machine.shell("scheduler run readable --wait");
    let key = machine.keys("readable").remove(0);
    assert!(key.starts_with("prod/shop/"), "{key}");
    let copied = machine.cluster.existing("copy");
    wait_for("the copy", || {
        (copied.sql("SELECT count(*) FROM pg_tables WHERE tablename = 't'") == "1").then_some(())
    });
}

/// The list at the top of restoring.md, from top to bottom; what it restores from a store, by a scheduler
/// that knows nothing.
#[test]
fn the_worst_day_ends_well() {
    let machine = Machine::new();
    let scheduler = machine.with_scheduler();
    machine.schedule("shop");
    let shop = machine.cluster.existing("shop");
    let before = shop.checksums();
    machine.shell("scheduler run shop --wait");
    let before_the_damage = jiff::Timestamp::now().to_string();
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    shop.sql("DELETE FROM t WHERE n % 2 = 0");
    let damaged = shop.checksums();
    machine.shell("scheduler run shop --wait");

    let list = page("docs/restoring.md").section("## On the worst day");
    assert!(list.contains("scheduler suspend NAME"), "{list}");
    machine.shell("scheduler suspend shop");
    let ours = |text: &str| {
        let text = text
            .replace("NAME_back", "shop_back")
            .replace("NAME", "shop");
        text.replace("2026-11-20T21:00:00Z", &before_the_damage)
    };
    let listed = machine.shell(&ours(&command(
        "docs/restoring.md",
        "scheduler backups NAME$",
    )));
    assert_eq!(listed.matches("verified").count(), 2, "{listed}");
    for (beginning, name) in [
        ("scheduler restore NAME --into NAME_back", "shop_back"),
        ("scheduler restore NAME --in-place", "shop"),
        ("scheduler restore NAME --into NAME_rows", "shop_rows"),
    ] {
        let line = ours(&command("docs/restoring.md", beginning));
        machine.shell(&line);
        let is_older = line.contains("--backup");
        let expected = if is_older { &before } else { &damaged };
        let found = machine.cluster.existing(name).checksums();
        assert_eq!(&found, expected, "{name}");
    }
    machine.shell("scheduler resume shop");
    drop(scheduler);
    from_a_store(&machine, &before);
}

/// Of a whole fleet, whose scheduler has no key that decrypts.
#[test]
fn an_encrypted_backup_is_restored_with_the_key_that_a_command_is_given() {
    is_restored_with_its_key("archive");
    is_restored_with_its_key("sql.gz");
}

fn is_restored_with_its_key(format: &str) {
    let machine = Machine::new();
    let one = Pair::new();
    let settings = env([
        ("ENCRYPT_TO", one.public.as_str()),
        ("FORMAT", format),
        ("SQL_CLEAN", "true"),
    ]);
    let scheduler = machine.with_scheduler_of(&settings);
    machine.schedule("shop");
    machine.shell("scheduler run shop --wait");
    let line = command("docs/encryption.md", "scheduler restore NAME");
    let line = line
        .replace("NAME_back", "shop_back")
        .replace("NAME", "shop");
    let line = line.replace("backup.key", "$HOME/backup.key");
    let key = machine.home.join("backup.key");
    let without = line.replace(" --identity-file $HOME/backup.key", "");
    std::fs::write(&key, Pair::new().file).unwrap();
    for (line, word) in [
        (&without, "is encrypted"),
        (&without, "AGE_IDENTITY is here --identity-file"),
        (&line, "nobody can restore"),
    ] {
        let ended = machine.bash(line);
        ended.expect_code(2);
        assert!(ended.printed().contains(word), "{word}: {ended}");
    }
    std::fs::write(&key, format!("not a key\n{}", one.file)).unwrap();
    let ended = machine.bash(&line);
    ended.expect_code(2);
    assert!(
        ended.printed().contains("line 1 is no private key"),
        "{ended}"
    );
    std::fs::write(&key, &one.file).unwrap();
    let tried = machine.shell(&line.replace("--wait", "--validate-only"));
    assert!(tried.contains("shop_back"), "{tried}");
    machine.shell(&line);
    let (shop, back) = (
        machine.cluster.existing("shop"),
        machine.cluster.existing("shop_back"),
    );
    assert_eq!(back.checksums(), shop.checksums());
    // Nothing of the key stays where the scheduler keeps what it knows, but in SQLite's own log, which is
    // written over; passwords do so too.
    for entry in std::fs::read_dir(machine.data()).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().ends_with("-wal") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        let private = one.private().as_bytes();
        let is_there = bytes.windows(private.len()).any(|it| it == private);
        assert!(!is_there, "{}", path.display());
    }
    // The administrator may lend every restore one.
    drop(scheduler);
    let settings = env([("AGE_IDENTITY_FILE", key.to_str().unwrap())]);
    let _scheduler = machine.with_scheduler_of(&settings);
    machine.shell(&without);
}

fn from_a_store(machine: &Machine, before: &str) {
    let s3 = S3::start();
    let database = machine.cluster.existing("shop_back");
    let mut worker = database.env();
    worker.extend(s3.env());
    programs::backuper(&worker).run().expect_code(0);
    let anew = Machine::new();
    let _scheduler = anew.with_scheduler();
    let block = command("docs/restoring.md", "scheduler backups --store");
    let store = format!("{}/{}", s3.endpoint(), s3.bucket());
    let block = with(&block, "https://s3.example/backups", &store);
    let block = with(&with(&block, " --ask-keys", ""), " -W", "");
    let source = format!("127.0.0.1:{}/shop_back", machine.cluster.port());
    let block = with(&block, "127.0.0.1:5432/shop ", &format!("{source} "));
    let target = format!("127.0.0.1:{}/shop_back", anew.cluster.port());
    let block = with(&block, "127.0.0.1:5432/shop_back", &target);
    let keys = format!(
        "export ADAPTER_S3_ACCESS_KEY={} ADAPTER_S3_SECRET_KEY={}",
        s3.access_key(),
        s3.secret_key()
    );
    let said = anew.shell(&format!("{keys}\n{block}"));
    assert!(said.contains("restore complete"), "{said}");
    assert!(said.contains(&source), "{said}");
    assert_eq!(anew.cluster.existing("shop_back").checksums(), before);
}

#[test]
fn the_workers_run_alone_too() {
    let machine = Machine::new();
    std::fs::create_dir(machine.store()).unwrap();
    let shop = machine.cluster.named("shop");
    shop.sql("CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) n");
    let port = machine.cluster.port().to_string();
    let ours = |page: &str, beginning: &str| {
        let block = command(page, beginning);
        let block = assigned(&block, "DB_PASSWORD", machine.cluster.password());
        let store = format!("file://{}", machine.store());
        let block = block.replace("file:///var/backups", &store);
        format!("export DB_PORT={port}\n{}", machine.at_home(&block))
    };
    machine.shell(&ours("docs/operating.md", "DB_HOST="));
    machine.shell(&ours("docs/restoring.md", "DB_HOST="));
    let back = machine.cluster.existing("shop_back");
    assert_eq!(back.checksums(), shop.checksums());
    shop.sql("DELETE FROM t");
    let damaged = shop.checksums();
    machine.shell(&ours("docs/restoring.md", "RESTORE_MODE=swap"));
    assert_eq!(back.checksums(), shop.checksums());
    machine.shell(&ours("docs/restoring.md", "RESTORER_TASK=swap-back"));
    assert_eq!(shop.checksums(), damaged);
    let listed = programs::backuper(&env([
        ("BACKUPER_TASK", "list"),
        ("BACKUP_SOURCE", &format!("127.0.0.1:{port}/shop")),
        ("S3_ENDPOINT", &format!("file://{}", machine.store())),
    ]));
    let listed = listed.succeed().stdout;
    assert_eq!(listed.lines().count(), 1, "{listed}");
}
