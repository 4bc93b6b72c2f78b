//! README.md and the pages of docs/ are true: their commands are run as they stand there, their tables are
//! those of `--help`, and their links lead somewhere.

pub(crate) mod by_hand;
mod calls;
mod commands;
mod known;
mod pages;
mod settings;

use std::collections::BTreeSet;

use super::cluster::kept_by_with;
use super::testbed::postgres::free_port;
use super::testbed::programs::{Prepared, repository, scheduler};
use super::testbed::tls::Authority;
use super::testbed::{env, folder};
use known::{By, KNOWN};
use pages::{Command, Page};

fn page(path: &str) -> Page {
    Page::read(repository(), path)
}

/// The only command of a page that begins so.
pub(crate) fn command(path: &str, beginning: &str) -> String {
    pages::command(repository(), path, beginning)
}

/// Who runs a command; the first row that means it counts.
fn known(command: &Command) -> Option<(usize, By)> {
    let rows = KNOWN.iter().enumerate();
    let mut ours = rows.filter(|(_, (page, beginning, _))| {
        let is_a_line = command.text.trim_end().lines().count() == 1;
        let page = match *page {
            "*" if is_a_line => &command.page,
            page => page,
        };
        pages::is(command, page, beginning)
    });
    ours.next().map(|(row, (.., by))| (row, *by))
}

/// A script with a value of the reader's own, where the page has one of its.
#[track_caller]
fn assigned(script: &str, name: &str, value: &str) -> String {
    let word = regex::Regex::new(&format!(r"(?m)(^|\s){name}=\S+")).unwrap();
    assert_eq!(word.find_iter(script).count(), 1, "{name}: {script}");
    let with = format!("${{1}}{name}={value}");
    word.replace(script, with.as_str()).into_owned()
}

/// A script with another text, which must be there.
#[track_caller]
fn with(script: &str, text: &str, ours: &str) -> String {
    assert!(script.contains(text), "{text:?} is not in:\n{script}");
    script.replace(text, ours)
}

#[test]
fn each_command_of_the_pages_is_run_by_a_test_or_there_is_a_reason() {
    let mut unused: BTreeSet<usize> = (0..KNOWN.len()).collect();
    let mut nobodys = Vec::new();
    for page in pages::all(repository()) {
        for command in page.commands() {
            match known(&command) {
                Some((row, _)) => drop(unused.remove(&row)),
                None => nobodys.push(command),
            }
        }
    }
    assert!(
        nobodys.is_empty(),
        "no row of known.rs says who runs these: {nobodys:#?}"
    );
    let unused: Vec<_> = unused.into_iter().map(|it| KNOWN[it]).collect();
    assert!(
        unused.is_empty(),
        "no page has what these rows mean: {unused:#?}"
    );
}

#[test]
fn the_tests_that_are_said_to_run_the_commands_are_there() {
    let sources = |folders: &[&str]| -> String {
        let files = folders.iter().flat_map(|folder| {
            let entries = std::fs::read_dir(repository().join(folder)).unwrap();
            entries.map(|it| it.unwrap().path())
        });
        let sources = files.filter(|it| it.extension().is_some_and(|it| it == "rs"));
        sources
            .map(|it| std::fs::read_to_string(it).unwrap())
            .collect()
    };
    let beside = sources(&["tests/integration", "tests/integration/readme"]);
    let pods = sources(&["tests/e2e", "tests/e2e-postgresql"]);
    for (page, beginning, by) in KNOWN {
        let source = match by {
            By::Machine(_) => &beside,
            By::Pods(_) => &pods,
            By::Nobody(_) => continue,
        };
        let test = format!("#[test]\nfn {}() {{", by.text());
        assert!(source.contains(&test), "{page}: {beginning}: no {test}");
    }
}

/// So that none of them hides from the test above.
#[test]
fn each_block_says_what_it_is_in() {
    let program = r"(?m)^( *\$ )?(kubectl|helm|scheduler|make|grpcurl|cargo|docker) [a-z-]";
    let program = regex::Regex::new(program).unwrap();
    for page in pages::all(repository()) {
        for language in page.languages() {
            // Without a language: pictures and lists of files.
            let known = ["", "sh", "text", "yaml", "json", "promql"].contains(&language.as_str());
            assert!(known, "{}: ```{language}", page.path);
        }
        for block in page.blocks("").into_iter().chain(page.blocks("text")) {
            let found = program.find(&block);
            assert!(
                found.is_none(),
                "{}: this is a command, and its block no ```sh: {block}",
                page.path
            );
        }
    }
}

#[test]
fn each_target_of_make_that_a_page_names_is_there() {
    let makefile = std::fs::read_to_string(repository().join("Makefile")).unwrap();
    let named = regex::Regex::new(r"\bmake ((?:[a-z][a-z0-9-]*)+)").unwrap();
    for page in pages::all(repository()) {
        for command in page.commands() {
            for found in named.captures_iter(&command.text) {
                let target = format!("\n{}:", &found[1]);
                assert!(
                    makefile.contains(&target),
                    "{}: make {}",
                    page.path,
                    &found[1]
                );
            }
        }
    }
}

#[test]
fn links_lead_somewhere() {
    for page in pages::all(repository()) {
        let folder = repository().join(&page.path);
        let folder = folder.parent().unwrap();
        for link in page.links() {
            if link.contains("://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() {
                repository().join(&page.path)
            } else {
                folder.join(path)
            };
            assert!(target.exists(), "{}: {link}", page.path);
            if !anchor.is_empty() {
                let path = target.canonicalize().unwrap();
                let path = path
                    .strip_prefix(repository().canonicalize().unwrap())
                    .unwrap();
                let anchors = self::page(path.to_str().unwrap()).anchors();
                assert!(anchors.contains(anchor), "{}: {link}", page.path);
            }
        }
    }
}

/// The examples in YAML are what they say they are.
#[test]
fn the_values_of_the_chart_and_the_list_of_callers_are_taken() {
    let folder = folder("examples");
    let written = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let helm = kept_by_with("go-program.sh", &["helm"]).join("helm");
    for path in ["docs/kubernetes.md", "docs/monitoring.md"] {
        let values = page(path).blocks("yaml");
        let values = values.iter().find(|it| !it.contains("scrape_configs"));
        let values = written("values.yaml", values.expect(path));
        let chart = repository().join("charts/postgres-adapter");
        let rendered = Prepared::new(&helm).args(["template", "adapter"]);
        let rendered = rendered.arg(chart).arg("--values").arg(values);
        let rendered = rendered.args(["--api-versions", "monitoring.coreos.com/v1"]);
        let rendered = rendered.succeed().stdout;
        let word = if path.ends_with("kubernetes.md") {
            "timeZone: Europe/Berlin"
        } else {
            "kind: ServiceMonitor"
        };
        assert!(rendered.contains(word), "{path}: {rendered}");
    }
    // The accounts of Kubernetes need one to ask, and kubernetes/accounts.rs asks it.
    let list = page("docs/security.md").blocks("yaml").remove(0);
    let callers = list.split_inclusive("- name: ");
    let callers = callers.filter(|it| !it.contains("serviceAccount:"));
    let callers = written("callers.yaml", &callers.collect::<String>());
    let authority = Authority::new();
    let own = authority.sign(&["localhost"]);
    let cert = written("cert.pem", &own.pem);
    let key = written("key.pem", &own.key_pem);
    let authority = authority.file();
    let (port, admin_port) = (free_port().to_string(), free_port().to_string());
    let mut running = scheduler(&env([
        ("DATA_DIR", folder.join("data").to_str().unwrap()),
        ("ACCESS_FILE", callers.to_str().unwrap()),
        ("GRPC_TLS_CERT", cert.to_str().unwrap()),
        ("GRPC_TLS_KEY", key.to_str().unwrap()),
        ("GRPC_TLS_CLIENT_CA", authority.to_str().unwrap()),
        ("PORT", &port),
        ("ADMIN_PORT", &admin_port),
    ]))
    .start();
    running.wait_until_it_prints("serving");
}

#[test]
fn each_page_is_in_the_table_of_readme() {
    let readme = page("README.md");
    let links: BTreeSet<String> = readme.links().into_iter().collect();
    for page in pages::all(repository()) {
        let known = page.path == "README.md" || links.contains(&page.path);
        assert!(known, "README does not name {}", page.path);
    }
    assert!(
        readme.text.lines().count() <= 150,
        "README is a page that is read to its end"
    );
    let commands = |heading: &str| {
        let section = readme.section(heading);
        let (_, block) = section.split_once("```sh\n").unwrap();
        block.split("```").next().unwrap().lines().count()
    };
    assert_eq!(
        [commands("## On one machine"), commands("## On Kubernetes")],
        [6, 6]
    );
}
