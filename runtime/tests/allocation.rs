//! A warm callback allocates nothing, in either lane, whatever it asks of the host.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "nothing here is shipped")]

mod counting;
mod fixture;

use std::sync::Arc;

use counting::allocations;
use fixture::{component, example};
use pinion_runtime::event::{Head, Quote};
use pinion_runtime::sandbox::compile::Compiler;
use pinion_runtime::sandbox::{Call, Host, HostConfig, Lane, Sandbox, SandboxConfig};

/// Asks for something of every kind except `instrument`, which hands out a string of its own in the component lane.
const BUSY: &str = r#"
    (drop (call $submit (local.get 0) (i32.const 0) (i32.const 0) (i32.const 1) (local.get 8) (i64.const 1) (call $now)))
    (call $position (local.get 0) (i32.const 64))
    (call $book-level (local.get 0) (i32.const 1) (i32.const 0) (i32.const 128))
    (call $metric-set (i32.const 512) (i32.const 4) (f64.const 1.5))
    (call $log (i32.const 1) (i32.const 512) (i32.const 4)))"#;

const IMPORTS: &str = r#"(module
  (import "pinion:strategy/host@0.1.0" "submit" (func $submit (param i64 i32 i32 i32 i64 i64 i64) (result i64)))
  (import "pinion:strategy/host@0.1.0" "now" (func $now (result i64)))
  (import "pinion:strategy/host@0.1.0" "position" (func $position (param i64 i32)))
  (import "pinion:strategy/host@0.1.0" "book-level" (func $book-level (param i64 i32 i32 i32)))
  (import "pinion:strategy/host@0.1.0" "metric-set" (func $metric-set (param i32 i32 f64)))
  (import "pinion:strategy/host@0.1.0" "log" (func $log (param i32 i32 i32)))"#;

#[test]
fn a_warm_callback_allocates_nothing() {
    let busy = component(&example("    unreachable)", BUSY).replacen("(module", IMPORTS, 1));
    let cache = std::env::temp_dir().join(format!("pinion-allocation-{}", std::process::id()));
    let config = SandboxConfig { cache: cache.clone(), compiler: Compiler::Here, instances: 4, kept: None };
    let sandbox = Sandbox::new(config).unwrap();
    let head = Head { instrument_id: 7, publisher_id: 3, flags: 128, ts_event: 40, ts_recv: 41, sequence: 99 };
    let quote = Quote { bid_price: 10, bid_size: 1, ask_price: 11, ask_size: 2, bid_count: 3, ask_count: 4 };
    for lane in [Lane::Direct, Lane::Component] {
        let host =
            Host::new(HostConfig { instruments: Arc::default(), intents_per_call: 4, log_bytes_per_second: 1 << 20 });
        let mut guest = sandbox.load_for(&busy, lane).unwrap().instantiate(host, &Default::default()).unwrap();
        guest.init(&[]).unwrap();
        let mut orders = 0;
        let mut lines = 0;
        let mut calls = |count: u64| {
            for now in 0..count {
                guest.host().now = now * 1_000_000;
                guest.host().record_orders = 0;
                guest.call(&Call::Quote(head, quote)).unwrap();
                orders += guest.host().effects.drain().count();
                guest.host().log.drain(|_| lines += 1);
            }
        };
        calls(100);
        let before = allocations();
        calls(10_000);
        assert_eq!(allocations() - before, 0, "{lane:?}");
        assert_eq!((orders, lines), (10_100, 10_100), "{lane:?}: it did what it was counted for");
    }
    std::fs::remove_dir_all(cache).unwrap();
}
