//! One strategy, three ways to run it: the direct lane, the component lane, and the same source compiled natively.

use std::fmt::Write as _;

use pinion_runtime::sandbox::{Compiler, FaultKind, Guest, Lane, Sandbox, SandboxConfig};
use pinion_spec::strategy::Strategy;
use pinion_tests::captures::{Capture, SPOT, USDM};
use pinion_tests::native::Native;
use pinion_tests::rig::{Rig, example, host_of, module, ready};
use pinion_tests::stream;
use sha2::{Digest as _, Sha256};

fn order_stream(strategy: &Strategy, capture: &Capture, guest: Box<dyn Guest>) -> Option<(u64, Vec<u8>)> {
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

fn hash(stream: &[u8]) -> String {
    Sha256::digest(stream).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn the_three_agree(name: &str, capture: &Capture, native: fn(&Strategy) -> Box<dyn Guest>) {
    let strategy = example(name, capture);
    let cache = std::env::temp_dir().join(format!("pinion-lanes-{}", std::process::id()));
    let sandbox = Sandbox::new(SandboxConfig::new(cache, Compiler::Here)).unwrap();
    let bytes = module(name);
    let lane = |lane: Lane| {
        let module = sandbox.load_for(&bytes, lane).unwrap();
        module.instantiate(host_of(&strategy), &strategy.spec.budget).unwrap()
    };
    let Some((orders, direct)) = order_stream(&strategy, capture, lane(Lane::Direct)) else { return };
    let (_, component) = order_stream(&strategy, capture, lane(Lane::Component)).unwrap();
    let (_, native) = order_stream(&strategy, capture, native(&strategy)).unwrap();
    println!("{name} over {}: {orders} orders, sha256 {}", capture.file, hash(&direct));
    assert!(orders > 20, "{orders} orders show little");
    assert_eq!(hash(&direct), hash(&component), "direct and component lane differ");
    assert_eq!(hash(&direct), hash(&native), "sandboxed and native differ");
}

#[test]
fn ema_cross_decides_the_same_in_both_lanes_and_natively() {
    for capture in [&SPOT, &USDM] {
        the_three_agree("ema-cross", capture, |s| Box::new(Native::<example_ema_cross::EmaCross>::new(host_of(s))));
    }
}

#[test]
fn book_imbalance_decides_the_same_in_both_lanes_and_natively() {
    for capture in [&SPOT, &USDM] {
        let native = |s: &Strategy| -> Box<dyn Guest> {
            Box::new(Native::<example_book_imbalance::BookImbalance>::new(host_of(s)))
        };
        the_three_agree("book-imbalance", capture, native);
    }
}
