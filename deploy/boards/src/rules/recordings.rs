//! What alerts and people ask again and again, kept as series of its own.

use pinion_spec::metrics;

use super::{Pace, Recording};
use crate::query::{Query, Series};

/// Share of decisions that may take longer than the objective: it is one for the 99th percentile.
pub const OBJECTIVE_MISSES_MAX: f64 = 0.01;

/// Times that speed at which 2 % of a month's error budget are gone in an hour.
pub const BURN_FAST: f64 = 14.4;

/// Times that speed at which 5 % of it are gone in six hours.
pub const BURN_SLOW: f64 = 6.0;

/// Labels of a strategy.
pub(super) const WHOSE: [&str; 2] = ["tenant", "strategy"];

/// Windows of the burn rate: the long one says that it matters, the short one that it still goes on.
const WINDOWS: [(u32, &str); 4] = [(300, "5m"), (1_800, "30m"), (3_600, "1h"), (21_600, "6h")];

/// Reasons of denials that a person has ordered.
const ORDERED: &str = "trading_state_halted|trading_state_reducing|kill_switch";

fn decided() -> Series {
    Series::count_of(&metrics::LATENCY).with("stage", "decision")
}

fn misses(pace: Pace, seconds: u32) -> Query {
    let window = pace.span(seconds);
    let over = Series::of(&metrics::DECISIONS_OVER_OBJECTIVE).rate(&window).sum(&WHOSE);
    over.divided_by(&decided().rate(&window).sum(&WHOSE))
}

/// Share of decisions that missed the objective, in a window.
pub(super) fn missed(pace: Pace, name: &str) -> Series {
    let (seconds, _) = *WINDOWS.iter().find(|(_, known)| *known == name).unwrap_or_else(|| panic!("no window {name}"));
    Series::recorded(&format!("strategy:pinion_decisions_over_objective:ratio_rate{name}"), &misses(pace, seconds))
}

pub(super) fn objective(pace: Pace) -> Vec<Recording> {
    let recording = |(seconds, name): &(u32, &str)| Recording {
        name: format!("strategy:pinion_decisions_over_objective:ratio_rate{name}"),
        query: misses(pace, *seconds),
    };
    WINDOWS.iter().map(recording).collect()
}

/// How many decisions there were in a window.
pub(super) fn decisions(pace: Pace, seconds: u32) -> Query {
    decided().increase(&pace.span(seconds)).sum(&WHOSE)
}

fn denied(pace: Pace) -> Query {
    Series::of(&metrics::DENIALS).unlike("reason", ORDERED).rate(&pace.span(300)).sum(&WHOSE)
}

fn denied_share(pace: Pace) -> Query {
    let approved = Series::of(&metrics::ORDERS).rate(&pace.span(300)).sum(&WHOSE);
    denied(pace).divided_by(&denied(pace).plus(&approved))
}

const DENIED: &str = "strategy:pinion_denials:rate5m";
const DENIED_SHARE: &str = "strategy:pinion_denials:ratio_rate5m";

/// Denials a second, without those that a halt or a kill switch causes.
pub(super) fn denials(pace: Pace) -> Series {
    Series::recorded(DENIED, &denied(pace))
}

/// Their share of all that was asked for.
pub(super) fn denials_share(pace: Pace) -> Series {
    Series::recorded(DENIED_SHARE, &denied_share(pace))
}

pub(super) fn risk(pace: Pace) -> Vec<Recording> {
    vec![
        Recording { name: DENIED.to_owned(), query: denied(pace) },
        Recording { name: DENIED_SHARE.to_owned(), query: denied_share(pace) },
    ]
}
