//! Every message of the captures arrives as the events that the captures' own description counts.

use pinion_spec::metrics;
use pinion_spec::strategy::Strategy;
use pinion_tests::captures::{COINBASE, Capture, KRAKEN_BOOKS, KRAKEN_FUTURES, SPOT, USDM};
use pinion_tests::programs::pinion;
use pinion_tests::runtime::Runtime;
use pinion_tests::scratch::Scratch;
use pinion_tests::strategies;

use crate::market::{json, read_to_end, topic_of};

/// Levels in all depth updates of each capture, counted apart from this project's decoder.
const SPOT_LEVELS: u64 = 174_021;
const USDM_LEVELS: u64 = 443_521;
const COINBASE_LEVELS: u64 = 9_719;
const KRAKEN_LEVELS: u64 = 4_272;
const KRAKEN_FUTURES_LEVELS: u64 = 7_014;

fn counted_through_kafka(capture: &Capture, levels: u64) {
    let Some((broker, market)) = topic_of(capture) else { return };
    let strategy: Strategy = {
        let mut strategy = strategies::example_on(broker, "identity", market);
        strategy.spec.inputs[0].encoding = serde_json::from_value(capture.encoding.into()).expect("an encoding");
        strategy
    };
    let scratch = Scratch::new();
    let file = strategies::write(&scratch, &strategy);
    let mut runtime = Runtime::start(&[&file], &broker.address(), &[]);
    read_to_end(&mut runtime, broker, &strategy);
    assert_eq!(runtime.count(&metrics::RECORDS, &[]), capture.messages);
    let events = |kind| runtime.count(&metrics::EVENTS, &[("kind", kind)]);
    assert_eq!(events("quote"), capture.quotes);
    assert_eq!(events("trade"), capture.trades);
    assert_eq!(events("book_delta"), levels);
    assert_eq!(events("book_snapshot"), capture.snapshots);
    assert_eq!(events("execution"), 0);
    assert_eq!(runtime.count(&metrics::DECODE_ERRORS, &[]), 0);
    assert_eq!(runtime.count(&metrics::SEQUENCE_GAPS, &[]), 0);
}

fn counted_by_inspect(capture: &Capture, levels: u64) {
    let Some(path) = capture.path() else { return };
    let output = pinion("inspect").arg(path).args(["--format", "json"]).output().expect("run pinion inspect");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = json(&output.stdout);
    assert_eq!(report["messages"], capture.messages);
    assert_eq!(report["events"]["quote"], capture.quotes);
    assert_eq!(report["events"]["trade"], capture.trades);
    assert_eq!(report["events"]["book_delta"], levels);
    assert_eq!(report["events"]["book_snapshot"].as_u64().unwrap_or(0), capture.snapshots);
    let errors = report["decode_errors"].as_object().expect("errors by reason");
    assert!(errors.values().all(|count| *count == 0), "{errors:?}");
    assert_eq!(report["gaps"], 0);
}

#[test]
fn the_spot_capture_through_kafka_is_counted_exactly() {
    counted_through_kafka(&SPOT, SPOT_LEVELS);
}

#[test]
fn the_futures_capture_through_kafka_is_counted_exactly() {
    counted_through_kafka(&USDM, USDM_LEVELS);
}

#[test]
fn the_captures_of_other_venues_through_kafka_are_counted_exactly_and_no_sequence_or_checksum_breaks() {
    counted_through_kafka(&COINBASE, COINBASE_LEVELS);
    counted_through_kafka(&KRAKEN_BOOKS, KRAKEN_LEVELS);
    counted_through_kafka(&KRAKEN_FUTURES, KRAKEN_FUTURES_LEVELS);
}

#[test]
fn inspect_counts_the_captures_of_other_venues_exactly() {
    counted_by_inspect(&COINBASE, COINBASE_LEVELS);
    counted_by_inspect(&KRAKEN_BOOKS, KRAKEN_LEVELS);
    counted_by_inspect(&KRAKEN_FUTURES, KRAKEN_FUTURES_LEVELS);
}

#[test]
fn inspect_counts_the_spot_capture_exactly() {
    counted_by_inspect(&SPOT, SPOT_LEVELS);
}

#[test]
fn inspect_counts_the_futures_capture_exactly() {
    counted_by_inspect(&USDM, USDM_LEVELS);
}
