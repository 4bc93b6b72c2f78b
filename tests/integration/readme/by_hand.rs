//! A backup without any of our programs.

use std::path::{Path, PathBuf};

use super::{command, page};
use crate::cluster::kept_by_with;
use crate::testbed::folder;
use crate::testbed::postgres::{self, Cluster, Database};
use crate::testbed::programs::{Ended, Prepared, backuper};
use crate::testbed::s3::S3;

/// A copy of a backup's folder.
fn copied(s3: &S3) -> PathBuf {
    let copy = folder("copy");
    for key in s3.keys() {
        let name = key.rsplit('/').next().unwrap();
        std::fs::write(copy.join(name), s3.read(&key)).unwrap();
    }
    copy
}

fn backed_up(source: &Database<'_>) -> PathBuf {
    let s3 = S3::start();
    let mut env = source.env();
    env.extend(s3.env());
    backuper(&env).run().expect_code(0);
    copied(&s3)
}

/// In a copy of a backup, with stock tools alone.
pub(crate) fn run(cluster: &Cluster, copy: &Path, lines: &str) -> Ended {
    begun(cluster, copy, lines).succeed()
}

fn begun(cluster: &Cluster, copy: &Path, lines: &str) -> Prepared {
    let bin = postgres::program("pg_restore");
    let tools = ["age", "age-keygen"].map(|it| kept_by_with("go-program.sh", &[it]));
    let path = format!(
        "{}:{}:{}:/usr/bin:/bin",
        bin.parent().unwrap().display(),
        tools[0].display(),
        tools[1].display()
    );
    Prepared::new("bash")
        .args(["-euo", "pipefail", "-c", lines])
        .env("PATH", &path)
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", &cluster.port().to_string())
        .env("PGUSER", "postgres")
        .env("PGPASSWORD", cluster.password())
        .current_dir(copy)
}

#[test]
fn the_four_lines_restore_a_backup_by_hand() {
    let cluster = postgres::shared();
    let source = cluster.database("by hand ");
    source.sql(include_str!("../../demo/shop.sql"));
    let copy = backed_up(&source);
    let target = cluster.named("mydb");
    let lines = command("docs/restoring.md", "zstd -d");
    assert_eq!(lines.lines().count(), 4, "{lines}");
    run(cluster, &copy, &lines);
    assert_eq!(target.checksums(), source.checksums());
    assert_eq!(target.dump(), source.dump());
}

#[test]
fn an_encrypted_backup_is_tried_and_restored_by_hand() {
    let cluster = Cluster::start(false);
    let source = cluster.database("by hand age ");
    source.sql(include_str!("../../demo/shop.sql"));
    let keys = folder("by_hand_keys");
    let making = command("docs/encryption.md", "age-keygen");
    let made = run(&cluster, &keys, &making).stdout;
    let public = made.lines().last().unwrap();
    assert!(public.starts_with("age1"), "{made}");
    let s3 = S3::start();
    let mut env = source.env();
    env.extend(s3.env());
    env.push(("ENCRYPT_TO".to_owned(), public.to_owned()));
    env.push(("ENCRYPT_MANIFEST".to_owned(), "true".to_owned()));
    backuper(&env).run().expect_code(0);
    let copy = copied(&s3);
    std::fs::copy(keys.join("backup.key"), copy.join("backup.key")).unwrap();
    let of = |begin: &str| command("docs/encryption.md", begin);
    let listed = run(&cluster, &copy, &of("age -d -i backup.key schema")).stdout;
    assert!(listed.contains("TABLE shop orders "), "{listed}");
    let hidden = run(&cluster, &copy, &of("grep -o")).stdout;
    assert!(hidden.contains("customers"), "{hidden}");
    let target = cluster.named("mydb");
    let restoring = command("docs/restoring.md", "zstd -d");
    let lines = [of("for stream in"), restoring].join("\n");
    run(&cluster, &copy, &lines);
    assert_eq!(target.checksums(), source.checksums());
    assert_eq!(target.dump(), source.dump());
}

#[test]
fn the_roles_of_a_backup_are_made_by_hand() {
    let cluster = Cluster::start(false);
    let source = cluster.database("by hand roles ");
    cluster.sql(
        "postgres",
        "CREATE ROLE \"Öwner\" LOGIN PASSWORD 'x'; CREATE ROLE reader; GRANT reader TO \"Öwner\"",
    );
    let keys = folder("by_hand_roles");
    let made = run(
        &cluster,
        &keys,
        &command("docs/encryption.md", "age-keygen"),
    )
    .stdout;
    let roles =
        "SELECT rolname, rolcanlogin, rolpassword FROM pg_authid WHERE oid >= 16384 ORDER BY 1";
    let members =
        "SELECT roleid::regrole, member::regrole FROM pg_auth_members WHERE roleid >= 16384";
    let seen = || {
        (
            cluster.sql("postgres", roles),
            cluster.sql("postgres", members),
        )
    };
    let before = seen();
    for (setting, value, beginning) in [
        ("GLOBALS_PASSWORDS", "unencrypted", "zstdcat "),
        ("ENCRYPT_TO", made.lines().last().unwrap(), "age -d"),
    ] {
        let s3 = S3::start();
        let mut env = source.env();
        env.extend(s3.env());
        env.push(("GLOBALS".to_owned(), "true".to_owned()));
        env.push((setting.to_owned(), value.to_owned()));
        backuper(&env).run().expect_code(0);
        let copy = copied(&s3);
        std::fs::copy(keys.join("backup.key"), copy.join("backup.key")).unwrap();
        cluster.sql("postgres", "DROP ROLE \"Öwner\", reader");
        run(&cluster, &copy, &command("docs/restoring.md", beginning));
        assert_eq!(seen(), before, "{beginning}");
    }
}

/// F22.
#[test]
fn by_hand_a_table_whose_columns_read_others_is_loaded_last() {
    let cluster = Cluster::start(false);
    let source = cluster.database("by hand last ");
    source.sql(
        "CREATE TABLE z (id int, word text); INSERT INTO z VALUES (1, 'one'); \
         CREATE FUNCTION word_of(int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN (SELECT word FROM public.z WHERE id = $1); END'; \
         CREATE TABLE b (id int, word text GENERATED ALWAYS AS (word_of(id)) STORED); INSERT INTO b VALUES (1)",
    );
    let copy = backed_up(&source);
    let target = cluster.named("mydb");
    let all = command("docs/restoring.md", "zstd -d");
    let [unpack, before, _loop, after] = all.lines().collect::<Vec<_>>()[..] else {
        panic!("{all}");
    };
    let last = command("docs/restoring.md", "pg_restore -l");
    run(&cluster, &copy, &[unpack, before, &last, after].join("\n"));
    assert_eq!(target.checksums(), source.checksums());
    assert_eq!(target.dump(), source.dump());
}

#[test]
fn a_copy_of_a_backup_is_read_by_stock_tools() {
    let cluster = postgres::shared();
    let source = cluster.database("formats ");
    source.sql("CREATE TABLE orders AS SELECT 4711 AS number");
    let s3 = S3::start();
    let mut env = source.env();
    env.extend(s3.env());
    env.push(("GLOBALS".to_owned(), "true".to_owned()));
    env.push(("GLOBALS_PASSWORDS".to_owned(), "none".to_owned()));
    backuper(&env).run().expect_code(0);
    let copy = copied(&s3);
    let shown = page("docs/formats.md").blocks("text").remove(0);
    for entry in std::fs::read_dir(&copy).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(shown.contains(&name), "{name} is not in:\n{shown}");
    }
    let check = command("docs/formats.md", "sha256sum");
    let said = run(cluster, &copy, &check).stdout;
    assert!(said.contains("schema.dump is whole"), "{said}");
    assert!(said.contains("data-000.dump.zst is whole"), "{said}");
    let said = run(
        cluster,
        &copy,
        &command("docs/formats.md", "pg_restore --list"),
    )
    .stdout;
    for word in [
        "TABLE public orders",
        "TABLE DATA public orders",
        "\n4711\n",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    std::fs::write(copy.join("schema.dump"), "another").unwrap();
    let said = run(cluster, &copy, &check).stdout;
    assert!(said.contains("schema.dump is damaged"), "{said}");
}

#[test]
fn a_dump_in_plain_sql_is_restored_by_gunzip_and_psql() {
    let cluster = postgres::shared();
    let source = cluster.database("by hand sql ");
    source.sql(include_str!("../../demo/shop.sql"));
    let s3 = S3::start();
    let mut env = source.env();
    env.extend(s3.env());
    env.push(("FORMAT".to_owned(), "sql.gz".to_owned()));
    backuper(&env).run().expect_code(0);
    let copy = folder("copy");
    let dump = s3.keys().into_iter().find(|it| it.ends_with(".sql.gz"));
    std::fs::write(copy.join("dump.sql.gz"), s3.read(&dump.unwrap())).unwrap();
    // mydb is that of the four lines.
    let target = cluster.database("by hand sql back ");
    let line = command("docs/formats.md", "gunzip -t");
    let line = line.replace("-d mydb", &format!("-d '{}'", target.name()));
    run(cluster, &copy, &line);
    assert_eq!(target.checksums(), source.checksums());
    // psql would take the end of what was cut for the end of the dump.
    let dump = std::fs::read(copy.join("dump.sql.gz")).unwrap();
    std::fs::write(copy.join("dump.sql.gz"), &dump[..dump.len() / 2]).unwrap();
    let empty = cluster.database("by hand cut ");
    let line = line.replace(target.name(), empty.name());
    assert!(!begun(cluster, &copy, &line).run().status.success());
    assert_eq!(crate::unfinished::objects(&empty), "0");
}

#[test]
fn an_encrypted_dump_in_plain_sql_is_restored_by_age_gunzip_and_psql() {
    let cluster = postgres::shared();
    let source = cluster.database("by hand sealed ");
    source.sql(include_str!("../../demo/shop.sql"));
    let keys = crate::encryption::Pair::new();
    let s3 = S3::start();
    let mut env = source.env();
    env.extend(s3.env());
    env.push(("FORMAT".to_owned(), "sql.gz".to_owned()));
    env.push(("ENCRYPT_TO".to_owned(), keys.public.clone()));
    backuper(&env).run().expect_code(0);
    let copy = folder("copy");
    let dump = s3.keys().into_iter().find(|it| it.ends_with(".sql.gz.age"));
    let dump = s3.read(&dump.unwrap());
    std::fs::write(copy.join("dump.sql.gz.age"), &dump).unwrap();
    std::fs::write(copy.join("backup.key"), &keys.file).unwrap();
    let target = cluster.database("by hand sealed back ");
    let line = command("docs/encryption.md", "age -d -i backup.key dump.sql.gz.age");
    let line = line.replace("-d mydb", &format!("-d '{}'", target.name()));
    run(cluster, &copy, &line);
    assert_eq!(target.checksums(), source.checksums());
    let mut changed = dump.clone();
    changed[dump.len() / 2] ^= 1;
    std::fs::write(copy.join("dump.sql.gz.age"), changed).unwrap();
    let empty = cluster.database("by hand sealed changed ");
    let line = line.replace(target.name(), empty.name());
    assert!(!begun(cluster, &copy, &line).run().status.success());
    assert_eq!(crate::unfinished::objects(&empty), "0");
}
