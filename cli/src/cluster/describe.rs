//! `pinion describe`: all that the cluster knows of one strategy.

use std::fmt::Write as _;

use clap::Args;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Resource as _, ResourceExt as _};
use pinion_operator::crd::Strategy;
use pinion_runtime::clock::wall_ns;
use pinion_spec::StrategySpec;
use pinion_spec::status::StrategyStatus;
use pinion_spec::strategy::ModuleSource;
use serde::Serialize;
use serde_json::json;

use super::condition::{line, printable};
use super::connect::{Cluster, ClusterArgs, with_cluster};
use super::row::{StrategyRow, age, state_name};
use super::watch::full_name;
use crate::error::CliError;
use crate::inspect::Format;
use crate::output;

/// Events that are shown, the newest.
const EVENTS_SHOWN: usize = 20;

/// Shows what a strategy reads and writes, how it does, where it runs and what has happened to it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pinion describe ema-cross -n desk-7")]
pub struct DescribeArgs {
    /// The strategy
    pub name: String,
    /// Where
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// How to write it; json is one object with spec, status and events
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Something that happened to a strategy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Happened {
    /// RFC 3339.
    at: Option<String>,
    /// How long ago, seconds.
    #[serde(skip)]
    ago: Option<u64>,
    warning: bool,
    reason: String,
    message: String,
    count: i32,
}

/// Writes it to stdout.
///
/// # Errors
/// If there is no such strategy, or the cluster cannot be asked.
pub fn run(args: &DescribeArgs) -> Result<(), CliError> {
    let (strategy, events) = with_cluster(&args.cluster, |cluster| async move {
        let doing = format!("describe {}", args.name);
        let strategy = cluster.ask(&doing, cluster.strategies().get(&args.name)).await?;
        let events = events(&cluster, &strategy).await;
        Ok((strategy, events))
    })?;
    match (args.format, events) {
        (Format::Text, events) => {
            output::text(&text(&strategy, events, wall_ns()));
            Ok(())
        }
        (Format::Json, events) => output::json(&json!({
            "name": strategy.name_any(),
            "namespace": strategy.namespace(),
            "generation": strategy.meta().generation,
            "spec": strategy.spec.0,
            "status": strategy.status,
            "events": events.ok(),
        })),
    }
}

/// The newest events of a strategy, the oldest of them first.
async fn events(cluster: &Cluster, strategy: &Strategy) -> Result<Vec<Happened>, CliError> {
    let api: Api<Event> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let of = format!("involvedObject.kind=Strategy,involvedObject.name={}", strategy.name_any());
    let listed = cluster.ask("list its events", api.list(&ListParams::default().fields(&of))).await?;
    let mut events: Vec<(Option<Timestamp>, Event)> = listed.items.into_iter().map(|e| (time(&e), e)).collect();
    events.sort_by_key(|(at, _)| *at);
    let skipped = events.len().saturating_sub(EVENTS_SHOWN);
    let now = i64::try_from(wall_ns() / 1_000_000_000).unwrap_or(i64::MAX);
    let happened = events.into_iter().skip(skipped).map(|(at, event)| Happened {
        at: at.map(|at| at.to_string()),
        ago: at.map(|at| u64::try_from(now - at.as_second()).unwrap_or(0)),
        warning: event.type_.as_deref() == Some("Warning"),
        count: event.series.as_ref().and_then(|series| series.count).or(event.count).unwrap_or(1),
        reason: event.reason.unwrap_or_default(),
        message: event.message.unwrap_or_default(),
    });
    Ok(happened.collect())
}

fn workers(count: u32) -> String {
    format!("{count} worker{}", if count == 1 { "" } else { "s" })
}

/// When it last happened. Which field says so depends on who wrote it.
fn time(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    series.or(last).or_else(|| event.event_time.as_ref().map(|time| time.0))
}

fn text(strategy: &Strategy, events: Result<Vec<Happened>, CliError>, now_ns: u64) -> String {
    let (spec, status) = (&strategy.spec.0, strategy.status.clone().unwrap_or_default());
    let row = StrategyRow::of(strategy, now_ns);
    let mut out = String::new();
    // Writing to a String does not fail.
    let mut field = |name: &str, value: String| {
        let _ = writeln!(out, "{name:<14}{value}");
    };
    field("strategy", full_name(strategy));
    field("age", age(row.age_seconds));
    field("ready", row.readiness());
    let asked = spec.trading_state;
    let state = if asked == row.trading_state {
        state_name(asked).to_owned()
    } else {
        format!("{}; {} in its spec", state_name(row.trading_state), state_name(asked))
    };
    field("trading", if spec.paused { format!("{state}; paused: runs nowhere") } else { state });
    for (name, value) in what(spec).into_iter().chain(how(spec, &status)) {
        field(name, value);
    }
    section(
        &mut out,
        "assignment",
        status.assignment.iter().map(|part| format!("{}  {}  shards {}", part.pod, workers(part.workers), part.shards)),
    );
    section(&mut out, "conditions", status.conditions.iter().map(line));
    match events {
        Ok(events) => section(&mut out, "events", events.iter().map(event_line)),
        Err(error) => section(&mut out, "events", [error.to_string()]),
    }
    out
}

/// What it runs, reads and writes.
fn what(spec: &StrategySpec) -> Vec<(&'static str, String)> {
    let mut fields = vec![("from", module_source(&spec.module))];
    for (index, input) in spec.inputs.iter().enumerate() {
        let name = if index == 0 { "reads" } else { "" };
        fields.push((name, format!("{} ({})", input.topic, input.encoding.name())));
    }
    let outputs = &spec.outputs;
    fields.push(("orders", outputs.orders.topic.clone()));
    for (name, output) in [("denials", &outputs.denials), ("dead letters", &outputs.dead_letter)] {
        fields.extend(output.as_ref().map(|output| (name, output.topic.clone())));
    }
    let params: Vec<String> = spec.params.iter().map(|(name, value)| format!("{name}={}", printable(value))).collect();
    if !params.is_empty() {
        fields.push(("params", params.join(" ")));
    }
    fields
}

/// How it does.
fn how(spec: &StrategySpec, status: &StrategyStatus) -> Vec<(&'static str, String)> {
    let mut fields = Vec::new();
    if let Some(module) = &status.module {
        let since = module.since.as_deref().map_or(String::new(), |since| format!(", since {since}"));
        fields.push(("runs", format!("sha256:{}{since}", module.running)));
        // Of a module from a ConfigMap it is the same.
        let stamp = module.wasm.as_ref().filter(|wasm| **wasm != module.running);
        fields.extend(stamp.map(|wasm| ("stamp", format!("sha256:{wasm}, on its orders"))));
        fields.extend(module.previous.as_ref().map(|previous| ("before", format!("sha256:{previous}"))));
    }
    fields.push(("pool", spec.pool_name().to_owned()));
    fields.push(("workers", format!("{} for {} shards", status.workers, status.shards)));
    if let Some(scaling) = &status.scaling {
        let (mode, wanted) = (spec.scaling.mode, scaling.recommended_workers);
        fields.push(("scaling", format!("{mode:?}: {}, {}", workers(wanted), printable(&scaling.reason))));
    }
    if let Some(latency) = &status.latency {
        let (p50, p99, p999, max) = (&latency.p50, &latency.p99, &latency.p999, &latency.max);
        fields.push(("latency", format!("p50 {p50}, p99 {p99}, p99.9 {p999}, max {max}")));
    }
    fields.extend(status.lag_seconds.map(|seconds| ("lag", format!("{seconds} s"))));
    fields.extend(status.orders_per_second.as_ref().map(|rate| ("orders/s", rate.clone())));
    fields
}

fn module_source(module: &ModuleSource) -> String {
    match module {
        ModuleSource { oci: Some(reference), .. } => reference.clone(),
        ModuleSource { config_map: Some(entry), .. } => format!("ConfigMap {}, {}", entry.name, entry.key),
        ModuleSource { file, .. } => file.clone().unwrap_or_default(),
    }
}

fn event_line(event: &Happened) -> String {
    let ago = event.ago.map_or_else(|| "-".to_owned(), age);
    let times = if event.count > 1 { format!(" ({} times)", event.count) } else { String::new() };
    let mark = if event.warning { "!" } else { " " };
    format!("{ago:>4} {mark} {}: {}{times}", event.reason, printable(&event.message))
}

fn section(out: &mut String, title: &str, lines: impl IntoIterator<Item = String>) {
    let _ = writeln!(out, "\n{title}");
    let mut some = false;
    for line in lines {
        some = true;
        let _ = writeln!(out, "  {line}");
    }
    if !some {
        let _ = writeln!(out, "  none");
    }
}
