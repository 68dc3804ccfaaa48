//! Row 8: what an instance that waits takes of memory, and how long a new one takes.

use pinion_benches::hiccups::{latencies, percentile};
use pinion_benches::machine::{load, resident_bytes};
use pinion_benches::result::Results;
use pinion_benches::row::{Goal, Row, Shown, What};
use pinion_runtime::clock::mono_ns;
use pinion_runtime::sandbox::{Compiler, Sandbox, SandboxConfig};
use pinion_tests::captures::SPOT;
use pinion_tests::rig;

use crate::bench::Bench;

/// Idle instances a GiB.
const PER_GIB: f64 = 1_000.0;
/// A new instance, median, ns.
const INSTANTIATE_NS: f64 = 60_000.0;
/// Instances that are made at a time, and how often.
const INSTANCES: u32 = 500;
const ROUNDS: usize = 9;

#[expect(clippy::cast_precision_loss, reason = "bytes and nanoseconds")]
pub(crate) fn rows(bench: &mut Bench, results: &mut Results) -> Result<(), String> {
    let strategy = rig::example("ema-cross", &SPOT);
    let (before, mut took, mut per_gib) = (load(), latencies(), Vec::new());
    let mut medians = Vec::new();
    for _ in 0..ROUNDS {
        // A sandbox of its own: a second round would find the memory of the first one's slots still there.
        let mut config = SandboxConfig::new(bench.cache().to_owned(), Compiler::Here);
        config.instances = INSTANCES;
        let sandbox = Sandbox::new(config).map_err(|error| error.to_string())?;
        let module = bench.module_in(&sandbox, "strategies-examples", "ema-cross")?;
        let mut of_round = latencies();
        let mut guests = Vec::with_capacity(INSTANCES as usize);
        let empty = resident_bytes("self");
        for _ in 0..INSTANCES {
            let host = rig::host_of(&strategy);
            let began = mono_ns();
            let guest = module.instantiate(host, &strategy.spec.budget).map_err(|fault| fault.to_string())?;
            let ns = mono_ns() - began;
            took.saturating_record(ns);
            of_round.saturating_record(ns);
            guests.push(rig::ready(guest, &strategy));
        }
        let each = (resident_bytes("self").saturating_sub(empty)) as f64 / f64::from(INSTANCES);
        per_gib.push(f64::from(1 << 30) / each.max(1.0));
        medians.push(of_round.value_at_quantile(0.5) as f64);
    }
    let what = What { id: "8.memory", name: "idle instances", unit: "per GiB", floor: "", shown: Shown::Cost };
    results.push(Row::of_figures(what, Goal::AtLeast(PER_GIB), &per_gib, before));
    let what = What { id: "8.time", name: "a new instance, p50", unit: "ns", ..what };
    let tail = percentile(&took, 0.99).map_or_else(String::new, |ns| format!("p99 {ns} ns over {}", took.len()));
    results.push(Row::of_figures(what, Goal::AtMost(INSTANTIATE_NS), &medians, before).noting(&tail));
    Ok(())
}
