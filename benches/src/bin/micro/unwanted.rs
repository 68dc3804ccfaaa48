//! What an event costs that a strategy does not want: the stream path of a worker (books, clock, instance) over the events of a
//! capture, in memory, for guests that do nothing and differ in what they want.

use std::hint::black_box;
use std::sync::Arc;

use pinion_runtime::app::{Deployment, Shards};
use pinion_runtime::clock::mono_ns;
use pinion_runtime::decode::{self, Record};
use pinion_runtime::event::{Body, Event, Origin, Stamp};
use pinion_runtime::plan;
use pinion_runtime::playback::Playback;
use pinion_runtime::sandbox::{Callbacks, Compiler, Module, Sandbox, SandboxConfig};
use pinion_spec::strategy::Strategy;
use pinion_tests::captures::{self, USDM};
use pinion_tests::rig;

use crate::pairs::{Figure, Goal};

/// A guest that does nothing: the misbehaving example `spin` without its loop.
const GUEST: &str = include_str!("../../../../strategies-examples/misbehaving/spin.wat");
/// Unwanted kinds may cost no more than this against a strategy that wants nothing at all.
const NOTHING: f64 = 1.05;

/// Passes over the events, of which the lowest counts.
const PASSES: usize = 5;

struct Bench {
    strategy: Strategy,
    /// Trades and depth updates, a record each.
    unwanted: Vec<Vec<Event>>,
    /// The whole capture.
    all: Vec<Vec<Event>>,
}

fn module(sandbox: &Sandbox, wants: Callbacks) -> Option<Module> {
    let idle = GUEST.replace("(br $forever)", "");
    let idle = idle.replace(
        "(i32.store16 (i32.const 20) (i32.const 1))",
        &format!("(i32.store16 (i32.const 20) (i32.const {}))", wants.0),
    );
    let component = pinion_cli::build::component_of_wat(std::path::Path::new("idle.wat"), &idle).ok()?;
    sandbox.load(&component).ok()
}

/// A worker with a strategy of this module; without one the floor: the same path and nobody to call.
fn playback(strategy: &Strategy, module: Option<&Module>) -> Option<Playback> {
    let Some(module) = module else {
        let mut playback = Playback::by_hand();
        playback.open_feed(plan::feeds(&[strategy]).ok()?.pop()?, plan::instruments(strategy).ok()?);
        return Some(playback);
    };
    let deployment = Deployment { strategy: strategy.clone(), module: module.clone(), shards: Shards::All };
    Playback::new(vec![deployment], |_| 1).ok()
}

fn decoded(strategy: &Strategy) -> Option<Vec<Vec<Event>>> {
    let playback = playback(strategy, None)?;
    let mut decoder = playback.feeds().first()?.decoder(0)?.ok()?;
    let mut records = Vec::new();
    for (offset, frame) in (0..).zip(captures::frames(&USDM.path()?)) {
        let mut events = Vec::new();
        let record = Record { value: &frame.value, key: None, ts_recv: frame.ts_recv };
        if decoder.decode(&record, &mut events).is_ok() && !events.is_empty() {
            decode::stamp(&mut events, Origin { topic: 0, partition: 0, offset }, Stamp::default());
            records.push(events);
        }
    }
    Some(records)
}

/// ns an event over records, by a worker of its own each time: the lowest of [`PASSES`], because what else runs only adds.
fn ns_an_event(strategy: &Strategy, module: Option<&Module>, records: &[Vec<Event>]) -> f64 {
    (0..PASSES).map(|_| pass(strategy, module, records)).fold(f64::INFINITY, f64::min)
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of seconds")]
fn pass(strategy: &Strategy, module: Option<&Module>, records: &[Vec<Event>]) -> f64 {
    // One that cannot be made misses every goal.
    let Some(mut playback) = playback(strategy, module) else { return f64::INFINITY };
    let events: usize = records.iter().map(Vec::len).sum();
    let began_ns = mono_ns();
    for record in records {
        playback.present(0, record, |event, _| {
            black_box(event);
        });
    }
    (mono_ns() - began_ns) as f64 / events.max(1) as f64
}

/// The figures; `None` without the capture.
pub(crate) fn figures(turns: usize) -> Option<Vec<Figure>> {
    let strategy = rig::example("ema-cross", &USDM);
    let all = decoded(&strategy)?;
    let is_quote = |record: &&Vec<Event>| record.first().is_some_and(|event| matches!(event.body, Body::Quote(_)));
    let unwanted: Vec<Vec<Event>> = all.iter().filter(|record| !is_quote(record)).cloned().collect();
    let bench = Bench { strategy, unwanted, all };
    let cache = std::env::temp_dir().join(format!("pinion-bench-modules-{}", std::process::id()));
    let sandbox = Arc::new(Sandbox::new(SandboxConfig::new(cache.clone(), Compiler::Here)).ok()?);
    let kinds = [Callbacks::QUOTE, Callbacks::TRADE, Callbacks::BOOK_DELTA, Callbacks::BOOK];
    let every = Callbacks(kinds.iter().fold(0, |all, kind| all | kind.0));
    let [none, quotes, every] = [Callbacks(0), Callbacks::QUOTE, every].map(|wants| module(&sandbox, wants));
    let _ = std::fs::remove_dir_all(&cache);
    let (none, quotes, every) = (none?, quotes?, every?);
    let over = |module: Option<&Module>, records: &[Vec<Event>]| ns_an_event(&bench.strategy, module, records);
    let figure = |what: &str, floor, goal, measured: &dyn Fn() -> f64, beside: &dyn Fn() -> f64| {
        Figure::measure((what, "ns an event"), floor, goal, turns, measured, beside)
    };
    Some(vec![
        figure(
            "trades and depth, strategy wants quotes only",
            "the same events, a strategy that wants nothing",
            Goal::RatioAtMost(NOTHING),
            &|| over(Some(&quotes), &bench.unwanted),
            &|| over(Some(&none), &bench.unwanted),
        ),
        figure(
            "trades and depth, strategy wants quotes only, over the floor loop",
            "the same events through the worker's path, no strategy",
            Goal::None,
            &|| over(Some(&quotes), &bench.unwanted),
            &|| over(None, &bench.unwanted),
        ),
        figure(
            "trades and depth, all of them wanted and delivered",
            "the same events, a strategy that wants quotes only",
            Goal::None,
            &|| over(Some(&every), &bench.unwanted),
            &|| over(Some(&quotes), &bench.unwanted),
        ),
        figure(
            "the whole capture, strategy wants quotes only",
            "the same, all of it wanted and delivered",
            Goal::None,
            &|| over(Some(&quotes), &bench.all),
            &|| over(Some(&every), &bench.all),
        ),
    ])
}
