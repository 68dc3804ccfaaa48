//! What the shards of a strategy cost, and how many workers can carry them.

use std::collections::BTreeMap;

use crate::place::Slot;

/// The pods' figures on one strategy, over the last interval.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// The shards of its group, each once.
    pub shards: Vec<ShardLoad>,
    /// The 99th percentile of decision latency in the interval, the worst of its pods, microseconds. `None` where there were too few
    /// decisions for one.
    pub p99_micros: Option<f64>,
}

/// Why there are no figures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// They come by themselves: a shard has just come to its worker, or a pod has just begun.
    #[error("{0}")]
    NotYet(String),
    /// They ought to be there.
    #[error("{0}")]
    Failed(String),
}

/// One shard's figures.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ShardLoad {
    /// Which shard.
    pub shard: u16,
    /// The worker that runs it.
    pub slot: Slot,
    /// Records a second that were added to its partitions.
    pub arrivals_per_second: f64,
    /// Records a second that were handled.
    pub handled_per_second: f64,
    /// Time that its worker spent on it, as a share of the interval: 1 is a whole core.
    pub busy: f64,
    /// Records that wait.
    pub lag_records: f64,
}

/// In how long a late shard is to catch up, seconds: its lag counts as that much more load.
const CATCH_UP_SECONDS: f64 = 60.0;
/// A load above this is an artefact of a shard that hardly ran in the interval, cores.
const LOAD_MAX: f64 = 100.0;
/// No record, rate or microsecond is counted further than this.
const FIGURE_MAX: f64 = 1e15;

/// The loads of all shards.
#[derive(Debug)]
pub(super) struct Loads {
    /// Each shard's in cores, the largest first.
    sorted: Vec<f64>,
    /// Their sum, cores.
    pub(super) total: f64,
    /// The shard furthest behind and its lag in seconds, if that is over the target.
    pub(super) latest: Option<(u16, f64)>,
    shards: u32,
    /// What each worker carries now, cores.
    on_workers: BTreeMap<Slot, f64>,
}

impl Loads {
    /// `None` where a figure is none that can be measured, or there is none at all.
    pub(super) fn of(reading: &Reading, shards: u32, lag_seconds: u32) -> Option<Self> {
        let sane = |figure: f64| (0.0..=FIGURE_MAX).contains(&figure);
        let all_sane = reading.p99_micros.is_none_or(sane)
            && reading.shards.iter().all(|shard| {
                [shard.arrivals_per_second, shard.handled_per_second, shard.busy, shard.lag_records]
                    .into_iter()
                    .all(sane)
            });
        if !all_sane || reading.shards.is_empty() {
            return None;
        }
        let mut latest = None;
        let mut on_workers: BTreeMap<Slot, f64> = BTreeMap::new();
        let mut sorted: Vec<f64> = Vec::with_capacity(reading.shards.len());
        for shard in &reading.shards {
            let late = lateness(shard, f64::from(lag_seconds));
            if let Some(seconds) = late
                && latest.is_none_or(|(_, most)| seconds > most)
            {
                latest = Some((shard.shard, seconds));
            }
            let load = load(shard, late.is_some());
            sorted.push(load);
            *on_workers.entry(shard.slot).or_default() += load;
        }
        sorted.sort_by(|a, b| b.total_cmp(a));
        let counted = u32::try_from(sorted.len()).unwrap_or(u32::MAX);
        let total = sorted.iter().sum();
        Some(Self { sorted, total, latest, shards: shards.max(counted), on_workers })
    }

    /// What the busiest of so many workers carries at most, cores: placement gives a worker at most the rounded-up average of
    /// shards, and they may be the heaviest.
    fn busiest(&self, workers: u32) -> f64 {
        let each = self.shards.div_ceil(workers.max(1));
        self.sorted.iter().take(usize::try_from(each).unwrap_or(usize::MAX)).sum()
    }

    /// What the busiest of so many workers carries: as measured where there are just so many now, else at most.
    pub(super) fn busiest_of(&self, workers: u32) -> f64 {
        if u32::try_from(self.on_workers.len()) == Ok(workers) {
            self.on_workers.values().copied().fold(0.0, f64::max)
        } else {
            self.busiest(workers)
        }
    }

    /// The fewest workers of which none carries more than `target` cores; one for each shard where no number is enough.
    pub(super) fn workers_for(&self, target: f64) -> u32 {
        (1..self.shards).find(|workers| self.busiest(*workers) <= target).unwrap_or(self.shards)
    }

    /// Whether the heaviest shard is over the target even alone on a worker.
    pub(super) fn is_hot(&self, busy_percent: u32) -> bool {
        self.sorted.first().is_some_and(|load| *load > f64::from(busy_percent) / 100.0)
    }
}

/// How far behind a shard is in seconds of its stream, if that is over the target.
fn lateness(shard: &ShardLoad, target: f64) -> Option<f64> {
    // With nothing arriving any lag is caught up at the rate of handling.
    let rate = if shard.arrivals_per_second > 0.0 { shard.arrivals_per_second } else { shard.handled_per_second };
    if shard.lag_records <= 0.0 || rate <= 0.0 {
        return None;
    }
    Some(shard.lag_records / rate).filter(|seconds| *seconds > target)
}

/// Cores that the shard needs: what its records cost so far, times how many there are now.
fn load(shard: &ShardLoad, late: bool) -> f64 {
    if shard.handled_per_second <= 0.0 {
        return shard.busy.min(LOAD_MAX);
    }
    let backlog = if late { shard.lag_records / CATCH_UP_SECONDS } else { 0.0 };
    let needed = (shard.arrivals_per_second + backlog) / shard.handled_per_second;
    (shard.busy * needed).min(LOAD_MAX)
}

/// What each shard needs, thousandths of a core, for placement. Nothing that cannot be measured counts.
#[must_use]
pub fn millicores(reading: &Reading) -> BTreeMap<u16, u32> {
    let need = |shard: &ShardLoad| {
        let millicores = (load(shard, false) * 1_000.0).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within LOAD_MAX, and not negative"
        )]
        let whole = if millicores > 0.0 { millicores as u32 } else { 0 };
        (shard.shard, whole)
    };
    reading.shards.iter().map(need).collect()
}
