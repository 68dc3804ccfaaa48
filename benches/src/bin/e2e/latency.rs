//! Two systems in turns under the same load, and what their latencies and their CPU come to.

use hdrhistogram::Histogram;
use pinion_benches::hiccups::{latencies, percentile};
use pinion_benches::interval::Interval;
use pinion_benches::machine::load;
use pinion_benches::pairs::Pairs;
use pinion_benches::result::Results;
use pinion_benches::row::{Goal, Row, Shown, Verdict, What};

use crate::load::Block;
use crate::schedule::Pattern;
use crate::system::System;

/// Goals of row 4.
const P50: f64 = 1.05;
const P99: f64 = 1.15;
const CPU: f64 = 1.25;

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) fours: usize,
    pub(crate) block_ns: u64,
}

/// Four blocks, of each system two.
struct Four {
    a: [Block; 2],
    b: [Block; 2],
}

/// The ratio of a merged percentile over some fours.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of seconds")]
fn ratio_at(fours: &[&Four], quantile: f64) -> f64 {
    let merged = |blocks: fn(&Four) -> &[Block; 2]| {
        let mut all = latencies();
        for block in fours.iter().flat_map(|four| blocks(four)) {
            // Both have the same bounds.
            let _ = all.add(&block.latency);
        }
        all.value_at_quantile(quantile) as f64
    };
    merged(|four| &four.a) / merged(|four| &four.b).max(1.0)
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of seconds")]
fn cpu_ratio(fours: &[&Four]) -> f64 {
    let used = |blocks: fn(&Four) -> &[Block; 2]| {
        fours.iter().flat_map(|four| blocks(four)).map(|block| block.cpu_ns).sum::<u64>() as f64
    };
    used(|four| &four.a) / used(|four| &four.b).max(1.0)
}

/// Measures one pattern at one rate: three rows.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of seconds")]
pub(crate) fn rows(
    (a, b): (&mut System, &mut System),
    (pattern, rate): (&Pattern, u64),
    plan: Plan,
    goals: bool,
    results: &mut Results,
) {
    let before = load();
    let (mut fours, mut pairs) = (Vec::new(), Pairs { fours: plan.fours, ..Pairs::default() });
    for four in 0..plan.fours {
        let a_first = four % 2 == 0;
        let blocks = [a_first, !a_first, !a_first, a_first].map(|is_a| {
            let system = if is_a { &mut *a } else { &mut *b };
            let block = system.block(pattern, rate, plan.block_ns);
            eprintln!(
                "{:>8} {} {rate}/s: p50 {} p99 {} max {} us{}",
                system.name,
                pattern.name(),
                block.at(0.5) / 1_000,
                block.at(0.99) / 1_000,
                block.at(1.0) / 1_000,
                if block.is_void() { ": dropped" } else { "" }
            );
            block
        });
        if blocks.iter().any(Block::is_void) {
            pairs.dropped += 1;
            continue;
        }
        pairs.operations += blocks.iter().map(|block| block.sent).sum::<u64>();
        pairs.take(a_first, [0, 1, 2, 3].map(|at: usize| blocks[at].at(0.5) as f64));
        let [outer, inner, inner_again, outer_again] = blocks;
        let (a, b) = match a_first {
            true => ([outer, outer_again], [inner, inner_again]),
            false => ([inner, inner_again], [outer, outer_again]),
        };
        fours.push(Four { a, b });
    }
    let name = |what: &str| match pattern {
        Pattern::Recorded(_) => format!("{what}, the spot capture at its own gaps"),
        _ => format!("{what}, {} at {rate}/s", pattern.name()),
    };
    let id = |what: &str| format!("4.{}.{rate}.{what}", pattern.name());
    let goal = |goal: f64| if goals { Goal::RatioAtMost(goal) } else { Goal::None };
    let floor = "a bare librdkafka echo";
    let (p50_id, p50_name) = (id("p50"), name("in to out, p50"));
    let what = What { id: &p50_id, name: &p50_name, unit: "ns", floor, shown: Shown::Cost };
    let p50 = Row::of_pairs(what, goal(P50), &pairs, before);
    let all = |blocks: fn(&Four) -> &[Block; 2]| {
        let mut all = latencies();
        fours.iter().flat_map(blocks).for_each(|block| _ = all.add(&block.latency));
        all
    };
    let (of_a, of_b) = (all(|four| &four.a), all(|four| &four.b));
    let tail = |histogram: &Histogram<u64>| {
        let at = |quantile| percentile(histogram, quantile).map_or("-".to_owned(), |ns| format!("{}", ns / 1_000));
        format!("p99 {} p99.9 {} max {} us", at(0.99), at(0.999), histogram.max() / 1_000)
    };
    let inconclusive = p50.verdict == Verdict::Inconclusive && pairs.inconclusive().is_some();
    results.push(p50.noting(&format!("{}; {}: {}; {}: {}", of_a.len(), a.name, tail(&of_a), b.name, tail(&of_b))));

    let mut push = |what: What<'_>, limit: f64, value: f64, beside: f64, ratio: Interval| {
        let row = Row::of_interval(what, goal(limit), ratio, before);
        let verdict = if goals && inconclusive { Verdict::Inconclusive } else { row.verdict };
        results.push(Row {
            value,
            floor: Some(beside),
            floor_is: Some(floor.to_owned()),
            ratio: Some(ratio.median),
            verdict,
            pairs: pairs.ratios.len(),
            dropped: pairs.dropped,
            operations: pairs.operations,
            ..row
        });
    };
    if let (Some(of_a), Some(of_b)) = (percentile(&of_a, 0.99), percentile(&of_b, 0.99))
        && let Some(ratio) = Interval::resampled(&fours, |fours| ratio_at(fours, 0.99))
    {
        let (id, name) = (id("p99"), name("in to out, p99"));
        let what = What { id: &id, name: &name, unit: "ns", floor, shown: Shown::Cost };
        push(what, P99, of_a as f64, of_b as f64, ratio);
    }
    if let Some(ratio) = Interval::resampled(&fours, cpu_ratio) {
        let (id, name) = (id("cpu"), name("CPU a record"));
        let what = What { id: &id, name: &name, unit: "ns", floor, shown: Shown::Cost };
        let each = |blocks: fn(&Four) -> &[Block; 2]| {
            let blocks: Vec<&Block> = fours.iter().flat_map(blocks).collect();
            let sent = blocks.iter().map(|block| block.sent).sum::<u64>().max(1);
            blocks.iter().map(|block| block.cpu_ns).sum::<u64>() as f64 / sent as f64
        };
        push(what, CPU, each(|four| &four.a), each(|four| &four.b), ratio);
    }
}

/// The highest rate at which a system answers everything with a p99 under 20 ms: the last that held of rates a quarter apart.
pub(crate) fn highest_rate(system: &mut System, from: u64) -> u64 {
    const P99_NS_MAX: u64 = 20_000_000;
    const BLOCK_NS: u64 = 3_000_000_000;
    let mut held = from;
    let mut rate = from;
    while rate < 1_000_000 {
        // A block that the machine spoilt has another chance.
        let holds = (0..2).any(|_| {
            let block = system.block(&Pattern::Fixed, rate, BLOCK_NS);
            let p99 = block.at(0.99);
            eprintln!(
                "{:>8} at {rate}/s: p99 {} us{}",
                system.name,
                p99 / 1_000,
                if block.is_answered() { "" } else { ", not all" }
            );
            block.is_answered() && p99 < P99_NS_MAX
        });
        if !holds {
            break;
        }
        held = rate;
        rate = rate * 5 / 4;
    }
    held
}
