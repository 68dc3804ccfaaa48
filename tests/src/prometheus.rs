//! A real Prometheus for tests, and its promtool: of Debian, unpacked by `tests/kube/fetch.sh`.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::request;
use crate::kafka::free_port;
use crate::kube::prometheus_folder;
use crate::scratch::Scratch;
use crate::wait::until;
use crate::watchdog;

/// Until it answers; it opens an empty store.
const START: Duration = Duration::from_secs(60);

/// How often it scrapes and evaluates.
pub const EVERY_SECONDS: u64 = 1;

/// The file, beside its configuration, that says what there is to scrape where that changes.
const TARGETS: &str = "targets.json";

/// A series and its values over time: seconds since the Unix epoch, and the value.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its labels, its name among them where it has one.
    pub labels: BTreeMap<String, String>,
    /// Values, in order.
    pub values: Vec<(f64, f64)>,
}

/// A running Prometheus; killed with this value.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    watchdog: Child,
    listen: SocketAddr,
    scratch: Scratch,
}

/// Runs promtool in a folder, or says loudly that the test is skipped.
///
/// # Panics
/// If it can be had and cannot be run.
#[must_use]
pub fn promtool(folder: &Path, arguments: &[&str]) -> Option<Output> {
    let program = prometheus_folder()?.join("promtool");
    Some(Command::new(program).args(arguments).current_dir(folder).output().expect("run promtool"))
}

impl Prometheus {
    /// Starts one that scrapes these targets, by job, and evaluates these rules; or says loudly that the test is skipped.
    ///
    /// # Panics
    /// If it can be had and does not start.
    #[must_use]
    pub fn start(jobs: &[(&str, Vec<SocketAddr>)], rules: &str) -> Option<Self> {
        let job = |(name, targets): &(&str, Vec<SocketAddr>)| {
            let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
            json!({"job_name": name, "static_configs": [{"targets": targets}]})
        };
        Self::start_on(&jobs.iter().map(job).collect::<Vec<_>>().into(), rules)
    }

    /// Starts one whose targets come and go, as pods do: [`Prometheus::scrape`] says which there are.
    ///
    /// # Panics
    /// If it can be had and does not start.
    #[must_use]
    pub fn discovering(rules: &str) -> Option<Self> {
        Self::start_on(&json!([{"job_name": "pods", "file_sd_configs": [{"files": [TARGETS]}]}]), rules)
    }

    /// The targets from now on, each with its job and what it is called.
    ///
    /// # Panics
    /// If they cannot be written.
    pub fn scrape(&self, targets: &[(&str, String, SocketAddr)]) {
        let target = |(job, instance, address): &(&str, String, SocketAddr)| json!({"targets": [address.to_string()], "labels": {"job": job, "instance": instance}});
        let targets: Value = targets.iter().map(target).collect::<Vec<_>>().into();
        let _ = self.scratch.write(TARGETS, targets.to_string());
    }

    fn start_on(scrape_configs: &Value, rules: &str) -> Option<Self> {
        let program = prometheus_folder()?.join("prometheus");
        let scratch = Scratch::new();
        let every = format!("{EVERY_SECONDS}s");
        // JSON is YAML.
        let config = json!({
            "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
            "scrape_configs": scrape_configs,
            "rule_files": [scratch.write("rules.yaml", rules)],
        });
        let config = scratch.write("prometheus.yaml", config.to_string());
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let log = File::create(scratch.path().join("log")).expect("make a log file");
        let mut command = Command::new(program);
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", scratch.path().join("data").display()));
        command.arg(format!("--web.listen-address={listen}")).current_dir(scratch.path());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("run prometheus");
        let watchdog = watchdog::watch(&child, scratch.path()).unwrap_or_else(|error| {
            let _ = child.kill();
            panic!("run sh: {error}")
        });
        let mut prometheus = Self { child, watchdog, listen, scratch };
        until("Prometheus to be ready", START, || {
            let ended = prometheus.child.try_wait().expect("ask for the process");
            assert!(ended.is_none(), "Prometheus ended: {}", prometheus.log());
            let answer = request(listen, "GET", "/-/ready", &[], &[]).ok()?;
            (answer.status == 200).then_some(())
        });
        Some(prometheus)
    }

    /// What an expression is now; or why Prometheus does not take it.
    ///
    /// # Errors
    /// As Prometheus says it.
    pub fn now(&self, expression: &str) -> Result<Vec<Series>, String> {
        Ok(series(&self.api("query", &[("query", expression)])?["result"]))
    }

    /// What an expression was between two times, seconds since the Unix epoch, every second.
    ///
    /// # Errors
    /// As Prometheus says it.
    pub fn between(&self, expression: &str, start: f64, end: f64) -> Result<Vec<Series>, String> {
        let (start, end) = (start.to_string(), end.to_string());
        let answer =
            self.api("query_range", &[("query", expression), ("start", &start), ("end", &end), ("step", "1")])?;
        Ok(series(&answer["result"]))
    }

    /// The values of a label of some series.
    ///
    /// # Errors
    /// As Prometheus says it.
    pub fn label_values(&self, selector: &str, label: &str) -> Result<Vec<String>, String> {
        let answer = self.api(&format!("label/{label}/values"), &[("match[]", selector)])?;
        let values = answer.as_array().cloned().unwrap_or_default();
        Ok(values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect())
    }

    /// The alerts of a name that are pending or firing: their labels, and which of the two.
    #[must_use]
    pub fn alerts(&self, name: &str) -> Vec<(BTreeMap<String, String>, String)> {
        let answer = self.api("alerts", &[]).unwrap_or_else(|why| panic!("ask for the alerts: {why}"));
        let alerts = answer["alerts"].as_array().cloned().unwrap_or_default();
        let alert = |alert: &Value| (labels(&alert["labels"]), alert["state"].as_str().unwrap_or_default().to_owned());
        alerts.iter().map(alert).filter(|(labels, _)| labels.get("alertname").is_some_and(|is| is == name)).collect()
    }

    /// The targets that it cannot scrape, each with the reason.
    #[must_use]
    pub fn down(&self) -> Vec<String> {
        let answer = self.api("targets", &[]).unwrap_or_else(|why| panic!("ask for the targets: {why}"));
        let targets = answer["activeTargets"].as_array().cloned().unwrap_or_default();
        let down = targets.iter().filter(|target| target["health"] != "up");
        down.map(|target| format!("{}: {} {}", target["scrapeUrl"], target["health"], target["lastError"])).collect()
    }

    fn api(&self, path: &str, form: &[(&str, &str)]) -> Result<Value, String> {
        let form: Vec<String> =
            form.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let path = format!("/api/v1/{path}?{}", form.join("&"));
        let answer = request(self.listen, "GET", &path, &[], &[]).map_err(|error| error.to_string())?;
        let body: Value = serde_json::from_str(&answer.body).map_err(|error| format!("{error}: {}", answer.body))?;
        if body["status"] == "success" { Ok(body["data"].clone()) } else { Err(body["error"].to_string()) }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // The watchdog goes first: once the process is waited for, its id may be another's.
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn labels(value: &Value) -> BTreeMap<String, String> {
    let labels = value.as_object().cloned().unwrap_or_default();
    labels.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect()
}

/// The series of a vector or a matrix.
fn series(result: &Value) -> Vec<Series> {
    let point = |point: &Value| Some((point[0].as_f64()?, point[1].as_str()?.parse().ok()?));
    let one = |series: &Value| {
        let values = match series["values"].as_array() {
            Some(values) => values.iter().filter_map(point).collect(),
            None => point(&series["value"]).into_iter().collect(),
        };
        Series { labels: labels(&series["metric"]), values }
    };
    result.as_array().map(|all| all.iter().map(one).collect()).unwrap_or_default()
}

/// As a query string wants it.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}
