//! The guide's table of risk checks, done: each example is denied for the reason of its row, each default is the one in force.

use std::collections::BTreeSet;

use pinion_runtime::book::Books;
use pinion_runtime::effects::{NewOrder, OrderType, TimeInForce};
use pinion_runtime::event::{
    Body, Depth, Event, Execution, ExecutionKind, Head, Liquidity, Origin, PRICE_UNDEFINED, Quote, Side, Stamp,
};
use pinion_runtime::instruments::{Instrument, Instruments};
use pinion_runtime::risk::{Context, DenyReason, Executions, Ledger, Limits, Order, Request, check};
use pinion_spec::Decimal;
use pinion_spec::ids::ClientOrderId;
use pinion_spec::strategy::{Resync, Risk, TradingState};
use pinion_tests::captures::project_root;

/// Reason, limit and example of each row.
fn rows() -> Vec<[String; 3]> {
    let page = std::fs::read_to_string(project_root().join("docs/guide/risk.md")).unwrap();
    let table = page.split("| denied as |").nth(1).expect("the table of checks").split("\n\n").next().unwrap();
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let row = |line: &str| match &cells(line)[..] {
        [reason, _, limit, example] => [reason.clone(), limit.clone(), example.clone()],
        other => panic!("{} cells: {line}", other.len()),
    };
    table.lines().skip(2).map(row).collect()
}

fn nanos(text: &str) -> i64 {
    text.parse::<Decimal>().unwrap_or_else(|error| panic!("{text}: {error}")).nanos().try_into().unwrap()
}

const BTC: u64 = 1;
const ETH: u64 = 2;
const XRP: u64 = 3;

fn instruments() -> Instruments {
    let instrument = |id, symbol: &str| Instrument {
        id,
        publisher_id: 1,
        publisher: "venue".into(),
        symbol: symbol.into(),
        tick: nanos("0.5"),
        lot: nanos("0.01"),
        size_exponent: -9,
    };
    Instruments::new([instrument(BTC, "BTC"), instrument(ETH, "ETH")])
}

/// A strategy's desk, in the words of the examples.
struct Desk {
    limits: Limits,
    books: Books,
    ledger: Ledger,
    now: u64,
    state: TradingState,
    kill: bool,
    orders: u64,
    last: Option<Request>,
}

impl Desk {
    fn new() -> Self {
        let limits = Limits::compile(&Risk::default(), &instruments()).unwrap();
        let ledger = Ledger::new(Executions::Reported, &limits);
        let (books, now) = (Books::new(Resync::Snapshot), 1_000_000_000_000);
        let mut desk =
            Self { limits, books, ledger, now, state: TradingState::Active, kill: false, orders: 0, last: None };
        desk.quote(nanos("20000"), nanos("20010"));
        desk
    }

    fn event(&mut self, sequence: u64, body: Body) {
        let head = Head { instrument_id: BTC, ts_recv: self.now, sequence, ..Head::default() };
        self.books.apply(&Event { head, body, origin: Origin::default(), stamp: Stamp::default() });
    }

    fn quote(&mut self, bid_price: i64, ask_price: i64) {
        let (bid_size, ask_size) = (1, 1);
        self.event(0, Body::Quote(Quote { bid_price, bid_size, ask_price, ask_size, bid_count: 0, ask_count: 0 }));
    }

    /// Does one step; `None` where it asks for nothing.
    fn step(&mut self, step: &str) -> Option<Result<Order, DenyReason>> {
        let words: Vec<&str> = step.split(' ').collect();
        match words[..] {
            ["killed"] => self.kill = true,
            ["HALTED"] => self.state = TradingState::Halted,
            ["REDUCING"] => self.state = TradingState::Reducing,
            ["only", symbol, "allowed"] => {
                let risk = Risk { instruments: Some(vec![symbol.to_owned()]), ..Risk::default() };
                self.limits = Limits::compile(&risk, &instruments()).unwrap();
            }
            ["no", "ask"] => self.quote(nanos("20000"), PRICE_UNDEFINED),
            ["market", bid, "to", ask] => self.quote(nanos(bid), nanos(ask)),
            [seconds, "s", "pass"] => self.now += seconds.parse::<u64>().unwrap() * 1_000_000_000,
            ["a", "gap"] => {
                for (sequence, follows) in [(10, 9), (20, 15)] {
                    let depth = Depth { first: follows + 1, follows, ..Depth::default() };
                    self.event(sequence, Body::Depth(depth));
                }
            }
            ["filled"] => self.fill(),
            ["the", "same", "again"] => return self.last.map(|request| self.ask(request)),
            ["cancel", id] => return Some(self.ask(Request::Cancel { order_id: id.parse().unwrap() })),
            ["modify", id, "to", size, "at", price] => {
                let (order_id, price, size) = (id.parse().unwrap(), nanos(price), nanos(size));
                return Some(self.ask(Request::Modify { order_id, price, size }));
            }
            [side @ ("buy" | "sell"), size, symbol, "at", price] => {
                return Some(self.submit(side, size, symbol, price));
            }
            _ => panic!("no step: {step}"),
        }
        None
    }

    fn submit(&mut self, side: &str, size: &str, symbol: &str, price: &str) -> Result<Order, DenyReason> {
        let instrument_id = match symbol {
            "BTC" => BTC,
            "ETH" => ETH,
            _ => XRP,
        };
        let (order_type, time_in_force, price) = match price {
            "market" => (OrderType::Market, TimeInForce::Ioc, 0),
            price => (OrderType::Limit, TimeInForce::Gtc, nanos(price)),
        };
        let side = if side == "buy" { Side::Buy } else { Side::Sell };
        self.orders += 1;
        let order = NewOrder { instrument_id, side, order_type, time_in_force, price, size: nanos(size), tag: 0 };
        self.ask(Request::Submit { order_id: self.orders, order })
    }

    fn ask(&mut self, request: Request) -> Result<Order, DenyReason> {
        self.last = Some(request);
        let (trading_state, kill, now) = (self.state, self.kill, self.now);
        let context = Context { limits: &self.limits, books: &self.books, now, trading_state, kill };
        check(&request, &mut self.ledger, &context).map_err(|denial| denial.reason)
    }

    /// The venue fills the last order whole.
    fn fill(&mut self) {
        let Some(Request::Submit { order_id, order }) = self.last else { panic!("no order to fill") };
        let id = ClientOrderId { strategy: 1, topic: 1, partition: 0, offset: 0, n: 0 };
        let (kind, liquidity) = (ExecutionKind::Filled, Liquidity::Taker);
        let execution = Execution {
            order: id,
            kind,
            side: order.side,
            liquidity,
            price: order.price,
            size: order.size,
            leaves: 0,
            fee: 0,
        };
        let head = Head { instrument_id: order.instrument_id, ts_recv: self.now, sequence: 1, ..Head::default() };
        assert!(self.ledger.apply_execution(order_id, &head, &execution).is_some());
    }
}

/// What the last step of an example is denied for; all before must pass.
fn denied_for(example: &str) -> String {
    let mut desk = Desk::new();
    let steps: Vec<(usize, &str)> = example
        .split("; ")
        .map(|step| step.split_once(" x ").map_or((1, step), |(times, step)| (times.parse().unwrap(), step)))
        .collect();
    let (last, before) = steps.split_last().unwrap();
    for (times, step) in before {
        for _ in 0..*times {
            if let Some(Err(reason)) = desk.step(step) {
                panic!("{example}: {step} is denied already, for {}", reason.label());
            }
        }
    }
    match desk.step(last.1) {
        Some(Err(reason)) => reason.label().to_owned(),
        Some(Ok(_)) => "nothing".to_owned(),
        None => panic!("{example}: the last step asks for nothing"),
    }
}

fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_example_of_the_guide_is_denied_for_its_reason() {
    let mut reasons = BTreeSet::new();
    for [reason, _, example] in rows() {
        let reason = quoted(&reason)[0].to_owned();
        assert_eq!(denied_for(quoted(&example)[0]), reason, "{example}");
        assert!(reasons.insert(reason.clone()), "{reason} stands twice");
    }
    let all: BTreeSet<String> = DenyReason::ALL.iter().map(|reason| reason.label().to_owned()).collect();
    assert_eq!(reasons, all, "a row for every reason");
}

#[test]
fn every_default_of_the_guide_is_the_one_in_force() {
    let defaults = serde_json::to_value(Risk::default()).unwrap();
    let mut shown = BTreeSet::new();
    for [_, limit, _] in rows() {
        if let [field, default] = quoted(&limit)[..] {
            let real = &defaults[field];
            let real = real.as_str().map_or_else(|| real.to_string(), str::to_owned);
            assert_eq!(default, real, "{field}");
            shown.insert(field.to_owned());
        }
    }
    let mut all: BTreeSet<String> = defaults.as_object().unwrap().keys().cloned().collect();
    all.remove("instruments");
    assert_eq!(shown, all, "a default for every limit");
}
