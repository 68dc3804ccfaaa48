//! One cycle: read, build, compile, check, backtest, swap, write. The first step that fails ends it.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use pinion_runtime::loading;
use pinion_runtime::sandbox::Sandbox;
use pinion_spec::strategy::Strategy;
use serde_json::{Value, json};

use super::DevArgs;
use super::running::{Running, Runs};
use super::tell::{Done, Teller, Told, short};
use crate::build::{self, Component};
use crate::error::CliError;
use crate::progress::Late;
use crate::sample::made::{self, Made};
use crate::strategy_file::COMPILING;
use crate::time::count;
use crate::{backtest, check, strategy_file};

/// All that cycles share.
pub(super) struct Bench<'a> {
    file: &'a Path,
    source: &'a Path,
    args: &'a DevArgs,
    sandbox: Sandbox,
    made: &'a Made,
    running: Option<Running>,
    teller: &'a Teller,
    cycles: u64,
    /// As its file had it when it was last right.
    strategy: Option<Strategy>,
    data: Option<Data>,
    held: Option<Tried>,
}

/// The slice, and what it was made for.
struct Data {
    topics: Vec<String>,
    named: Vec<String>,
}

/// What decides whether a module holds: nothing is tried twice.
#[derive(Debug, Clone, PartialEq)]
struct Tried {
    module: String,
    strategy: Strategy,
    data: Vec<(String, Option<SystemTime>)>,
}

impl<'a> Bench<'a> {
    pub(super) const fn new(
        file: &'a Path,
        source: &'a Path,
        args: &'a DevArgs,
        sandbox: Sandbox,
        made: &'a Made,
        running: Option<Running>,
        teller: &'a Teller,
    ) -> Self {
        Self { file, source, args, sandbox, made, running, teller, cycles: 0, strategy: None, data: None, held: None }
    }

    /// Does all steps and tells them.
    ///
    /// # Errors
    /// Which step failed. What for has been told.
    pub(super) fn cycle(&mut self, changed: &[String]) -> Result<(), CliError> {
        self.cycles += 1;
        let mut told = self.teller.begin(self.cycles, changed);
        let outcome = self.steps(&mut told);
        let step = told.failed();
        let runs = match (&self.running, &self.strategy) {
            (Some(running), Some(strategy)) => Some((running.address(), running.runs(strategy))),
            _ => None,
        };
        self.teller.end(told, outcome.as_ref().err(), runs)?;
        outcome.map_err(|error| CliError::Told { step, code: error.code() })
    }

    fn steps(&mut self, told: &mut Told) -> Result<(), CliError> {
        let teller = self.teller;
        let strategy = teller.quiet(told, "read", || {
            let strategy = strategy_file::parse(self.file)?;
            let Some(path) = loading::module_path(&strategy, self.file.parent().unwrap_or(Path::new(""))) else {
                let file = self.file.display();
                return Err(CliError::Usage(format!("{file}: spec.module: want a `file`, for what is built here")));
            };
            Ok((strategy, path))
        });
        let (strategy, path) = strategy?;
        self.strategy = Some(strategy.clone());
        let component = teller.step(told, "build", || {
            let component = build::component(self.source).map_err(|error| CliError::Usage(error.to_string()))?;
            let (digest, bytes, lane) = (component.digest.to_string(), component.bytes.len(), component.lane.label());
            let unchanged = if component.unchanged { ", built before" } else { "" };
            let text = format!("{} ({} bytes, {lane} lane{unchanged})", short(&digest), count(bytes as u64));
            let detail = json!({"bytes": bytes, "lane": lane, "unchanged": component.unchanged});
            Ok(Done::new(component, text, detail))
        })?;
        let digest = component.digest.to_string();
        told.module = Some(digest.clone());
        self.check_and_backtest(told, &strategy, &component)?;

        let mut alone = false;
        let swapped = match &self.running {
            Some(running) => teller.step(told, "swap", || {
                let before = running.runs(&strategy);
                alone = matches!(before, Err(CliError::Unavailable(_)));
                swap(running, &strategy, (&component.bytes, &digest), &before?)
            }),
            None => Ok(()),
        };
        // Where nobody runs it yet, whoever starts it finds it. One that was refused or faulted is no better in a file.
        if swapped.is_ok() || alone {
            write(teller, told, &path, &component)?;
        }
        swapped
    }

    fn check_and_backtest(
        &mut self,
        told: &mut Told,
        strategy: &Strategy,
        component: &Component,
    ) -> Result<(), CliError> {
        let teller = self.teller;
        let data = teller.quiet(told, "data", || self.data(strategy))?;
        let modified = |text: &String| {
            let file = text.rsplit_once('=').map_or(text.as_str(), |(_, file)| file);
            (text.clone(), std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok())
        };
        let tried = Tried {
            module: component.digest.to_string(),
            strategy: strategy.clone(),
            data: data.iter().map(modified).collect(),
        };
        if self.held.as_ref() == Some(&tried) {
            return teller.step(told, "check", || {
                Ok(Done::new((), "it holds, as before: nothing that counts has changed".to_owned(), Value::Null))
            });
        }
        self.held = None;
        let module = teller.step(told, "compile", || {
            let _progress = Late::begin(COMPILING);
            let module = self.sandbox.load(&component.bytes).map_err(|error| {
                CliError::Usage(format!("{}: {}", self.source.display(), pinion_runtime::args::chain(&error)))
            })?;
            Ok(Done::new(module, "for this machine".to_owned(), Value::Null))
        })?;
        let records = self.args.records;
        teller.step(told, "check", || {
            let verdict = check::of(strategy, module.clone(), &data, records)?;
            let lines = |weight: &str, found: Vec<&str>| -> String {
                found.iter().map(|text| format!("\n{weight}: {text}")).collect()
            };
            let text = verdict.line() + &lines("warning", verdict.warnings());
            if !verdict.holds {
                return Err(CliError::Differs(text + &lines("FAILS", verdict.failures())));
            }
            let detail = serde_json::to_value(&verdict).unwrap_or_default();
            Ok(Done::new((), text, detail))
        })?;
        teller.step(told, "backtest", || {
            let outcome = backtest::over(strategy, module, &data, records)?;
            let detail = serde_json::to_value(&outcome).unwrap_or_default();
            let text = outcome.line();
            backtest::faulted(&[outcome])?;
            Ok(Done::new((), text, detail))
        })?;
        self.held = Some(tried);
        Ok(())
    }

    /// What is said with `--data`, or a made-up market, made once.
    fn data(&mut self, strategy: &Strategy) -> Result<Vec<String>, CliError> {
        if !self.args.data.is_empty() {
            return Ok(self.args.data.clone());
        }
        let topics: Vec<String> =
            strategy.spec.inputs.iter().map(|input| format!("{}={}", input.topic, input.encoding.name())).collect();
        if let Some(data) = self.data.as_ref().filter(|data| data.topics == topics) {
            return Ok(data.named.clone());
        }
        let named = made::data(strategy, self.made.path())?;
        self.data = Some(Data { topics, named: named.clone() });
        Ok(named)
    }
}

fn swap(
    running: &Running,
    strategy: &Strategy,
    (component, digest): (&[u8], &str),
    before: &Runs,
) -> Result<Done<()>, CliError> {
    let (address, from) = (running.address(), &before.module);
    let detail = json!({"from": from, "to": digest});
    if from == digest && !before.quarantined {
        return Ok(Done::new((), format!("{} runs at {address} already", short(digest)), detail));
    }
    running.swap(strategy, component, digest)?;
    let was = if before.quarantined { ", which was quarantined" } else { "" };
    Ok(Done::new((), format!("{} runs at {address}, in place of {}{was}", short(digest), short(from)), detail))
}

/// Writes the component where the strategy's file looks for it, unless it lies there.
fn write(teller: &Teller, told: &mut Told, path: &PathBuf, component: &Component) -> Result<(), CliError> {
    let there = std::fs::read(path).ok();
    if there.is_some_and(|there| pinion_runtime::sandbox::artefact::Digest::of(&there) == component.digest) {
        return Ok(());
    }
    teller.step(told, "write", || {
        build::write(path, &component.bytes).map_err(|error| CliError::Unavailable(error.to_string()))?;
        Ok(Done::new((), path.display().to_string(), Value::Null))
    })
}
