//! Why a number of workers was chosen, for the status and the event.

use std::fmt;

/// The reason of a decision. Its text is at most 256 characters.
#[derive(Debug, Clone, PartialEq)]
pub enum Why {
    /// `replicas` says so.
    Fixed {
        /// What it says.
        replicas: u32,
    },
    /// Everything is near its target.
    Steady {
        /// What the busiest worker uses of its core.
        busy_percent: f64,
    },
    /// A shard is too far behind.
    Late {
        /// The shard.
        shard: u16,
        /// How far, seconds of its stream.
        seconds: f64,
    },
    /// The busiest worker is over its target.
    Busy {
        /// What it uses of its core.
        percent: f64,
        /// What it is to use.
        target: u32,
    },
    /// Fewer workers are enough.
    Idle {
        /// What the busiest uses of its core.
        percent: f64,
        /// What it may use.
        target: u32,
    },
    /// Decision latency misses its objective.
    Slow {
        /// Its 99th percentile, microseconds.
        p99_micros: f64,
        /// The objective, microseconds.
        objective: u32,
    },
    /// Fewer would be enough for the load, but missed the objective at this load.
    MissedBefore {
        /// So many missed it.
        workers: u32,
        /// The objective, microseconds.
        objective: u32,
    },
    /// Another number is wanted, but it is too early.
    Cooldown {
        /// The number.
        wanted: u32,
        /// How much longer, seconds.
        seconds: i64,
    },
    /// A session is open.
    Session {
        /// Its zone.
        zone: String,
        /// Its workers.
        floor: u32,
    },
    /// The load asks for fewer than `minWorkers`.
    AtMinimum {
        /// The minimum.
        workers: u32,
    },
    /// The pods' figures could not be read, so nothing is changed.
    Unread {
        /// Why not.
        problem: String,
    },
}

/// Characters of a problem's text that are kept.
const PROBLEM_CHARS_MAX: usize = 160;

impl Default for Why {
    fn default() -> Self {
        Self::Fixed { replicas: 0 }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed { replicas } => write!(f, "replicas is {replicas}"),
            Self::Steady { busy_percent } => {
                write!(f, "steady: the busiest worker uses {busy_percent:.0}% of its core")
            }
            Self::Late { shard, seconds } => write!(f, "shard {shard} is {seconds:.0} s behind"),
            Self::Busy { percent, target } => {
                write!(f, "the busiest worker needs {percent:.0}% of its core, target {target}%")
            }
            Self::Idle { percent, target } => {
                write!(f, "fewer are enough: the busiest worker uses {percent:.0}% of its core, target {target}%")
            }
            Self::Slow { p99_micros, objective } => {
                write!(f, "p99 is {p99_micros:.0} us, objective {objective} us")
            }
            Self::MissedBefore { workers, objective } => {
                write!(f, "at this load {workers} workers missed the objective of {objective} us")
            }
            Self::Cooldown { wanted, seconds } => write!(f, "{wanted} wanted, cooling down for {seconds} s more"),
            Self::Session { zone, floor } => write!(f, "session open in {zone}: at least {floor}"),
            Self::AtMinimum { workers } => write!(f, "at the minimum of {workers}"),
            Self::Unread { problem } => {
                let problem: String = problem.chars().take(PROBLEM_CHARS_MAX).collect();
                write!(f, "held, because the pods' figures cannot be read: {problem}")
            }
        }
    }
}
