//! Every combination of parameters over one reading of the data: decoded once, run on all cores.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::Receiver;
use pinion_runtime::clock::mono_ns;
use pinion_runtime::limits::INSTANCES_MAX;
use pinion_spec::strategy::Strategy;

use super::drive::{Run, Setup};
use super::outcome::Outcome;
use super::reader::{self, BATCHES_WAITING_MAX, Batch, Tally};
use super::report::About;
use super::sink::{self, Sink};
use super::sources::Source;
use crate::error::CliError;

/// Combinations of one call: all run at once, and the sandbox holds so many instances. Half are left to those that faulted and are on
/// their way out.
pub(super) const COMBINATIONS_MAX: usize = 128;
const _: () = assert!(2 * COMBINATIONS_MAX <= INSTANCES_MAX as usize);

/// The parameters of one run.
pub(super) type Params = BTreeMap<String, String>;

/// The cross product of the lists, the last list fastest.
///
/// # Errors
/// [`CliError::Usage`] for a parameter that the file does not have, one that is named twice, or too many combinations.
pub(super) fn combinations(strategy: &Strategy, params: &[String]) -> Result<Vec<Params>, CliError> {
    let known = &strategy.spec.params;
    let mut combinations = vec![Params::new()];
    for text in params {
        let Some((name, values)) = text.split_once('=') else {
            return Err(CliError::Usage(format!("--param {text}: write NAME=VALUE or NAME=VALUE,VALUE")));
        };
        if !known.contains_key(name) {
            let names: Vec<&str> = known.keys().map(String::as_str).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(CliError::Usage(format!(
                "--param {text}: the strategy's file has no parameter {name}; it has {names}"
            )));
        }
        if combinations.iter().any(|params| params.contains_key(name)) {
            return Err(CliError::Usage(format!("--param {text}: {name} is given twice; list its values once")));
        }
        let values: Vec<&str> = values.split(',').collect();
        if combinations.len().saturating_mul(values.len()) > COMBINATIONS_MAX {
            return Err(CliError::Usage(format!(
                "--param {text}: more than {COMBINATIONS_MAX} combinations; run the sweep in parts"
            )));
        }
        let with = |params: &Params, value: &str| {
            let mut params = params.clone();
            params.insert(name.to_owned(), value.to_owned());
            params
        };
        combinations = combinations.iter().flat_map(|params| values.iter().map(|value| with(params, value))).collect();
    }
    Ok(combinations)
}

/// Runs them all and writes what is to be written. The outcomes are in the order of the combinations.
///
/// # Errors
/// [`CliError`]; nothing is left in the folder then.
pub(super) fn run(
    setup: &Setup,
    sources: &[Source],
    combinations: &[Params],
    out: Option<&Path>,
) -> Result<Vec<Outcome>, CliError> {
    let mut runs = Vec::with_capacity(combinations.len());
    for (n, params) in combinations.iter().enumerate() {
        let folder = out.map(|out| sink::folder_of(out, n, combinations.len()));
        let sink = folder.as_deref().map(Sink::create).transpose()?;
        runs.push((n, Run::written(setup, params, sink)?));
    }
    let feed = runs.first().and_then(|(_, run)| run.playback().feeds().first());
    let decoder = |source: &Source| {
        let (feed, topic) = (feed?, usize::from(source.input));
        let (own, events) = (feed.decoder(topic)?, feed.event_decoder(topic)?);
        Some(own.and_then(|own| Ok((own, events?))))
    };
    let decoders: Result<Vec<_>, _> = sources.iter().filter_map(decoder).collect();
    let decoders = decoders.map_err(|error| CliError::Usage(error.to_string()))?;

    let threads = thread::available_parallelism().map_or(1, usize::from).clamp(1, runs.len());
    let mut shares: Vec<Vec<(usize, Run)>> = (0..threads).map(|_| Vec::new()).collect();
    for (n, run) in runs {
        shares[n % threads].push((n, run));
    }
    let started_ns = mono_ns();
    let (tally, mut runs) = thread::scope(|scope| {
        let mut senders = Vec::with_capacity(threads);
        let mut working = Vec::with_capacity(threads);
        for share in shares {
            let (sender, batches) = crossbeam_channel::bounded(BATCHES_WAITING_MAX);
            senders.push(sender);
            working.push(scope.spawn(move || work(share, &batches)));
        }
        let read = reader::read(sources, decoders, setup.records_max, &senders);
        drop(senders);
        let mut runs = Vec::new();
        let mut failed = None;
        for thread in working {
            match thread.join() {
                Ok(Ok(share)) => runs.extend(share),
                Ok(Err(error)) => failed = failed.or(Some(error)),
                Err(_) => failed = failed.or(Some(CliError::Internal("a run panicked".to_owned()))),
            }
        }
        // What could not be read comes first: a run that ended early may have ended for it.
        let tally = read?;
        failed.map_or(Ok((tally, runs)), Err)
    })?;
    runs.sort_by_key(|(n, _)| *n);
    finish(setup, sources, runs, &tally, started_ns)
}

/// Presents every batch to each run of a share.
fn work(mut share: Vec<(usize, Run)>, batches: &Receiver<Arc<Batch>>) -> Result<Vec<(usize, Run)>, CliError> {
    while let Ok(batch) = batches.recv() {
        for (_, run) in &mut share {
            run.batch(&batch)?;
        }
    }
    Ok(share)
}

fn finish(
    setup: &Setup,
    sources: &[Source],
    runs: Vec<(usize, Run)>,
    tally: &Tally,
    started_ns: u64,
) -> Result<Vec<Outcome>, CliError> {
    let wall_s = std::time::Duration::from_nanos(mono_ns() - started_ns).as_secs_f64();
    let mut finished = Vec::with_capacity(runs.len());
    for (_, run) in runs {
        let (mut outcome, sink) = run.finish(tally)?;
        outcome.wall_s = wall_s;
        let model = &setup.model;
        outcome.model = format!("latency {} one way, fees {}, seed {}", model.latency, model.fees.told(), model.seed);
        finished.push((outcome, sink));
    }
    let module = setup.module.digest().to_string();
    let files = sources.iter().flat_map(|source| &source.files);
    let declared = setup.strategy.spec.instruments.first();
    let about = About {
        strategy: &setup.strategy.metadata.name,
        symbol: declared.map_or("", |declared| &declared.symbol),
        module: &module,
        data: files.filter_map(|file| file.file_name()?.to_str()).collect(),
        scale: declared.map_or(0, |declared| u32::from(declared.size_exponent.unsigned_abs())),
    };
    let mut digests = None;
    let mut outcomes = Vec::with_capacity(finished.len());
    // Whole files get their names when every run has ended well.
    for (outcome, sink) in finished {
        if let Some(sink) = sink {
            let digests = match &digests {
                Some(digests) => digests,
                None => digests.insert(sink::digests(sources)?),
            };
            sink.keep(&outcome, &about, digests)?;
        }
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strategy() -> Strategy {
        let text = "apiVersion: pinion.dev/v1alpha1\nkind: Strategy\nmetadata: {name: a}\nspec:\n  module: {file: a.wasm}\n  outputs: {orders: {topic: o}}\n  inputs:\n    - {topic: md, encoding: binance-spot}\n  params: {fast: '1', slow: '2'}\n";
        pinion_spec::parse(text, "a.yaml").unwrap().remove(0)
    }

    fn said(params: &[&str]) -> String {
        let params: Vec<String> = params.iter().map(|text| (*text).to_owned()).collect();
        combinations(&strategy(), &params).unwrap_err().to_string()
    }

    #[test]
    fn every_combination_is_run_once_the_last_list_fastest() {
        let found = combinations(&strategy(), &["fast=1,2".to_owned(), "slow=7,8".to_owned()]).unwrap();
        let pairs: Vec<_> = found.iter().map(|params| (params["fast"].as_str(), params["slow"].as_str())).collect();
        assert_eq!(pairs, [("1", "7"), ("1", "8"), ("2", "7"), ("2", "8")]);
        assert_eq!(combinations(&strategy(), &[]).unwrap(), [Params::new()]);
    }

    #[test]
    fn a_parameter_that_the_file_does_not_have_is_refused_with_those_it_has() {
        assert!(said(&["quick=1"]).ends_with("no parameter quick; it has fast, slow"));
        assert!(said(&["fast"]).contains("write NAME=VALUE"));
        assert!(said(&["fast=1", "fast=2"]).contains("given twice"));
        let many = format!("fast={}", ["1"; COMBINATIONS_MAX + 1].join(","));
        assert!(said(&[&many]).contains("more than 128 combinations"));
    }
}
