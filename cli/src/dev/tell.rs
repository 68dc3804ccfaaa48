//! How cycles are told: a line a step as it is done, or one JSON object a cycle.

use std::io::IsTerminal as _;
use std::path::Path;

use pinion_runtime::clock::{mono_ns, wall_ns};
use serde::Serialize;
use serde_json::Value;

use super::running::{Address, Runs};
use crate::error::CliError;
use crate::inspect::Format;
use crate::output;
use crate::time::{duration, rfc3339};

/// What a step came to.
pub(super) struct Done<T> {
    value: T,
    text: String,
    detail: Value,
}

impl<T> Done<T> {
    pub(super) const fn new(value: T, text: String, detail: Value) -> Self {
        Self { value, text, detail }
    }
}

/// One step; field names are a promise to scripts.
#[derive(Debug, Serialize)]
struct Step {
    step: &'static str,
    ok: bool,
    ms: u64,
    /// What it came to, or why it failed.
    said: String,
    /// The step's own result: of `check` and `backtest` what those commands print.
    #[serde(skip_serializing_if = "Value::is_null")]
    detail: Value,
}

/// One cycle; field names are a promise to scripts.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    cycle: u64,
    /// When it began.
    at: String,
    /// Files, as paths in the folder; none in the first cycle.
    changed: Vec<String>,
    ok: bool,
    /// Of the step that failed, else 0.
    exit_code: u8,
    /// Digest of what was built.
    pub(super) module: Option<String>,
    steps: Vec<Step>,
    /// Digest of what runs at `--into` after the cycle; none where that is quarantined.
    running: Option<String>,
}

impl Told {
    /// The step that failed; the first, after which no other counts.
    pub(super) fn failed(&self) -> &'static str {
        self.steps.iter().find(|step| !step.ok).map_or("none", |step| step.step)
    }
}

/// Tells.
pub(super) struct Teller {
    format: Format,
    colour: bool,
}

const GREEN: &str = "32";
const RED: &str = "31";

impl Teller {
    pub(super) fn new(format: Format) -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        Self { format, colour }
    }

    /// A cycle begins.
    pub(super) fn begin(&self, cycle: u64, changed: &[String]) -> Told {
        let at = rfc3339(wall_ns());
        if !changed.is_empty() {
            self.line("changed", "", &changed.join(", "), None);
        }
        let changed = changed.to_vec();
        Told { cycle, at, changed, ok: true, exit_code: 0, module: None, steps: Vec::new(), running: None }
    }

    /// Does a step and tells it.
    ///
    /// # Errors
    /// The step's own.
    pub(super) fn step<T>(
        &self,
        told: &mut Told,
        step: &'static str,
        run: impl FnOnce() -> Result<Done<T>, CliError>,
    ) -> Result<T, CliError> {
        let began_ns = mono_ns();
        let done = run();
        let ns = mono_ns() - began_ns;
        let (ok, said, detail, result) = match done {
            Ok(Done { value, text, detail }) => (true, text, detail, Ok(value)),
            Err(error) => (false, pinion_runtime::args::chain(&error), Value::Null, Err(error)),
        };
        let (took, colour) = (duration(ns), if ok { GREEN } else { RED });
        self.line(step, &took, &if ok { said.clone() } else { format!("FAILED: {said}") }, Some(colour));
        told.steps.push(Step { step, ok, ms: ns / 1_000_000, said, detail });
        result
    }

    /// Does a step that is told only where it fails.
    ///
    /// # Errors
    /// The step's own.
    pub(super) fn quiet<T>(
        &self,
        told: &mut Told,
        step: &'static str,
        run: impl FnOnce() -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        match run() {
            Ok(value) => Ok(value),
            Err(error) => self.step(told, step, || Err(error)),
        }
    }

    /// A cycle ends; `runs` is what runs at `--into` now.
    ///
    /// # Errors
    /// If it cannot be said in JSON: our fault.
    pub(super) fn end(
        &self,
        mut told: Told,
        failed: Option<&CliError>,
        runs: Option<(Address, Result<Runs, CliError>)>,
    ) -> Result<(), CliError> {
        if let Some((address, runs)) = runs {
            match runs {
                Ok(Runs { module, quarantined }) => {
                    if failed.is_some() || quarantined {
                        let how = if quarantined { "is quarantined" } else { "goes on" };
                        self.line("running", "", &format!("{} {how} at {address}", short(&module)), None);
                    }
                    told.running = (!quarantined).then_some(module);
                }
                // A swap that failed has said the same.
                Err(error) if failed.is_some() && told.steps.iter().all(|step| step.step != "swap") => {
                    self.line("running", "", &format!("cannot be seen: {error}"), None);
                }
                Err(_) => {}
            }
        }
        (told.ok, told.exit_code) = (failed.is_none(), failed.map_or(0, CliError::code));
        match self.format {
            Format::Json => output::json(&told),
            Format::Text => Ok(()),
        }
    }

    /// What is waited for.
    pub(super) fn watching(&self, folder: &Path) {
        self.line("watching", "", &folder.display().to_string(), None);
    }

    fn line(&self, step: &str, took: &str, text: &str, colour: Option<&str>) {
        if self.format == Format::Json {
            return;
        }
        let now = rfc3339(wall_ns());
        let time = now.get(11..19).unwrap_or_default();
        let (on, off) = match colour.filter(|_| self.colour) {
            Some(colour) => (format!("\x1b[{colour}m"), "\x1b[0m"),
            None => (String::new(), ""),
        };
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        let mut told = format!("{time}Z  {on}{step:<9}{off}{took:>9}  {first}");
        // What a tool has said in several lines stands under its first.
        lines.for_each(|line| told.push_str(&format!("\n{:31}{line}", "")));
        output::text(&told);
    }
}

/// A digest that people can tell from others.
pub(super) fn short(digest: &str) -> &str {
    digest.get(.."sha256:".len() + 12).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_told_with_its_words_and_ends_the_cycle_with_its_code() {
        let teller = Teller { format: Format::Text, colour: false };
        let mut told = teller.begin(1, &[]);
        let done: Result<u8, _> = teller.step(&mut told, "build", || Ok(Done::new(7, "x".to_owned(), Value::Null)));
        assert_eq!(done.unwrap(), 7);
        let failed = teller.step::<()>(&mut told, "check", || Err(CliError::Differs("no".to_owned()))).unwrap_err();
        assert_eq!(
            told.steps.iter().map(|step| (step.step, step.ok)).collect::<Vec<_>>(),
            [("build", true), ("check", false)]
        );
        assert_eq!((told.steps[1].said.as_str(), failed.code()), ("no", 65));
        teller.quiet(&mut told, "read", || Ok(())).unwrap();
        assert_eq!(told.failed(), "check");
        assert_eq!(told.steps.len(), 2, "what is quiet is told only where it fails");
    }

    #[test]
    fn a_digest_is_short_enough_to_read() {
        assert_eq!(short(&format!("sha256:{}", "ab".repeat(32))), "sha256:abababababab");
        assert_eq!(short("odd"), "odd");
    }
}
