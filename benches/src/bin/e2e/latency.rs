//! Two systems in turns under the same load, and what their latencies and their CPU come to.

use hdrhistogram::Histogram;
use pinion_benches::hiccups::percentile;
use pinion_benches::interval::Interval;
use pinion_benches::machine::load;
use pinion_benches::pairs::sides;
use pinion_benches::pooled::Turns;
use pinion_benches::result::Results;
use pinion_benches::row::{Goal, Row, Shown, What};

use crate::load::Block;
use crate::schedule::Pattern;
use crate::system::System;

/// Goals of row 4.
const P50: f64 = 1.05;
const P99: f64 = 1.15;
const CPU: f64 = 1.25;
/// Goal of row 12.
const SCRAPED: f64 = 1.05;

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) fours: usize,
    pub(crate) block_ns: u64,
}

/// CPU time of a four's blocks, or of all of a process, of A and of B, and their records.
struct Used {
    cpu_ns: [u64; 2],
    records: [u64; 2],
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of seconds")]
fn cpu_each(fours: &[&Used], side: usize) -> f64 {
    let sum = |of: fn(&Used) -> &[u64; 2]| fours.iter().map(|four| of(four)[side]).sum::<u64>() as f64;
    sum(|four| &four.cpu_ns) / sum(|four| &four.records).max(1.0)
}

/// What some fours of blocks gave.
#[derive(Default)]
struct Measured {
    turns: Turns,
    used: Vec<Used>,
}

fn measure((a, b): (&mut System, &mut System), (pattern, rate): (&Pattern, u64), plan: Plan) -> Measured {
    let (mut turns, mut used) = (Turns::new(plan.fours), Vec::new());
    for four in 0..plan.fours {
        let sides = sides(four);
        let blocks = sides.map(|is_a| {
            let system = if is_a { &mut *a } else { &mut *b };
            let block = system.block(pattern, rate, plan.block_ns);
            eprintln!("{:>8} {} at {rate}/s: {}", system.name, pattern.name(), block.told());
            block
        });
        if let Some(why) = blocks.iter().find_map(Block::void) {
            eprintln!("four {four} dropped: {why}");
            turns.pairs.dropped += 1;
            continue;
        }
        turns.take(sides[0], [0, 1, 2, 3].map(|at: usize| &blocks[at].latency));
        let of = |figure: fn(&Block) -> u64| {
            [true, false].map(|side| {
                sides.iter().zip(&blocks).filter(|(is_a, _)| **is_a == side).map(|(_, block)| figure(block)).sum()
            })
        };
        used.push(Used { cpu_ns: of(|block| block.cpu_ns), records: of(|block| block.sent) });
    }
    Measured { turns, used }
}

/// The negative control: an echo that stands still for 1 ms once a second, beside one that does not. Who does not see it sees no tail.
pub(crate) fn control((stalls, echo): (&mut System, &mut System), rate: u64, plan: Plan, results: &mut Results) {
    let before = load();
    let Measured { turns, .. } = measure((stalls, echo), (&Pattern::Fixed, rate), plan);
    let what = What {
        id: "4.control",
        name: "negative control: a stall of 1 ms a second, p99.9",
        unit: "ns",
        floor: "the same without it",
        shown: Shown::Cost,
    };
    if let Some(row) = turns.row(what, Goal::None, 0.999, before) {
        let seen = if row.ci[0] > 1.0 { "seen" } else { "not seen: no tail of this run says anything" };
        results.push(row.noting(seen));
    }
}

/// Beside a peer, at one rate: what there is to be ahead in.
pub(crate) fn beside_peer(
    (ours, theirs): (&mut System, &mut System),
    peer: &str,
    rate: u64,
    plan: Plan,
    results: &mut Results,
) {
    let before = load();
    let measured = measure((ours, theirs), (&Pattern::Fixed, rate), plan);
    let goal = Goal::RatioAtMost(1.0);
    let told = Told {
        id: &|what| format!("peer.{peer}.{what}"),
        name: &|what| format!("{what}, fixed at {rate}/s"),
        floor: peer,
        names: ["pinion", peer],
    };
    measured.push(&told, [goal; 4], before, results);
}

/// One that is scraped beside one that is not.
pub(crate) fn scraped((a, b): (&mut System, &mut System), rate: u64, plan: Plan, results: &mut Results) {
    let before = load();
    let names = [a.name.clone(), b.name.clone()];
    let measured = measure((a, b), (&Pattern::Fixed, rate), plan);
    let told = Told {
        id: &|what| format!("12.scrape.{what}"),
        name: &|what| format!("{what}, 1,000 strategies, scraped once a second, {rate}/s"),
        floor: "the same, not scraped",
        names: [&names[0], &names[1]],
    };
    measured.push(&told, [Goal::None, Goal::RatioAtMost(SCRAPED), Goal::None, Goal::None], before, results);
}

/// One request under way beside another way to send, at one rate.
pub(crate) fn beside_policy(
    (ours, other): (&mut System, &mut System),
    (number, policy): (usize, &str),
    rate: u64,
    plan: Plan,
    results: &mut Results,
) {
    let before = load();
    let measured = measure((ours, other), (&Pattern::Fixed, rate), plan);
    if measured.used.is_empty() {
        eprintln!("{policy} at {rate}/s: it did not keep up, or the machine was elsewhere");
        return;
    }
    let told = Told {
        id: &|what| format!("send.{number}.{rate}.{what}"),
        name: &|what| format!("{what}, fixed at {rate}/s, one request under way"),
        floor: policy,
        names: ["one request", "the other"],
    };
    measured.push(&told, [Goal::None; 4], before, results);
}

/// One load of row 4: a pattern at a rate.
pub(crate) struct Load {
    pattern: Pattern,
    rate: u64,
    /// Whether its rows have goals. Those without are measured half as long.
    goals: bool,
    measured: Measured,
}

impl Load {
    pub(crate) fn new(pattern: Pattern, rate: u64, goals: bool) -> Self {
        Self { pattern, rate, goals, measured: Measured::default() }
    }

    /// Another start of both, for its share of so many fours.
    pub(crate) fn measure(&mut self, systems: (&mut System, &mut System), plan: Plan, starts: usize) {
        let fours = plan.fours.div_ceil(if self.goals { starts } else { 2 * starts });
        self.measured.join(measure(systems, (&self.pattern, self.rate), Plan { fours, ..plan }));
    }

    /// Four rows.
    pub(crate) fn push(&self, before: f64, results: &mut Results) {
        let Self { pattern, rate, goals, measured } = self;
        let goal = |goal: f64| if *goals { Goal::RatioAtMost(goal) } else { Goal::None };
        let told = Told {
            id: &|what| format!("4.{}.{rate}.{what}", pattern.name()),
            name: &|what| match pattern {
                Pattern::Recorded(_) => format!("{what}, the spot capture at its own gaps"),
                _ => format!("{what}, {} at {rate}/s", pattern.name()),
            },
            floor: "a bare librdkafka echo",
            names: ["pinion", "echo"],
        };
        measured.push(&told, [goal(P50), goal(P99), Goal::None, goal(CPU)], before, results);
    }
}

/// How rows are called.
struct Told<'t> {
    id: &'t dyn Fn(&str) -> String,
    name: &'t dyn Fn(&str) -> String,
    floor: &'t str,
    names: [&'t str; 2],
}

impl Measured {
    /// Takes what other processes gave.
    fn join(&mut self, other: Self) {
        let both =
            |of: fn(&Used) -> &[u64; 2]| [0, 1].map(|side: usize| other.used.iter().map(|used| of(used)[side]).sum());
        let used = Used { cpu_ns: both(|used| &used.cpu_ns), records: both(|used| &used.records) };
        self.turns.join(other.turns);
        if used.records[1] > 0 {
            self.used.push(used);
        }
    }

    /// Four rows: p50, p99, p99.9, CPU.
    fn push(&self, told: &Told<'_>, goals: [Goal; 4], before: f64, results: &mut Results) {
        let Self { turns, used } = self;
        let [of_a, of_b] = turns.sides();
        let [name_a, name_b] = told.names;
        let tails = format!("{} records; {name_a}: {}; {name_b}: {}", of_a.len(), tail(&of_a), tail(&of_b));
        let of = |what: &str, name: &str| ((told.id)(what), (told.name)(name));
        let (id, name) = of("p50", "in to out, p50");
        let what = What { id: &id, name: &name, unit: "ns", floor: told.floor, shown: Shown::Cost };
        results.push(Row::of_pairs(what, goals[0], &turns.pairs, before).noting(&tails));
        for (short, long, quantile, goal) in
            [("p99", "in to out, p99", 0.99, goals[1]), ("p999", "in to out, p99.9", 0.999, goals[2])]
        {
            let (id, name) = of(short, long);
            if let Some(row) = turns.row(What { id: &id, name: &name, ..what }, goal, quantile, before) {
                results.push(row);
            }
        }
        let ratio = |fours: &[&Used]| cpu_each(fours, 0) / cpu_each(fours, 1).max(1.0);
        if let Some(ratio) = Interval::resampled(used, ratio) {
            let all: Vec<&Used> = used.iter().collect();
            let (id, name) = of("cpu", "CPU a record");
            let row = Row::of_interval(What { id: &id, name: &name, ..what }, goals[3], ratio, before);
            results.push(turns.pairs.judge(Row {
                value: cpu_each(&all, 0),
                floor: Some(cpu_each(&all, 1)),
                floor_is: Some(told.floor.to_owned()),
                ratio: Some(ratio.median),
                ..row
            }));
        }
    }
}

fn tail(histogram: &Histogram<u64>) -> String {
    let at = |quantile| percentile(histogram, quantile).map_or("-".to_owned(), |ns| format!("{}", ns / 1_000));
    format!("p50 {} p99 {} p99.9 {} max {} us", at(0.5), at(0.99), at(0.999), histogram.max() / 1_000)
}

/// The highest rate at which a system answers everything with a p99 under 20 ms, and the sender keeps its times: the last that held of
/// rates a quarter apart.
pub(crate) fn highest_rate(system: &mut System, from: u64) -> u64 {
    const P99_NS_MAX: u64 = 20_000_000;
    const BLOCK_NS: u64 = 3_000_000_000;
    // A block that the machine spoilt has other chances.
    const CHANCES: usize = 3;
    let mut held = from;
    let mut rate = from;
    while rate < 1_000_000 {
        let holds = (0..CHANCES).any(|_| {
            let block = system.block(&Pattern::Fixed, rate, BLOCK_NS);
            eprintln!("{:>8} at {rate}/s: {}", system.name, block.told());
            block.void().is_none() && block.latency.value_at_quantile(0.99) < P99_NS_MAX
        });
        if !holds {
            break;
        }
        held = rate;
        rate = rate * 5 / 4;
    }
    held
}
