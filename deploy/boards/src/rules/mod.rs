//! Recording and alerting rules.
//!
//! Every alert has a severity (`critical`: somebody is to act now; `warning`: today), and a page under `docs/runbooks` with its own
//! name, which says what it means, how to look, what to do and how it clears.

mod alerts;
mod recordings;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::query::Query;

pub use recordings::{BURN_FAST, BURN_SLOW, OBJECTIVE_MISSES_MAX};

/// Where the runbooks lie, from the project's root. Whoever serves them elsewhere puts that in its place.
pub const RUNBOOKS: &str = "docs/runbooks/";

/// How fast time passes in the rules: every window and every wait is this many times shorter. The tests see an alert come and go in
/// seconds by the rules that are installed, not by others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace(f64);

impl Pace {
    /// As installed.
    pub const REAL: Self = Self(1.0);

    /// So many times faster.
    ///
    /// # Panics
    /// If it is not faster.
    #[must_use]
    pub fn faster(times: f64) -> Self {
        assert!(times >= 1.0, "{times} times is not faster");
        Self(times)
    }

    /// Seconds of the rules, as Prometheus writes a duration.
    fn span(self, seconds: u32) -> String {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "some days at most, and not negative"
        )]
        let ms = (f64::from(seconds) * 1_000.0 / self.0).round() as u64;
        for (unit, unit_ms) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
            if ms >= unit_ms && ms.is_multiple_of(unit_ms) {
                return format!("{}{unit}", ms / unit_ms);
            }
        }
        format!("{ms}ms")
    }

    /// The same as a number.
    fn seconds(self, seconds: u32) -> f64 {
        f64::from(seconds) / self.0
    }
}

/// A query under a name of its own.
struct Recording {
    name: String,
    query: Query,
}

/// What is worth waking somebody for, or telling them in the morning.
struct Alert {
    name: &'static str,
    severity: Severity,
    query: Query,
    /// For how long it must be so, seconds.
    wait: u32,
    /// One line.
    summary: &'static str,
    /// What it means for whom.
    description: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    Critical,
    Warning,
}

struct Group {
    name: &'static str,
    recordings: Vec<Recording>,
    alerts: Vec<Alert>,
}

#[derive(Serialize)]
struct File {
    groups: Vec<FileGroup>,
}

#[derive(Serialize)]
struct FileGroup {
    name: &'static str,
    rules: Vec<FileRule>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum FileRule {
    Recording {
        record: String,
        expr: String,
    },
    Alert {
        alert: &'static str,
        expr: String,
        #[serde(rename = "for")]
        wait: String,
        labels: Labels,
        annotations: Annotations,
    },
}

#[derive(Serialize)]
struct Labels {
    severity: &'static str,
}

#[derive(Serialize)]
struct Annotations {
    summary: &'static str,
    description: &'static str,
    runbook_url: String,
}

/// The rules as Prometheus reads them.
///
/// # Errors
/// If they cannot be serialised.
pub fn yaml(pace: Pace) -> Result<String, String> {
    let groups = alerts::groups(pace).into_iter().map(|group| group.file(pace)).collect();
    let text = serde_saphyr::to_string(&File { groups }).map_err(|error| error.to_string())?;
    Ok(format!("# Written by the bin boards from deploy/boards/src/rules. Do not edit.\n{text}"))
}

/// The names of the metrics that rules read.
#[must_use]
pub fn used() -> BTreeSet<&'static str> {
    let groups = alerts::groups(Pace::REAL);
    let queries = groups.iter().flat_map(|group| {
        group.recordings.iter().map(|one| &one.query).chain(group.alerts.iter().map(|one| &one.query))
    });
    queries.flat_map(|query| query.uses().iter().copied()).collect()
}

/// The names of the alerts, each once.
#[must_use]
pub fn alerts() -> BTreeSet<&'static str> {
    alerts::groups(Pace::REAL).iter().flat_map(|group| &group.alerts).map(|alert| alert.name).collect()
}

impl Group {
    fn file(self, pace: Pace) -> FileGroup {
        let recording = |one: Recording| FileRule::Recording { record: one.name, expr: one.query.text().to_owned() };
        let rules = self.recordings.into_iter().map(recording).chain(self.alerts.into_iter().map(|one| one.file(pace)));
        FileGroup { name: self.name, rules: rules.collect() }
    }
}

impl Alert {
    fn file(self, pace: Pace) -> FileRule {
        for text in [self.summary, self.description] {
            for rest in text.split("$labels.").skip(1) {
                let label = rest.split(|c: char| !c.is_ascii_lowercase()).next().unwrap_or_default();
                assert!(
                    self.query.labels().contains(label),
                    "{}: {} has no label {label}",
                    self.name,
                    self.query.text()
                );
            }
        }
        let severity = match self.severity {
            Severity::Critical => "critical",
            Severity::Warning => "warning",
        };
        FileRule::Alert {
            alert: self.name,
            expr: self.query.text().to_owned(),
            wait: pace.span(self.wait),
            labels: Labels { severity },
            annotations: Annotations {
                summary: self.summary,
                description: self.description,
                runbook_url: format!("{RUNBOOKS}{}.md", self.name),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_in_their_largest_unit() {
        for (seconds, text) in [(86_400, "1d"), (3_600, "1h"), (5_400, "90m"), (90, "90s"), (60, "1m"), (0, "0ms")] {
            assert_eq!(Pace::REAL.span(seconds), text);
        }
        assert_eq!(Pace::faster(60.0).span(300), "5s");
        assert_eq!(Pace::faster(60.0).span(30), "500ms");
    }
}
