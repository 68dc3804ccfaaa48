//! One line of a result: what was measured, beside which floor, and what that says of the goal.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::interval::Interval;
use crate::pairs::Pairs;

/// What a row is held against.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// The ratio to the floor, at most.
    RatioAtMost(f64),
    /// The same, at least.
    RatioAtLeast(f64),
    /// The value, at most.
    AtMost(f64),
    /// The same, at least.
    AtLeast(f64),
    /// Shown beside others.
    None,
}

/// What a row says of its goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// All of the interval meets it.
    #[serde(rename = "met")]
    Met,
    /// None of the interval meets it.
    #[serde(rename = "missed")]
    Missed,
    /// The interval lies on both sides, or the machine was elsewhere. Never a pass.
    #[serde(rename = "INCONCLUSIVE")]
    Inconclusive,
    /// There is no goal.
    #[serde(rename = "shown")]
    Shown,
}

impl Verdict {
    /// As results have it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Shown => "shown",
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Stable, as `1.direct`.
    pub id: String,
    /// For people.
    pub name: String,
    /// What was measured.
    pub value: f64,
    /// In what.
    pub unit: String,
    /// What the floor came to, in the same unit; `null` where the row has none.
    pub floor: Option<f64>,
    /// What the floor is.
    pub floor_is: Option<String>,
    /// Value over floor, where there is one.
    pub ratio: Option<f64>,
    /// 95 % interval of the ratio, or else of the value.
    pub ci: [f64; 2],
    /// What it is held against.
    pub goal: Goal,
    /// What it says of it.
    pub verdict: Verdict,
    /// 95 % interval of a side over itself.
    pub control: Option<[f64; 2]>,
    /// Pairs that count.
    pub pairs: usize,
    /// Fours of blocks that the machine spoilt.
    pub dropped: usize,
    /// Operations measured.
    pub operations: u64,
    /// Tasks that waited for a core, over the minute before.
    pub load: f64,
    /// Why there is no verdict, or what else is to be known.
    pub note: String,
}

/// Whether costs are told as such, or as how many a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// ns an operation.
    Cost,
    /// So many operations a second.
    Speed,
}

/// Of what a row is.
#[derive(Debug, Clone, Copy)]
pub struct What<'t> {
    /// [`Row::id`]
    pub id: &'t str,
    /// [`Row::name`]
    pub name: &'t str,
    /// [`Row::unit`]: of an operation, or of a second.
    pub unit: &'t str,
    /// [`Row::floor_is`]; empty where there is none.
    pub floor: &'t str,
    /// How it is told.
    pub shown: Shown,
}

impl Row {
    /// Of a comparison with a floor.
    #[must_use]
    pub fn of_pairs(what: What<'_>, goal: Goal, pairs: &Pairs, load: f64) -> Self {
        let nothing = Interval { median: f64::NAN, low: f64::NAN, high: f64::NAN };
        let [ratio, a, b] =
            [&pairs.ratios, &pairs.a, &pairs.b].map(|figures| pairs.interval(figures).unwrap_or(nothing));
        let told = |cost: Interval| match what.shown {
            Shown::Cost => cost,
            Shown::Speed => cost.inverse().times(1e9),
        };
        let (value, floor) = (told(a), told(b));
        let ratio = if what.shown == Shown::Speed { ratio.inverse() } else { ratio };
        let judged = if matches!(goal, Goal::AtMost(_) | Goal::AtLeast(_)) { value } else { ratio };
        let inconclusive = pairs.inconclusive();
        let verdict = match inconclusive {
            Some(_) if goal != Goal::None => Verdict::Inconclusive,
            _ => goal.verdict(judged),
        };
        Self {
            id: what.id.to_owned(),
            name: what.name.to_owned(),
            value: value.median,
            unit: what.unit.to_owned(),
            floor: Some(floor.median),
            floor_is: Some(what.floor.to_owned()),
            ratio: Some(ratio.median),
            ci: [judged.low, judged.high],
            goal,
            verdict,
            control: Interval::of(&pairs.controls).map(|control| [control.low, control.high]),
            pairs: pairs.ratios.len(),
            dropped: pairs.dropped,
            operations: pairs.operations,
            load,
            note: inconclusive.unwrap_or_default(),
        }
    }

    /// Of figures without a floor.
    #[must_use]
    pub fn of_figures(what: What<'_>, goal: Goal, figures: &[f64], load: f64) -> Self {
        let nothing = Interval { median: f64::NAN, low: f64::NAN, high: f64::NAN };
        let row = Self::of_interval(what, goal, Interval::of(figures).unwrap_or(nothing), load);
        Self { operations: figures.len() as u64, ..row }
    }

    /// Of an interval that comes from elsewhere.
    #[must_use]
    pub fn of_interval(what: What<'_>, goal: Goal, value: Interval, load: f64) -> Self {
        Self {
            id: what.id.to_owned(),
            name: what.name.to_owned(),
            value: value.median,
            unit: what.unit.to_owned(),
            floor: None,
            floor_is: None,
            ratio: None,
            ci: [value.low, value.high],
            goal,
            verdict: goal.verdict(value),
            control: None,
            pairs: 0,
            dropped: 0,
            operations: 0,
            load,
            note: String::new(),
        }
    }

    /// With something to be known of it.
    #[must_use]
    pub fn noting(mut self, note: &str) -> Self {
        if !self.note.is_empty() {
            self.note.push_str("; ");
        }
        self.note.push_str(note);
        self
    }
}

impl Goal {
    fn verdict(self, figure: Interval) -> Verdict {
        let (met, missed) = match self {
            Self::None => return Verdict::Shown,
            Self::RatioAtMost(goal) | Self::AtMost(goal) => (figure.high <= goal, figure.low > goal),
            Self::RatioAtLeast(goal) | Self::AtLeast(goal) => (figure.low >= goal, figure.high < goal),
        };
        match (met, missed) {
            (true, _) => Verdict::Met,
            (_, true) => Verdict::Missed,
            _ => Verdict::Inconclusive,
        }
    }

    /// For people, with the row's unit where it is of the value.
    #[must_use]
    pub fn told(self, unit: &str) -> String {
        match self {
            Self::RatioAtMost(goal) => format!("<= {goal}x"),
            Self::RatioAtLeast(goal) => format!(">= {goal}x"),
            Self::AtMost(goal) => format!("<= {} {unit}", number(goal)),
            Self::AtLeast(goal) => format!(">= {} {unit}", number(goal)),
            Self::None => String::new(),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<10} {:<52} {:>11} {:<9}", self.id, self.name, number(self.value), self.unit)?;
        let floor = self.floor.map_or_else(String::new, number);
        let ratio = self.ratio.map_or_else(String::new, |ratio| format!("{ratio:.3}x"));
        let [low, high] = self.ci.map(number);
        write!(f, " {floor:>11} {ratio:>8} {:>21} {:>16}", format!("{low} to {high}"), self.goal.told(&self.unit))?;
        write!(f, "  {}", self.verdict.label())?;
        if !self.note.is_empty() {
            write!(f, " ({})", self.note)?;
        }
        Ok(())
    }
}

/// The line above rows.
#[must_use]
pub fn header() -> String {
    format!(
        "{:<10} {:<52} {:>11} {:<9} {:>11} {:>8} {:>21} {:>16}  verdict",
        "row", "what", "measured", "", "floor", "ratio", "95 % interval", "goal"
    )
}

/// With the digits that tell something.
#[must_use]
pub fn number(value: f64) -> String {
    match value.abs() {
        millions if millions >= 1e7 => format!("{:.2}M", value / 1e6),
        large if large >= 10_000.0 => format!("{value:.0}"),
        middle if middle >= 100.0 => format!("{value:.1}"),
        small if small >= 10.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHAT: What<'_> = What { id: "1", name: "a call", unit: "ns", floor: "a bare call", shown: Shown::Cost };

    fn pairs(ratio: f64, spread: f64) -> Pairs {
        let ratios: Vec<f64> = (0..40).map(|n| ratio + f64::from(n % 5 - 2) * spread).collect();
        let a = ratios.iter().map(|ratio| 10.0 * ratio).collect();
        Pairs { a, b: vec![10.0; 40], controls: vec![1.0; 20], ratios, ..Pairs::default() }
    }

    #[test]
    fn a_goal_is_met_or_missed_only_by_all_of_the_interval() {
        let of = |ratio, spread, goal| Row::of_pairs(WHAT, goal, &pairs(ratio, spread), 0.0).verdict;
        assert_eq!(of(1.1, 0.01, Goal::RatioAtMost(1.2)), Verdict::Met);
        assert_eq!(of(1.3, 0.01, Goal::RatioAtMost(1.2)), Verdict::Missed);
        assert_eq!(of(1.2, 0.05, Goal::RatioAtMost(1.2)), Verdict::Inconclusive);
        assert_eq!(of(1.3, 0.01, Goal::AtMost(12.0)), Verdict::Missed);
        assert_eq!(of(1.3, 0.01, Goal::None), Verdict::Shown);
    }

    #[test]
    fn a_row_is_never_passed_on_a_machine_whose_control_strays() {
        let strays = Pairs { controls: vec![0.9, 1.1, 0.95, 1.06, 1.0], ..pairs(1.0, 0.0) };
        let row = Row::of_pairs(WHAT, Goal::RatioAtMost(1.2), &strays, 0.0);
        assert_eq!(row.verdict, Verdict::Inconclusive);
        assert!(row.note.starts_with("control 0.9"), "{}", row.note);
    }

    #[test]
    fn a_speed_is_the_inverse_of_a_cost_and_so_is_its_ratio() {
        let what = What { shown: Shown::Speed, unit: "events/s", ..WHAT };
        let row = Row::of_pairs(what, Goal::RatioAtLeast(0.8), &pairs(1.25, 0.0), 0.0);
        assert!((row.ratio.unwrap() - 0.8).abs() < 1e-9 && (row.value - 8e7).abs() < 1.0, "{row:?}");
        assert_eq!(row.verdict, Verdict::Met);
    }

    #[test]
    fn a_row_goes_to_json_and_back() {
        let row = Row::of_pairs(WHAT, Goal::RatioAtMost(1.2), &pairs(1.1, 0.01), 0.5).noting("twice");
        let text = serde_json::to_string(&row).unwrap();
        assert!(text.contains("\"verdict\":\"met\"") && text.contains("\"goal\":{\"ratio_at_most\":1.2}"), "{text}");
        assert_eq!(serde_json::from_str::<Row>(&text).unwrap(), row);
    }
}
