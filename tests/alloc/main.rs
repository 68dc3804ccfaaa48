//! The worker's loop allocates nothing per event once it is warm. A binary of its own: it counts allocations.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here is a test that fails")]

#[path = "../../runtime/tests/counting/mod.rs"]
mod counting;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use counting::allocations;
use pinion_runtime::egress::EgressMetrics;
use pinion_runtime::event::{Event, Origin};
use pinion_runtime::metrics::{Metrics, scrape};
use pinion_runtime::sandbox::{Call, Compiler, Fault, Guest, Host, Sandbox, SandboxConfig, Saved, Wants};
use pinion_tests::captures::SPOT;
use pinion_tests::rig::{Rig, example, host_of, module, ready};
use pinion_tests::stream;

/// A guest that notes its thread's allocations at every call, and passes the call on.
struct Counted {
    guest: Box<dyn Guest>,
    seen: Arc<AtomicU64>,
}

impl Guest for Counted {
    fn init(&mut self, params: &[(String, String)]) -> Result<Wants, Fault> {
        self.guest.init(params)
    }

    fn save(&mut self) -> Result<Saved, Fault> {
        self.guest.save()
    }

    fn load(&mut self, saved: &Saved) -> Result<(), Fault> {
        self.guest.load(saved)
    }

    fn call(&mut self, call: &Call) -> Result<(), Fault> {
        self.seen.store(allocations(), Ordering::Release);
        self.guest.call(call)
    }

    fn host(&mut self) -> &mut Host {
        self.guest.host()
    }

    fn memory_bytes(&self) -> usize {
        self.guest.memory_bytes()
    }
}

#[test]
fn a_warm_worker_allocates_nothing_over_a_million_events_and_a_scrape() {
    let strategy = example("book-imbalance", &SPOT);
    let Some(capture) = SPOT.path() else { return };
    let mut records: Vec<Vec<Event>> = Vec::new();
    stream::decoded(&capture, &strategy, |record| records.push(record.to_vec()));
    let events: usize = records.iter().map(Vec::len).sum();

    let cache = std::env::temp_dir().join(format!("pinion-alloc-{}", std::process::id()));
    let sandbox = Sandbox::new(SandboxConfig::new(cache, Compiler::Here)).unwrap();
    let guest = sandbox.load(&module("book-imbalance")).unwrap();
    let guest = guest.instantiate(host_of(&strategy), &strategy.spec.budget).unwrap();
    let seen = Arc::new(AtomicU64::new(0));
    let guest = Box::new(Counted { guest, seen: Arc::clone(&seen) });
    let mut rig = Rig::start(strategy.spec.inputs[0].resync, || {});
    let loaded = rig.load(&strategy, ready(guest, &strategy));

    // The capture again and again, time and sequences going on: as one long stream.
    let span_ns = records.last().unwrap()[0].head.ts_recv - records[0][0].head.ts_recv + 1_000_000;
    let sequence = |event: &Event| event.head.sequence;
    let span_sequence = records.iter().flatten().map(sequence).max().unwrap();
    let mut pass = 0;
    let mut one_pass = |rig: &mut Rig| {
        for record in &records {
            let mut record = record.clone();
            for event in &mut record {
                event.head.ts_recv += pass * span_ns;
                event.head.sequence += pass * span_sequence;
                event.origin = Origin { offset: event.origin.offset + pass * records.len() as u64, ..event.origin };
            }
            rig.push(&record);
        }
        rig.settle();
        pass += 1;
    };
    // Warm: every book level, ring and buffer has its size.
    one_pass(&mut rig);
    let before = seen.load(Ordering::Acquire);

    // Scrapes go on beside it, on another thread.
    let metrics = Arc::new(Metrics::default());
    metrics.add_strategy(Arc::clone(&loaded.metrics));
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let scraping = std::thread::spawn(move || {
        let mut scrapes = 0_u64;
        while !stopped.load(Ordering::Acquire) {
            scrape(&metrics, &EgressMetrics::default());
            scrapes += 1;
        }
        scrapes
    });
    let passes = 1_000_000_usize.div_ceil(events);
    (0..passes).for_each(|_| one_pass(&mut rig));
    stop.store(true, Ordering::Release);
    let scrapes = scraping.join().unwrap();

    let allocated = seen.load(Ordering::Acquire) - before;
    let orders = rig.messages();
    println!("{} events, {orders} orders, {scrapes} scrapes, {allocated} allocations", passes * events);
    assert!(orders > 1_000 && scrapes > 0, "it did what it was counted for");
    assert_eq!(allocated, 0);
    assert_eq!(rig.shard.records.get(), (passes as u64 + 1) * records.len() as u64, "each record counts for its shard");
    assert!(rig.shard.busy_ns.get() > 0);
}
