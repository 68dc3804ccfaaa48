//! The EMA cross in Python and in Rust: one order stream.

use pinion_runtime::sandbox::{FaultKind, Guest, Lane};
use pinion_spec::strategy::Strategy;
use pinion_tests::bounds;
use pinion_tests::captures::{Capture, SPOT, USDM};
use pinion_tests::rig::{Rig, example, host_of, module, ready};
use pinion_tests::stream;

use super::{kept, module_of};
use pinion_runtime::clock::thread_cpu_ns;
use pinion_runtime::sandbox::{Compiler, Sandbox, SandboxConfig};

/// The orders of a guest over a capture, and how many there are.
fn orders(strategy: &Strategy, capture: &Capture, guest: Box<dyn Guest>) -> Option<(u64, Vec<u8>)> {
    let path = capture.path()?;
    let mut rig = Rig::start(strategy.spec.inputs[0].resync, || {});
    let loaded = rig.load(strategy, ready(guest, strategy));
    stream::decoded(&path, strategy, |record| rig.push(record));
    rig.settle();
    let messages = rig.messages();
    for (kind, count) in FaultKind::ALL.iter().zip(&loaded.metrics.faults) {
        assert_eq!(count.get(), 0, "{} fault: the stream says nothing", kind.label());
    }
    Some((messages, rig.finish()))
}

#[test]
fn the_ema_cross_in_python_decides_as_the_one_in_rust_does() {
    let python = module_of("strategies-examples/ema-cross-python");
    let sandbox = Sandbox::new(SandboxConfig::new(kept().join("modules"), Compiler::Here)).unwrap();
    for capture in [&SPOT, &USDM] {
        // One file, so that the ids of orders are those of one strategy.
        let mut strategy = example("ema-cross", capture);
        // What is compared are decisions: a busy machine may take longer for one than production allows.
        strategy.spec.budget.call_micros = 1_000_000;
        let guest = python.instantiate(host_of(&strategy), &strategy.spec.budget).unwrap();
        let Some((count, in_python)) = orders(&strategy, capture, guest) else { return };
        assert!(count > 20, "{count} orders show little");
        for lane in [Lane::Direct, Lane::Component] {
            let rust = sandbox.load_for(&module("ema-cross"), lane).unwrap();
            let guest = rust.instantiate(host_of(&strategy), &strategy.spec.budget).unwrap();
            let (_, in_rust) = orders(&strategy, capture, guest).unwrap();
            assert!(in_python == in_rust, "{}: Python differs from Rust in the {lane:?} lane", capture.file);
        }
        bounds::shown(&format!("orders alike in Python and in Rust over {}", capture.file), count);
    }
}

#[test]
fn what_an_event_costs_in_python_is_shown() {
    use pinion_runtime::event::{Head, Quote};
    use pinion_runtime::sandbox::Call;

    let mut strategy = example("ema-cross", &SPOT);
    // On a busy machine one of so many calls is held up within.
    strategy.spec.budget.call_micros = 1_000_000;
    let module = module_of("strategies-examples/ema-cross-python");
    let mut guest = module.instantiate(host_of(&strategy), &strategy.spec.budget).unwrap();
    let params: Vec<_> = strategy.spec.params.clone().into_iter().collect();
    guest.init(&params).unwrap();
    let head = Head { instrument_id: 1, publisher_id: 1, flags: 128, ts_event: 1, ts_recv: 1, sequence: 1 };
    let quote = Quote { bid_price: 1, bid_size: 1, ask_price: 2, ask_size: 1, bid_count: 0, ask_count: 0 };
    let mut best = u64::MAX;
    for _ in 0..20 {
        let began = thread_cpu_ns();
        for _ in 0..2_000 {
            guest.call(&Call::Quote(head, quote)).unwrap();
        }
        best = best.min((thread_cpu_ns() - began) / 2_000);
    }
    bounds::shown("a quote to a strategy in Python, CPU time", format!("{best} ns"));
    // Ten times what it takes on a quiet machine: it shows that nothing is converted per event, and not how fast the machine is.
    assert!(best < 30_000, "{best} ns");
}
