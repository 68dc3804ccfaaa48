//! A page of the guide as something that can be done: its files and its commands, as they stand there and in their order.
//!
//! A fenced block whose first line is `# NAME` or `// NAME` is a file of that name. In a block of `sh` every line is a command; one that ends
//! in `# yes` or `# no` answers that. Other blocks are output or explanation.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
}

impl Guide {
    /// Reads a page of `docs/guide`.
    ///
    /// # Panics
    /// If there is none of the name.
    #[must_use]
    pub fn read(name: &str) -> Self {
        let path = project_root().join("docs/guide").join(name);
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
    let mut steps = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix("## ") {
            steps.push(Step::Heading(heading.to_owned()));
        }
        let Some(language) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let named = block
            .first()
            .and_then(|first| first.strip_prefix("# ").or(first.strip_prefix("// ")))
            .filter(|name| !name.contains(' '));
        if language == "sh" {
            steps.extend(block.iter().map(|line| Step::Command((*line).to_owned())));
        } else if let Some(name) = named {
            steps.push(Step::File { name: name.to_owned(), text: block.join("\n") + "\n" });
        }
    }
    steps
}

/// Where a reader of the guide would be: a folder, with the programs that the guide calls by their names.
#[derive(Debug)]
pub struct Reader {
    folder: Scratch,
    /// Folders with programs, before those of the machine.
    pub programs: Vec<PathBuf>,
    /// Variables of the environment.
    pub variables: Vec<(&'static str, PathBuf)>,
    /// What the guide calls otherwise than this machine.
    pub names: Vec<(&'static str, String)>,
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
        Self { folder, programs: Vec::new(), variables: Vec::new(), names: Vec::new() }
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
        for step in &guide.steps {
            match step {
                Step::Heading(heading) => println!("## {heading}"),
                Step::File { name, text } => {
                    let _ = self.folder.write(name, self.here(text));
                }
                Step::Command(command) => {
                    self.run(command);
                    after(command);
                }
            }
        }
    }

    fn here(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours))
    }

    /// Does one command.
    ///
    /// # Panics
    /// If it fails, or answers otherwise than the page.
    pub fn run(&self, command: &str) {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(self.programs.iter().cloned().chain(std::env::split_paths(&path)))
            .expect("folders without colons");
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", &self.here(command)]).current_dir(self.folder()).stdin(Stdio::null());
        shell.env("PATH", path).env("NO_PROXY", "*").envs(self.variables.iter().map(|(name, value)| (name, value)));
        let output = shell.output().expect("run bash");
        let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        println!("$ {command}\n{said}{complained}");
        let answer = command.rsplit_once("   # ").map(|(_, answer)| answer.trim());
        match answer {
            // Who asks whether something may be done is told by the exit code as well.
            Some(answer) => assert_eq!(said.trim(), answer, "{command}: {complained}"),
            None => assert!(output.status.success(), "{command}: {}\n{complained}", output.status),
        }
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
}
