//! What is wrong in the world is counted, told and set aside, and what is right goes on.

mod author;

use std::collections::BTreeMap;
use std::path::Path;

use pinion_runtime::decode::DecodeError;
use pinion_runtime::limits::{JSON_DEPTH_MAX, RECORD_BYTES_MAX};
use pinion_spec::metrics;
use pinion_spec::strategy::{Encoding, Instrument, Strategy, TopicOutput};
use pinion_tests::captures::{Frame, USDM, frames};
use pinion_tests::kafka::{Broker, Record};
use pinion_tests::runtime::{Runtime, is_clean, run_to_end};
use pinion_tests::scratch::Scratch;
use pinion_tests::strategies;

use crate::market::{orders, read_to_end, record_only};

/// Good frames between two bad ones.
const GOOD_RUN: usize = 500;

/// Room for a record over the runtime's own limit.
const RECORD_BYTES_TOPIC: usize = 4 << 20;

/// Bad records by the reason that each is to be counted under.
fn bad_records() -> Vec<(&'static str, Vec<u8>)> {
    let quote =
        r#"{"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"1.0","B":"1.0","a":"2.0","A":"1.0"}}"#;
    let depth = usize::try_from(JSON_DEPTH_MAX).unwrap() * 1_000;
    vec![
        // A snapshot names no instrument. Before any other record has, it could be either of the two that are declared.
        ("unknown_symbol", br#"{"lastUpdateId":7,"bids":[["1.0","1.0"]],"asks":[["2.0","1.0"]]}"#.to_vec()),
        ("truncated", quote.as_bytes()[..quote.len() / 2].to_vec()),
        ("truncated", Vec::new()),
        ("not_utf8", quote.replace("BTCUSDT", "BTC\u{1}").bytes().map(|b| if b == 1 { 0xff } else { b }).collect()),
        ("bad_type", quote.replace(r#""u":1"#, r#""u":[1]"#).into_bytes()),
        ("bad_number", quote.replace(r#""b":"1.0""#, r#""b":"1e9""#).into_bytes()),
        ("out_of_range", quote.replace(r#""b":"1.0""#, r#""b":"99999999999""#).into_bytes()),
        ("missing_field", quote.replace(r#","A":"1.0""#, "").into_bytes()),
        ("too_deep", [vec![b'['; depth], vec![b']'; depth]].concat()),
        ("not_json", b"\x00\x01\x02 binary".to_vec()),
        ("too_large", vec![b' '; 2 * RECORD_BYTES_MAX]),
    ]
}

fn header<'a>(record: &'a Record, name: &str) -> &'a str {
    let found = record.headers.iter().find(|(own, _)| own == name);
    std::str::from_utf8(&found.unwrap_or_else(|| panic!("no header {name}: {:?}", record.headers)).1).unwrap()
}

/// What the strategy sends for these frames of a topic of their own.
fn sent_for(broker: &Broker, frames: &[Frame], strategy: &Strategy) -> Vec<String> {
    let ids = orders(broker, strategy);
    let order = |record: &Record| {
        let mut order = crate::market::json(&record.payload);
        // It names the offset, which the bad records between the good ones move.
        order.as_object_mut().unwrap().remove("client_order_id");
        order.to_string()
    };
    assert!(ids.len() > frames.len() / 100, "{} orders show nothing", ids.len());
    ids.iter().map(order).collect()
}

#[test]
fn bad_records_are_counted_by_reason_and_set_aside_as_they_came_and_good_ones_do_not_suffer() {
    let (Some(broker), Some(path)) = (Broker::shared(), USDM.path()) else { return };
    let bad = bad_records();
    let mut good = frames(&path);
    good.retain(|frame| !frame.value.starts_with(br#"{"lastUpdateId""#));
    good.truncate(bad.len() * GOOD_RUN);
    let run = |bad: &[(&str, Vec<u8>)]| {
        let market = Broker::unique_topic("hostile");
        broker.create_topic_for(&market, 1, RECORD_BYTES_TOPIC);
        let mut strategy = record_only(broker, &market);
        strategy.spec.inputs[0].encoding = Encoding::BinanceUsdm;
        let dead = Broker::unique_topic("dead");
        broker.create_topic_for(&dead, 1, RECORD_BYTES_TOPIC);
        strategy.spec.outputs.dead_letter.as_mut().unwrap().topic = dead;
        let second = Instrument { symbol: "ETHUSDT".to_owned(), ..strategy.spec.instruments[0].clone() };
        strategy.spec.instruments.push(second);
        let mut bad = bad.iter();
        for run in good.chunks(GOOD_RUN) {
            broker.produce(&market, 0, bad.next().map(|(_, record)| record));
            broker.produce_frames(&market, run.iter().map(|frame| (0, frame)));
        }
        let scratch = Scratch::new();
        let file = strategies::write(&scratch, &strategy);
        let mut runtime = Runtime::start_ready(&[&file], &broker.address(), &[]);
        read_to_end(&mut runtime, broker, &strategy);
        let counted = |reason: &&'static str| (*reason, runtime.count(&metrics::DECODE_ERRORS, &[("reason", reason)]));
        let counts: BTreeMap<&str, u64> = DecodeError::REASONS.iter().map(counted).filter(|(_, n)| *n > 0).collect();
        assert_eq!(runtime.count(&metrics::KAFKA_DELIVERY_ERRORS, &[]), 0);
        assert!(is_clean(runtime.sigterm_and_wait()));
        (market, strategy, counts)
    };
    let (market, strategy, counts) = run(&bad);
    let mut expected = BTreeMap::new();
    for (reason, _) in &bad {
        *expected.entry(*reason).or_insert(0) += 1;
    }
    assert_eq!(counts, expected);

    let dead = broker.consume_all(&strategy.spec.outputs.dead_letter.as_ref().unwrap().topic);
    assert_eq!(dead.len(), bad.len());
    for (n, (record, (reason, value))) in dead.iter().zip(&bad).enumerate() {
        assert!(record.payload == *value, "{reason}: the dead letter is not what came");
        assert_eq!(header(record, "pinion-reason"), *reason);
        assert_eq!(header(record, "pinion-topic"), market);
        assert_eq!(header(record, "pinion-partition"), "0");
        assert_eq!(header(record, "pinion-offset"), (n * GOOD_RUN + n).to_string());
    }
    let (_, undisturbed, none) = run(&[]);
    assert_eq!(none, BTreeMap::new());
    assert_eq!(sent_for(broker, &good, &strategy), sent_for(broker, &good, &undisturbed));
}

/// What a person reads of it fits on a screen.
const LINES_MAX: usize = 24;

fn ends_with(code: i32, files: &[&Path], brokers: &str, says: &[&str]) {
    let output = run_to_end(files, brokers, &["--log-format", "text"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for part in says {
        assert!(said.contains(part), "nothing of {part:?} in: {said}");
    }
    assert!(said.lines().count() <= LINES_MAX, "{said}");
}

/// Nobody listens there, and nobody needs to.
const NOBODY: &str = "127.0.0.1:1";

#[test]
fn a_broker_that_cannot_be_reached_ends_the_process_with_69_and_its_name() {
    let scratch = Scratch::new();
    let file = strategies::write(&scratch, &strategies::example("identity"));
    ends_with(69, &[&file], NOBODY, &["asking the brokers 127.0.0.1:1"]);
}

#[test]
fn a_topic_that_is_not_there_ends_the_process_with_64_and_its_name() {
    let Some(broker) = Broker::shared() else { return };
    let scratch = Scratch::new();
    let strategy = strategies::example_on(broker, "identity", "nobody.made.this");
    let file = strategies::write(&scratch, &strategy);
    ends_with(64, &[&file], &broker.address(), &["topic nobody.made.this does not exist"]);
}

#[test]
fn an_output_topic_that_is_not_there_ends_the_process_with_64_and_its_name() {
    let Some(broker) = Broker::shared() else { return };
    let market = Broker::unique_topic("binance-spot");
    broker.create_topic(&market, 1);
    let scratch = Scratch::new();
    let whole = strategies::example_on(broker, "identity", &market);
    let absent = |name: &str| TopicOutput { topic: name.to_owned() };
    let mut orders = whole.clone();
    orders.spec.outputs.orders.topic = "no.orders.here".to_owned();
    let mut denials = whole.clone();
    denials.spec.outputs.denials = Some(absent("no.denials.here"));
    let mut dead = whole.clone();
    dead.spec.outputs.dead_letter = Some(absent("no.letters.here"));
    for (strategy, name) in [(orders, "no.orders.here"), (denials, "no.denials.here"), (dead, "no.letters.here")] {
        let file = strategies::write(&scratch, &strategy);
        ends_with(64, &[&file], &broker.address(), &[&format!("topic {name} does not exist"), "outputs"]);
    }
}

#[test]
fn a_strategy_file_with_five_mistakes_ends_the_process_with_64_and_all_five() {
    let scratch = Scratch::new();
    let module = strategies::example("identity").spec.module.file.unwrap();
    let file = scratch.write(
        "five.yaml",
        format!(
            r#"apiVersion: pinion.dev/v1alpha1
kind: Strategie
metadata:
  name: Five_Mistakes
spec:
  module:
    file: {module}
  inputs:
    - topic: a topic
      encoding: binance-spots
  outputs:
    orders:
      topic: orders
  risk:
    priceCollarBps: 0
"#
        ),
    );
    let says = ["five.yaml:2:", "five.yaml:4:", "five.yaml:9:", "five.yaml:10:", "five.yaml:15:"];
    ends_with(64, &[&file], NOBODY, &says);
}

#[test]
fn a_strategy_file_that_is_not_there_ends_the_process_with_64_and_its_name() {
    ends_with(64, &[Path::new("/nowhere/strategy.yaml")], NOBODY, &["/nowhere/strategy.yaml", "No such file"]);
}

/// A strategy file that names a module of these bytes.
fn refused_module(bytes: &[u8], says: &[&str]) {
    let scratch = Scratch::new();
    let mut strategy = strategies::example("identity");
    scratch.write("module.wasm", bytes);
    strategy.spec.module.file = Some("module.wasm".to_owned());
    let file = strategies::write(&scratch, &strategy);
    ends_with(64, &[&file], NOBODY, says);
}

#[test]
fn a_module_that_is_no_webassembly_ends_the_process_with_64() {
    refused_module(b"#!/bin/sh\n", &["module.wasm", "not WebAssembly"]);
}

#[test]
fn a_core_module_that_is_no_component_ends_the_process_with_64_and_what_to_do() {
    refused_module(&wat::parse_str("(module)").unwrap(), &["module.wasm", "not a component", "pinion build"]);
}

#[test]
fn a_module_that_imports_what_the_contract_lacks_ends_the_process_with_64_and_the_imports_name() {
    let component =
        r#"(component (import "wasi:clocks/wall-clock@0.2.0" (instance (export "now" (func (result u64))))))"#;
    refused_module(&wat::parse_str(component).unwrap(), &["module.wasm", "wasi:clocks/wall-clock@0.2.0"]);
}
