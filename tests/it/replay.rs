//! A journal presented again: the orders that were sent, whatever happened between them; and another module is found out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use pinion_spec::metrics;
use pinion_spec::strategy::Strategy;
use pinion_tests::captures::{self, Frame, SPOT, USDM, project_root};
use pinion_tests::kafka::{Broker, Record};
use pinion_tests::programs::pinion;
use pinion_tests::runtime::{Runtime, is_clean};
use pinion_tests::scratch::Scratch;
use pinion_tests::strategies;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::market::{WHOLE, by_id, json as parsed, orders, values};

/// Frames of a piece, of both topics together.
const PIECE: usize = 4_000;
/// Frames that are put into a topic at once: the runtime is to see both in turn, as it does live.
const TURN: usize = 200;

/// Two topics that are fed together, as if both captures were of the same minutes.
struct Pair {
    broker: &'static Broker,
    topics: [String; 2],
    frames: std::vec::IntoIter<(usize, Frame)>,
    put: [i64; 2],
}

impl Pair {
    fn new() -> Option<Self> {
        let (broker, spot, usdm) = (Broker::shared()?, SPOT.path()?, USDM.path()?);
        let (mut spot, usdm) = (captures::frames(&spot), captures::frames(&usdm));
        let later = spot[0].ts_recv - usdm[0].ts_recv;
        spot.iter_mut().for_each(|frame| frame.ts_recv -= later);
        let mut frames: Vec<_> = spot.into_iter().map(|f| (0, f)).chain(usdm.into_iter().map(|f| (1, f))).collect();
        frames.sort_by_key(|(_, frame)| frame.ts_recv);
        let topics = ["spot", "usdm"].map(Broker::unique_topic);
        topics.iter().for_each(|topic| broker.create_topic(topic, 1));
        Some(Self { broker, topics, frames: frames.into_iter(), put: [0; 2] })
    }

    /// The example, often enough for a test to see it.
    fn strategy(&self) -> Strategy {
        let mut strategy = strategies::example_on(self.broker, "spot-perp", &self.topics[0]);
        strategy.spec.inputs[1].topic.clone_from(&self.topics[1]);
        let group = strategy.spec.inputs[0].group.clone();
        strategy.spec.inputs[1].group = group;
        for (param, value) in [("samples", "3"), ("period_ms", "20"), ("entry", "0")] {
            strategy.spec.params.insert(param.to_owned(), value.to_owned());
        }
        strategy
    }

    /// The next frames into both topics.
    fn put(&mut self) {
        let piece: Vec<_> = self.frames.by_ref().take(PIECE).collect();
        assert_eq!(piece.len(), PIECE, "the captures have come to their end");
        for turn in piece.chunks(TURN) {
            for (place, topic) in self.topics.iter().enumerate() {
                let of = turn.iter().filter(|(at, _)| *at == place).map(|(_, frame)| (0, frame));
                self.put[place] += i64::try_from(of.clone().count()).unwrap();
                self.broker.produce_frames(topic, of);
            }
        }
    }

    /// The next frames, and waits until all is done, acknowledged and committed.
    fn feed(&mut self, runtime: &mut Runtime, strategy: &Strategy) {
        self.put();
        let group = strategy.group();
        let done = |place: usize| self.broker.committed(&group, &self.topics[place]).get(&0) == Some(&self.put[place]);
        runtime.until("both topics to be read to their ends", WHOLE, |_| (done(0) && done(1)).then_some(()));
    }
}

fn start(scratch: &Scratch, broker: &Broker, strategy: &Strategy) -> Runtime {
    let file = strategies::write(scratch, strategy);
    let journal = journal(scratch);
    Runtime::start_ready(&[&file], &broker.address(), &["--journal", journal.to_str().unwrap()])
}

fn journal(scratch: &Scratch) -> PathBuf {
    scratch.path().join("journal")
}

fn replay(journal: &Path, args: &[&str]) -> Output {
    pinion("replay")
        .args(["--format", "json", "--journal"])
        .arg(journal)
        .args(args)
        .output()
        .expect("run pinion replay")
}

/// What a replay that found the same says of its one strategy.
fn same(output: &Output) -> Value {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    parsed(&output.stdout)["strategies"][0].clone()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn hash(values: &[Vec<u8>]) -> String {
    let mut stream = Sha256::new();
    values.iter().for_each(|value| stream.update([value.as_slice(), b"\n"].concat()));
    stream.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn post(runtime: &Runtime, path: &str, body: &Value) {
    let answer = runtime.post(path, body);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
}

fn swap(runtime: &Runtime, module: &Path) {
    let answer = runtime.post_bytes("/control/swap?strategy=spot-perp", &fs::read(module).unwrap());
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// A build of the example in which the price of a sale is a tick lower.
fn mutated(scratch: &Scratch) -> PathBuf {
    let folder = scratch.path().join("spot-perp");
    fs::create_dir_all(folder.join("src")).unwrap();
    let root = project_root().canonicalize().unwrap();
    let source = fs::read_to_string(root.join("strategies-examples/spot-perp/src/lib.rs")).unwrap();
    let lower = source
        .replace("Side::Sell => (leg.bid, -self.size)", "Side::Sell => (Price(leg.bid.0 - 100_000_000), -self.size)");
    assert_ne!(lower, source);
    fs::write(folder.join("src/lib.rs"), lower).unwrap();
    let sdk = root.join("sdk/rust");
    let manifest = format!(
        "[package]\nname = \"spot-perp\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         pinion-strategy = {{ path = {:?} }}\n",
        sdk.display().to_string()
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let built = pinion("build").arg(&folder).output().expect("run pinion build");
    assert!(built.status.success(), "{}", text(&built.stderr));
    folder.join("spot-perp.wasm")
}

#[test]
fn a_journal_of_all_that_may_happen_is_replayed_to_the_bytes_that_were_sent_and_another_module_is_found_out() {
    let Some(mut pair) = Pair::new() else { return };
    let scratch = Scratch::new();
    let strategy = pair.strategy();
    let mut runtime = start(&scratch, pair.broker, &strategy);
    pair.feed(&mut runtime, &strategy);
    post(&runtime, "/control/trading-state", &json!({"state": "HALTED", "strategy": "spot-perp"}));
    pair.feed(&mut runtime, &strategy);
    post(&runtime, "/control/trading-state", &json!({"state": "ACTIVE", "strategy": "spot-perp"}));
    pair.feed(&mut runtime, &strategy);
    post(&runtime, "/control/limits", &json!({"strategy": "spot-perp", "risk": {"maxPosition": "0.005"}}));
    pair.feed(&mut runtime, &strategy);
    post(&runtime, "/control/limits", &json!({"strategy": "spot-perp", "risk": {"maxPosition": "0.05"}}));
    // One that spins at each quote: faults of the budget, where only clocks know how far a call came.
    swap(&runtime, &project_root().join("strategies-examples/misbehaving/spin.wasm"));
    pair.feed(&mut runtime, &strategy);
    assert!(runtime.count(&metrics::FAULTS, &[("strategy", "spot-perp"), ("kind", "budget")]) > 0);
    let module = PathBuf::from(strategy.spec.module.file.as_deref().unwrap());
    swap(&runtime, &module);
    pair.feed(&mut runtime, &strategy);
    assert!(is_clean(runtime.sigterm_and_wait()));

    let sent: Vec<Record> = orders(pair.broker, &strategy);
    assert!(sent.len() > 30, "{} orders show little", sent.len());
    let brokers = pair.broker.address();
    let replayed = same(&replay(&journal(&scratch), &["--brokers", &brokers]));
    assert_eq!(replayed["orders"], sent.len());
    assert_eq!(replayed["held"], sent.len());
    assert_eq!(replayed["order_stream_sha256"], hash(&values(&sent)));

    let other = mutated(&scratch);
    let other = format!("spot-perp={}", other.display());
    let output = replay(&journal(&scratch), &["--brokers", &brokers, "--module", &other]);
    assert_eq!(output.status.code(), Some(65), "{}{}", text(&output.stdout), text(&output.stderr));
    let found = &parsed(&output.stdout)["strategies"][0]["difference"];
    let first = sent.iter().find(|record| parsed(&record.payload)["side"] == "sell").expect("a sale");
    let header = first.headers.iter().find(|(name, _)| name == "pinion-input").map(|(_, value)| text(value));
    assert_eq!(found["input"].as_str().map(str::to_owned), header);
    assert_eq!(found["sent"].as_str(), Some(text(&first.payload).as_str()));
    let lower = parsed(found["replayed"].as_str().unwrap().as_bytes());
    assert_eq!(
        (&lower["side"], &lower["client_order_id"]),
        (&json!("sell"), &parsed(&first.payload)["client_order_id"])
    );
}

#[test]
fn a_journal_over_a_crash_is_replayed_and_damage_to_it_is_named() {
    let Some(mut pair) = Pair::new() else { return };
    let scratch = Scratch::new();
    let strategy = pair.strategy();
    let mut runtime = start(&scratch, pair.broker, &strategy);
    pair.feed(&mut runtime, &strategy);
    pair.put();
    let read = u64::try_from(PIECE + PIECE / 8).unwrap();
    runtime.until("the runtime in mid-stream", WHOLE, |runtime| {
        (runtime.count(&metrics::RECORDS, &[]) > read).then_some(())
    });
    runtime.kill9();
    let mut runtime = start(&scratch, pair.broker, &strategy);
    pair.feed(&mut runtime, &strategy);
    assert!(is_clean(runtime.sigterm_and_wait()));
    let (ids, _) = by_id(&orders(pair.broker, &strategy));
    let brokers = pair.broker.address();
    let replayed = same(&replay(&journal(&scratch), &["--brokers", &brokers]));
    assert!(replayed["held"].as_u64().unwrap() >= ids.len() as u64, "{replayed} of {}", ids.len());

    // The last segment: cut in its last block, and then with a bit that is another one.
    let folder = journal(&scratch).join("worker-0");
    let mut segments: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    let last = segments.last().unwrap();
    let whole = fs::read(last).unwrap();
    fs::write(last, &whole[..whole.len() - 3]).unwrap();
    let cut = pinion("replay").arg("--journal").arg(journal(&scratch)).args(["--brokers", &brokers]).output().unwrap();
    assert!(text(&cut.stdout).contains("the journal is cut: "), "{}{}", text(&cut.stdout), text(&cut.stderr));
    assert!(text(&cut.stdout).contains(last.to_str().unwrap()), "{}", text(&cut.stdout));
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 4;
    fs::write(last, &flipped).unwrap();
    let refused = replay(&journal(&scratch), &["--brokers", &brokers]);
    assert_eq!(refused.status.code(), Some(64));
    let said = text(&refused.stderr);
    assert!(said.contains(last.to_str().unwrap()) && said.contains("at byte"), "{said}");
}
