//! A page of the guide as something that can be done: its files and its commands, as they stand there and in their order.
//!
//! A fenced block whose first line is `# NAME` or `// NAME` is a file of that name. In a block of `sh` every line is a command (`\\` at its end joins the
//! next one to it); one that ends in `# yes` or `# no` answers that. In a block of `console` a line that begins with `$ ` is a command, and what
//! follows is all that it answers. Other blocks are output or explanation.

use std::cell::RefCell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::captures::project_root;
use crate::scratch::Scratch;

/// A page's steps.
#[derive(Debug)]
pub struct Guide {
    steps: Vec<Step>,
}

/// One step of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// The heading that what follows stands under.
    Heading(String),
    File {
        name: String,
        text: String,
    },
    Command(String),
    /// A command and all that it writes to its standard output.
    Answered {
        command: String,
        output: String,
    },
}

/// A fenced block of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The line that its fence stands on, from 1.
    pub line: usize,
    /// The fence's word; empty where it has none.
    pub language: String,
    /// What stands in it, each line with its end.
    pub text: String,
}

impl Block {
    /// Its commands: those of `sh` and `console`, none of any other.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        match self.language.as_str() {
            "sh" => {
                let joined = self.text.replace("\\\n", " ");
                joined.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
            }
            "console" => self.text.lines().filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    /// The name of the file that it is.
    #[must_use]
    pub fn file_name(&self) -> Option<&str> {
        let first = self.text.lines().next()?;
        first.strip_prefix("# ").or(first.strip_prefix("// ")).filter(|name| !name.contains(' '))
    }
}

/// Every fenced block of a page, those inside of lists too.
///
/// # Panics
/// If one has no end.
#[must_use]
pub fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines().zip(1..);
    while let Some((fence, line)) = lines.next() {
        let Some(language) = fence.trim_start().strip_prefix("```") else { continue };
        let indent = fence.len() - fence.trim_start().len();
        let mut text = String::new();
        loop {
            let (inside, _) = lines.next().unwrap_or_else(|| panic!("the block of line {line} has no end"));
            if inside.trim() == "```" {
                break;
            }
            text.push_str(inside.get(indent..).unwrap_or_default());
            text.push('\n');
        }
        blocks.push(Block { line, language: language.to_owned(), text });
    }
    blocks
}

impl Guide {
    /// Reads a page of `docs/guide`.
    ///
    /// # Panics
    /// If there is none of the name.
    #[must_use]
    pub fn read(name: &str) -> Self {
        Self::page(&format!("docs/guide/{name}"))
    }

    /// Reads a page by its place in the project.
    ///
    /// # Panics
    /// If there is none of the name.
    #[must_use]
    pub fn page(place: &str) -> Self {
        let path = project_root().join(place);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { steps: steps(&text) }
    }

    /// What stands before a heading, and from there on.
    ///
    /// # Panics
    /// If there is no such heading.
    #[must_use]
    pub fn split_at(mut self, heading: &str) -> (Self, Self) {
        let at = self.steps.iter().position(|step| *step == Step::Heading(heading.to_owned()));
        let after = self.steps.split_off(at.unwrap_or_else(|| panic!("no heading {heading}")));
        (self, Self { steps: after })
    }
}

/// Gives a call of a project's strategy a second, unless its file says otherwise: what else a busy machine runs meanwhile takes its time
/// from the call, and a test is not to fail for that.
///
/// # Panics
/// If the file cannot be read or written.
pub fn give_time(file: &Path) {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    if !text.contains("callMicros") {
        let text = format!("{text}  budget:\n    callMicros: 1000000\n");
        std::fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

/// A command of a runbook for a strategy of a tenant: the first line of the page's blocks that begins so, without its comment.
///
/// # Panics
/// If the page does not name it.
#[must_use]
pub fn runbook_command(page: &Path, begin: &str, tenant: &str, strategy: &str) -> String {
    let text = std::fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let line = text.lines().map(str::trim).find(|line| line.starts_with(begin));
    let line = line.unwrap_or_else(|| panic!("{} does not say `{begin} …`", page.display()));
    let command = line.split("  #").next().unwrap_or(line).trim();
    command.replace("STRATEGY", strategy).replace("TENANT", tenant)
}

fn steps(text: &str) -> Vec<Step> {
    let headings = text.lines().zip(1..).filter_map(|(line, number)| {
        let heading = line.strip_prefix("## ")?;
        Some((number, vec![Step::Heading(heading.to_owned())]))
    });
    let of_block = |block: Block| {
        let steps = match (block.language.as_str(), block.file_name()) {
            ("sh", _) => block.commands().into_iter().map(Step::Command).collect(),
            ("console", _) => block.text.split("$ ").filter_map(answered).collect(),
            (_, Some(name)) => vec![Step::File { name: name.to_owned(), text: block.text.clone() }],
            _ => Vec::new(),
        };
        (block.line, steps)
    };
    let mut all: Vec<(usize, Vec<Step>)> = headings.chain(blocks(text).into_iter().map(of_block)).collect();
    all.sort_by_key(|(line, _)| *line);
    all.into_iter().flat_map(|(_, steps)| steps).collect()
}

/// A command of a `console` block and what follows it.
fn answered(text: &str) -> Option<Step> {
    let (command, output) = text.split_once('\n')?;
    Some(Step::Answered { command: command.to_owned(), output: output.to_owned() })
}

/// Where a reader of the guide would be: a folder, with the programs that the guide calls by their names.
#[derive(Debug)]
pub struct Reader {
    folder: Scratch,
    /// Where commands are given, where that is another folder.
    pub at: Option<PathBuf>,
    /// Folders with programs, before those of the machine.
    pub programs: Vec<PathBuf>,
    /// Variables of the environment.
    pub variables: Vec<(&'static str, PathBuf)>,
    /// What the guide calls otherwise than this machine.
    pub names: Vec<(&'static str, String)>,
    /// Commands that do not end by themselves: whole, or with a space at the end how they begin. They are left running until the
    /// reader goes.
    pub lasting: Vec<&'static str>,
    left: RefCell<Vec<(String, Child)>>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        for (_, child) in self.left.get_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Reader {
    /// In a folder of their own, where the clone's `deploy` lies.
    ///
    /// # Panics
    /// If the folder cannot be made.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it does something")]
    pub fn new() -> Self {
        let folder = Scratch::new();
        std::os::unix::fs::symlink(project_root().join("deploy"), folder.path().join("deploy")).expect("link deploy");
        Self {
            folder,
            at: None,
            programs: Vec::new(),
            variables: Vec::new(),
            names: Vec::new(),
            lasting: Vec::new(),
            left: RefCell::default(),
        }
    }

    /// Where they are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Does all that a page says. `after` is called with each command that was done.
    ///
    /// # Panics
    /// If a command fails, or answers otherwise than the page.
    pub fn follow(&self, guide: &Guide, mut after: impl FnMut(&str)) {
        self.follow_and_hear(guide, |command, _| after(command));
    }

    /// The same; `after` is called with what the command answered, too.
    ///
    /// # Panics
    /// If a command fails, or answers otherwise than the page.
    pub fn follow_and_hear(&self, guide: &Guide, mut after: impl FnMut(&str, &str)) {
        for step in &guide.steps {
            match step {
                Step::Heading(heading) => println!("## {heading}"),
                Step::File { name, text } => {
                    let _ = self.folder.write(name, self.here(text));
                }
                Step::Command(command) if self.lasts(command) => {
                    self.leave(command);
                    after(command, "");
                }
                Step::Command(command) => after(command, &self.run(command)),
                Step::Answered { command, output } => {
                    let said = self.run(command);
                    assert_eq!(&said, output, "{command} answers otherwise than the page");
                    after(command, &said);
                }
            }
        }
    }

    fn lasts(&self, command: &str) -> bool {
        let is = |one: &&str| if one.ends_with(' ') { command.starts_with(*one) } else { command == *one };
        self.lasting.iter().any(is)
    }

    /// Leaves a command running.
    fn leave(&self, command: &str) {
        println!("$ {command} &");
        let log = File::create(self.log(self.left.borrow().len())).expect("make a log file");
        // It takes the shell's place, so that it is what ends with the reader.
        let mut shell = self.shell(&format!("exec {command}"));
        shell.stderr(log.try_clone().expect("a file twice")).stdout(log);
        self.left.borrow_mut().push((command.to_owned(), shell.spawn().expect("run bash")));
    }

    /// What a lasting command has said so far.
    ///
    /// # Panics
    /// If none of them begins so.
    #[must_use]
    pub fn said(&self, begin: &str) -> String {
        let at = self.left.borrow().iter().position(|(command, _)| command.starts_with(begin));
        let at = at.unwrap_or_else(|| panic!("`{begin}` was not left running"));
        std::fs::read_to_string(self.log(at)).unwrap_or_default()
    }

    fn log(&self, lasting: usize) -> PathBuf {
        self.folder().join(format!("{lasting}.log"))
    }

    /// What the guide says, as this machine calls it.
    #[must_use]
    pub fn here(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours))
    }

    /// A shell that does one command, as the reader would.
    ///
    /// # Panics
    /// If a folder of programs has a colon in its name.
    #[must_use]
    pub fn shell(&self, command: &str) -> Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(self.programs.iter().cloned().chain(std::env::split_paths(&path)))
            .expect("folders without colons");
        let mut shell = Command::new("bash");
        let at = self.at.as_deref().unwrap_or_else(|| self.folder());
        shell.args(["-euo", "pipefail", "-c", &self.here(command)]).current_dir(at).stdin(Stdio::null());
        shell.env("PATH", path).env("NO_PROXY", "*").envs(self.variables.iter().map(|(name, value)| (name, value)));
        shell
    }

    /// Does one command; what it wrote to its standard output.
    ///
    /// # Panics
    /// If it fails, or answers otherwise than the page.
    pub fn run(&self, command: &str) -> String {
        let output = self.shell(command).output().expect("run bash");
        let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        println!("$ {command}\n{said}{complained}");
        let answer = command.rsplit_once("   # ").map(|(_, answer)| answer.trim());
        // How long calls take is this machine's affair: `check` says here that it is over its limits where others compile beside.
        let is_verdict = command.starts_with("pinion check") && output.status.code() == Some(65);
        match answer {
            // Who asks whether something may be done is told by the exit code as well.
            Some(answer) => assert_eq!(said.trim(), answer, "{command}: {complained}"),
            None => assert!(output.status.success() || is_verdict, "{command}: {}\n{complained}", output.status),
        }
        said.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_commands_are_found_in_their_order_and_output_is_neither() {
        let page = "## One\n```yaml\n# a.yaml\nx: 1\n```\ntext\n```sh\nls a\nls b   # no\n```\n```\nNAME\n```\n## Two\n```sh\nls c\n```\n";
        let command = |text: &str| Step::Command(text.into());
        let file = Step::File { name: "a.yaml".into(), text: "# a.yaml\nx: 1\n".into() };
        let heading = |text: &str| Step::Heading(text.into());
        assert_eq!(
            steps(page),
            [heading("One"), file, command("ls a"), command("ls b   # no"), heading("Two"), command("ls c")]
        );
        let (before, after) = Guide { steps: steps(page) }.split_at("Two");
        assert_eq!((before.steps.len(), after.steps.len()), (4, 2));
    }

    #[test]
    fn blocks_inside_of_lists_joined_lines_and_answers_are_found() {
        let page = "- x\n   ```sh\n   a \\\n     b\n   c\n   ```\n```console\n$ d\n1\n2\n$ e\n```\n";
        let found = blocks(page);
        assert_eq!(found[0], Block { line: 2, language: "sh".into(), text: "a \\\n  b\nc\n".into() });
        assert_eq!(found[0].commands(), ["a    b", "c"]);
        assert_eq!(found[1].commands(), ["d", "e"]);
        let answered = |command: &str, output: &str| Step::Answered { command: command.into(), output: output.into() };
        assert_eq!(steps(page)[2..], [answered("d", "1\n2\n"), answered("e", "")]);
    }
}
