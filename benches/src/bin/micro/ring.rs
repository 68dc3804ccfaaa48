//! Row 3: from the publication of an event in a worker's ring to the order that it causes in the worker's other ring, two threads on two
//! cores, one event at a time; beside the same pipeline with the strategy as native code.

use hdrhistogram::Histogram;
use pinion_benches::hiccups::{latencies, percentile};
use pinion_benches::interval::Interval;
use pinion_benches::machine::{Quiet, load};
use pinion_benches::pairs::Pairs;
use pinion_benches::result::Results;
use pinion_benches::row::{Goal, Row, Shown, Verdict, What};
use pinion_runtime::clock::mono_ns;
use pinion_runtime::sandbox::{Guest, Host};
use pinion_spec::strategy::Budget;
use pinion_tests::native::Native;
use pinion_tests::rig;

use crate::bench::{Bench, MakeGuest};
use crate::worker::Ordering;

/// p50 over that of native code, ns.
const MORE_NS: f64 = 80.0;
/// p99 over that of native code.
const P99: f64 = 1.5;
/// Between two events: the worker has nothing to do meanwhile, and says so to nobody.
const GAP_NS: u64 = 2_000;
/// Before those that count.
const WARM: u64 = 2_000;

/// So many events through a worker of its own.
fn block(ordering: &Ordering, guest: MakeGuest<'_>, ns: u64) -> Result<Histogram<u64>, String> {
    let (mut rig, strategy) = (ordering.rig(), &ordering.strategy);
    rig.load(strategy, rig::ready(guest(rig::host_of(strategy))?, strategy));
    rig.settle();
    let (mut latency, mut until, mut sequence) = (latencies(), 0, 0);
    while sequence <= WARM || mono_ns() < until {
        sequence += 1;
        let took = rig.decide(&ordering.quote(sequence));
        if sequence > WARM {
            latency.saturating_record(took);
        } else {
            until = mono_ns() + ns;
        }
        let next = mono_ns() + GAP_NS;
        while mono_ns() < next {
            std::hint::spin_loop();
        }
    }
    let _ = rig.finish();
    Ok(latency)
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of seconds")]
pub(crate) fn rows(bench: &mut Bench, results: &mut Results) -> Result<(), String> {
    let ordering = Ordering::new(bench, "strategies-examples", "record-only", &[("every", "1"), ("size", "0.001")])?;
    let budget = Budget { call_micros: 1_000_000, ..ordering.strategy.spec.budget.clone() };
    let module = bench.module("strategies-examples", "record-only")?;
    let sandboxed = move |host: Host| module.instantiate(host, &budget).map_err(|fault| fault.to_string());
    let plain = |host: Host| Ok(Box::new(Native::<example_record_only::RecordOnly>::new(host)) as Box<dyn Guest>);
    let ns = u64::try_from(bench.plan.block.as_nanos()).unwrap_or(u64::MAX);
    let before = load();
    let (mut pairs, mut fours) = (Pairs { fours: bench.plan.fours, ..Pairs::default() }, Vec::new());
    for four in 0..bench.plan.fours {
        let (quiet, a_first) = (Quiet::now(), four % 2 == 0);
        let mut blocks = Vec::with_capacity(4);
        for is_a in [a_first, !a_first, !a_first, a_first] {
            blocks.push(block(&ordering, if is_a { &sandboxed } else { &plain }, ns)?);
        }
        if !quiet.held_since() {
            pairs.dropped += 1;
            continue;
        }
        pairs.operations += blocks.iter().map(Histogram::len).sum::<u64>();
        pairs.take(a_first, [0, 1, 2, 3].map(|at: usize| blocks[at].value_at_quantile(0.5) as f64));
        let (outer, inner) = ([0, 3], [1, 2]);
        let merged = |of: [usize; 2]| {
            let mut all = blocks[of[0]].clone();
            let _ = all.add(&blocks[of[1]]);
            all
        };
        fours.push(if a_first { (merged(outer), merged(inner)) } else { (merged(inner), merged(outer)) });
    }
    let floor = "the same pipeline, native strategy";
    let what = What { id: "3.p50", name: "ring to order, p50", unit: "ns", floor, shown: Shown::Cost };
    results.push(Row::of_pairs(what, Goal::None, &pairs, before));
    let more: Vec<f64> = pairs.a.iter().zip(&pairs.b).map(|(a, b)| a - b).collect();
    let what = What { id: "3.more", name: "ring to order, p50 over native", unit: "ns", floor: "", shown: Shown::Cost };
    let strays = pairs.inconclusive();
    let judged = |mut row: Row| {
        if let Some(why) = &strays {
            row.verdict = Verdict::Inconclusive;
            row = row.noting(why);
        }
        row
    };
    results.push(judged(Row::of_figures(what, Goal::AtMost(MORE_NS), &more, before)));

    let at = |fours: &[&(Histogram<u64>, Histogram<u64>)], quantile: f64| {
        let (mut a, mut b) = (latencies(), latencies());
        for (of_a, of_b) in fours {
            let _ = a.add(of_a);
            let _ = b.add(of_b);
        }
        (percentile(&a, quantile), percentile(&b, quantile))
    };
    let ratio = |fours: &[&(Histogram<u64>, Histogram<u64>)]| match at(fours, 0.99) {
        (Some(a), Some(b)) => a as f64 / b.max(1) as f64,
        _ => f64::NAN,
    };
    if let Some(ratio) = Interval::resampled(&fours, ratio)
        && let (Some(a), Some(b)) = at(&fours.iter().collect::<Vec<_>>(), 0.99)
    {
        let what = What { id: "3.p99", name: "ring to order, p99", ..what };
        let row = Row::of_interval(What { unit: "ns", ..what }, Goal::RatioAtMost(P99), ratio, before);
        results.push(judged(Row {
            value: a as f64,
            floor: Some(b as f64),
            floor_is: Some(floor.to_owned()),
            ratio: Some(ratio.median),
            operations: pairs.operations,
            ..row
        }));
    }
    Ok(())
}
