//! Row 14: how the cost of an event grows with the size of its record, with the instruments of a feed and with the strategies on a worker.
//! Every point is of one thread: decode where there is something to decode, books, and a strategy that counts quotes.

use std::sync::Arc;

use pinion_benches::machine::load;
use pinion_benches::pairs::Took;
use pinion_benches::result::Results;
use pinion_benches::row::{Goal, Row, Shown, What};
use pinion_runtime::clock::mono_ns;
use pinion_runtime::decode::{self, Decoder, Record};
use pinion_runtime::event::{Event, Origin, Stamp};
use pinion_runtime::instance::InstanceId;
use pinion_runtime::playback::Playback;
use pinion_runtime::sandbox::{Compiler, Module, Sandbox, SandboxConfig};
use pinion_spec::strategy::{Encoding, Strategy};
use pinion_tests::captures::{SPOT, USDM};
use pinion_tests::rig;

use crate::bench::{Bench, playback, quote};

/// Blocks of each point.
const BLOCKS: usize = 9;
/// Levels of a depth update; with its head that is 0.2 to 16 KiB.
const LEVELS: [usize; 6] = [2, 8, 32, 128, 256, 620];
const INSTRUMENTS: [u64; 5] = [1, 10, 100, 1_000, 10_000];
const STRATEGIES: [u32; 4] = [1, 10, 100, 1_000];

/// A point: how long each of some blocks took.
fn point(id: &str, name: &str, unit: &str, results: &mut Results, took: &mut dyn FnMut() -> Took) {
    let before = load();
    took();
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of seconds")]
    let figures: Vec<f64> = (0..BLOCKS)
        .map(|_| {
            let Took { operations, ns } = took();
            ns as f64 / operations.max(1) as f64
        })
        .collect();
    let what = What { id, name, unit, floor: "", shown: Shown::Cost };
    results.push(Row::of_figures(what, Goal::None, &figures, before));
}

/// A depth update of so many levels, whose prices move with `n`.
fn depth(levels: usize, n: u64) -> String {
    let side = |best: u64| {
        let level = |at: usize| {
            format!(r#"["{}.{}0","{}.{:03}"]"#, best + at as u64, at % 10, (n + at as u64) % 7 + 1, at % 1_000)
        };
        (0..levels / 2).map(level).collect::<Vec<_>>().join(",")
    };
    format!(
        r#"{{"stream":"btcusdt@depth@0ms","data":{{"e":"depthUpdate","E":1700000000125,"T":1700000000123,"s":"BTCUSDT","U":{0},"u":{0},"pu":{1},"b":[{2}],"a":[{3}]}}}}"#,
        n + 1,
        n,
        side(59_000),
        side(61_000)
    )
}

fn counting(name: &str) -> Strategy {
    let mut strategy = rig::example("identity", &SPOT);
    name.clone_into(&mut strategy.metadata.name);
    strategy.spec.budget.call_micros = 1_000_000;
    strategy
}

fn sizes(module: &Module, results: &mut Results) -> Result<(), String> {
    let mut strategy = counting("sizes");
    strategy.spec.inputs = rig::example("identity", &USDM).spec.inputs;
    strategy.spec.inputs[0].encoding = Encoding::BinanceUsdm;
    strategy.spec.inputs[0].publisher = None;
    for levels in LEVELS {
        let messages: Vec<String> = (0..2_000_000 / (levels as u64 * 30 + 200)).map(|n| depth(levels, n)).collect();
        let bytes = messages.first().map_or(0, String::len);
        let make = |host| module.instantiate(host, &strategy.spec.budget).map_err(|fault| fault.to_string());
        let mut took = || {
            let Ok(mut playback) = playback(&strategy, Some(&make)) else { unreachable!("it is the example's file") };
            let Ok(mut decoder) = Decoder::new(Encoding::BinanceUsdm, "binance-usdm", &[]) else {
                unreachable!("no instrument, no quarrel")
            };
            let mut events = Vec::with_capacity(1_024);
            let began = mono_ns();
            for (offset, message) in (0..).zip(&messages) {
                events.clear();
                let ts_recv = 1_700_000_000_000_000_000 + offset * 1_000;
                let record = Record { value: message.as_bytes(), key: None, ts_recv };
                if decoder.decode(&record, &mut events).is_ok() {
                    decode::stamp(&mut events, Origin { topic: 0, partition: 0, offset }, Stamp::default());
                    playback.present(0, &events, |_, _| ());
                }
            }
            Took { operations: messages.len() as u64, ns: mono_ns() - began }
        };
        let (id, name) = (format!("14.size.{bytes}"), format!("a depth update of {levels} levels, {bytes} B"));
        point(&id, &name, "ns/record", results, &mut took);
    }
    Ok(())
}

fn present(playback: &mut Playback, events: &[Event]) -> u64 {
    let began = mono_ns();
    for event in events {
        playback.present(0, std::slice::from_ref(event), |_, _| ());
    }
    mono_ns() - began
}

fn instruments(module: &Module, results: &mut Results) -> Result<(), String> {
    let strategy = counting("instruments");
    let make = |host| module.instantiate(host, &strategy.spec.budget).map_err(|fault| fault.to_string());
    for count in INSTRUMENTS {
        let mut playback = playback(&strategy, Some(&make))?;
        let mut next = 0_u64;
        let mut took = || {
            // In no order that a cache could guess, and each as often as the others.
            let events: Vec<Event> =
                (next..next + 100_000).map(|n| quote(1 + n.wrapping_mul(0x9e37_79b9) % count, n + 1)).collect();
            next += 100_000;
            Took { operations: events.len() as u64, ns: present(&mut playback, &events) }
        };
        let (id, name) = (format!("14.instruments.{count}"), format!("a quote, {count} instruments"));
        point(&id, &name, "ns/event", results, &mut took);
    }
    Ok(())
}

fn strategies(module: &Module, results: &mut Results) -> Result<(), String> {
    let strategy = counting("strategies");
    for count in STRATEGIES {
        let mut playback = playback(&strategy, None)?;
        for n in 0..count {
            let guest = module.instantiate(rig::host_of(&strategy), &strategy.spec.budget);
            let ready = rig::ready(guest.map_err(|fault| fault.to_string())?, &strategy);
            let (instance, _) = rig::instance(&strategy, ready, InstanceId(n), Arc::default());
            playback.add_instance(0, instance);
        }
        let mut next = 0_u64;
        let mut took = || {
            let events: Vec<Event> = (next..next + 100_000 / u64::from(count)).map(|n| quote(7, n + 1)).collect();
            next += events.len() as u64;
            let ns = present(&mut playback, &events);
            Took { operations: events.len() as u64 * u64::from(count), ns }
        };
        let (id, name) = (format!("14.strategies.{count}"), format!("a quote and a strategy, {count} on the worker"));
        point(&id, &name, "ns/call", results, &mut took);
    }
    Ok(())
}

pub(crate) fn rows(bench: &mut Bench, results: &mut Results) -> Result<(), String> {
    let mut config = SandboxConfig::new(bench.cache().to_owned(), Compiler::Here);
    config.instances = STRATEGIES[STRATEGIES.len() - 1] + 1;
    let sandbox = Sandbox::new(config).map_err(|error| error.to_string())?;
    let module = bench.module_in(&sandbox, "strategies-examples", "identity")?;
    sizes(&module, results)?;
    instruments(&module, results)?;
    strategies(&module, results)
}
