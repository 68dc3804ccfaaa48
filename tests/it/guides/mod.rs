//! Every fenced block of the documentation is done or read by a rule that names its kind; a block that no rule reads fails.
//!
//! | kind | its rule |
//! |---|---|
//! | a page's commands and files | a test that follows the page does them ([`DONE`]) |
//! | `console` | done, and answered as the page says: never only read |
//! | `sh` elsewhere | a shell reads it, and each program takes its own command line ([`commands`]) |
//! | `yaml` | the program that it is for takes it ([`configs`]) |
//! | `ini` | the runtime's own reader and librdkafka take it |
//! | `json` | the order as the wire writes it |
//! | `python`, `rust` | run, or a file of a page that is done |
//! | `text` | what it is, is said of it here, and that is checked ([`texts`]) |

mod commands;
mod configs;
mod done;
mod texts;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use pinion_tests::captures::project_root;
use pinion_tests::guide::{Block, blocks};
use pinion_tests::python::python;

/// A page and its blocks.
struct Page {
    name: String,
    text: String,
    blocks: Vec<Block>,
}

impl Page {
    fn place(&self, block: &Block) -> String {
        format!("{}:{}", self.name, block.line)
    }
}

/// Every page that a person reads.
fn pages() -> Vec<Page> {
    let root = project_root();
    let mut files = vec![root.join("README.md"), root.join("sdk/python/README.md")];
    let mut folders = vec![root.join("docs"), root.join("strategies-examples")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                files.push(path);
            }
        }
    }
    files.sort();
    files.iter().map(|file| page(root, file)).collect()
}

fn page(root: &Path, file: &Path) -> Page {
    let text = std::fs::read_to_string(file).unwrap();
    let name = file.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    Page { name, blocks: blocks(&text), text }
}

/// Blocks that a test does as they stand: the page, the kinds of blocks, and the test.
const DONE: [(&str, &[&str], &str, &str); 12] = [
    ("docs/guide/install.md", &["sh", "yaml"], CHART, EVERY_COMMAND),
    ("docs/guide/onboarding.md", &["sh", "yaml", "ini"], CHART, EVERY_COMMAND),
    ("docs/guide/first-strategy-python.md", &["sh", "python", "yaml"], PYTHON, FIRST_STRATEGY),
    ("docs/guide/first-strategy-rust.md", &["sh", "rust"], PYTHON, FIRST_STRATEGY),
    ("docs/guide/dev.md", &["sh"], "tests/it/dev/page.rs", "every_command_of_the_guide_to_the_loop_does_what_it_says"),
    ("docs/guide/cluster.md", &["sh"], "tests/it/cluster_cli/guide.rs", "every_command_of_the_guide_does_what_it_says"),
    ("docs/guide/backtest.md", &["sh"], "tests/it/backtest.rs", "the_commands_of_the_guide_run_as_they_stand_there"),
    (
        "docs/guide/market-data.md",
        &["yaml", "json"],
        "cli/tests/inspect.rs",
        "the_guides_mapped_feed_decodes_as_the_guide_says",
    ),
    ("docs/guide/market-data.md", &["console"], HERE, "the_captures_report_is_the_one_of_the_guide"),
    ("docs/guide/check.md", &["sh"], HERE, "the_commands_of_the_guide_to_check_end_in_a_verdict"),
    ("docs/guide/running.md", &["sh"], HERE, "the_commands_of_the_guide_to_running_are_taken_by_a_runtime"),
    ("docs/guide/replay.md", &["sh"], HERE, "the_commands_of_the_guide_to_replay_give_the_same_orders"),
];

const CHART: &str = "tests/it/chart/guides.rs";
const PYTHON: &str = "tests/it/python/guides.rs";
const HERE: &str = "tests/it/guides/done.rs";
const EVERY_COMMAND: &str = "every_command_of_the_guides_does_what_it_says";
const FIRST_STRATEGY: &str = "every_command_of_the_guides_to_a_first_strategy_does_what_it_says";

/// By what a block is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    Done(&'static str),
    Commands,
    Yaml(configs::Yaml),
    Properties,
    Order,
    Python,
    Text(texts::Text),
}

fn rule(page: &Page, block: &Block) -> Result<Rule, String> {
    let language = match block.language.as_str() {
        "" if commands::is_commands(block) => "sh",
        "" => "text",
        language => language,
    };
    let of_page = DONE.iter().find(|(name, languages, ..)| page.name == *name && languages.contains(&language));
    if let Some((.., test)) = of_page {
        return match language {
            "yaml" | "ini" | "python" | "rust" if block.file_name().is_none() => {
                Err(format!("a {language} block of a page that is done names no file in its first line"))
            }
            _ => Ok(Rule::Done(test)),
        };
    }
    match language {
        "sh" => Ok(Rule::Commands),
        "console" => Err("no test runs it and compares its answers".to_owned()),
        "yaml" => configs::yaml(block).map(Rule::Yaml),
        "ini" => Ok(Rule::Properties),
        "json" => Ok(Rule::Order),
        "python" => Ok(Rule::Python),
        "text" => texts::text_of(page, block).map(Rule::Text),
        other => Err(format!("no rule reads a block of {other}")),
    }
}

/// The blocks that a rule of a kind holds.
fn held(by: impl Fn(Rule) -> bool) -> impl Iterator<Item = (Rc<Page>, Block)> {
    pages().into_iter().flat_map(move |page| {
        let mine: Vec<Block> = page.blocks.iter().filter(|block| rule(&page, block).is_ok_and(&by)).cloned().collect();
        let page = Rc::new(page);
        mine.into_iter().map(move |block| (Rc::clone(&page), block))
    })
}

#[test]
fn every_block_of_the_documentation_is_done_or_read_by_a_rule() {
    let (mut wrong, mut rules, mut count) = (Vec::new(), BTreeSet::new(), 0);
    for page in pages() {
        for block in &page.blocks {
            count += 1;
            match rule(&page, block) {
                Ok(rule) => _ = rules.insert(rule),
                Err(why) => wrong.push(format!("{}: {why}", page.place(block))),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{count} blocks, {} rules", rules.len());
    for (page, _, file, test) in DONE {
        let source = std::fs::read_to_string(project_root().join(file)).unwrap();
        assert!(source.contains(&format!("fn {test}()")), "{file} has no {test}");
        let file_name = page.rsplit('/').next().unwrap();
        assert!(source.contains(file_name), "{test} does not read {page}");
        assert!(rules.contains(&Rule::Done(test)), "{page} has nothing for {test}");
    }
    for text in texts::TEXTS {
        assert!(rules.contains(&Rule::Text(text)), "{text:?} is of no block");
    }
}

#[test]
fn a_block_that_no_rule_reads_is_found() {
    let why = |text: &str| {
        let page = Page { name: "docs/guide/new.md".to_owned(), text: text.to_owned(), blocks: blocks(text) };
        rule(&page, &page.blocks[0]).unwrap_err()
    };
    assert_eq!(why("```toml\na = 1\n```\n"), "no rule reads a block of toml");
    assert!(why("```console\n$ pinion --version\n0.1.0\n```\n").contains("no test runs it"));
    assert!(why("```yaml\nsomething: 1\n```\n").contains("nothing that is known takes it"));
    assert!(why("```yaml\na: [\n```\n").contains("no YAML"));
    assert!(why("```text\nsomething\n```\n").contains("say in tests/it/guides/texts.rs"));
    assert!(why("```text\npinion demo\n```\n").contains("is a command"));
}

#[test]
fn the_python_of_a_page_runs() {
    let Some(python) = python() else { return };
    let mut count = 0;
    for (page, block) in held(|rule| rule == Rule::Python) {
        count += 1;
        let output = Command::new(&python)
            .args(["-c", &block.text])
            .env("PYTHONPATH", project_root().join("sdk/python/src"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}: {}", page.place(&block), String::from_utf8_lossy(&output.stderr));
    }
    assert!(count > 0);
}
