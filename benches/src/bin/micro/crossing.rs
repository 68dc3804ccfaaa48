//! Row 1: what a callback costs beyond a bare call of the same kind: `on-quote`, a record of 12 scalars, in both lanes, epoch interruption
//! on. The guest returns at once, so all of it is the crossing.

use std::hint::black_box;
use std::process::{Command, Stdio};

use clap::ValueEnum;
use pinion_benches::cases::sandbox::{ON_QUOTE, guest, idle_component};
use pinion_benches::machine::load;
use pinion_benches::pairs::{Pairs, Took};
use pinion_benches::result::Results;
use pinion_benches::row::{Goal, Row, Shown, What};
use pinion_runtime::clock::mono_ns;
use pinion_runtime::sandbox::artefact::Artefact;
use pinion_runtime::sandbox::{Callbacks, Lane, engine};
use wasmtime::component::{Component, ComponentType, Lift, Lower};
use wasmtime::{Instance, Module, Store, component};

use crate::bench::Bench;

/// Calls between two looks at the clock.
const CALLS: u64 = 10_000;
/// Processes that a row is measured in.
const PROCESSES: usize = 12;
/// A call over a bare one of its kind.
const GOAL: f64 = 1.2;
/// What the negative control spins beside each call. A processor does some of it while the call waits for memory; this much must show.
const SPIN_NS: f64 = 50.0;
const SEEN_NS: f64 = 10.0;

const HANDLER: &str = "pinion:strategy/handler@0.1.0";

/// The contract's `quote`, for the bare component call.
#[derive(ComponentType, Lower, Lift, Clone, Copy)]
#[component(record)]
struct BareQuote {
    #[component(name = "instrument-id")]
    instrument_id: u64,
    #[component(name = "publisher-id")]
    publisher_id: u32,
    flags: u32,
    #[component(name = "ts-event")]
    ts_event: u64,
    #[component(name = "ts-recv")]
    ts_recv: u64,
    sequence: u64,
    #[component(name = "bid-price")]
    bid_price: i64,
    #[component(name = "bid-size")]
    bid_size: i64,
    #[component(name = "ask-price")]
    ask_price: i64,
    #[component(name = "ask-size")]
    ask_size: i64,
    #[component(name = "bid-count")]
    bid_count: u32,
    #[component(name = "ask-count")]
    ask_count: u32,
}

const BARE_QUOTE: BareQuote = BareQuote {
    instrument_id: 7,
    publisher_id: 3,
    flags: 128,
    ts_event: 40,
    ts_recv: 41,
    sequence: 99,
    bid_price: 10,
    bid_size: 1,
    ask_price: 11,
    ask_size: 2,
    bid_count: 3,
    ask_count: 4,
};

type OnQuote = (u64, u32, u32, u64, u64, u64, i64, i64, i64, i64, u32, u32);
const FLAT_QUOTE: OnQuote = (7, 3, 128, 40, 41, 99, 10, 1, 11, 2, 3, 4);

fn told(error: impl std::fmt::Display) -> String {
    format!("{error:#}")
}

/// The bare core function of the same code, on an engine of the same configuration: no budget, no effects.
fn bare_direct(component: &[u8]) -> Result<impl FnMut() -> bool + use<>, String> {
    let artefact = Artefact::inspect(component).map_err(told)?;
    let engine = engine::compiler().map_err(told)?;
    let code = artefact.code(Lane::Direct).ok_or("it has one core module")?;
    let module = Module::new(&engine, code).map_err(told)?;
    let mut store = Store::new(&engine, ());
    store.set_epoch_deadline(u64::MAX / 2);
    let instance = Instance::new(&mut store, &module, &[]).map_err(told)?;
    let name = format!("{HANDLER}#on-quote");
    let bare = instance.get_typed_func::<OnQuote, ()>(&mut store, &name).map_err(told)?;
    Ok(move || bare.call(&mut store, black_box(FLAT_QUOTE)).is_ok())
}

/// The same through the component's own glue.
fn bare_component(component: &[u8]) -> Result<impl FnMut() -> bool + use<>, String> {
    let engine = engine::compiler().map_err(told)?;
    let component = Component::new(&engine, component).map_err(told)?;
    let mut store = Store::new(&engine, ());
    store.set_epoch_deadline(u64::MAX / 2);
    let linker: component::Linker<()> = component::Linker::new(&engine);
    let instance = linker.instantiate(&mut store, &component).map_err(told)?;
    let handler = instance.get_export_index(&mut store, None, HANDLER).ok_or("it exports the handler")?;
    let on_quote = instance.get_export_index(&mut store, Some(&handler), "on-quote").ok_or("it exports on-quote")?;
    let bare = instance.get_typed_func::<(BareQuote,), ()>(&mut store, on_quote).map_err(told)?;
    Ok(move || bare.call(&mut store, (black_box(BARE_QUOTE),)).is_ok())
}

/// So many calls.
fn took(call: &mut dyn FnMut() -> bool) -> Took {
    let began = mono_ns();
    let mut fine = true;
    for _ in 0..CALLS {
        fine &= call();
    }
    let ns = mono_ns() - began;
    // A fault costs something else.
    assert!(fine, "a call has faulted");
    Took { operations: CALLS, ns }
}

/// Rounds of a dependent multiplication that take about [`SPIN_NS`] on this machine now.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a small number"
)]
fn rounds() -> u64 {
    const TRIED: u64 = 1_000_000;
    let began = mono_ns();
    black_box(spin(TRIED));
    (SPIN_NS * TRIED as f64 / (mono_ns() - began).max(1) as f64).round() as u64
}

fn spin(rounds: u64) -> u64 {
    (0..rounds).fold(black_box(3), |x, _| black_box(x * 5 + 1) & 0xffff)
}

/// What is compared.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Crossing {
    Direct,
    Component,
    /// What is there must be seen: the same call, with so many nanoseconds beside it.
    Control,
}

impl Crossing {
    /// In this process alone.
    pub(crate) fn measure(self, bench: &Bench) -> Result<Pairs, String> {
        let component = idle_component(Callbacks::QUOTE)?;
        let called = |lane| {
            let mut guest = guest(&bench.sandbox, &component, lane)?;
            Ok::<_, String>(move || guest.call(black_box(&ON_QUOTE)).is_ok())
        };
        let pairs =
            |a: &mut dyn FnMut() -> bool, b: &mut dyn FnMut() -> bool| bench.pairs(&mut || took(a), &mut || took(b));
        Ok(match self {
            Self::Direct => pairs(&mut called(Lane::Direct)?, &mut bare_direct(&component)?),
            Self::Component => pairs(&mut called(Lane::Component)?, &mut bare_component(&component)?),
            Self::Control => {
                let (mut call, rounds) = (called(Lane::Direct)?, rounds());
                pairs(&mut || call() && black_box(spin(rounds)) > 0, &mut called(Lane::Direct)?)
            }
        })
    }

    /// In [`PROCESSES`] processes, one after another: where one's code and data lie is worth more than all that differs within it.
    fn pairs(self, bench: &Bench) -> Result<Pairs, String> {
        let own = std::env::current_exe().map_err(told)?;
        let name = self.to_possible_value().ok_or("a value")?;
        let fours = bench.plan.fours.div_ceil(PROCESSES).to_string();
        let block_ms = bench.plan.block.as_millis().to_string();
        let mut pairs = Pairs::default();
        for _ in 0..PROCESSES {
            let mut command = Command::new(&own);
            command.args(["--alone", name.get_name(), "--fours", &fours, "--block-ms", &block_ms]);
            let output = command.stderr(Stdio::inherit()).output().map_err(told)?;
            if !output.status.success() {
                return Err(format!("{command:?}: {}", output.status));
            }
            pairs.join(serde_json::from_slice(&output.stdout).map_err(told)?);
        }
        Ok(pairs)
    }
}

pub(crate) fn rows(bench: &mut Bench, results: &mut Results) -> Result<(), String> {
    let before = load();
    let what = What {
        id: "1.direct",
        name: "on-quote, direct lane",
        unit: "ns/call",
        floor: "a bare TypedFunc of the same code",
        shown: Shown::Cost,
    };
    results.push(Row::of_pairs(what, Goal::RatioAtMost(GOAL), &Crossing::Direct.pairs(bench)?, before));

    let before = load();
    let what = What {
        id: "1.component",
        name: "on-quote, component lane",
        floor: "a bare component call of the same code",
        ..what
    };
    results.push(Row::of_pairs(what, Goal::RatioAtMost(GOAL), &Crossing::Component.pairs(bench)?, before));

    let before = load();
    let pairs = Crossing::Control.pairs(bench)?;
    let more: Vec<f64> = pairs.a.iter().zip(&pairs.b).map(|(spun, plain)| spun - plain).collect();
    let what = What {
        id: "1.control",
        name: "negative control: 50 ns more a call",
        unit: "ns more",
        floor: "",
        shown: Shown::Cost,
    };
    let row = Row::of_figures(what, Goal::None, &more, before);
    let seen = if row.ci[0] >= SEEN_NS { "seen" } else { "NOT SEEN: rows 1 and 2 say nothing" };
    results.push(row.noting(seen));
    Ok(())
}
