//! Why a number of workers was chosen, for the status and the event.

use std::fmt;

use jiff::Timestamp;

use super::Unread;

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
        /// Until when.
        until: Timestamp,
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
    Unread(Unread),
}

/// Nobody reads a figure with more digits; what is beyond it comes of a pod that reports nonsense.
const FIGURE_MAX: f64 = 1e12;

/// To two digits, so that noise is no other reason.
fn rough(figure: f64) -> f64 {
    let figure = figure.clamp(-FIGURE_MAX, FIGURE_MAX);
    if figure < 10.0 || !figure.is_finite() {
        return figure.round();
    }
    let place = 10_f64.powf(figure.log10().floor() - 1.0);
    (figure / place).round() * place
}

/// Percent to the nearest ten, for the same reason.
fn tens(percent: f64) -> f64 {
    (percent.clamp(-FIGURE_MAX, FIGURE_MAX) / 10.0).round() * 10.0
}

/// Characters of a problem's text that are kept.
const PROBLEM_CHARS_MAX: usize = 160;

fn short(problem: &str) -> String {
    problem.chars().take(PROBLEM_CHARS_MAX).collect()
}

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
                write!(f, "steady: the busiest worker uses about {:.0}% of its core", tens(*busy_percent))
            }
            Self::Late { shard, seconds } => write!(f, "shard {shard} is {:.0} s behind", rough(*seconds)),
            Self::Busy { percent, target } => {
                write!(f, "the busiest worker needs about {:.0}% of its core, target {target}%", tens(*percent))
            }
            Self::Idle { percent, target } => {
                let percent = tens(*percent);
                write!(f, "fewer are enough: the busiest worker uses about {percent:.0}% of its core, target {target}%")
            }
            Self::Slow { p99_micros, objective } => {
                write!(f, "p99 is {:.0} us, objective {objective} us", rough(*p99_micros))
            }
            Self::MissedBefore { workers, objective } => {
                write!(f, "at this load {workers} workers missed the objective of {objective} us")
            }
            Self::Cooldown { wanted, until } => write!(f, "{wanted} wanted, cooling down until {until:.0}"),
            Self::Session { zone, floor } => write!(f, "session open in {zone}: at least {floor}"),
            Self::AtMinimum { workers } => write!(f, "at the minimum of {workers}"),
            Self::Unread(Unread::NotYet(why)) => write!(f, "held until there are figures: {}", short(why)),
            Self::Unread(Unread::Failed(why)) => {
                write!(f, "held, because the pods' figures cannot be read: {}", short(why))
            }
        }
    }
}
