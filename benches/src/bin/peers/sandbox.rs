//! The sandbox alone: real quotes from memory, each a call into a guest that may ask for an order. The guests are made of one source
//! (`benches/strategies/quote-cross/src/cross.rs`), and what they ask for is compared.
//!
//! Pinion's side is the direct lane with what its worker does for each call: the stream clock, a reading of the counter from which the CPU
//! budget counts, the intents taken out. Books, histograms and risk are not in it.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use pinion_benches::machine::load;
use pinion_benches::pairs::{Pairs, Plan, Took};
use pinion_benches::result::Results;
use pinion_benches::row::{Goal, Row, Shown, What};
use pinion_runtime::clock::mono_ns;
use pinion_runtime::effects::Intent;
use pinion_runtime::event::{Body, Head, Quote, Side};
use pinion_runtime::sandbox::{Call, Compiler, Guest, Lane, Sandbox, SandboxConfig};
use pinion_runtime::stopwatch;
use pinion_tests::captures::{SPOT, project_root};
use pinion_tests::scratch::Scratch;
use pinion_tests::{rig, stream};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::command;

/// Quotes that both sides go over, again and again.
const QUOTES: usize = 40_960;
/// Quotes between two looks at the clock; what they ask for is hashed.
const UNIT: usize = 2_048;
const BLOCK: Duration = Duration::from_millis(50);
/// Over another sandbox.
const GOAL: f64 = 1.0;
/// Records that Fluvio is given at once where it is given many.
const AT_ONCE: usize = 64;

const _: () = assert!(QUOTES.is_multiple_of(UNIT) && UNIT.is_multiple_of(AT_ONCE));

pub(crate) fn beside_extism(peer: &str, fours: usize, results: &mut Results) -> Result<(), String> {
    let what = ("sandbox.extism", "a quote in, an order or nothing out");
    beside(peer, &[], what, fours, results)
}

pub(crate) fn beside_fluvio(peer: &str, fours: usize, results: &mut Results) -> Result<(), String> {
    let what = ("sandbox.fluvio", "a quote in, an order or nothing out");
    beside(peer, &[], what, fours, results)?;
    let what = ("sandbox.fluvio.64", "the same; the other takes 64 at once");
    beside(peer, &[&AT_ONCE.to_string()], what, fours, results)
}

fn beside(
    peer: &str,
    settings: &[&str],
    (id, name): (&str, &str),
    fours: usize,
    results: &mut Results,
) -> Result<(), String> {
    let scratch = Scratch::new();
    let quotes = quotes()?;
    let flat: Vec<u8> = quotes.iter().flat_map(|(head, quote)| flat(head, quote)).collect();
    let file = scratch.write("quotes", flat);
    let mut theirs = Peer::start(peer, &file, settings)?;
    let mut ours = Pinion::start(&scratch.path().join("modules"), &quotes)?;

    let before = load();
    let plan = Plan { fours, block: BLOCK };
    let pairs = Pairs::measure(plan, &mut || ours.unit(), &mut || theirs.unit());
    if let Some(problem) = theirs.failed.take() {
        return Err(problem);
    }
    let compared = compared(&ours.units, &theirs.units)?;
    let what = What { id, name, unit: "ns/quote", floor: &theirs.name, shown: Shown::Cost };
    results.push(Row::of_pairs(what, Goal::RatioAtMost(GOAL), &pairs, before).noting(&compared));
    Ok(())
}

/// What the units that both sides have done come to, or that the row is void. The quicker side has done more of them.
fn compared(ours: &[Asked], theirs: &[Asked]) -> Result<String, String> {
    let units = ours.len().min(theirs.len());
    let orders: usize = theirs[..units].iter().map(|asked| asked.orders).sum();
    match ours.iter().zip(theirs).position(|(ours, theirs)| ours != theirs) {
        Some(unit) => Err(format!("the row is void: other orders in unit {unit} of {UNIT} quotes")),
        None if orders == 0 => Err("the row is void: no orders".to_owned()),
        None => Ok(format!("the same {orders} orders in {} quotes", units * UNIT)),
    }
}

/// The first quotes of the spot capture.
fn quotes() -> Result<Vec<(Head, Quote)>, String> {
    let path = SPOT.path().ok_or("it needs the Binance captures")?;
    let mut quotes = Vec::new();
    stream::decoded(&path, &rig::example("ema-cross", &SPOT), |events| {
        quotes.extend(events.iter().filter_map(|event| match event.body {
            Body::Quote(quote) => Some((event.head, quote)),
            _ => None,
        }));
    });
    quotes.truncate(QUOTES);
    if quotes.len() == QUOTES { Ok(quotes) } else { Err(format!("{}: too few quotes", path.display())) }
}

/// A quote as `benches/peers/common/flat.rs` has it.
fn flat(head: &Head, quote: &Quote) -> Vec<u8> {
    let mut bytes = head.instrument_id.to_le_bytes().to_vec();
    bytes.extend([head.publisher_id, head.flags].map(u32::to_le_bytes).as_flattened());
    bytes.extend([head.ts_event, head.ts_recv, head.sequence].map(u64::to_le_bytes).as_flattened());
    let sides = [quote.bid_price, quote.bid_size, quote.ask_price, quote.ask_size];
    bytes.extend(sides.map(i64::to_le_bytes).as_flattened());
    bytes.extend([quote.bid_count, quote.ask_count].map(u32::to_le_bytes).as_flattened());
    bytes
}

/// What a unit asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    orders: usize,
    hash: String,
}

/// Bytes of an order, as `flat.rs` has it.
const ORDER_BYTES: usize = 33;

/// The direct lane.
struct Pinion {
    guest: Box<dyn Guest>,
    calls: Vec<(u64, Call)>,
    next: usize,
    orders: Vec<u8>,
    units: Vec<Asked>,
    // Stops guests that do not return.
    _sandbox: Sandbox,
}

impl Pinion {
    fn start(cache: &Path, quotes: &[(Head, Quote)]) -> Result<Self, String> {
        let path = project_root().join("benches/strategies/quote-cross/quote-cross.wasm");
        let told = |error: &dyn std::fmt::Display| format!("{}: {error}; run `pinion build`", path.display());
        let bytes = std::fs::read(&path).map_err(|error| told(&error))?;
        let config = SandboxConfig::new(cache.to_owned(), Compiler::Here);
        let sandbox = Sandbox::new(config).map_err(|error| error.to_string())?;
        let module = sandbox.load_for(&bytes, Lane::Direct).map_err(|error| told(&error))?;
        let mut strategy = rig::example("ema-cross", &SPOT);
        // A virtual machine that stands still in a call takes its time from it; a fault for that would be no figure.
        strategy.spec.budget.call_micros = 1_000_000;
        let guest = module.instantiate(rig::host_of(&strategy), &strategy.spec.budget);
        let mut guest = guest.map_err(|fault| fault.to_string())?;
        guest.init(&[]).map_err(|fault| fault.to_string())?;
        let calls = quotes.iter().map(|&(head, quote)| (head.ts_recv, Call::Quote(head, quote))).collect();
        Ok(Self { guest, calls, next: 0, orders: Vec::new(), units: Vec::new(), _sandbox: sandbox })
    }

    /// The next quotes.
    fn unit(&mut self) -> Took {
        self.orders.clear();
        let began = mono_ns();
        for (ts_recv, call) in &self.calls[self.next..self.next + UNIT] {
            let host = self.guest.host();
            host.now = *ts_recv;
            host.record_orders = 0;
            host.began_ns = stopwatch::ns();
            // A fault costs something else.
            self.guest.call(call).unwrap_or_else(|fault| panic!("a call has faulted: {fault}"));
            for intent in self.guest.host().effects.drain() {
                let Intent::Submit { order, .. } = intent else { continue };
                self.orders.extend(order.instrument_id.to_le_bytes());
                self.orders.push(u8::from(order.side == Side::Buy));
                self.orders.extend([order.price, order.size].map(i64::to_le_bytes).as_flattened());
                self.orders.extend(order.tag.to_le_bytes());
            }
        }
        let ns = mono_ns() - began;
        self.next = (self.next + UNIT) % QUOTES;
        let hash = Sha256::digest(&self.orders).iter().map(|byte| format!("{byte:02x}")).collect();
        self.units.push(Asked { orders: self.orders.len() / ORDER_BYTES, hash });
        Took { operations: UNIT as u64, ns }
    }
}

/// What a peer says when it is ready.
#[derive(Debug, Deserialize)]
struct Ready {
    peer: String,
    version: String,
}

/// What it says of a unit.
#[derive(Debug, Deserialize)]
struct Answer {
    calls: u64,
    ns: u64,
    orders: usize,
    hash: String,
}

/// Another sandbox, in a process of its own.
struct Peer {
    child: Child,
    ask: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    name: String,
    units: Vec<Asked>,
    /// Why there are no more.
    failed: Option<String>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    fn start(peer: &str, quotes: &Path, settings: &[&str]) -> Result<Self, String> {
        let child = command(peer).arg(quotes).args(settings).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| error.to_string())?;
        let (Some(ask), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            unreachable!("both are piped")
        };
        let answers = BufReader::new(answers).lines();
        let mut started = Self { child, ask, answers, name: String::new(), units: Vec::new(), failed: None };
        let Ready { peer, version } = started.answer()?;
        started.name = format!("{peer} {version}");
        Ok(started)
    }

    fn answer<T: DeserializeOwned>(&mut self) -> Result<T, String> {
        let line = self.answers.next().ok_or("it has ended")?.map_err(|error| error.to_string())?;
        serde_json::from_str(&line).map_err(|error| format!("{line}: {error}"))
    }

    /// The next quotes. After a failure there are none.
    fn unit(&mut self) -> Took {
        if self.failed.is_some() {
            return Took::default();
        }
        match self.asked() {
            Ok((took, asked)) => {
                self.units.push(asked);
                took
            }
            Err(problem) => {
                self.failed = Some(problem);
                Took::default()
            }
        }
    }

    fn asked(&mut self) -> Result<(Took, Asked), String> {
        writeln!(self.ask, "{UNIT}").map_err(|error| error.to_string())?;
        let Answer { calls, ns, orders, hash } = self.answer()?;
        if calls != UNIT as u64 {
            return Err(format!("{calls} quotes of {UNIT}"));
        }
        Ok((Took { operations: calls, ns }, Asked { orders, hash }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units<const N: usize>(orders: [usize; N]) -> [Asked; N] {
        orders.map(|orders| Asked { orders, hash: orders.to_string() })
    }

    #[test]
    fn a_row_is_void_where_a_unit_that_both_have_done_asked_for_something_else_or_none_for_anything() {
        let told = compared(&units([1, 0, 2, 7]), &units([1, 0, 2])).unwrap();
        assert_eq!(told, "the same 3 orders in 6144 quotes");
        let void = compared(&units([1, 0, 2]), &units([1, 0, 3])).unwrap_err();
        assert!(void.contains("unit 2"), "{void}");
        assert!(compared(&units([0]), &units([0])).unwrap_err().contains("no orders"));
        assert!(compared(&units([1]), &[]).unwrap_err().contains("no orders"));
    }
}
