//! What a running strategy costs in memory.

use pinion_spec::metrics;
use pinion_tests::captures::SPOT;
use pinion_tests::kafka::Broker;
use pinion_tests::programs::Publishing;
use pinion_tests::runtime::Runtime;
use pinion_tests::scratch::Scratch;
use pinion_tests::strategies;

use crate::market::read_to_end;

/// The most that one strategy may take, MiB resident.
const RESIDENT_MIB_MAX: u64 = 128;

/// Five minutes of spot market, 192 messages a second, at this speed are 5,000 a second for some 12 s.
const SPEED: &str = "26";

#[test]
fn one_strategy_at_5_000_messages_a_second_stays_under_128_mib() {
    let (Some(broker), Some(path)) = (Broker::shared(), SPOT.path()) else { return };
    let market = Broker::unique_topic("binance-spot");
    broker.create_topic(&market, 1);
    let strategy = strategies::example_on(broker, "ema-cross", &market);
    let scratch = Scratch::new();
    let file = strategies::write(&scratch, &strategy);
    let mut runtime = Runtime::start_ready(&[&file], &broker.address(), &[]);
    let mut publishing = Publishing::start(&path, &broker.address(), &market, SPEED);
    assert_eq!(publishing.wait(), Some(SPOT.messages));
    read_to_end(&mut runtime, broker, &strategy);
    assert_eq!(runtime.count(&metrics::RECORDS, &[]), SPOT.messages);
    let peak = peak_resident_kib(runtime.id());
    println!("peak resident memory: {} MiB", peak / 1024);
    assert!(peak < RESIDENT_MIB_MAX * 1024, "{peak} KiB resident at most, {RESIDENT_MIB_MAX} MiB allowed");
}

/// The most that was ever resident, as the kernel has counted it.
fn peak_resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the line VmHWM");
    line.trim().strip_suffix(" kB").and_then(|kib| kib.parse().ok()).expect("a number of kB")
}
