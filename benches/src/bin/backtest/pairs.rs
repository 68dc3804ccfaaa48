//! A figure beside its floor, measured in turns in one run: what the machine does meanwhile hits both.

use std::fmt;

use serde_json::{Value, json};

/// What a figure is held against.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// The median of measured / floor, at least.
    RatioAtLeast(f64),
    /// The same, at most.
    RatioAtMost(f64),
    /// The median of what was measured, at least.
    AtLeast(f64),
    /// The same, at most.
    AtMost(f64),
    /// Shown beside the others.
    None,
}

/// One figure.
#[derive(Debug)]
pub(crate) struct Figure {
    /// What was measured, and in what.
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    /// What the floor is.
    pub(crate) floor: &'static str,
    pub(crate) goal: Goal,
    /// Pairs of a measurement and its floor.
    pub(crate) pairs: Vec<(f64, f64)>,
    /// Tasks that waited for a core before it was measured, beside the machine's cores: the load of the last minute.
    pub(crate) load: f64,
}

/// Lowest, median, highest.
type Spread = [f64; 3];

fn spread(values: impl Iterator<Item = f64>) -> Spread {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    [at(0), at(values.len() / 2), at(values.len().saturating_sub(1))]
}

/// The load of the last minute.
pub(crate) fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN)
}

impl Figure {
    /// Measures so many pairs: A B, then B A, so that drift inside a pair cancels over two of them.
    pub(crate) fn measure(
        (what, unit): (&str, &'static str),
        floor: &'static str,
        goal: Goal,
        turns: usize,
        mut measured: impl FnMut() -> f64,
        mut beside: impl FnMut() -> f64,
    ) -> Self {
        let load = load();
        let mut pair = |turn: usize| {
            if turn.is_multiple_of(2) {
                let measured = measured();
                (measured, beside())
            } else {
                let beside = beside();
                (measured(), beside)
            }
        };
        let pairs = (0..turns).map(&mut pair).collect();
        let figure = Self { what: what.to_owned(), unit, floor, goal, pairs, load };
        println!("{figure}");
        figure
    }

    fn measured(&self) -> Spread {
        spread(self.pairs.iter().map(|(measured, _)| *measured))
    }

    fn beside(&self) -> Spread {
        spread(self.pairs.iter().map(|(_, floor)| *floor))
    }

    fn ratio(&self) -> Spread {
        spread(self.pairs.iter().map(|(measured, floor)| measured / floor))
    }

    /// Whether the goal is met; one that has none is.
    pub(crate) fn is_met(&self) -> bool {
        let ([_, measured, _], [_, ratio, _]) = (self.measured(), self.ratio());
        match self.goal {
            Goal::RatioAtLeast(goal) => ratio >= goal,
            Goal::RatioAtMost(goal) => ratio <= goal,
            Goal::AtLeast(goal) => measured >= goal,
            Goal::AtMost(goal) => measured <= goal,
            Goal::None => true,
        }
    }

    fn goal(&self) -> String {
        match self.goal {
            Goal::RatioAtLeast(goal) => format!(">= {goal}x"),
            Goal::RatioAtMost(goal) => format!("<= {goal}x"),
            Goal::AtLeast(goal) => format!(">= {} {}", number(goal), self.unit),
            Goal::AtMost(goal) => format!("<= {} {}", number(goal), self.unit),
            Goal::None => String::new(),
        }
    }

    fn verdict(&self) -> &'static str {
        match self.goal {
            Goal::None => "shown",
            _ if self.is_met() => "met",
            _ => "missed",
        }
    }

    /// The same for machines.
    pub(crate) fn json(&self) -> Value {
        let [measured, floor, ratio] = [self.measured(), self.beside(), self.ratio()]
            .map(|[lowest, median, highest]| json!({"lowest": lowest, "median": median, "highest": highest}));
        json!({
            "what": self.what, "unit": self.unit, "measured": measured, "floor": floor, "floor_is": self.floor, "ratio": ratio,
            "pairs": self.pairs.len(), "goal": self.goal(), "verdict": self.verdict(), "load": self.load,
        })
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [[_, measured, _], [_, floor, _]] = [self.measured(), self.beside()];
        let [low, ratio, high] = self.ratio();
        writeln!(f, "{}", self.what)?;
        writeln!(
            f,
            "  measured {:>12} {}   floor {:>12} ({})",
            number(measured),
            self.unit,
            number(floor),
            self.floor
        )?;
        let (pairs, load, goal) = (self.pairs.len(), self.load, self.goal());
        write!(
            f,
            "  ratio {ratio:.3} ({low:.3} to {high:.3} over {pairs} pairs, load {load:.1})   goal {goal}   {}",
            self.verdict()
        )
    }
}

/// With the digits that tell something.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 10_000.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
