//! README.md and the pages of docs/: their commands, their links, and which test runs what. The e2e tests
//! load this file too.

use std::collections::BTreeSet;
use std::path::Path;

use regex::Regex;

/// A page: its path from the root of the repository, and its text.
pub(crate) struct Page {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// What a reader may type: a block of shell, or words between back-quotes.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) page: String,
    pub(crate) text: String,
}

/// The programs that begin a command between back-quotes; pg_dump and its like are only spoken of there.
const PROGRAMS: [&str; 6] = ["kubectl", "helm", "scheduler", "make", "grpcurl", "cargo"];

/// All pages, README first.
pub(crate) fn all(root: &Path) -> Vec<Page> {
    let folder = std::fs::read_dir(root.join("docs")).unwrap();
    let names = folder.map(|it| it.unwrap().file_name().into_string().unwrap());
    let mut paths: Vec<String> = names
        .filter(|it| it.ends_with(".md"))
        .map(|it| format!("docs/{it}"))
        .collect();
    paths.sort();
    paths.insert(0, "README.md".to_owned());
    paths.iter().map(|it| Page::read(root, it)).collect()
}

impl Page {
    pub(crate) fn read(root: &Path, path: &str) -> Self {
        let text = std::fs::read_to_string(root.join(path));
        Self {
            path: path.to_owned(),
            text: text.unwrap_or_else(|error| panic!("{path}: {error}")),
        }
    }

    /// What stands below a heading, until the next one that is as high.
    pub(crate) fn section(&self, heading: &str) -> String {
        let depth = heading.bytes().take_while(|it| *it == b'#').count();
        let mut lines = self.text.lines();
        assert!(
            lines.any(|it| it == heading),
            "{}: no {heading:?}",
            self.path
        );
        let mut fenced = false;
        let ours = lines.take_while(|line| {
            fenced ^= line.trim_start().starts_with("```");
            let level = line.bytes().take_while(|it| *it == b'#').count();
            fenced || level == 0 || level > depth || !line[level..].starts_with(' ')
        });
        ours.map(|it| format!("{it}\n")).collect()
    }

    /// The text without what stands between fences, and the fenced blocks: their language and their lines.
    fn apart(&self) -> (String, Vec<(String, String)>) {
        let (mut prose, mut blocks) = (String::new(), Vec::new());
        let mut open: Option<(usize, String, String)> = None;
        for line in self.text.lines() {
            let bare = line.trim_start();
            match (&mut open, bare.strip_prefix("```")) {
                (None, Some(language)) => {
                    open = Some((line.len() - bare.len(), language.to_owned(), String::new()));
                }
                (None, None) => {
                    prose.push_str(line);
                    prose.push('\n');
                }
                (Some(_), Some(_)) => {
                    let (_, language, text) = open.take().unwrap();
                    blocks.push((language, text));
                }
                (Some((indent, _, text)), None) => {
                    text.push_str(line.get(*indent..).unwrap_or_default());
                    text.push('\n');
                }
            }
        }
        assert!(open.is_none(), "{}: a fence is open", self.path);
        (prose, blocks)
    }

    /// The fenced blocks of a language.
    pub(crate) fn blocks(&self, language: &str) -> Vec<String> {
        let blocks = self.apart().1.into_iter();
        let ours = blocks.filter(|(it, _)| it == language);
        ours.map(|(_, text)| text).collect()
    }

    /// The languages of the fenced blocks.
    pub(crate) fn languages(&self) -> BTreeSet<String> {
        self.apart().1.into_iter().map(|it| it.0).collect()
    }

    /// What stands between back-quotes, outside blocks.
    fn quoted(&self) -> Vec<String> {
        let prose = self.apart().0;
        let quoted = Regex::new("`([^`]+)`").unwrap();
        // A line of a table is a paragraph of its own, so that an odd quote spoils no other.
        let paragraphs = Regex::new(r"\n\s*\n|\n\|").unwrap();
        let mut all = Vec::new();
        for paragraph in paragraphs.split(&prose) {
            for found in quoted.captures_iter(paragraph) {
                let words: Vec<&str> = found[1].split_whitespace().collect();
                all.push(words.join(" "));
            }
        }
        all
    }

    /// All that a reader may type.
    pub(crate) fn commands(&self) -> Vec<Command> {
        let is_set = |it: &&str| Regex::new("^[A-Z_]+=").unwrap().is_match(it);
        let spoken = self.quoted().into_iter().filter(|text| {
            let mut words = text.split(' ').skip_while(|it| is_set(it));
            let first = words.next().unwrap_or_default();
            PROGRAMS.contains(&first) && words.next().is_some()
        });
        let blocks = self.blocks("sh").into_iter();
        let texts = blocks.chain(spoken);
        let page = self.path.clone();
        texts
            .map(|text| Command {
                page: page.clone(),
                text,
            })
            .collect()
    }

    /// The targets of the links, pictures too.
    pub(crate) fn links(&self) -> Vec<String> {
        let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
        let prose = self.apart().0;
        link.captures_iter(&prose)
            .map(|it| it[1].to_owned())
            .collect()
    }

    /// What links may name behind `#`, as GitHub makes it of headings.
    pub(crate) fn anchors(&self) -> BTreeSet<String> {
        let prose = self.apart().0;
        let headings = prose.lines().filter(|it| it.starts_with('#'));
        headings
            .map(|it| {
                let kept = it.trim_start_matches('#').trim().chars().filter_map(|it| {
                    let lower = it.to_ascii_lowercase();
                    match lower {
                        ' ' => Some('-'),
                        '-' | '_' => Some(lower),
                        _ => lower.is_alphanumeric().then_some(lower),
                    }
                });
                kept.collect()
            })
            .collect()
    }
}

/// The only command of a page that begins so.
pub(crate) fn command(root: &Path, page: &str, beginning: &str) -> String {
    let commands = Page::read(root, page).commands();
    let mut ours = commands.into_iter().filter(|it| is(it, page, beginning));
    let found = ours.next();
    let found = found.unwrap_or_else(|| panic!("{page} has no command {beginning:?}"));
    assert!(
        ours.all(|it| it.text == found.text),
        "{page} has several commands {beginning:?}"
    );
    found.text
}

/// Whether a command is the one that is meant by a beginning; one that ends with `$` is all of it.
pub(crate) fn is(command: &Command, page: &str, beginning: &str) -> bool {
    command.page == page
        && match beginning.strip_suffix('$') {
            Some(whole) => command.text.trim_end() == whole,
            None => command.text.starts_with(beginning),
        }
}
