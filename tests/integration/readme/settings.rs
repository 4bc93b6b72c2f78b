//! docs/settings.md has what `--help` has.

use std::collections::BTreeSet;

use super::page;
use crate::testbed::programs::{Prepared, backuper, restorer, scheduler};
use crate::testbed::{Env, env};

fn section(heading: &str) -> String {
    page("docs/settings.md").section(heading)
}

/// The variables in a text: words of upper-case letters between back-quotes in the first column of a
/// table, or at the beginning of a line of `--help`.
fn variables(text: &str, quoted: bool) -> BTreeSet<String> {
    let is_variable = |it: &&str| {
        it.len() > 3
            && it
                .chars()
                .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    let words: Vec<&str> = if quoted {
        text.lines()
            .filter(|it| it.starts_with("| `"))
            .flat_map(|it| it.split('|').nth(1).unwrap().split('`').skip(1).step_by(2))
            .collect()
    } else {
        text.lines()
            .filter_map(|it| it.split_whitespace().next())
            .collect()
    };
    words
        .into_iter()
        .filter(is_variable)
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_tables_of_settings_are_those_of_help() {
    let none = Env::new();
    for (program, headings) in [
        (
            backuper as fn(&Env) -> Prepared,
            ["## Both workers", "## backuper"].as_slice(),
        ),
        (restorer, &["## Both workers", "## restorer"]),
        (scheduler, &["## scheduler"]),
    ] {
        let help = program(&none).arg("--help").succeed().stdout;
        let told: String = headings.iter().map(|it| section(it)).collect();
        assert_eq!(
            variables(&help, false),
            variables(&told, true),
            "{headings:?}"
        );
    }
}

#[test]
fn the_table_of_the_backupers_tasks_is_that_of_their_help() {
    let both = variables(&section("## Both workers"), true);
    let table = section("## backuper's other tasks");
    let first: String = table
        .lines()
        .filter_map(|it| it.split('|').nth(1))
        .collect();
    for task in [
        "list",
        "show",
        "delete",
        "pin",
        "unpin",
        "retention",
        "check",
    ] {
        assert!(first.contains(&format!("`{task}`")), "{task}");
        let rows = table.lines().filter(|it| {
            let tasks = it.split('|').nth(2).unwrap_or_default();
            tasks.trim() == "all" || tasks.contains(&format!("`{task}`"))
        });
        let told = variables(&rows.collect::<Vec<_>>().join("\n"), true);
        let asked = env([("BACKUPER_TASK", task)]);
        let help = backuper(&asked).arg("--help").succeed().stdout;
        let own = &variables(&help, false) - &both;
        assert_eq!(own, told, "{task}");
    }
}

#[test]
fn the_table_of_the_restorers_other_task_is_that_of_its_help() {
    let of_both = variables(&section("## Both workers"), true);
    let told = variables(&section("## restorer's other task"), true);
    let asked = env([("RESTORER_TASK", "swap-back")]);
    let help = restorer(&asked).arg("--help").succeed().stdout;
    assert_eq!(&variables(&help, false) - &of_both, told);
}

/// Of the commands: what `--help` of one of them names, and the scheduler's own that they read.
#[test]
fn the_table_of_the_commands_settings_is_that_of_their_help() {
    let told = variables(&section("## Commands"), true);
    let named = regex::Regex::new("ADAPTER_[A-Z0-9_]+").unwrap();
    let mut helped = BTreeSet::new();
    for command in ["put", "restore", "ls"] {
        let help = scheduler(&Env::new())
            .args([command, "--help"])
            .succeed()
            .stdout;
        helped.extend(named.find_iter(&help).map(|it| it.as_str().to_owned()));
    }
    assert_eq!(helped, told);
}

#[test]
fn the_exit_codes_are_those_of_help() {
    let text = section("## Exit codes");
    let (workers, commands) = text.split_once("Those of a command:").unwrap();
    let none = Env::new();
    let help = [
        (workers, backuper(&none).arg("--help").succeed().stdout),
        (commands, scheduler(&none).args(["help"]).succeed().stdout),
    ];
    for (told, help) in help {
        let codes = |line: &str| -> Option<BTreeSet<u8>> {
            let first = line.split('|').nth(1)?;
            first.split(',').map(|it| it.trim().parse().ok()).collect()
        };
        let told: BTreeSet<u8> = told
            .lines()
            .filter(|it| it.starts_with('|'))
            .filter_map(codes)
            .flatten()
            .collect();
        let (_, help) = help.split_once("Exit codes:").unwrap();
        let help: BTreeSet<u8> = help
            .lines()
            .filter_map(|it| it.split_whitespace().next()?.parse().ok())
            .collect();
        assert_eq!(told, help);
    }
}
