//! What a person may change while strategies run: over the admin port, and by writing the strategy file.

use std::collections::BTreeSet;
use std::path::Path;

use pinion_spec::metrics;
use pinion_spec::strategy::{AssignmentMode, Risk, Strategy, TradingState};
use pinion_tests::captures::SPOT;
use pinion_tests::kafka::{Broker, Record};
use pinion_tests::programs::Publishing;
use pinion_tests::runtime::{Runtime, START, is_clean};
use pinion_tests::scratch::Scratch;
use pinion_tests::strategies;
use serde_json::{Value, json};

use crate::market::{
    self, Feeder, WHOLE, approved, by_id, denied, orders, read_to_end, record_only, run_whole, values,
};

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

/// What the admin port shows of the one strategy that runs.
fn running(runtime: &Runtime) -> Value {
    market::json(runtime.get("/strategies").unwrap().body.as_bytes())[0].clone()
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
    let limits = |size: &str| json!({"strategy": "record-only", "risk": {"maxOrderSize": size}});
    let answer = runtime.post("/control/limits", &limits("0.0009"));
    // What the command does not name stays, and the answer says what holds.
    let narrow = Risk { max_order_size: "0.0009".parse().unwrap(), ..wide.clone() };
    assert_eq!(market::json(answer.body.as_bytes())["risk"], json!(narrow), "{}", answer.body);
    assert_eq!(running(&runtime)["risk"], json!(narrow));
    feeder.feed(&mut runtime, &strategy, PIECE);
    let denials = denied(&runtime, &strategy, "max_order_size");
    assert!(denials > 0);
    assert_eq!(approved(&runtime, &strategy), sent, "orders over the limit");
    let told = feeder.broker.consume_all(&strategy.spec.outputs.denials.as_ref().unwrap().topic);
    assert_eq!(u64::try_from(told.len()), Ok(denials), "denials in the audit topic");
    assert!(told.iter().all(|record| market::json(&record.payload)["reason"] == "max_order_size"));

    done(&runtime, "/control/limits", &limits(&wide.max_order_size.to_string()));
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
    done(&runtime, "/control/kill", &json!({"instrument": "BTCUSDT", "killed": true}));
    let tradable = running(&runtime)["tradable"][0].clone();
    assert_eq!((&tradable["instrument_id"], &tradable["killed"]), (&first["instrument_id"], &json!(true)));
    feeder.feed(&mut runtime, &strategy, PIECE);
    let denials = denied(&runtime, &strategy, "kill_switch");
    assert!(denials > 0);
    assert_eq!(approved(&runtime, &strategy), sent, "orders on a killed instrument");

    done(&runtime, "/control/kill", &json!({"instrument_id": first["instrument_id"], "killed": false}));
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
    let running = running(&runtime);
    let broken = orders(broker, &strategy);
    let digests = digests(&broken);
    let new = running["module"].as_str().unwrap();
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
fn a_strategy_that_is_taken_out_and_brought_back_goes_on_where_it_was_and_another_runs_beside_it() {
    let Some(mut feeder) = Feeder::new() else { return };
    let strategy = record_only(feeder.broker, &feeder.market);
    let mut other = strategies::example_on(feeder.broker, "identity", &feeder.market);
    other.spec.inputs[0].group = Some(format!("{}.second", strategy.group()));
    let scratch = Scratch::new();
    let mut runtime = run(&scratch, feeder.broker, &strategy);
    feeder.feed(&mut runtime, &strategy, PIECE);
    let sent = orders(feeder.broker, &strategy).len();

    // Out while it reads: what was read is finished and committed, and nothing after it.
    feeder.publish(PIECE);
    done(&runtime, "/control/unload", &json!({"strategy": "record-only"}));
    assert_eq!(runtime.get("/strategies").unwrap().body, "[]");
    let out = orders(feeder.broker, &strategy).len();
    feeder.publish(PIECE);

    done(&runtime, "/control/load", &json!(strategy));
    assert_eq!(runtime.post("/control/load", &json!(strategy)).status, 409, "loaded twice");
    done(&runtime, "/control/load", &json!(other));
    read_to_end(&mut runtime, feeder.broker, &strategy);
    read_to_end(&mut runtime, feeder.broker, &other);
    let (ids, repeats) = by_id(&orders(feeder.broker, &strategy));
    assert_eq!(repeats, 0, "records were read again");
    assert!(sent <= out && out < ids.len(), "{sent} orders, {out} when it went, {} in the end", ids.len());
    assert!(is_clean(runtime.sigterm_and_wait()));
    let whole = record_only(feeder.broker, &feeder.market);
    run_whole(feeder.broker, &[&whole]);
    assert_eq!(ids, by_id(&orders(feeder.broker, &whole)).0, "its orders are not those of an unbroken run");
}

#[test]
fn a_strategy_whose_group_shares_partitions_out_can_be_taken_out_and_brought_back() {
    let Some(mut feeder) = Feeder::new() else { return };
    let mut strategy = record_only(feeder.broker, &feeder.market);
    strategy.spec.inputs[0].assignment = AssignmentMode::Group;
    let scratch = Scratch::new();
    let mut runtime = run(&scratch, feeder.broker, &strategy);
    feeder.feed(&mut runtime, &strategy, PIECE);
    done(&runtime, "/control/unload", &json!({"strategy": "record-only"}));
    feeder.publish(PIECE);
    done(&runtime, "/control/load", &json!(strategy));
    read_to_end(&mut runtime, feeder.broker, &strategy);
    assert_eq!(by_id(&orders(feeder.broker, &strategy)).1, 0, "records were read again");
}

#[test]
fn a_touched_file_changes_nothing_and_no_file_loosens_what_a_command_has_tightened() {
    let Some(feeder) = Feeder::new() else { return };
    let mut strategy = record_only(feeder.broker, &feeder.market);
    let scratch = Scratch::new();
    let original = strategy.spec.module.file.clone().unwrap();
    let module = scratch.write("module.wasm", std::fs::read(&original).unwrap());
    strategy.spec.module.file = Some("module.wasm".to_owned());
    let mut runtime = run(&scratch, feeder.broker, &strategy);
    let logs = |runtime: &mut Runtime, text: &str| {
        runtime.until(text, START, |runtime| runtime.log().contains(text).then_some(()));
    };
    let commanded = runtime.post_bytes("/control/swap?strategy=record-only", &renamed(&module));
    assert_eq!(commanded.status, 200, "{}", commanded.body);
    done(&runtime, "/control/trading-state", &json!({"state": "HALTED"}));
    done(&runtime, "/control/limits", &json!({"strategy": "record-only", "risk": {"maxOrderSize": "0.0009"}}));
    let before = running(&runtime);
    let shown = |now: &Value| (now["trading_state"].clone(), now["risk"].clone(), now["module"].clone());

    // The module written anew with the same bytes, and the file with other params, which shows that both were looked at.
    scratch.write("module.wasm", std::fs::read(&original).unwrap());
    strategy.spec.params.insert("every".to_owned(), "20".to_owned());
    strategies::write(&scratch, &strategy);
    logs(&mut runtime, r#""changed":"params""#);
    assert_eq!(shown(&running(&runtime)), shown(&before), "the file undid commands");

    // Looser than the commands; the limit that no command has set follows the file.
    let risk = strategy.spec.risk.as_mut().unwrap();
    (risk.max_order_size, risk.max_open_orders) = ("2".parse().unwrap(), 77);
    strategy.spec.trading_state = TradingState::Reducing;
    strategies::write(&scratch, &strategy);
    logs(&mut runtime, "the file's trading state is looser than a command's");
    logs(&mut runtime, "some of the file's limits are looser than a command's");
    let now = running(&runtime);
    assert_eq!(now["trading_state"], "HALTED");
    assert_eq!((&now["risk"]["maxOrderSize"], &now["risk"]["maxOpenOrders"]), (&json!("0.0009"), &json!(77)));

    // Stricter than what runs: a file always may.
    strategy.spec.risk.as_mut().unwrap().max_order_size = "0.0005".parse().unwrap();
    strategies::write(&scratch, &strategy);
    runtime.until("the stricter limit", START, |runtime| {
        (running(runtime)["risk"]["maxOrderSize"] == "0.0005").then_some(())
    });

    done(&runtime, "/control/trading-state", &json!({"state": "ACTIVE"}));
    done(&runtime, "/control/limits", &json!({"strategy": "record-only", "risk": {"maxOrderSize": "1"}}));
    let now = running(&runtime);
    assert_eq!((&now["trading_state"], &now["risk"]["maxOrderSize"]), (&json!("ACTIVE"), &json!("1")));
}

#[test]
fn every_command_leaves_its_trace_in_the_log() {
    let Some(feeder) = Feeder::new() else { return };
    let strategy = record_only(feeder.broker, &feeder.market);
    let scratch = Scratch::new();
    let runtime = run(&scratch, feeder.broker, &strategy);
    let module = strategy.spec.module.file.clone().unwrap();
    let size = strategy.spec.risk.as_ref().unwrap().max_order_size;
    let steps: [(&str, Value, &[&str]); 6] = [
        ("trading-state", json!({"state": "HALTED"}), &[r#""from":"ACTIVE","to":"HALTED""#, r#""instances":1"#, "All"]),
        ("trading-state", json!({"state": "ACTIVE", "strategy": "record-only"}), &[r#""from":"HALTED","to":"ACTIVE""#]),
        ("kill", json!({"instrument": "BTCUSDT", "killed": true}), &["BTCUSDT", r#""from":false,"to":true"#]),
        (
            "limits",
            json!({"strategy": "record-only", "risk": {"maxOrderSize": "0.0009"}}),
            &[&format!(r#"maxOrderSize\":\"{size}\""#), r#"maxOrderSize\":\"0.0009\""#],
        ),
        ("unload", json!({"strategy": "record-only"}), &["record-only", "unloaded"]),
        ("load", json!(strategy), &["record-only", "loaded", "sha256"]),
    ];
    for (command, body, says) in steps {
        let before = runtime.log().len();
        done(&runtime, &format!("/control/{command}"), &body);
        let log = runtime.log()[before..].to_owned();
        let line = log.lines().find(|line| line.contains("by command"));
        let line = line.unwrap_or_else(|| panic!("no trace of {command}: {log}"));
        says.iter().for_each(|part| assert!(line.contains(part), "{command}: no {part} in {line}"));
    }
    let swapped = runtime.post_bytes("/control/swap?strategy=record-only", &renamed(module.as_ref()));
    assert_eq!(swapped.status, 200, "{}", swapped.body);
    assert!(runtime.log().contains("module swapped by command"));
    assert_eq!(runtime.post("/control/unload", &json!({"strategy": "nobody"})).status, 404);
    let log = runtime.log();
    assert!(log.lines().any(|line| line.contains("command refused") && line.contains("nobody")), "{log}");
}

#[test]
fn whatever_the_admin_port_refuses_it_refuses_in_json() {
    let Some(feeder) = Feeder::new() else { return };
    let strategy = record_only(feeder.broker, &feeder.market);
    let scratch = Scratch::new();
    let runtime = run(&scratch, feeder.broker, &strategy);
    let refused = [
        (runtime.get("/").unwrap(), 404, "/strategies"),
        (runtime.get("/control/kill").unwrap(), 405, "Allow"),
        (runtime.post("/metrics", &json!(null)), 405, "Allow"),
        (runtime.get("/hdr/all/nothing").unwrap(), 404, "no stage nothing"),
        (runtime.post_bytes("/control/swap", b"x"), 400, "strategy"),
        (runtime.post_bytes("/control/limits", b"nope"), 422, r#"it looks like {"strategy""#),
    ];
    for (answer, status, says) in refused {
        assert_eq!(answer.status, status, "{answer:?}");
        let error = market::json(answer.body.as_bytes())["error"].as_str().unwrap().to_owned();
        assert!(error.contains(says), "{error}");
    }
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
        ("/control/trading-state", json!({"state": "ACTIVE", "tenant": "desk-7"}), 404, "tenants that do: default"),
        ("/control/kill", json!({"killed": true}), 422, "name an instrument"),
        ("/control/kill", json!({"instrument_id": 7, "killed": true}), 404, "BTCUSDT of binance-spot"),
        ("/control/kill", json!({"instrument": "ETHUSDT", "killed": true}), 404, "BTCUSDT of binance-spot"),
        ("/control/limits", json!({"strategy": "record-only", "risk": {}}), 422, "no limit"),
        (
            "/control/limits",
            json!({"strategy": "record-only", "risk": {"messagesPerSecond": 4_000_000_000_u32}}),
            422,
            "1000000",
        ),
        (
            "/control/limits",
            json!({"strategy": "record-only", "risk": {"maxOrderSize": "lots"}}),
            422,
            "decimal number",
        ),
        ("/control/limits", json!({"strategy": "nobody", "risk": {"maxOpenOrders": 1}}), 404, "nobody"),
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
