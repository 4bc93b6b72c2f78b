//! docs/architecture.md, as far as the sources themselves can prove it. A test binary of its own,
//! since `make check` runs it and none of those beside it.

#![cfg(test)]

use std::fs;
use std::path::Path;

/// Lines of code that a file may have, its tests, comments and blank lines aside.
const LINES: usize = 350;

/// A source file of one of the crates.
struct Source {
    /// Below the repository: `crates/backuper/src/run.rs`.
    path: String,
    text: String,
}

impl Source {
    /// The code that is shipped, line by line with its number: no comments, no tests.
    fn code(&self) -> Vec<(usize, &str)> {
        self.text
            .lines()
            .take_while(|line| line.trim() != "#[cfg(test)]")
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with("//"))
            .map(|(index, line)| (index + 1, line))
            .collect()
    }

    /// Where the code has one of these words in it.
    fn naming(&self, words: &[&str]) -> Vec<String> {
        self.code()
            .into_iter()
            .filter(|(_, line)| words.iter().any(|word| names(line, word)))
            .map(|(number, line)| format!("{}:{number}: {}", self.path, line.trim()))
            .collect()
    }

    fn is_under(&self, places: &[&str]) -> bool {
        places.iter().any(|it| self.path.starts_with(it))
    }
}

/// Whether a line has a word in it, as a word of its own.
fn names(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    line.match_indices(word).any(|(start, found)| {
        let before = line[..start].chars().next_back();
        let after = line[start + found.len()..].chars().next();
        let open = |c: Option<char>| !c.is_some_and(part);
        (open(before) || !word.starts_with(part)) && (open(after) || !word.ends_with(part))
    })
}

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for name in ["backuper", "restorer", "scheduler"] {
        walk(
            &repository().join("crates").join(name).join("src"),
            &mut found,
        );
    }
    assert!(found.len() > 20, "only {} sources were found", found.len());
    found
}

fn walk(folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let relative = path.strip_prefix(repository()).unwrap();
            found.push(Source {
                path: relative.to_str().unwrap().to_owned(),
                text: fs::read_to_string(&path).unwrap(),
            });
        }
    }
}

/// Fails when the words are in the code of a file outside these places.
#[track_caller]
fn only_in(places: &[&str], words: &[&str]) {
    let found: Vec<String> = sources()
        .iter()
        .filter(|it| !it.is_under(places))
        .flat_map(|it| it.naming(words))
        .collect();
    assert!(
        found.is_empty(),
        "{words:?} outside {places:?}:\n{}",
        found.join("\n")
    );
}

#[test]
fn a_word_is_found_as_a_word_only() {
    assert!(names("use kube::Api;", "kube"));
    assert!(!names("// the kube-apiserver", "kube"));
    assert!(!names("let kubeconfig = 1;", "kube"));
    assert!(names("std::env::var(x)", "env::var"));
    let source = Source {
        path: "crates/x/src/y.rs".to_owned(),
        text: "// kube\nuse kube;\n#[cfg(test)]\nuse kube;\n".to_owned(),
    };
    assert_eq!(source.naming(&["kube"]), ["crates/x/src/y.rs:2: use kube;"]);
}

#[test]
fn rule_3_only_the_kubernetes_engine_and_the_operator_know_kubernetes() {
    only_in(
        &[
            "crates/scheduler/src/engine/kubernetes",
            "crates/scheduler/src/operator",
            "crates/scheduler/src/main.rs",
        ],
        &["kube", "k8s_openapi"],
    );
}

#[test]
fn rule_3_only_the_grpc_door_and_the_report_to_the_core_know_grpc() {
    only_in(
        &[
            "crates/scheduler/src/api",
            "crates/scheduler/src/main.rs",
            "crates/backuper/src/report",
        ],
        &[
            "tonic",
            "tonic_health",
            "tonic_reflection",
            "tonic_types",
            "prost",
        ],
    );
}

#[test]
fn rule_3_only_the_s3_store_knows_the_sdk() {
    only_in(
        &["crates/backuper/src/storage/s3"],
        &[
            "aws_sdk_s3",
            "aws_config",
            "aws_smithy_types",
            "aws_credential_types",
            "aws_smithy_runtime_api",
        ],
    );
}

#[test]
fn rule_4_the_domain_does_no_io_and_knows_neither_wire_nor_cluster() {
    let words = [
        "async",
        "await",
        "tokio",
        "tonic",
        "prost",
        "kube",
        "k8s_openapi",
        "reqwest",
        "rusqlite",
        "std::fs",
        "std::net",
        "std::process",
        "std::env",
        "crate::api",
        "crate::engine",
        "crate::service",
        "crate::config",
    ];
    let sources = sources();
    let domain: Vec<&Source> = sources
        .iter()
        .filter(|it| it.is_under(&["crates/scheduler/src/domain"]))
        .collect();
    assert!(!domain.is_empty(), "there is no domain");
    let found: Vec<String> = domain.iter().flat_map(|it| it.naming(&words)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn rule_7_programs_are_started_in_one_place_and_the_environment_is_read_by_clap() {
    only_in(
        &["crates/backuper/src/child.rs"],
        &["Command::new", "std::process::Command"],
    );
    // Whoever misspells a variable is told: only the names show that.
    only_in(
        &["crates/backuper/src/runtime/settings.rs"],
        &[
            "env::var",
            "env::var_os",
            "env::vars",
            "env::vars_os",
            "set_var",
        ],
    );
    only_in(&[], &["\"sh\"", "\"bash\"", "\"/bin/sh\"", "\"/bin/bash\""]);
}

/// The modules of each crate, from the bottom up: a module imports only from levels below its own.
const LEVELS: [(&str, &[&[&str]]); 3] = [
    (
        "backuper",
        &[
            &[
                "text",
                "child",
                "link_local",
                "memfd",
                "retention",
                "selection",
            ],
            &["archive", "storage", "postgres", "report", "runtime"],
            &["catalog", "progress", "toc"],
            &["dump", "advice"],
            &["cleanup", "publish", "job"],
            &["copy"],
            &["summary"],
            &["run", "listing", "deletion", "preview", "doctor", "worker"],
            &["databases"],
        ],
    ),
    (
        "restorer",
        &[
            &["archive"],
            &["job", "feed", "diagnostics"],
            &["resolve", "summary"],
            &["target"],
            &["parallel", "in_place", "drill", "swap"],
            &["run"],
        ],
    ),
    (
        "scheduler",
        &[
            &["domain", "postgres"],
            &["workers"],
            &["engine"],
            &["service", "metrics", "listener"],
            &["api", "admin", "observer", "operator"],
            &["config"],
            &["cli", "run"],
        ],
    ),
];

/// The module of a crate that a source belongs to: `postgres` of `crates/backuper/src/postgres/tls.rs`.
fn module<'a>(source: &'a Source, package: &str) -> Option<&'a str> {
    let below = source
        .path
        .strip_prefix("crates/")?
        .strip_prefix(package)?
        .strip_prefix("/src/")?;
    let first = below.split('/').next()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (name != "lib" && name != "main").then_some(name)
}

/// The modules that a line of code names by `crate::`.
fn named_modules(line: &str) -> Vec<&str> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut named = Vec::new();
    for (at, found) in line.match_indices("crate::") {
        let rest = &line[at + found.len()..];
        let group = rest.strip_prefix('{').and_then(|it| it.split('}').next());
        // `use crate::{a, b::c};` names a and b.
        let each = group.map_or_else(|| vec![rest], |it| it.split(',').collect());
        named.extend(each.into_iter().map(|it| {
            let it = it.trim_start();
            &it[..it.find(|c| !part(c)).unwrap_or(it.len())]
        }));
    }
    named
}

#[test]
fn a_path_names_its_module() {
    assert_eq!(named_modules("use crate::child::{self, Child};"), ["child"]);
    assert_eq!(
        named_modules("use crate::{catalog, text::sql};"),
        ["catalog", "text"]
    );
    assert_eq!(named_modules("let x = crate::text::f();"), ["text"]);
    assert!(named_modules("use super::child;").is_empty());
}

#[test]
fn a_module_imports_only_from_levels_below_its_own() {
    let sources = sources();
    let mut wrong = Vec::new();
    for (package, levels) in LEVELS {
        let level = |module: &str| levels.iter().position(|it| it.contains(&module));
        for source in &sources {
            let Some(own) = module(source, package) else {
                continue;
            };
            let Some(own_level) = level(own) else {
                wrong.push(format!("{}: {own} is on no level", source.path));
                continue;
            };
            for (number, line) in source.code() {
                for other in named_modules(line).into_iter().filter(|it| *it != own) {
                    if level(other).is_none_or(|it| it >= own_level) {
                        wrong.push(format!("{}:{number}: {own} imports {other}", source.path));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_level_is_there() {
    let sources = sources();
    for (package, levels) in LEVELS {
        for name in levels.iter().copied().flatten() {
            let there = sources.iter().any(|it| module(it, package) == Some(name));
            assert!(there, "{package} has no module {name}");
        }
    }
}

#[test]
fn rule_12_no_file_is_a_drawer_for_everything() {
    for source in sources() {
        let name = source.path.rsplit('/').next().unwrap();
        let drawers = [
            "utils.rs",
            "util.rs",
            "common.rs",
            "helpers.rs",
            "types.rs",
            "manager.rs",
            "mod.rs",
        ];
        assert!(!drawers.contains(&name), "{}", source.path);
    }
}

#[test]
fn rule_12_there_are_three_crates() {
    let mut crates: Vec<String> = fs::read_dir(repository().join("crates"))
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    crates.sort();
    assert_eq!(crates, ["backuper", "restorer", "scheduler"]);
}

#[test]
fn every_file_says_first_what_it_is_for_and_is_short() {
    for source in sources() {
        assert!(
            source.text.starts_with("//! "),
            "{} does not say",
            source.path
        );
        let lines = source.code().len();
        assert!(lines <= LINES, "{} has {lines} lines of code", source.path);
    }
}

#[test]
fn a_main_is_forty_lines_of_code_at_most() {
    for source in sources().iter().filter(|it| it.path.ends_with("/main.rs")) {
        let lines = source.code().len();
        assert!(lines <= 40, "{} has {lines} lines of code", source.path);
    }
}

/// Images share the layers of what their Dockerfiles say alike.
#[test]
fn the_dockerfiles_differ_where_their_programs_do_and_nowhere_else() {
    let [backuper, restorer, scheduler] = ["backuper", "restorer", "scheduler"].map(|name| {
        let path = repository().join(format!("Dockerfile.{name}"));
        fs::read_to_string(path).unwrap()
    });
    // The comment, the stage that builds, and the rest have an empty line between them.
    let parts = |text: &str| -> [String; 3] {
        let mut parts = text.splitn(3, "\n\n").map(str::to_owned);
        std::array::from_fn(|_| parts.next().unwrap())
    };
    let [_, building, rest] = parts(&backuper);
    assert!(building.contains(" AS builder\n"), "{building}");
    assert_eq!(parts(&scheduler)[1], building);
    let [_, building_too, other] = parts(&restorer);
    assert_eq!(building_too, building);
    let own = "image.description";
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|it| !it.contains(own));
        lines.map(|it| it.replace("restorer", "backuper")).collect()
    };
    assert_eq!(lines(&other), lines(&rest));
}
