//! Blocks of `text`: nothing in them can be run, so what each is stands here, and is held by what that kind can be held by.

use pinion_tests::captures::project_root;
use pinion_tests::guide::Block;

use super::commands::is_command;
use super::{Page, Rule, held};

/// What a block of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text {
    page: &'static str,
    /// How it begins.
    begins: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// What a program says; its words are in one of these sources.
    Output(&'static [&'static str]),
    /// A way from left to right: every name of this list is on it.
    Drawing(&'static [&'static str]),
    /// Folders and files of the project, and what is in them.
    Tree,
    /// Its words are explained on its page.
    Formula,
    /// Linux' own, on the kernel's command line.
    KernelParameters,
}

const fn text(page: &'static str, begins: &'static str, kind: Kind) -> Text {
    Text { page, begins, kind }
}

/// The order's statuses, as the contract calls them.
const STATUSES: &[&str] =
    &["denied", "accepted", "rejected", "replaced", "cancelled", "expired", "part-filled", "filled"];

/// What an event meets.
const STAGES: &[&str] = &["Kafka", "poll", "decode", "route", "ring", "book", "strategy", "risk", "encode", "send"];

const CLUSTER: &[&str] = &[
    "cli/src/cluster/deploy.rs",
    "cli/src/cluster/ready.rs",
    "cli/src/cluster/apply.rs",
    "cli/src/cluster/condition.rs",
];

/// What a cycle of `pinion dev` is told by.
const LOOP: &[&str] = &[
    "cli/src/dev/cycle.rs",
    "cli/src/dev/folder.rs",
    "cli/src/dev/tell.rs",
    "cli/src/check/verdict.rs",
    "cli/src/backtest/outcome.rs",
    "cli/src/build/error.rs",
    "cli/src/build/place.rs",
    "runtime/src/sandbox/mod.rs",
];

/// Every block of text of the documentation.
pub(super) const TEXTS: [Text; 16] = [
    text("README.md", "           ingest ", Kind::Drawing(STAGES)),
    text("README.md", "wit/ ", Kind::Tree),
    text("docs/guide/cluster.md", "desk-7/ema-cross: created", Kind::Output(CLUSTER)),
    text("docs/guide/cluster.md", "NAME ", Kind::Output(&["cli/src/cluster/list.rs", "cli/src/cluster/row.rs"])),
    text(
        "docs/guide/cluster.md",
        "ema-cross: HALTED",
        Kind::Output(&["cli/src/cluster/halt.rs", "cli/src/cluster/state.rs"]),
    ),
    text("docs/guide/dev.md", "19:04:34Z  changed", Kind::Output(LOOP)),
    text("docs/guide/dev.md", "19:06:12Z  swap", Kind::Output(LOOP)),
    text("docs/guide/dev.md", "19:07:01Z  build", Kind::Output(LOOP)),
    text(
        "docs/guide/first-strategy-python.md",
        "dip/strategy.py:3:",
        Kind::Output(&["cli/src/build/python/scan.py", "cli/src/build/error.rs", "cli/src/build/python.rs"]),
    ),
    text("docs/guide/host-tuning.md", "isolcpus=", Kind::KernelParameters),
    text("docs/guide/images.md", "…/images/", Kind::Output(&["deploy/images/build.sh", "deploy/images/image.py"])),
    text("docs/guide/modules.md", "pushed ", Kind::Output(&["cli/src/push.rs"])),
    text("docs/guide/observing.md", "burn rate = ", Kind::Formula),
    text("docs/guide/orders.md", " strategy ", Kind::Drawing(STATUSES)),
    text("docs/guide/scaling.md", "load = ", Kind::Formula),
    text("docs/guide/scaling.md", "busiest(now) = ", Kind::Formula),
];

/// What a block is, by the list.
pub(super) fn text_of(page: &Page, block: &Block) -> Result<Text, String> {
    if let Some(line) = block.text.lines().find(|line| is_command(line)) {
        return Err(format!("`{line}` is a command: the block is of sh, or of console where its answer is shown"));
    }
    let known = TEXTS.iter().find(|text| text.page == page.name && block.text.starts_with(text.begins));
    known.copied().ok_or_else(|| "a text of no kind: say in tests/it/guides/texts.rs what it is".to_owned())
}

/// The words of a text: letters, and what joins them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| word.starts_with(char::is_alphabetic))
}

/// What of a block its kind does not bear out.
fn wrong(page: &Page, block: &Block, kind: Kind) -> Vec<String> {
    match kind {
        Kind::Output(sources) => unsaid(&block.text, sources),
        Kind::Drawing(names) => {
            names.iter().filter(|name| !block.text.contains(*name)).map(|name| (*name).to_owned()).collect()
        }
        Kind::Tree => absent(&block.text),
        Kind::Formula => unexplained(&page.text, &block.text),
        Kind::KernelParameters => unknown_parameters(&block.text),
    }
}

/// Words that none of the sources of a program has; what has a digit, an ellipsis or a name of the guide in it changes from run to run.
fn unsaid(text: &str, sources: &[&str]) -> Vec<String> {
    let read = |file: &&str| {
        std::fs::read_to_string(project_root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    };
    let source: String = sources.iter().map(read).collect();
    let changes = |word: &&str| {
        word.contains(|c: char| c.is_ascii_digit() || c == '…')
            || ["ema-cross", "dip/", "tick", "images/"].iter().any(|name| word.contains(name))
    };
    let fixed = text.split_whitespace().filter(|word| !changes(word)).flat_map(words);
    fixed.filter(|word| word.len() > 2 && !source.contains(*word)).map(str::to_owned).collect()
}

/// Folders and files at the beginning of lines that the project does not have.
fn absent(text: &str) -> Vec<String> {
    let named = text.lines().flat_map(|line| line.split_whitespace().take_while(|word| word.ends_with('/')));
    named.filter(|name| !project_root().join(name).is_dir()).map(str::to_owned).collect()
}

/// Words that need no explanation.
const PLAIN: [&str; 4] = ["else", "late", "sum", "where"];

/// Words of a formula that neither it nor its page's prose explains.
fn unexplained(page: &str, formula: &str) -> Vec<String> {
    let prose: Vec<&str> = page.split("```").step_by(2).flat_map(words).collect();
    let before_signs = formula.rsplit_once('=').map_or("", |(before, _)| before).split('=');
    let defined: Vec<&str> = before_signs.filter_map(|part| words(part).last()).collect();
    let is_known = |word: &&str| PLAIN.contains(word) || prose.contains(word) || defined.contains(word);
    words(formula).filter(|word| !is_known(word)).map(str::to_owned).collect()
}

/// Linux' parameters for cores of their own, each with cores: documented in its kernel-parameters.txt.
fn unknown_parameters(text: &str) -> Vec<String> {
    let is_cores = |list: &str| list.split('-').all(|core| core.parse::<u16>().is_ok());
    let is_known = |word: &&str| match word.split_once('=') {
        Some(("isolcpus", value)) => {
            value.split(',').all(|part| ["managed_irq", "domain"].contains(&part) || is_cores(part))
        }
        Some(("nohz_full" | "rcu_nocbs" | "irqaffinity", value)) => value.split(',').all(is_cores),
        _ => false,
    };
    text.split_whitespace().filter(|word| !is_known(word)).map(str::to_owned).collect()
}

#[test]
fn every_text_of_the_documentation_is_borne_out_by_what_it_is_of() {
    let mut all = Vec::new();
    for (page, block) in held(|rule| matches!(rule, Rule::Text(_))) {
        let kind = text_of(&page, &block).unwrap().kind;
        let wrong = wrong(&page, &block, kind);
        if !wrong.is_empty() {
            all.push(format!("{}: {kind:?} has no {}", page.place(&block), wrong.join(", ")));
        }
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn a_text_that_is_not_borne_out_is_found() {
    assert_eq!(unsaid("pushed 34 bytes, swallowed sha256:5d…", &["cli/src/push.rs"]), ["swallowed"]);
    assert_eq!(absent("wit/  a\nwat/  wit/  b"), ["wat/"]);
    assert_eq!(unexplained("of load and `b`\n```\nload = b · c\n```\n", "load = b · c\nd = load"), ["c"]);
    assert_eq!(unknown_parameters("nohz_full=2-15 nohz=on isolcpus=two"), ["nohz=on", "isolcpus=two"]);
}
