//! `pinion paper` on a real Kafka: orders are filled and told, a crash leaves nothing open and fills nothing twice, and there is one venue.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use pinion_spec::ids::{ClientOrderId, instrument_id};
use pinion_spec::strategy::{Encoding, Input, Start, Strategy};
use pinion_tests::captures::Frame;
use pinion_tests::kafka::Broker;
use pinion_tests::paper::Paper;
use pinion_tests::runtime::{Runtime, is_clean};
use pinion_tests::scratch::Scratch;
use pinion_tests::strategies;
use pinion_tests::wait::until;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::market::{Feeder, approved, json, orders, read_to_end, record_only};

/// Orders that may work at once: without reports no more than these would ever be sent.
const OPEN: u32 = 3;
/// For a report to come back on a machine that compiles something else.
const ANSWER: Duration = Duration::from_secs(60);
/// How an order that was accepted ends.
const ENDS: [&str; 3] = ["filled", "expired", "cancelled"];
const MS: u64 = 1_000_000;

/// A strategy with a topic of its own for executions.
fn reported(broker: &Broker, mut strategy: Strategy) -> (Strategy, String) {
    let executions = Broker::unique_topic("executions");
    broker.create_topic(&executions, 1);
    let market = strategy.spec.inputs[0].clone();
    let start = Start::Earliest;
    let input =
        Input { topic: executions.clone(), encoding: Encoding::PinionExecution, publisher: None, start, ..market };
    strategy.spec.inputs.push(input);
    (strategy, executions)
}

/// The reports that lie in a topic; the venues' claims are none.
fn all(broker: &Broker, topic: &str) -> Vec<Value> {
    let records = broker.consume_all(topic);
    let reports = records.iter().map(|record| json(&record.payload));
    reports.filter(|report| report["client_order_id"] != "pinion-paper").collect()
}

/// The type of each report, by the order's number.
fn told(reports: &[Value]) -> BTreeMap<String, Vec<String>> {
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for report in reports {
        let text = |field: &str| report[field].as_str().expect("a text").to_owned();
        told.entry(text("client_order_id")).or_default().push(text("type"));
    }
    told
}

#[test]
fn every_order_of_a_running_strategy_is_answered_and_what_is_told_is_what_the_summary_says() {
    let Some(mut feeder) = Feeder::new() else { return };
    let broker = feeder.broker;
    let (mut strategy, executions) = reported(broker, record_only(broker, &feeder.market));
    strategy.spec.risk.as_mut().expect("the example has limits").max_open_orders = OPEN;
    let scratch = Scratch::new();
    let file = strategies::write(&scratch, &strategy);
    let mut paper = Paper::open(&[&file], &broker.address(), &["--latency", "50us..2ms"]);
    let mut runtime = Runtime::start_ready(&[&file], &broker.address(), &[]);
    for _ in 0..12 {
        feeder.publish(1_000);
        read_to_end(&mut runtime, broker, &strategy);
    }
    let approved = approved(&runtime, &strategy);
    assert!(approved > 4 * u64::from(OPEN), "each that ended makes room for one: {approved}");
    // These are not answered before the runtime ends, which cancels what it takes to be working.
    paper.signal(Signal::STOP);
    feeder.publish(1_000);
    read_to_end(&mut runtime, broker, &strategy);
    assert!(is_clean(runtime.sigterm_and_wait()));
    paper.signal(Signal::CONT);

    let messages: Vec<Value> = orders(broker, &strategy).iter().map(|order| json(&order.payload)).collect();
    let of = |kind: &str| {
        let of = messages.iter().filter(move |message| message["type"] == kind);
        of.filter_map(|message| message["client_order_id"].as_str()).collect::<BTreeSet<_>>()
    };
    let (sent, cancelled) = (of("new"), of("cancel"));
    assert_eq!(sent.len() + cancelled.len(), messages.len(), "each is sent once");
    assert!(!cancelled.is_empty() && cancelled.is_subset(&sent), "{cancelled:?}");
    // A cancel of what has ended by then is rejected.
    let ends = |of: &[String], is_cancelled: bool| match of {
        [first, .., last] if first == "accepted" => match last.as_str() {
            "rejected" => is_cancelled && ENDS.contains(&of[of.len() - 2].as_str()),
            "cancelled" => true,
            last => !is_cancelled && ENDS.contains(&last),
        },
        _ => false,
    };
    paper.until("every message was answered", ANSWER, || {
        let told = told(&all(broker, &executions));
        sent.iter().all(|id| told.get(*id).is_some_and(|of| ends(of, cancelled.contains(id)))).then_some(())
    });
    let summary = paper.end();
    let reports = all(broker, &executions);
    assert_eq!(told(&reports).len(), sent.len(), "nothing else is told");
    assert!(reports.windows(2).all(|two| two[0]["sequence"].as_u64() < two[1]["sequence"].as_u64()), "numbered on");

    let ours = &summary["strategies"]["record-only"];
    let fills: Vec<&Value> = reports.iter().filter(|report| report["type"] == "filled").collect();
    assert!(!fills.is_empty(), "of {} orders none has filled", sent.len());
    assert_eq!(ours["orders"], messages.len());
    assert_eq!(ours["fills"], fills.len());
    assert_eq!(ours["reports"], reports.len());
    let amount =
        |text: &Value| text.as_str().and_then(|text| text.parse::<pinion_spec::Decimal>().ok()).expect("an amount");
    let net: i128 =
        fills.iter().map(|fill| amount(&fill["size"]).nanos() * if fill["side"] == "buy" { 1 } else { -1 }).sum();
    assert_eq!(amount(&ours["positions"]["BTCUSDT"]["net"]).nanos(), net);
    let fees: i128 = fills.iter().map(|fill| amount(&fill["fee"]).nanos()).sum();
    assert_eq!(amount(&ours["fees"]).nanos(), fees);
}

/// A market and a strategy that a test plays itself: it writes the orders.
struct Hand {
    broker: &'static Broker,
    strategy: Strategy,
    executions: String,
    file: PathBuf,
    _scratch: Scratch,
}

impl Hand {
    fn new() -> Option<Self> {
        let broker = Broker::shared()?;
        let market = Broker::unique_topic("market");
        broker.create_topic(&market, 1);
        let (strategy, executions) = reported(broker, strategies::example_on(broker, "ema-cross", &market));
        let scratch = Scratch::new();
        let file = strategies::write(&scratch, &strategy);
        Some(Self { broker, strategy, executions, file, _scratch: scratch })
    }

    fn open(&self) -> Paper {
        Paper::open(&[&self.file], &self.broker.address(), &["--latency", "0"])
    }

    fn quote(&self, ms: u64, bid: u32, ask: u32) {
        let value = format!(r#"{{"u":{ms},"s":"BTCUSDT","b":"{bid}","B":"5","a":"{ask}","A":"5"}}"#);
        let frame = Frame { ts_recv: ms * MS, value: value.into_bytes() };
        self.broker.produce_frames(&self.strategy.spec.inputs[0].topic, [(0, &frame)]);
    }

    fn id(n: u16) -> String {
        let strategy = ClientOrderId::strategy_hash("default", "ema-cross");
        ClientOrderId { strategy, topic: 1, partition: 0, offset: 1, n }.to_string()
    }

    fn buy(&self, n: u16, price: u32, ms: u64) {
        let order = json!({
            "type": "new", "client_order_id": Self::id(n), "instrument_id": instrument_id("binance-spot", b"BTCUSDT"),
            "side": "buy", "order_type": "limit", "time_in_force": "gtc", "price": price.to_string(), "size": "1", "tag": 0,
            "ts": ms * MS,
        });
        self.broker.produce(&self.strategy.spec.outputs.orders.topic, 0, [order.to_string()]);
    }

    /// Waits until an order's reports are these.
    fn until_told(&self, n: u16, wanted: &[&str]) {
        let mut last = Vec::new();
        until(&format!("order {n} to be told {wanted:?}"), ANSWER, || {
            last = told(&all(self.broker, &self.executions)).remove(&Self::id(n)).unwrap_or_default();
            (last == wanted).then_some(())
        });
    }
}

#[test]
fn after_a_crash_what_worked_is_cancelled_what_came_meanwhile_is_rejected_and_nothing_fills_twice() {
    let Some(hand) = Hand::new() else { return };
    let paper = hand.open();
    hand.quote(1_000, 100, 102);
    hand.buy(0, 90, 1_000);
    hand.buy(1, 102, 1_000);
    hand.until_told(0, &["accepted"]);
    hand.until_told(1, &["accepted"]);
    hand.quote(1_001, 100, 102);
    hand.until_told(1, &["accepted", "filled"]);
    paper.kill9();
    hand.buy(2, 102, 1_002);

    let paper = hand.open();
    hand.until_told(0, &["accepted", "cancelled"]);
    hand.until_told(2, &["rejected"]);
    let reports = all(hand.broker, &hand.executions);
    let last = reports.last().expect("a report");
    assert_eq!((&last["reason"], last["sequence"].as_u64()), (&json!("closed"), Some(5)), "{reports:?}");
    // Sent again, as after a crash of the strategy's: none is opened, and a new one is.
    for n in 0..3 {
        hand.buy(n, 102, 1_003);
    }
    hand.buy(3, 102, 1_003);
    hand.quote(1_004, 100, 102);
    hand.quote(1_005, 100, 102);
    hand.until_told(3, &["accepted", "filled"]);
    let summary = paper.end();
    assert_eq!((&summary["repeated"], &summary["strategies"]["ema-cross"]["fills"]), (&json!(3), &json!(1)));
    assert_eq!(all(hand.broker, &hand.executions).len(), reports.len() + 2);
}

#[test]
fn the_younger_of_two_venues_takes_over_and_the_older_ends() {
    let Some(hand) = Hand::new() else { return };
    let older = hand.open();
    hand.quote(1_000, 100, 102);
    hand.buy(0, 102, 1_000);
    hand.until_told(0, &["accepted"]);
    hand.quote(1_001, 100, 102);
    hand.until_told(0, &["accepted", "filled"]);
    // Nothing is open, so the younger has nothing to report: the older ends by its claim.
    let younger = hand.open();
    let (status, log) = older.wait();
    assert_eq!(status.code(), Some(69), "{log}");
    assert!(log.contains(&format!("another paper venue writes to {} and has taken over", hand.executions)), "{log}");
    hand.buy(0, 102, 1_001);
    hand.buy(1, 102, 1_001);
    hand.quote(1_002, 100, 102);
    hand.quote(1_003, 100, 102);
    hand.until_told(1, &["accepted", "filled"]);
    let summary = younger.end();
    assert_eq!((&summary["repeated"], &summary["strategies"]["ema-cross"]["fills"]), (&json!(1), &json!(1)));
    hand.until_told(0, &["accepted", "filled"]);
}

#[test]
fn a_venue_beside_which_somebody_else_begins_to_report_cancels_what_works_and_ends() {
    let Some(hand) = Hand::new() else { return };
    let paper = hand.open();
    hand.quote(1_000, 100, 102);
    hand.buy(0, 90, 1_000);
    hand.until_told(0, &["accepted"]);
    // A report on another strategy's order is not its business.
    let other = Hand::id(0).replace(&Hand::id(0)[..8], "00000001");
    let report = |id: &str| {
        json!({"type": "accepted", "client_order_id": id, "side": "buy", "instrument": "BTCUSDT", "leaves": "1"})
            .to_string()
    };
    hand.broker.produce(&hand.executions, 0, [report(&other)]);
    hand.buy(1, 90, 1_000);
    hand.until_told(1, &["accepted"]);
    hand.broker.produce(&hand.executions, 0, [report(&Hand::id(1))]);
    let (status, log) = paper.wait();
    assert_eq!(status.code(), Some(64), "{log}");
    assert!(log.contains("whoever trades for them must be alone"), "{log}");
    hand.until_told(0, &["accepted", "cancelled"]);
}

#[test]
fn where_somebody_else_reports_on_the_orders_no_venue_opens() {
    let Some(hand) = Hand::new() else { return };
    let real = json!({"type": "accepted", "client_order_id": Hand::id(0), "side": "buy", "instrument": "BTCUSDT", "leaves": "1"});
    hand.broker.produce(&hand.executions, 0, [real.to_string()]);
    let (status, log) = Paper::start(&[&hand.file], &hand.broker.address(), &[]).wait();
    assert_eq!(status.code(), Some(64), "{log}");
    assert!(log.contains(&format!(
        "{}/0/0 is a report on these strategies' orders that no paper venue wrote",
        hand.executions
    )));
    assert_eq!(all(hand.broker, &hand.executions).len(), 1, "it has said nothing");
}

#[test]
fn a_topic_that_is_not_there_is_named() {
    let Some(mut hand) = Hand::new() else { return };
    hand.strategy.spec.outputs.orders.topic = Broker::unique_topic("nobody-made-this");
    let scratch = Scratch::new();
    let file = strategies::write(&scratch, &hand.strategy);
    let (status, log) = Paper::start(&[&file], &hand.broker.address(), &[]).wait();
    assert_eq!(status.code(), Some(64), "{log}");
    assert!(log.contains("there is no topic nobody-made-this"), "{log}");
}
