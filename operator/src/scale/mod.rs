//! How many workers a strategy is to have: a function of its spec, of what its pods report, and of the time.
//!
//! Promises, whatever is reported: never more workers than shards, never outside `minWorkers` and `maxWorkers` (the shards
//! win), never a change because of figures that could not be read, and at a steady load no swinging. The formula is explained in
//! `docs/guide/scaling.md`.

#[cfg(test)]
mod closed_loop_tests;
mod load;
mod session;
#[cfg(test)]
mod tests;
mod why;

use jiff::{SignedDuration, Timestamp};
use pinion_spec::StrategySpec;
use pinion_spec::scaling::{Scaling, ScalingMode};
use pinion_spec::status::{Reason, ScalingStatus};

pub use load::{Reading, ShardLoad, Unread, millicores};
pub use why::Why;

use load::Loads;

/// Around a target nothing happens within this share of it, so that noise in the figures moves no shard.
const BAND: f64 = 0.1;
/// A missed objective is forgotten when the load has fallen to this share of what it was.
const FORGET: f64 = 0.8;

/// What is known of a strategy when its workers are decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// Workers that it has; 0 before it was first placed. Fewer than were decided while pods are on their way, or where there are none.
    pub workers: u32,
    /// Shards that it has; 0 while nobody knows.
    pub shards: u32,
    /// The pods' figures, of all of its shards, or why there are none.
    pub reading: Result<Reading, Unread>,
    /// What the last decision asked to be remembered.
    pub memory: Memory,
}

/// What one decision hands to the next. All of it may be lost: that only makes the next ones slower.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Memory {
    /// Workers that were decided, whether there are so many or not.
    pub decided: Option<u32>,
    /// When the number of workers last changed.
    pub changed_at: Option<Timestamp>,
    /// Since when, without a break, fewer workers would have been enough.
    pub low: Option<Low>,
    /// When the objective for p99 was last missed.
    pub missed: Option<Missed>,
}

impl Memory {
    /// What of it the status has kept.
    #[must_use]
    pub fn of_status(kept: &ScalingStatus) -> Self {
        let missed = kept.missed_with.zip(kept.missed_at_millicores);
        Self {
            decided: Some(kept.recommended_workers).filter(|workers| *workers > 0),
            changed_at: kept.changed_at.as_ref().and_then(|at| at.parse().ok()),
            low: None,
            missed: missed.map(|(workers, load)| Missed { workers, load: f64::from(load) / 1_000.0 }),
        }
    }
}

/// A time in which fewer workers would have been enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Low {
    /// Its beginning.
    pub since: Timestamp,
    /// The most that were needed in it.
    pub highest: u32,
}

/// A number of workers that missed the objective for p99. While the load is what it was, it is not tried again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Missed {
    /// The workers.
    pub workers: u32,
    /// The load of all shards together, cores.
    pub load: f64,
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// Workers that the strategy is to have now.
    pub workers: u32,
    /// Workers that `mode: Auto` would give it now; with `Auto` and `Fixed` the same as `workers`.
    pub recommended: u32,
    /// Why.
    pub why: Why,
    /// What keeps it from having as many as the load asks for.
    pub limited: Option<Reason>,
    /// To be handed to the next decision.
    pub memory: Memory,
}

/// Decides.
#[must_use]
pub fn scale(spec: &StrategySpec, observed: &Observed, now: Timestamp) -> Decision {
    let shards = if observed.shards == 0 { u32::MAX } else { observed.shards };
    let fixed = spec.replicas.clamp(1, shards);
    match spec.scaling.mode {
        ScalingMode::Fixed => Decision {
            workers: fixed,
            recommended: fixed,
            why: Why::Fixed { replicas: spec.replicas },
            limited: (fixed < spec.replicas).then_some(Reason::AllShardsApart),
            memory: Memory::default(),
        },
        ScalingMode::Recommend => Decision { workers: fixed, ..auto(spec, observed, shards, now) },
        ScalingMode::Auto => auto(spec, observed, shards, now),
    }
}

fn auto(spec: &StrategySpec, observed: &Observed, shards: u32, now: Timestamp) -> Decision {
    let scaling = &spec.scaling;
    let has = if observed.workers == 0 { spec.replicas } else { observed.workers };
    let current = observed.memory.decided.unwrap_or(has);
    let session = session::open(&scaling.sessions, now);
    let session_floor = session.map_or(0, |session| session.min_workers);
    let most = scaling.max_workers.clamp(1, shards);
    let least = scaling.min_workers.max(session_floor).clamp(1, most);

    let loads = observed.reading.as_ref().map_err(Unread::clone).and_then(|reading| {
        Loads::of(reading, observed.shards, scaling.targets.lag_seconds)
            .ok_or_else(|| Unread::Failed("the figures are not numbers, or of no shard".to_owned()))
    });
    let mut decision = match loads {
        Ok(loads) => by_load(scaling, observed, &loads, current, now),
        Err(unread) => Decision {
            workers: current,
            recommended: current,
            limited: matches!(unread, Unread::Failed(_)).then_some(Reason::ReadFailed),
            why: Why::Unread(unread),
            memory: Memory { low: None, ..observed.memory },
        },
    };

    let asked = decision.workers;
    decision.workers = asked.clamp(least, most);
    if decision.workers > asked {
        decision.why = match session {
            Some(session) if session_floor >= scaling.min_workers => {
                Why::Session { zone: session.zone.clone(), floor: decision.workers }
            }
            _ => Why::AtMinimum { workers: decision.workers },
        };
    } else if decision.workers < asked {
        decision.limited = Some(if most == shards { Reason::AllShardsApart } else { Reason::AtBound });
    }
    if decision.workers != current {
        decision.memory.changed_at = Some(now);
        decision.memory.low = None;
    }
    decision.memory.decided = Some(decision.workers);
    decision.recommended = decision.workers;
    decision
}

/// What the load asks for, and how far of it the step and the cooldowns allow. Bounds come after.
fn by_load(scaling: &Scaling, observed: &Observed, loads: &Loads, current: u32, now: Timestamp) -> Decision {
    let (wanted, mut why, missed) = wanted(scaling, observed, loads, current);
    let mut memory = Memory { missed, ..observed.memory };
    // A clock that went back makes nobody wait longer than the whole cooldown.
    let end =
        |since: Timestamp, seconds: u32| since.min(now).saturating_add(SignedDuration::from_secs(i64::from(seconds)));
    let workers = if wanted > current {
        memory.low = None;
        let until = memory.changed_at.and_then(|since| end(since, scaling.cooldown_seconds.up).ok());
        if let Some(until) = until.filter(|until| *until > now) {
            why = Why::Cooldown { wanted, until };
            current
        } else {
            wanted.min(current.saturating_add(scaling.step))
        }
    } else if wanted < current {
        let before = memory.low.unwrap_or(Low { since: now, highest: wanted });
        let low = Low { since: before.since, highest: before.highest.max(wanted) };
        memory.low = Some(low);
        let until = end(low.since, scaling.cooldown_seconds.down).ok();
        if let Some(until) = until.filter(|until| *until > now) {
            why = Why::Cooldown { wanted, until };
            current
        } else {
            low.highest.min(current).max(current.saturating_sub(scaling.step))
        }
    } else {
        memory.low = None;
        current
    };
    // One shard is one worker's at most, so where the heaviest is too much for a worker nothing helps.
    let limited = (loads.is_hot(scaling.targets.busy_percent) && wanted >= current).then_some(Reason::AllShardsApart);
    Decision { workers, recommended: workers, why, limited, memory }
}

/// The workers that the load asks for, why, and the missed objective to remember.
fn wanted(scaling: &Scaling, observed: &Observed, loads: &Loads, current: u32) -> (u32, Why, Option<Missed>) {
    let target = f64::from(scaling.targets.busy_percent) / 100.0;
    let busiest = loads.busiest_of(current);
    let percent = busiest * 100.0;
    let (mut wanted, mut why) = (current, Why::Steady { busy_percent: percent });
    if busiest > target * (1.0 + BAND) {
        wanted = loads.workers_for(target).max(current);
        why = match loads.latest {
            Some((shard, seconds)) => Why::Late { shard, seconds },
            None => Why::Busy { percent, target: scaling.targets.busy_percent },
        };
    } else if current > loads.workers_for(target * (1.0 - BAND)) {
        wanted = loads.workers_for(target * (1.0 - BAND));
        why = Why::Idle { percent, target: scaling.targets.busy_percent };
    }

    let Some(objective) = scaling.targets.p99_micros else {
        return (wanted, why, None);
    };
    let remembered = observed.memory.missed.filter(|missed| loads.total > missed.load * FORGET);
    let p99 = observed.reading.as_ref().ok().and_then(|reading| reading.p99_micros);
    let missed = match p99 {
        Some(p99) if p99 > f64::from(objective) * (1.0 + BAND) => {
            why = Why::Slow { p99_micros: p99, objective };
            // Those that there are have missed it, not those that are on their way.
            let has = if observed.workers == 0 { current } else { observed.workers };
            let workers = remembered.map_or(has, |missed| missed.workers.max(has));
            Some(match remembered {
                // It is remembered by the load of the first time, unless that has become another.
                Some(before) if before.workers == workers && (loads.total / before.load - 1.0).abs() <= BAND => before,
                _ => Missed { workers, load: loads.total },
            })
        }
        _ => remembered,
    };
    if let Some(missed) = missed
        && wanted <= missed.workers
    {
        wanted = missed.workers.saturating_add(1);
        if !matches!(why, Why::Slow { .. }) {
            why = Why::MissedBefore { workers: missed.workers, objective };
        }
    }
    (wanted, why, missed)
}
