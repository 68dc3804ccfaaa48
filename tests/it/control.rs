//! What a person may change while strategies run: over the admin port, and by writing the strategy file.

use std::collections::BTreeSet;
use std::path::Path;

use pinion_spec::metrics;
use pinion_spec::strategy::{Risk, Strategy, TradingState};
use pinion_tests::captures::SPOT;
use pinion_tests::kafka::{Broker, Record};
use pinion_tests::programs::Publishing;
use pinion_tests::runtime::{Runtime, START, is_clean};
use pinion_tests::scratch::Scratch;
use pinion_tests::strategies;
use serde_json::{Value, json};

use crate::market::{self, Feeder, WHOLE, approved, denied, orders, read_to_end, record_only, run_whole, values};

/// Frames of a piece: some 400 orders of `record-only`, some 250 depth updates.
const PIECE: usize = 5_000;

fn run(scratch: &Scratch, broker: &Broker, strategy: &Strategy) -> Runtime {
    let file = strategies::write(scratch, strategy);
    Runtime::start_ready(&[&file], &broker.address(), &[])
}

fn done(runtime: &Runtime, path: &str, body: &Value) {
    let answer = runtime.post(path, body);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
}

/// Ids of orders that rest: sent and not cancelled. For a strategy whose orders are good till cancelled.
fn resting(records: &[Record]) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for record in records {
        let order = market::json(&record.payload);
        let id = order["client_order_id"].as_str().unwrap().to_owned();
        match order["type"].as_str().unwrap() {
            "cancel" => ids.remove(&id),
            _ => ids.insert(id),
        };
    }
    ids
}

#[test]
fn a_halt_cancels_what_rests_and_denies_what_follows_until_it_is_lifted() {
    let Some(mut feeder) = Feeder::new() else { return };
    let strategy = strategies::example_on(feeder.broker, "book-imbalance", &feeder.market);
    let scratch = Scratch::new();
    let mut runtime = run(&scratch, feeder.broker, &strategy);
    while resting(&orders(feeder.broker, &strategy)).is_empty() {
        feeder.feed(&mut runtime, &strategy, 500);
    }
    let rested = resting(&orders(feeder.broker, &strategy));
    let before = orders(feeder.broker, &strategy).len();
    done(&runtime, "/control/trading-state", &json!({"state": "HALTED", "strategy": "book-imbalance"}));
    assert_eq!(runtime.count(&metrics::STRATEGY_STATE, &[("state", "HALTED")]), 1);
    let cancels = runtime.until("the cancels", WHOLE, |_| {
        let orders = orders(feeder.broker, &strategy);
        (orders.len() >= before + rested.len()).then(|| orders[before..].to_vec())
    });
    let cancelled: BTreeSet<String> = cancels
        .iter()
        .map(|record| market::json(&record.payload))
        .inspect(|order| assert_eq!(order["type"], "cancel"))
        .map(|order| order["client_order_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(cancelled, rested);

    feeder.feed(&mut runtime, &strategy, PIECE);
    assert!(denied(&runtime, &strategy, "trading_state_halted") > 0);
    assert_eq!(orders(feeder.broker, &strategy).len(), before + cancels.len(), "orders while halted");

    done(&runtime, "/control/trading-state", &json!({"state": "ACTIVE", "tenant": "default"}));
    let denials = denied(&runtime, &strategy, "trading_state_halted");
    feeder.feed(&mut runtime, &strategy, PIECE);
    assert_eq!(denied(&runtime, &strategy, "trading_state_halted"), denials);
    assert!(orders(feeder.broker, &strategy).len() > before + cancels.len(), "no orders once active again");
}

#[test]
fn changed_limits_hold_from_the_next_record_on() {
    let Some(mut feeder) = Feeder::new() else { return };
    let strategy = record_only(feeder.broker, &feeder.market);
    let scratch = Scratch::new();
    let mut runtime = run(&scratch, feeder.broker, &strategy);
    feeder.feed(&mut runtime, &strategy, PIECE);
    let sent = approved(&runtime, &strategy);
    assert!(sent > 0 && denied(&runtime, &strategy, "max_order_size") == 0);

    let wide = strategy.spec.risk.clone().unwrap();
    let limits = |risk: &Risk| json!({"strategy": "record-only", "risk": risk});
    done(&runtime, "/control/limits", &limits(&Risk { max_order_size: "0.0009".parse().unwrap(), ..wide.clone() }));
    feeder.feed(&mut runtime, &strategy, PIECE);
    let denials = denied(&runtime, &strategy, "max_order_size");
    assert!(denials > 0);
    assert_eq!(approved(&runtime, &strategy), sent, "orders over the limit");
    let told = feeder.broker.consume_all(&strategy.spec.outputs.denials.as_ref().unwrap().topic);
    assert_eq!(u64::try_from(told.len()), Ok(denials), "denials in the audit topic");
    assert!(told.iter().all(|record| market::json(&record.payload)["reason"] == "max_order_size"));

    done(&runtime, "/control/limits", &limits(&wide));
    feeder.feed(&mut runtime, &strategy, PIECE);
    assert_eq!(denied(&runtime, &strategy, "max_order_size"), denials);
    assert!(approved(&runtime, &strategy) > sent);
}

#[test]
fn the_kill_switch_of_an_instrument_blocks_its_orders_until_it_is_off() {
    let Some(mut feeder) = Feeder::new() else { return };
    let strategy = record_only(feeder.broker, &feeder.market);
    let scratch = Scratch::new();
    let mut runtime = run(&scratch, feeder.broker, &strategy);
    feeder.feed(&mut runtime, &strategy, PIECE);
    let sent = approved(&runtime, &strategy);
    let first = market::json(&orders(feeder.broker, &strategy)[0].payload);
    let kill = |killed: bool| json!({"instrument_id": first["instrument_id"], "killed": killed});

    done(&runtime, "/control/kill", &kill(true));
    feeder.feed(&mut runtime, &strategy, PIECE);
    let denials = denied(&runtime, &strategy, "kill_switch");
    assert!(denials > 0);
    assert_eq!(approved(&runtime, &strategy), sent, "orders on a killed instrument");

    done(&runtime, "/control/kill", &kill(false));
    feeder.feed(&mut runtime, &strategy, PIECE);
    assert_eq!(denied(&runtime, &strategy, "kill_switch"), denials);
    assert!(approved(&runtime, &strategy) > sent);
}

/// The same component under another digest: a custom section more, which says nothing.
fn renamed(module: &Path) -> Vec<u8> {
    let mut bytes = std::fs::read(module).unwrap();
    bytes.extend_from_slice(&[0, 5, 4, b'n', b'o', b't', b'e']);
    bytes
}

fn digests(records: &[Record]) -> Vec<&[u8]> {
    let digest = |record: &'_ Record| record.headers.iter().position(|(name, _)| name == "pinion-module").unwrap();
    records.iter().map(|record| record.headers[digest(record)].1.as_slice()).collect()
}

#[test]
fn a_module_swapped_under_load_takes_over_between_two_records_and_nothing_is_lost_or_doubled() {
    let (Some(broker), Some(path)) = (Broker::shared(), SPOT.path()) else { return };
    let market = Broker::unique_topic("binance-spot");
    broker.create_topic(&market, 1);
    let strategy = record_only(broker, &market);
    let module = strategy.spec.module.file.clone().unwrap();
    let scratch = Scratch::new();
    let mut runtime = run(&scratch, broker, &strategy);
    let mut publishing = Publishing::start(&path, &broker.address(), &market, "60");
    let end = broker.end_of(&strategy.spec.outputs.orders.topic);
    runtime.until("orders in mid-stream", WHOLE, |_| (end.offset()? > 500).then_some(()));
    let swapped = runtime.post_bytes("/control/swap?strategy=record-only", &renamed(module.as_ref()));
    assert_eq!(swapped.status, 200, "{}", swapped.body);
    assert!(end.offset().unwrap() < 4_000, "the swap came after the stream");
    assert_eq!(publishing.wait(), Some(SPOT.messages));
    read_to_end(&mut runtime, broker, &strategy);
    assert_eq!(runtime.count(&metrics::SWAPS, &[]), 1);
    let running = market::json(runtime.get("/strategies").unwrap().body.as_bytes());
    let broken = orders(broker, &strategy);
    let digests = digests(&broken);
    let new = running[0]["module"].as_str().unwrap();
    let at = digests.iter().position(|digest| *digest == new.as_bytes()).expect("orders of the new module");
    assert!(at > 0, "no orders of the old module");
    assert!(digests[..at].iter().all(|digest| *digest == digests[0]), "the old module's orders");
    assert!(digests[at..].iter().all(|digest| *digest == new.as_bytes()), "the old module decided after the new one");
    assert!(is_clean(runtime.sigterm_and_wait()));
    let again = record_only(broker, &market);
    run_whole(broker, &[&again]);
    assert!(values(&broken) == values(&orders(broker, &again)), "the swap changed the order stream");
}

#[test]
fn a_module_that_is_refused_replaces_nothing() {
    let Some(mut feeder) = Feeder::new() else { return };
    let strategy = record_only(feeder.broker, &feeder.market);
    let scratch = Scratch::new();
    let mut runtime = run(&scratch, feeder.broker, &strategy);
    let running = runtime.get("/strategies").unwrap().body;
    let refused = runtime.post_bytes("/control/swap?strategy=record-only", b"#!/bin/sh");
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("not WebAssembly"), "{}", refused.body);
    assert_eq!(runtime.get("/strategies").unwrap().body, running);
    feeder.feed(&mut runtime, &strategy, PIECE);
    assert!(approved(&runtime, &strategy) > 0);
    assert_eq!(runtime.count(&metrics::SWAPS, &[]), 0);
}

#[test]
fn a_strategy_can_be_taken_out_and_another_brought_in() {
    let Some(mut feeder) = Feeder::new() else { return };
    let strategy = record_only(feeder.broker, &feeder.market);
    let mut other = strategies::example_on(feeder.broker, "identity", &feeder.market);
    other.spec.inputs[0].group = Some(format!("{}.second", strategy.group()));
    let scratch = Scratch::new();
    let mut runtime = run(&scratch, feeder.broker, &strategy);
    feeder.feed(&mut runtime, &strategy, PIECE);
    let sent = orders(feeder.broker, &strategy).len();

    done(&runtime, "/control/unload", &json!({"strategy": "record-only"}));
    assert_eq!(runtime.get("/strategies").unwrap().body, "[]");
    feeder.feed(&mut runtime, &strategy, PIECE);
    assert_eq!(orders(feeder.broker, &strategy).len(), sent, "orders of a strategy that was taken out");

    // Its group is still read, so it comes back under another.
    let mut back = strategy.clone();
    assert_eq!(runtime.post("/control/load", &json!(back)).status, 409);
    back.spec.inputs[0].group = Some(format!("{}.again", strategy.group()));
    done(&runtime, "/control/load", &json!(back));
    done(&runtime, "/control/load", &json!(other));
    read_to_end(&mut runtime, feeder.broker, &back);
    read_to_end(&mut runtime, feeder.broker, &other);
    assert!(orders(feeder.broker, &back).len() > 2 * sent, "it reads from the start, and the second piece as well");
    assert_eq!(runtime.post("/control/load", &json!(other)).status, 409, "loaded twice");
}

#[test]
fn a_wrong_command_is_refused_with_what_is_wrong_in_it() {
    let Some(feeder) = Feeder::new() else { return };
    let strategy = record_only(feeder.broker, &feeder.market);
    let scratch = Scratch::new();
    let runtime = run(&scratch, feeder.broker, &strategy);
    let wrong = [
        ("/control/trading-state", json!({"state": "SLEEPING"}), 422, "SLEEPING"),
        ("/control/trading-state", json!({"state": "HALTED", "strategi": "x"}), 422, "strategi"),
        ("/control/trading-state", json!({"state": "HALTED", "strategy": "nobody"}), 404, "nobody"),
        ("/control/kill", json!({"killed": true}), 422, "instrument_id"),
        (
            "/control/limits",
            json!({"strategy": "record-only", "risk": {"maxOrderSize": "lots"}}),
            422,
            "decimal number",
        ),
        ("/control/limits", json!({"strategy": "nobody", "risk": {}}), 404, "nobody"),
        ("/control/load", json!({"kind": "Strategie"}), 422, "Strategie"),
        ("/control/unload", json!({"strategy": "nobody"}), 404, "nobody"),
    ];
    for (path, body, status, named) in wrong {
        let answer = runtime.post(path, &body);
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.body);
        let error = market::json(answer.body.as_bytes())["error"].as_str().unwrap().to_owned();
        assert!(error.contains(named), "{path} {body}: {error}");
    }
    assert_eq!(runtime.count(&metrics::STRATEGY_STATE, &[("state", "ACTIVE")]), 1);
}

#[test]
fn commands_need_the_token_where_there_is_one_and_a_drain_ends_the_process_well() {
    const TOKEN: &str = "0123456789abcdef";
    let Some(feeder) = Feeder::new() else { return };
    let strategy = record_only(feeder.broker, &feeder.market);
    let scratch = Scratch::new();
    let token = scratch.write("token", TOKEN);
    let file = strategies::write(&scratch, &strategy);
    let args = ["--admin-token-file", token.to_str().unwrap()];
    let runtime = Runtime::start_ready(&[&file], &feeder.broker.address(), &args);
    assert_eq!(runtime.post("/control/drain", &json!(null)).status, 401);
    let runtime = runtime.with_token("0123456789abcdeF");
    assert_eq!(runtime.post("/control/drain", &json!(null)).status, 401);
    assert_eq!(runtime.get("/metrics").unwrap().status, 200);
    assert_eq!(runtime.get("/live").unwrap().status, 200);
    let runtime = runtime.with_token(TOKEN);
    done(&runtime, "/control/drain", &json!(null));
    assert!(is_clean(runtime.wait()));
}

#[test]
fn a_changed_strategy_file_is_taken_over_while_it_runs() {
    let Some(mut feeder) = Feeder::new() else { return };
    let mut strategy = record_only(feeder.broker, &feeder.market);
    let scratch = Scratch::new();
    let original = strategy.spec.module.file.clone().unwrap();
    let module = scratch.write("module.wasm", std::fs::read(&original).unwrap());
    strategy.spec.module.file = Some("module.wasm".to_owned());
    let mut runtime = run(&scratch, feeder.broker, &strategy);
    feeder.feed(&mut runtime, &strategy, PIECE);
    let sent = approved(&runtime, &strategy);
    assert!(sent > 0);

    // Mistakes change nothing.
    scratch.write("record-only.yaml", "kind: Strategie\n");
    runtime
        .until("the mistakes to be told", START, |runtime| runtime.log().contains("goes on unchanged").then_some(()));
    assert_eq!(runtime.get("/live").unwrap().status, 200);

    strategy.spec.risk.as_mut().unwrap().max_order_size = "0.0009".parse().unwrap();
    strategies::write(&scratch, &strategy);
    runtime.until("the limits", START, |runtime| runtime.log().contains("limits changed").then_some(()));
    feeder.feed(&mut runtime, &strategy, PIECE);
    assert!(denied(&runtime, &strategy, "max_order_size") > 0);
    assert_eq!(approved(&runtime, &strategy), sent);

    strategy.spec.trading_state = TradingState::Halted;
    strategies::write(&scratch, &strategy);
    runtime.until("the halt", START, |runtime| {
        (runtime.metric(&metrics::STRATEGY_STATE, &[("state", "HALTED")])? == 1.0).then_some(())
    });

    let before = runtime.get("/strategies").unwrap().body;
    scratch.write("module.wasm", renamed(&module));
    runtime.until("the swap", START, |runtime| (runtime.metric(&metrics::SWAPS, &[])? == 1.0).then_some(()));
    assert_ne!(runtime.get("/strategies").unwrap().body, before);
}
