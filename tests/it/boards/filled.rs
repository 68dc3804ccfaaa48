//! Every query of every board has data: panels, annotations and variables, asked of a real Prometheus over what the scene did.

use std::net::SocketAddr;

use pinion_boards::grafana::Board;
use pinion_boards::{Pace, boards, rules};
use pinion_spec::metrics::{self, Metric};
use pinion_spec::strategy::Strategy;
use pinion_tests::captures::Frame;
use pinion_tests::kafka::Broker;
use pinion_tests::kube::{Cluster, Tier};
use pinion_tests::operator::Operator;
use pinion_tests::prometheus::Prometheus;
use pinion_tests::strategies;
use pinion_tests::wait::until;
use serde_json::{Value, json};

use super::answers::{Answers, KERNEL, MAY_BE_ZERO, chosen, queries};
use super::scene::{self, Process};
use crate::desk::{STEP, Watch, reachable_pods, setup};
use crate::market::record_only;

/// The process in which everything works: an average cross with an objective that nothing meets, and one that decides by the record.
fn working(broker: &Broker) -> Process {
    let market = scene::market(broker);
    let mut cross = strategies::example_on(broker, "ema-cross", &market);
    cross.spec.params.extend([("fast", "3"), ("slow", "8")].map(|(name, value)| (name.to_owned(), value.to_owned())));
    cross.spec.scaling.targets.p99_micros = Some(1);
    Process::start(broker, &market, &[cross, record_only(broker, &market)])
}

/// The process in which everything goes wrong: a module that traps, one that spins a second at a time, orders that Kafka refuses.
fn troubled(broker: &Broker) -> Process {
    let market = scene::market(broker);
    let trap = strategies::example_on(broker, "misbehaving/trap", &market);
    let mut spin = strategies::example_on(broker, "misbehaving/spin", &market);
    spin.spec.budget.call_micros = 1_000_000;
    let mut refused = record_only(broker, &market);
    // Some 50 us a quote: the ring is full for as long as more comes.
    refused.spec.params.insert("work".to_owned(), "20000".to_owned());
    broker.limit_records(&refused.spec.outputs.orders.topic, 1);
    // On one thread nothing is read before what was read is done: no ring is ever full.
    Process::start_with(broker, &market, &[trap, spin, refused], &["--threads", "dedicated"])
}

fn trouble(broker: &Broker, prometheus: &Prometheus, process: &Process, frames: &[Frame]) {
    let market = process.market.clone();
    let produce = |frames: &[Frame]| broker.produce_frames(&market, frames.iter().map(|frame| (0, frame)));
    let count = |metric: &Metric, labels: &[(&str, &str)]| process.runtime.count(metric, labels) > 0;
    let happens = |metric: &Metric| until(metric.name, STEP, || count(metric, &[]).then_some(()));
    produce(&frames[..2_000]);
    happens(&metrics::KAFKA_DELIVERY_ERRORS);
    // More than a ring holds, faster than it is taken, until a scrape between two such moments has found it.
    let (start, mut flood) = (scene::now(), frames[2_000..25_000].chunks(11_500).cycle());
    until("a full ring on the boards", STEP, || {
        produce(flood.next().expect("it goes round"));
        [&metrics::RING_FULL, &metrics::PARTITION_PAUSED]
            .iter()
            .all(|metric| shows(prometheus, metric, start))
            .then_some(())
    });
    // Last, for what is stamped now makes the capture look old.
    broker.produce(&market, 0, [&b"\x00 no json"[..], &b"{\"stream\":"[..]]);
    let ahead = i64::try_from(pinion_runtime::clock::wall_ns() / 1_000_000).unwrap() + 60_000;
    broker.produce_dated(&market, 0, ahead, [br#"{"result":null,"id":1}"#]);
    happens(&metrics::DECODE_ERRORS);
    happens(&metrics::BROKER_CLOCK_NEGATIVE);
    // An instance comes back some time after each fault, and must find a stream that goes on: one event each time, for on a busy
    // machine it takes long to come back.
    let mut market_data = frames[25_000..].chunks(1);
    until("quarantine", STEP, || {
        produce(market_data.next().expect("the capture has come to its end"));
        count(&metrics::STRATEGY_QUARANTINED, &[("strategy", "trap")]).then_some(())
    });
}

/// Whether a rate of a metric, as a panel has it, has been something else than 0.
fn shows(prometheus: &Prometheus, metric: &Metric, start: f64) -> bool {
    let rate = prometheus.between(&format!("rate({}[15s])", metric.name), start, scene::now());
    rate.expect("a rate").iter().flat_map(|series| &series.values).any(|(_, value)| *value > 0.0)
}

/// Orders, denials, a break in the sequence, a swap, a halt.
fn work(broker: &Broker, process: &Process, frames: &[Frame]) {
    let market = process.market.clone();
    let produce = |frames: &[Frame]| broker.produce_frames(&market, frames.iter().map(|frame| (0, frame)));
    let orders = |strategy: &str| process.runtime.count(&metrics::ORDERS, &[("strategy", strategy)]);
    produce(&frames[..6_000]);
    until("orders", STEP, || (orders("ema-cross") > 0 && orders("record-only") > 0).then_some(()));
    process.command("/control/swap?strategy=ema-cross", &scene::module("ema-cross"));
    let limits = json!({"strategy": "record-only", "risk": {"maxOrderSize": "0.00001"}}).to_string();
    process.command("/control/limits", limits.as_bytes());
    // Whoever is not told of a thousand messages has missed depth updates.
    produce(&frames[7_000..12_000]);
    let some = |metric: &Metric| process.runtime.count(metric, &[]) > 0;
    until("denials and a gap", STEP, || (some(&metrics::DENIALS) && some(&metrics::SEQUENCE_GAPS)).then_some(()));
    let halt = json!({"state": "HALTED", "strategy": "record-only"}).to_string();
    process.command("/control/trading-state", halt.as_bytes());
    produce(&frames[12_000..14_000]);
    until("denials of the halted", STEP, || {
        let labels = [("reason", "trading_state_halted")];
        (process.runtime.count(&metrics::DENIALS, &labels) > 0).then_some(())
    });
}

#[test]
fn every_panel_annotation_and_variable_of_every_board_has_data() {
    if !reachable_pods() {
        return;
    }
    let (Some(broker), Some(frames)) = (Broker::shared(), scene::frames()) else { return };
    let Some(cluster) = Cluster::start(setup(Tier::Full)) else { return };
    let mut watch = Watch::start();
    let operator = Operator::start(&cluster, "op-a");
    let Some((mut desk, pods)) = scene::desk(&cluster, broker) else { return };
    watch.lap("a strategy Ready on the cluster");
    let (good, bad) = (working(broker), troubled(broker));
    let runtimes = pods.iter().map(|pod| &pod.runtime).chain([&good.runtime, &bad.runtime]);
    let jobs: [(&str, Vec<SocketAddr>); 2] = [
        ("pinion-runtime", runtimes.map(|runtime| runtime.address()).collect()),
        ("pinion-operator", vec![operator.address()]),
    ];
    let Some(prometheus) = Prometheus::start(&jobs, &rules::yaml(Pace::REAL).unwrap()) else { return };
    let start = scene::now();
    until("every target to be scraped", STEP, || prometheus.down().is_empty().then_some(()));

    desk.produce(4_000);
    trouble(broker, &prometheus, &bad, &frames);
    work(broker, &good, &frames);
    watch.lap("work and trouble");
    scene::grow(&desk, &pods);
    desk.produce(4_000);
    scene::release_a_bad_one(&mut desk, &pods);
    scene::refuse_an_assignment(&pods[0]);
    watch.lap("moved, rolled back, refused");
    let bad = bad.restart(broker);
    // Two scrapes of what happened last.
    let until_then = scene::now() + 3.0;
    until("the last scrapes", STEP, || (scene::now() > until_then && prometheus.down().is_empty()).then_some(()));
    watch.lap("scraped");

    let says_throttled = bad.runtime.get("/metrics").is_some_and(|answer| answer.body.contains(KERNEL));
    let boards: Vec<Value> = boards::all().iter().map(Board::json).collect();
    let answers = Answers::of(&prometheus, &boards, start, 2);
    println!("{} queries", answers.asked);
    let empty = answers.empty(!says_throttled);
    assert!(empty.is_empty(), "no data:\n{}", empty.join("\n"));
    let zero = answers.zero(&MAY_BE_ZERO);
    assert!(zero.is_empty(), "nothing but 0:\n{}", zero.join("\n"));
    watch.lap("asked");

    only_the_chosen(&prometheus, start, &desk.strategy);
}

/// With one strategy chosen no series of another is shown.
fn only_the_chosen(prometheus: &Prometheus, start: f64, strategy: &Strategy) {
    let (tenant, name) = (strategy.tenant(), strategy.metadata.name.as_str());
    let mut seen = 0;
    for one in boards::all().iter().flat_map(|board| queries(&board.json())) {
        let expression = chosen(&one.expression, tenant, name);
        for series in prometheus.between(&expression, start, scene::now()).unwrap() {
            let Some(whose) = series.labels.get("tenant") else { continue };
            seen += 1;
            assert_eq!(whose, tenant, "{}: {expression}", one.panel);
            assert!(series.labels.get("strategy").is_none_or(|one| one == name), "{}: {expression}", one.panel);
        }
    }
    assert!(seen > 30, "{seen} series of the chosen strategy");
}
