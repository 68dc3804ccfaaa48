//! `pinion logs`: what a strategy has logged, and what the runtime has logged about it, over all pods of its pool.
//!
//! A pod's log is of all strategies of the pool; only lines that name this one are shown.

use clap::Args;
use futures::{AsyncBufReadExt as _, StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::{Api, ResourceExt as _};
use pinion_operator::names::{LABEL_POOL, LABEL_RUNTIME};
use serde_json::{Map, Value as Json};

use super::condition::printable;
use super::connect::{Cluster, ClusterArgs, with_cluster};
use crate::error::CliError;
use crate::inspect::Format;
use crate::output;

/// The container of a runtime pod that logs.
const CONTAINER: &str = "runtime";

/// Shows a strategy's log lines and faults, from all pods that may run it, in the order of their times
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinion logs ema-cross -n desk-7 --since 10m
  pinion logs ema-cross -n desk-7 --follow")]
pub struct LogsArgs {
    /// The strategy
    pub name: String,
    /// Goes on with what is logged from now on, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// Not older than this: 90s, 10m, 2h
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub since: Option<i64>,
    /// Where
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// How to write a line; json is as the pod wrote it, with the pod's name
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

fn seconds(text: &str) -> Result<i64, String> {
    let span: jiff::SignedDuration = text.parse().map_err(|_| "write a time such as 90s, 10m or 2h".to_owned())?;
    if span.as_secs() > 0 { Ok(span.as_secs()) } else { Err("at least one second".to_owned()) }
}

/// Writes the lines to stdout.
///
/// # Errors
/// If there is no such strategy, or its pods' logs cannot be read.
pub fn run(args: &LogsArgs) -> Result<(), CliError> {
    with_cluster(&args.cluster, |cluster| async move {
        let pods = pods(&cluster, &args.name).await?;
        if args.follow { follow(args, &cluster, pods).await } else { all(args, &cluster, pods).await }
    })
}

/// The pods of the strategy's pool, also those that have lost it since: their lines are its lines.
async fn pods(cluster: &Cluster, name: &str) -> Result<Vec<String>, CliError> {
    let doing = format!("read the logs of {name}");
    let strategy = cluster.ask(&doing, cluster.strategies().get(name)).await?;
    let pool = strategy.spec.0.pool_name();
    let labels = format!("{}={},{LABEL_POOL}={pool}", LABEL_RUNTIME.0, LABEL_RUNTIME.1);
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let pods = cluster.ask(&doing, api.list(&ListParams::default().labels(&labels))).await?.items;
    if pods.is_empty() {
        return Err(CliError::Unavailable(format!("{doing}: its pool {pool} has no pods")));
    }
    Ok(pods.iter().map(Pod::name_any).collect())
}

/// What is there, in the order of time.
async fn all(args: &LogsArgs, cluster: &Cluster, pods: Vec<String>) -> Result<(), CliError> {
    let mut lines = Vec::new();
    let mut unread = None;
    for pod in pods {
        match read(args, cluster, &pod).await {
            Ok(more) => lines.extend(more),
            // One pod that has just begun or gone does not hide the others.
            Err(error) => {
                eprintln!("pinion: {error}");
                unread = Some(error);
            }
        }
    }
    // RFC 3339 in UTC with one number of digits: the order of texts is that of times.
    lines.sort_by(|a, b| a.time().cmp(b.time()));
    for line in &lines {
        output::text(&line.text(args.format));
    }
    match unread {
        Some(_) => Err(CliError::Unavailable(format!("the log of {} is not complete", args.name))),
        None => Ok(()),
    }
}

async fn read(args: &LogsArgs, cluster: &Cluster, pod: &str) -> Result<Vec<Line>, CliError> {
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let text = cluster.ask(&format!("read the log of pod {pod}"), api.logs(pod, &params(args))).await?;
    Ok(text.lines().filter_map(|text| Line::of(text, pod, &cluster.namespace, &args.name)).collect())
}

/// What is there and what comes, as it comes.
async fn follow(args: &LogsArgs, cluster: &Cluster, pods: Vec<String>) -> Result<(), CliError> {
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let mut streams = Vec::new();
    for pod in pods {
        let log = cluster.ask(&format!("read the log of pod {pod}"), api.log_stream(&pod, &params(args))).await?;
        streams.push(Box::pin(log.lines().map_ok(move |text| (pod.clone(), text))));
    }
    let mut lines = stream::select_all(streams);
    while let Some(line) = lines.next().await {
        let (pod, text) =
            line.map_err(|error| CliError::Unavailable(format!("the log of {} breaks off: {error}", args.name)))?;
        if let Some(line) = Line::of(&text, &pod, &cluster.namespace, &args.name) {
            output::text(&line.text(args.format));
        }
    }
    Ok(())
}

fn params(args: &LogsArgs) -> LogParams {
    LogParams {
        container: Some(CONTAINER.to_owned()),
        follow: args.follow,
        since_seconds: args.since,
        ..LogParams::default()
    }
}

/// One line about the strategy.
#[derive(Debug)]
struct Line {
    pod: String,
    fields: Map<String, Json>,
}

impl Line {
    /// A pod's line, if it names this strategy. The runtime writes a JSON object a line; whatever else is in a log is nobody's.
    fn of(text: &str, pod: &str, tenant: &str, strategy: &str) -> Option<Self> {
        let Ok(Json::Object(fields)) = serde_json::from_str(text) else { return None };
        let is = |name: &str, value: &str| fields.get(name).and_then(Json::as_str).map(|text| text == value);
        let about = is("strategy", strategy) == Some(true) && is("tenant", tenant) != Some(false);
        about.then(|| Self { pod: pod.to_owned(), fields })
    }

    fn field(&self, name: &str) -> &str {
        self.fields.get(name).and_then(Json::as_str).unwrap_or_default()
    }

    fn time(&self) -> &str {
        self.field("timestamp")
    }

    fn text(&self, format: Format) -> String {
        match format {
            Format::Json => {
                let mut fields = self.fields.clone();
                fields.insert("pod".to_owned(), Json::from(self.pod.as_str()));
                Json::Object(fields).to_string()
            }
            Format::Text => {
                let mut text =
                    format!("{} {:>5} {} {}", self.time(), self.field("level"), self.pod, self.field("message"));
                let known = ["timestamp", "level", "message", "target", "tenant", "strategy"];
                for (name, value) in self.fields.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
                    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    text.push_str(&format!(" {name}={value}"));
                }
                printable(&text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAULT: &str = r#"{"timestamp":"2026-01-01T00:00:01.5Z","level":"WARN","message":"strategy faulted","tenant":"desk-7","strategy":"ema","kind":"trap","detail":"unreachable","target":"pinion_runtime::supervisor"}"#;

    fn line(text: &str) -> Option<Line> {
        Line::of(text, "pool-0", "desk-7", "ema")
    }

    #[test]
    fn only_lines_that_name_the_strategy_are_shown() {
        assert!(line(FAULT).is_some());
        assert!(line(&FAULT.replace("ema", "ema-2")).is_none());
        assert!(line(&FAULT.replace("desk-7", "desk-8")).is_none());
        assert!(line("thread 'main' panicked at ema").is_none());
        assert!(line(r#"{"message":"of ema"}"#).is_none());
        assert!(
            line(r#"{"message":"module swapped","strategy":"ema"}"#).is_some(),
            "the runtime names no tenant there"
        );
    }

    #[test]
    fn a_line_says_when_where_and_everything_that_it_knows_and_cannot_drive_a_terminal() {
        let text = line(FAULT).unwrap().text(Format::Text);
        assert_eq!(text, "2026-01-01T00:00:01.5Z  WARN pool-0 strategy faulted detail=unreachable kind=trap");
        let hostile = FAULT.replace("unreachable", r"\u001b[2J");
        assert!(!line(&hostile).unwrap().text(Format::Text).contains('\u{1b}'));
    }

    #[test]
    fn a_time_is_written_as_people_write_it() {
        assert_eq!([seconds("90s"), seconds("10m"), seconds("2h")], [Ok(90), Ok(600), Ok(7_200)]);
        assert!(seconds("0s").is_err() && seconds("-5m").is_err() && seconds("soon").is_err());
    }
}
