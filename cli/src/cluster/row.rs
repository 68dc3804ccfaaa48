//! One strategy on one line: what `list` and `top` show, and the columns they show it in.

use kube::ResourceExt as _;
use pinion_operator::crd::Strategy;
use pinion_spec::status::{ConditionStatus, ConditionType};
use pinion_spec::strategy::TradingState;
use serde::Serialize;

use super::condition::{condition, holds};

/// Digits of a digest that tell modules apart for a person.
const DIGEST_DIGITS: usize = 12;

/// A strategy at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StrategyRow {
    pub(super) name: String,
    pub(super) namespace: String,
    /// `True`, `False` or `Unknown`.
    pub(super) ready: String,
    /// Why it is not ready.
    pub(super) reason: Option<String>,
    pub(super) workers: u32,
    pub(super) shards: u32,
    /// Decision latency, text with its unit.
    pub(super) p99: Option<String>,
    pub(super) lag_seconds: Option<u32>,
    pub(super) orders_per_second: Option<String>,
    /// What it may do; HALTED also where its tenant is suspended.
    pub(super) trading_state: TradingState,
    pub(super) pool: String,
    /// SHA-256 of the module that runs.
    pub(super) module: Option<String>,
    /// Since it was made, seconds.
    pub(super) age_seconds: u64,
}

impl StrategyRow {
    /// The row of a strategy at a time, nanoseconds since the Unix epoch.
    pub(super) fn of(strategy: &Strategy, now_ns: u64) -> Self {
        let status = strategy.status.clone().unwrap_or_default();
        let ready = condition(strategy, ConditionType::Ready);
        let halted = holds(strategy, ConditionType::Halted, 0);
        let made = strategy.creation_timestamp().map_or(0, |time| time.0.as_second());
        Self {
            name: strategy.name_any(),
            namespace: strategy.namespace().unwrap_or_default(),
            ready: ready.map_or("Unknown".to_owned(), |ready| format!("{:?}", ready.status)),
            reason: ready
                .filter(|ready| ready.status != ConditionStatus::True)
                .map(|ready| format!("{:?}", ready.reason)),
            workers: status.workers,
            shards: status.shards,
            p99: status.latency.map(|latency| latency.p99).filter(|p99| !p99.is_empty()),
            lag_seconds: status.lag_seconds,
            orders_per_second: status.orders_per_second,
            trading_state: if halted { TradingState::Halted } else { strategy.spec.0.trading_state },
            pool: strategy.spec.0.pool_name().to_owned(),
            module: status.module.map(|module| module.running).filter(|digest| !digest.is_empty()),
            age_seconds: (now_ns / 1_000_000_000).saturating_sub(u64::try_from(made).unwrap_or(0)),
        }
    }

    /// `True`, or `False NoPool`.
    pub(super) fn readiness(&self) -> String {
        match &self.reason {
            Some(reason) => format!("{} {reason}", self.ready),
            None => self.ready.clone(),
        }
    }

    /// The columns, as text.
    pub(super) fn cells(&self) -> [String; 10] {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        [
            self.name.clone(),
            self.readiness(),
            self.workers.to_string(),
            self.shards.to_string(),
            or_dash(self.p99.clone()),
            or_dash(self.lag_seconds.map(|seconds| format!("{seconds} s"))),
            or_dash(self.orders_per_second.clone()),
            state_name(self.trading_state).to_owned(),
            or_dash(self.module.as_deref().map(short)),
            age(self.age_seconds),
        ]
    }
}

/// The heads of [`StrategyRow::cells`], and whether a column is of numbers.
pub(super) const COLUMNS: [(&str, bool); 10] = [
    ("NAME", false),
    ("READY", false),
    ("WORKERS", true),
    ("SHARDS", true),
    ("P99", true),
    ("LAG", true),
    ("ORDERS/S", true),
    ("STATE", false),
    ("MODULE", false),
    ("AGE", true),
];

/// Columns as wide as their widest cell, numbers to the right; a line for each row, the heads first.
pub(super) fn table(rows: &[StrategyRow]) -> String {
    let cells: Vec<[String; 10]> =
        std::iter::once(COLUMNS.map(|(head, _)| head.to_owned())).chain(rows.iter().map(StrategyRow::cells)).collect();
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    let line = |row: &[String; 10]| {
        let padded = row.iter().zip(COLUMNS).zip(&widths).map(|((cell, (_, number)), width)| {
            if number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    cells.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The name in strategy files.
pub(super) const fn state_name(state: TradingState) -> &'static str {
    match state {
        TradingState::Active => "ACTIVE",
        TradingState::Reducing => "REDUCING",
        TradingState::Halted => "HALTED",
    }
}

/// The first digits of a digest.
pub(super) fn short(digest: &str) -> String {
    digest.chars().take(DIGEST_DIGITS).collect()
}

/// `45s`, `12m`, `7h`, `3d`: the largest unit of which there are two, else the next.
pub(super) fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
pub(super) fn example(name: &str) -> StrategyRow {
    StrategyRow {
        name: name.to_owned(),
        namespace: "desk-7".to_owned(),
        ready: "True".to_owned(),
        reason: None,
        workers: 2,
        shards: 4,
        p99: Some("41us".to_owned()),
        lag_seconds: Some(0),
        orders_per_second: Some("12".to_owned()),
        trading_state: TradingState::Active,
        pool: "default".to_owned(),
        module: Some("0123456789abcdef".repeat(4)),
        age_seconds: 200_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up_and_says_what_is_not_known() {
        let mut waiting = example("momentum");
        (waiting.ready, waiting.reason) = ("False".to_owned(), Some("TopicMissing".to_owned()));
        (waiting.p99, waiting.lag_seconds, waiting.orders_per_second, waiting.module) = (None, None, None, None);
        waiting.age_seconds = 45;
        let expected = "\
NAME      READY               WORKERS  SHARDS   P99  LAG  ORDERS/S  STATE   MODULE        AGE
ema       True                      2       4  41us  0 s        12  ACTIVE  0123456789ab   2d
momentum  False TopicMissing        2       4     -    -         -  ACTIVE  -             45s";
        assert_eq!(table(&[example("ema"), waiting]), expected);
    }

    #[test]
    fn an_age_has_two_digits_or_so() {
        for (seconds, text) in [(0, "0s"), (119, "119s"), (120, "2m"), (7_200, "2h"), (172_800, "2d")] {
            assert_eq!(age(seconds), text);
        }
    }
}
