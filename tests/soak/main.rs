//! A module is swapped ten thousand times while events flow.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here is a test that fails")]

use std::collections::HashSet;
use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_runtime::event::Event;
use pinion_runtime::instance::Notice;
use pinion_runtime::sandbox::{Compiler, FaultKind, Sandbox, SandboxConfig};
use pinion_runtime::worker::Command;
use pinion_tests::bounds;
use pinion_tests::captures::SPOT;
use pinion_tests::rig::{Loaded, Rig, example, host_of, module, ready};
use pinion_tests::stream;

const SWAPS: usize = 10_000;
/// Swaps that may wait for the worker: each holds an instance of the pool.
const IN_FLIGHT: usize = 16;
/// Events whose wait behind a swap is measured.
const GAPS: usize = 500;
/// The median of these waits, on a machine that does something else besides.
const GAP_MAX: Duration = Duration::from_millis(5);

/// Resident memory of this process, bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn ids(stream: &[u8]) -> Vec<String> {
    let lines = std::str::from_utf8(stream).unwrap().lines();
    lines
        .map(|line| {
            let order: serde_json::Value = serde_json::from_str(line).unwrap();
            order["client_order_id"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn ten_thousand_swaps_lose_no_event_double_none_and_keep_memory_flat() {
    let mut strategy = example("record-only", &SPOT);
    strategy.spec.params.insert("every".to_owned(), "10".to_owned());
    let Some(capture) = SPOT.path() else { return };
    let mut records: Vec<Vec<Event>> = Vec::new();
    stream::decoded(&capture, &strategy, |record| records.push(record.to_vec()));
    let cache = std::env::temp_dir().join(format!("pinion-swaps-{}", std::process::id()));
    let sandbox = Sandbox::new(SandboxConfig::new(cache, Compiler::Here)).unwrap();
    let module = sandbox.load(&module("record-only")).unwrap();
    let guest = || ready(module.instantiate(host_of(&strategy), &strategy.spec.budget).unwrap(), &strategy);
    let start = || {
        let mut rig = Rig::start(strategy.spec.inputs[0].resync, || {});
        let loaded = rig.load(&strategy, guest());
        (rig, loaded)
    };

    let (mut rig, _) = start();
    records.iter().for_each(|record| rig.push(record));
    rig.settle();
    let unbroken = ids(&rig.finish());

    let (mut rig, loaded) = start();
    let Loaded { id, route, metrics } = loaded;
    let (answer, answers) = crossbeam_channel::unbounded();
    let every = records.len() / SWAPS;
    let mut swaps = 0;
    let mut resident_early = 0;
    for (index, record) in records.iter().enumerate() {
        rig.push(record);
        if index % every == 0 && swaps < SWAPS {
            rig.command(Command::Swap { id, ready: guest(), route: route.clone(), answer: answer.clone() });
            swaps += 1;
            if swaps % IN_FLIGHT == 0 {
                rig.settle();
            }
            // As the supervisor does: what a worker retires is dropped elsewhere.
            while let Ok(notice) = rig.notices.try_recv() {
                assert!(matches!(notice, Notice::Retired { .. } | Notice::Log { .. }));
            }
            if swaps == SWAPS / 10 {
                resident_early = resident();
            }
        }
    }
    rig.settle();
    assert!(answers.try_iter().all(|swapped| swapped == Ok(())));
    let grown = resident().saturating_sub(resident_early);
    for (kind, count) in FaultKind::ALL.iter().zip(&metrics.faults) {
        assert_eq!(count.get(), 0, "{}", kind.label());
    }
    assert_eq!(metrics.swaps.get(), SWAPS as u64);
    assert_eq!(metrics.missed.get(), 0);
    let swapped = ids(&rig.finish());
    println!("{swaps} swaps, {} orders", swapped.len());
    bounds::at_most("10,000 swaps: more resident after the last 9,000", grown >> 10, (16 << 10) - 1, " KiB");
    assert!(unbroken.len() > 1_000);
    assert_eq!(swapped.iter().collect::<HashSet<_>>().len(), swapped.len(), "an order was doubled");
    assert_eq!(swapped, unbroken);

    // What an event waits that comes right behind a swap.
    let (mut rig, Loaded { id, route, .. }) = start();
    let mut gaps: Vec<Duration> = Vec::with_capacity(GAPS);
    for record in &records[..GAPS] {
        let ready = guest();
        rig.settle();
        let begun_ns = mono_ns();
        rig.command(Command::Swap { id, ready, route: route.clone(), answer: answer.clone() });
        rig.push(record);
        rig.settle();
        gaps.push(Duration::from_nanos(mono_ns() - begun_ns));
        while rig.notices.try_recv().is_ok() {}
    }
    gaps.sort();
    bounds::shown("swap gap, an event right behind a swap, p99", format!("{:.2?}", gaps[GAPS * 99 / 100]));
    bounds::takes_less("swap gap, an event right behind a swap, median", gaps[GAPS / 2], GAP_MAX);
}
