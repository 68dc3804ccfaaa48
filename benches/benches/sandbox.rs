//! What a callback costs: a direct-lane `on-quote`, a bare `TypedFunc` of the same signature on an engine of the same
//! configuration, and a component-lane `on-quote`. The guest returns at once, so all of it is the crossing.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "nothing here is shipped")]

use std::path::Path;
use std::sync::Arc;

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, criterion_group, criterion_main};
use pinion_runtime::event::{Head, Quote};
use pinion_runtime::sandbox::artefact::Artefact;
use pinion_runtime::sandbox::compile::Compiler;
use pinion_runtime::sandbox::{Call, Guest, Host, HostConfig, Lane, Sandbox, SandboxConfig, engine};
use wasmtime::{Instance, Module, Store};

/// A guest that does nothing: the misbehaving example `spin` without its loop.
const GUEST: &str = include_str!("../../strategies-examples/misbehaving/spin.wat");

const ON_QUOTE: Call = Call::Quote(
    Head { instrument_id: 7, publisher_id: 3, flags: 128, ts_event: 40, ts_recv: 41, sequence: 99 },
    Quote { bid_price: 10, bid_size: 1, ask_price: 11, ask_size: 2, bid_count: 3, ask_count: 4 },
);

fn host() -> Host {
    Host::new(HostConfig { instruments: Arc::default(), intents_per_call: 16, log_bytes_per_second: 1_024 })
}

fn idle_component() -> Vec<u8> {
    let idle = GUEST.replace("(br $forever)", "");
    assert_ne!(idle, GUEST);
    pinion_cli::build::component_of_wat(Path::new("idle.wat"), &idle).expect("it is a strategy")
}

fn guest(sandbox: &Sandbox, component: &[u8], lane: Lane) -> Box<dyn Guest> {
    let module = sandbox.load_for(component, lane).expect("it loads");
    let mut guest = module.instantiate(host(), &Default::default()).expect("it comes to life");
    guest.init(&[]).expect("it starts");
    // The worker says when a call begins. Here calls begin in the future, so none is ever to blame for what the thread did
    // before: on a busy machine a call that is off the CPU for two ticks would end the run in a fault, and time the fault.
    guest.host().began_ns = u64::MAX;
    guest
}

/// Times a callback, and fails where it faulted: a fault costs something else.
fn time_call(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, guest: &mut dyn Guest) {
    group.bench_function(name, |bencher| {
        bencher.iter(|| guest.call(std::hint::black_box(&ON_QUOTE)).is_ok());
        guest.call(&ON_QUOTE).expect("no call has faulted");
    });
}

fn callbacks(criterion: &mut Criterion) {
    let component = idle_component();
    let cache = std::env::temp_dir().join(format!("pinion-bench-{}", std::process::id()));
    let sandbox = Sandbox::new(SandboxConfig::new(cache.clone(), Compiler::Here)).expect("a sandbox");
    let mut group = criterion.benchmark_group("sandbox");

    let mut direct = guest(&sandbox, &component, Lane::Direct);
    time_call(&mut group, "on-quote, direct lane", direct.as_mut());

    // What wasmtime itself costs: the same code, no budget to set, no effects to commit.
    let artefact = Artefact::inspect(&component).expect("it is a strategy");
    let engine = engine::compiler().expect("an engine");
    let module = Module::new(&engine, artefact.code(Lane::Direct).expect("one core module")).expect("it compiles");
    let mut store = Store::new(&engine, ());
    store.set_epoch_deadline(u64::MAX / 2);
    let instance = Instance::new(&mut store, &module, &[]).expect("no imports");
    type OnQuote = (u64, u32, u32, u64, u64, u64, i64, i64, i64, i64, u32, u32);
    let bare = instance
        .get_typed_func::<OnQuote, ()>(&mut store, "pinion:strategy/handler@0.1.0#on-quote")
        .expect("the callback");
    group.bench_function("on-quote, bare TypedFunc", |bencher| {
        let quote: OnQuote = (7, 3, 128, 40, 41, 99, 10, 1, 11, 2, 3, 4);
        bencher.iter(|| bare.call(&mut store, std::hint::black_box(quote)).is_ok());
    });

    let mut through_component = guest(&sandbox, &component, Lane::Component);
    time_call(&mut group, "on-quote, component lane", through_component.as_mut());

    let module = sandbox.load_for(&component, Lane::Direct).expect("it loads");
    group.bench_function("new instance, direct lane", |bencher| {
        bencher.iter_batched(host, |host| module.instantiate(host, &Default::default()).is_ok(), BatchSize::SmallInput);
    });
    group.finish();
    // The cache was this run's own.
    let _ = std::fs::remove_dir_all(cache);
}

criterion_group!(benches, callbacks);
criterion_main!(benches);
