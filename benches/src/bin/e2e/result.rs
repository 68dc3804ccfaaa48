//! What the run says.

use std::fmt;

use hdrhistogram::Histogram;
use serde_json::json;

/// The goal for the median ratio of p50.
const GOAL: f64 = 1.10;

/// Two blocks, one of each system.
pub(crate) struct Pair {
    /// ns.
    pub(crate) pinion_p50: u64,
    /// ns.
    pub(crate) echo_p50: u64,
}

/// The run in numbers.
pub(crate) struct Summary {
    rate: u64,
    pairs: usize,
    dropped: usize,
    /// Lowest, median and highest ratio of p50.
    ratio: Option<[f64; 3]>,
    rows: [Row; 2],
}

struct Row {
    name: &'static str,
    count: u64,
    /// p50, p99, p99.9, max, ns.
    ns: [u64; 4],
}

impl Row {
    fn new(name: &'static str, histogram: &Histogram<u64>) -> Self {
        let ns = [0.5, 0.99, 0.999, 1.0].map(|quantile| histogram.value_at_quantile(quantile));
        Self { name, count: histogram.len(), ns }
    }
}

impl Summary {
    /// Of these pairs, and the histograms over all of them.
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of seconds")]
    pub(crate) fn new(
        rate: u64,
        pairs: &[Pair],
        dropped: usize,
        pinion: &Histogram<u64>,
        echo: &Histogram<u64>,
    ) -> Self {
        let mut ratios: Vec<f64> =
            pairs.iter().map(|pair| pair.pinion_p50 as f64 / pair.echo_p50.max(1) as f64).collect();
        ratios.sort_by(f64::total_cmp);
        let ratio = match ratios[..] {
            [] => None,
            [lowest, ..] => Some([lowest, ratios[ratios.len() / 2], ratios[ratios.len() - 1]]),
        };
        Self { rate, pairs: pairs.len(), dropped, ratio, rows: [Row::new("pinion", pinion), Row::new("echo", echo)] }
    }

    /// Too few good pairs say nothing.
    fn verdict(&self) -> &'static str {
        match self.ratio {
            Some(_) if self.dropped * 10 > (self.pairs + self.dropped) * 3 => "INCONCLUSIVE",
            Some([_, median, _]) if median <= GOAL => "met",
            Some(_) => "missed",
            None => "INCONCLUSIVE",
        }
    }

    /// The same for machines.
    pub(crate) fn json(&self) -> String {
        let row = |row: &Row| {
            let [p50, p99, p999, max] = row.ns;
            json!({"count": row.count, "p50_ns": p50, "p99_ns": p99, "p999_ns": p999, "max_ns": max})
        };
        json!({
            "id": "e2e", "rate": self.rate, "pairs": self.pairs, "dropped": self.dropped,
            "pinion": row(&self.rows[0]), "echo": row(&self.rows[1]),
            "ratio": self.ratio.map(|[lowest, median, highest]| json!({"median": median, "lowest": lowest, "highest": highest})),
            "goal": GOAL, "verdict": self.verdict(),
        })
        .to_string()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Kafka in to order out, {} records/s, open loop, us", self.rate)?;
        writeln!(f, "{:>8} {:>8} {:>8} {:>8} {:>8} {:>8}", "", "records", "p50", "p99", "p99.9", "max")?;
        for row in &self.rows {
            let [p50, p99, p999, max] = row.ns.map(|ns| ns / 1_000);
            writeln!(f, "{:>8} {:>8} {p50:>8} {p99:>8} {p999:>8} {max:>8}", row.name, row.count)?;
        }
        match self.ratio {
            Some([lowest, median, highest]) => write!(
                f,
                "p50 ratio: median {median:.3} ({lowest:.3} to {highest:.3} over {} pairs, {} dropped), goal {GOAL:.2}: {}",
                self.pairs,
                self.dropped,
                self.verdict()
            ),
            None => write!(f, "every pair was dropped ({}): {}", self.dropped, self.verdict()),
        }
    }
}
