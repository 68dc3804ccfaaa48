//! How many workers a strategy has in a cluster, and how changes of it are rolled out. A laptop reads and checks both, and
//! then runs `replicas` workers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::strategy::{TIME_OF_DAY, ZONE_NAME};

/// Who decides how many workers a strategy has, and by what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Scaling {
    /// Who decides.
    pub mode: ScalingMode,
    /// Never fewer workers, unless there are fewer shards.
    #[schemars(range(min = 1, max = 256))]
    pub min_workers: u32,
    /// Never more workers. There are never more than shards either.
    #[schemars(range(min = 1, max = 256))]
    pub max_workers: u32,
    /// What the workers are to hold.
    pub targets: ScalingTargets,
    /// How long it waits before it changes the number.
    pub cooldown_seconds: Cooldown,
    /// Most workers added or taken away at once.
    #[schemars(range(min = 1, max = 256))]
    pub step: u32,
    /// Hours in which there are to be more workers than the load asks for.
    #[schemars(length(max = 16))]
    pub sessions: Vec<Session>,
}

impl Default for Scaling {
    fn default() -> Self {
        Self {
            mode: ScalingMode::Fixed,
            min_workers: 1,
            max_workers: 256,
            targets: ScalingTargets::default(),
            cooldown_seconds: Cooldown::default(),
            step: 4,
            sessions: Vec::new(),
        }
    }
}

/// Who decides how many workers there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ScalingMode {
    /// The operator, by the targets.
    Auto,
    /// `replicas`; what the operator would do stands in the status.
    Recommend,
    /// `replicas`.
    #[default]
    Fixed,
}

/// What the workers of a strategy are to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ScalingTargets {
    /// A shard further behind than this counts as late, seconds.
    #[schemars(range(min = 1, max = 3_600))]
    pub lag_seconds: u32,
    /// The objective for the 99th percentile of decision latency, microseconds. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60_000_000))]
    pub p99_micros: Option<u32>,
    /// Share of its core that the busiest worker may use, percent. What is left is for bursts.
    #[schemars(range(min = 1, max = 95))]
    pub busy_percent: u32,
}

impl Default for ScalingTargets {
    fn default() -> Self {
        Self { lag_seconds: 5, p99_micros: None, busy_percent: 60 }
    }
}

/// How long the operator waits before it changes the number of workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Cooldown {
    /// Seconds between any change and the next one upwards.
    #[schemars(range(min = 0, max = 86_400))]
    pub up: u32,
    /// Seconds for which fewer workers must have been enough, without a break, before any is taken away.
    #[schemars(range(min = 0, max = 86_400))]
    pub down: u32,
}

impl Default for Cooldown {
    fn default() -> Self {
        Self { up: 30, down: 600 }
    }
}

/// Hours of certain days, by the clock of a place. They follow its daylight saving.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Session {
    /// The place's IANA time zone, such as `America/New_York`.
    #[schemars(length(min = 1, max = 64), regex(pattern = ZONE_NAME))]
    pub zone: String,
    /// The days on which it opens.
    #[schemars(length(min = 1, max = 7))]
    pub days: Vec<Day>,
    /// When it opens, `HH:MM`.
    #[schemars(length(min = 5, max = 5), regex(pattern = TIME_OF_DAY))]
    pub open: String,
    /// When it closes, `HH:MM`; on the next day if that is not after `open`.
    #[schemars(length(min = 5, max = 5), regex(pattern = TIME_OF_DAY))]
    pub close: String,
    /// Workers at least, from open to close.
    #[schemars(range(min = 1, max = 256))]
    pub min_workers: u32,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "they are the days of the week")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// How a new module or new parameters take over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rollout {
    /// How long a new module is on probation, seconds.
    #[schemars(range(min = 0, max = 86_400))]
    pub probation_seconds: u32,
    /// Whether a module that faults on probation is replaced by the one before it.
    pub rollback: bool,
}

impl Default for Rollout {
    fn default() -> Self {
        Self { probation_seconds: 60, rollback: true }
    }
}
