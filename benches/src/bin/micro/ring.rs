//! Row 3: from the publication of an event in a worker's ring to the order that it causes in the worker's other ring, two threads on two
//! cores, one event at a time; beside the same pipeline with the strategy as native code.

use hdrhistogram::Histogram;
use pinion_benches::hiccups::latencies;
use pinion_benches::machine::{Quiet, load};
use pinion_benches::pairs::sides;
use pinion_benches::pooled::Turns;
use pinion_benches::result::Results;
use pinion_benches::row::{Goal, Row, Shown, What};
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

pub(crate) fn rows(bench: &mut Bench, results: &mut Results) -> Result<(), String> {
    let ordering = Ordering::new(bench, "strategies-examples", "record-only", &[("every", "1"), ("size", "0.001")])?;
    let budget = Budget { call_micros: 1_000_000, ..ordering.strategy.spec.budget.clone() };
    let module = bench.module("strategies-examples", "record-only")?;
    let sandboxed = move |host: Host| module.instantiate(host, &budget).map_err(|fault| fault.to_string());
    let plain = |host: Host| Ok(Box::new(Native::<example_record_only::RecordOnly>::new(host)) as Box<dyn Guest>);
    let ns = u64::try_from(bench.plan.block.as_nanos()).unwrap_or(u64::MAX);
    let before = load();
    let mut turns = Turns::new(bench.plan.fours);
    for four in 0..bench.plan.fours {
        let (quiet, sides) = (Quiet::now(), sides(four));
        let mut blocks = Vec::with_capacity(4);
        for is_a in sides {
            blocks.push(block(&ordering, if is_a { &sandboxed } else { &plain }, ns)?);
        }
        if quiet.held_since() {
            turns.take(sides[0], [0, 1, 2, 3].map(|at: usize| &blocks[at]));
        } else {
            turns.pairs.dropped += 1;
        }
    }
    let pairs = &turns.pairs;
    let floor = "the same pipeline, native strategy";
    let what = What { id: "3.p50", name: "ring to order, p50", unit: "ns", floor, shown: Shown::Cost };
    results.push(Row::of_pairs(what, Goal::None, pairs, before));
    let more: Vec<f64> = pairs.a.iter().zip(&pairs.b).map(|(a, b)| a - b).collect();
    let what = What { id: "3.more", name: "ring to order, p50 over native", unit: "ns", floor: "", shown: Shown::Cost };
    results.push(pairs.judge(Row::of_figures(what, Goal::AtMost(MORE_NS), &more, before)));
    let what = What { id: "3.p99", name: "ring to order, p99", floor, ..what };
    if let Some(row) = turns.row(what, Goal::RatioAtMost(P99), 0.99, before) {
        results.push(row);
    }
    Ok(())
}
