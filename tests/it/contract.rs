//! The contract, as a table: what a strategy is called with, what it sees of that and what the host answers, the same for every way to
//! run one and every SDK. Each guest is an `echo`, which says in its log all that it sees.

use pinion_runtime::bars::{Bar, BarKind, BarSeries};
use pinion_runtime::effects::{Intent, NewOrder, OrderType, TimeInForce};
use pinion_runtime::event::{
    Aggressor, BookSide, Delta, Execution, ExecutionKind, Head, Liquidity, MarketState, PRICE_UNDEFINED, Quote, Side,
    Trade, order_id,
};
use pinion_runtime::instruments::Instrument;
use pinion_runtime::risk::Position;
use pinion_runtime::sandbox::{
    BookTop, Call, Callbacks, Compiler, Fault, Fill, Gap, Guest, Lane, OrderStatus, OrderUpdate, Sandbox,
    SandboxConfig, Saved,
};
use pinion_spec::ids::ClientOrderId;
use pinion_spec::strategy::{Budget, Strategy, TradingState};
use pinion_tests::captures::SPOT;
use pinion_tests::native::Native;
use pinion_tests::programs::build_folder;
use pinion_tests::rig::{example, host_of, module};

const HEAD: Head = Head { instrument_id: 7, publisher_id: 3, flags: 128, ts_event: 40, ts_recv: 41, sequence: 99 };

/// The instrument that the example declares.
fn declared(strategy: &Strategy) -> Instrument {
    host_of(strategy).instruments_in_order()[0].clone()
}

/// Every way to run the example `echo`, by name.
fn guests(strategy: &Strategy) -> Vec<(&'static str, Box<dyn Guest>)> {
    let cache = build_folder().join("tmp").join("it-modules");
    let sandbox = Sandbox::new(SandboxConfig::new(cache, Compiler::Here)).unwrap();
    let sandboxed = |name: &str, lane| {
        let module = sandbox.load_for(&module(name), lane).unwrap();
        module.instantiate(host_of(strategy), &strategy.spec.budget).unwrap()
    };
    vec![
        ("native", Box::new(Native::<example_echo::Echo>::new(host_of(strategy)))),
        ("direct", sandboxed("echo", Lane::Direct)),
        ("component", sandboxed("echo", Lane::Component)),
        ("Python", sandboxed("echo-python", Lane::Component)),
    ]
}

fn strategy() -> Strategy {
    let mut strategy = example("echo", &SPOT);
    strategy.spec.budget = Budget { call_micros: 50_000, log_bytes_per_second: 1 << 20, ..strategy.spec.budget };
    strategy
}

fn lines(guest: &mut dyn Guest) -> Vec<String> {
    let mut lines = Vec::new();
    guest.host().log.drain(|line| lines.push(line.message.to_owned()));
    lines
}

fn timer(timer_id: u64, at: u64) -> Call {
    Call::Timer { timer_id, at }
}

/// What is called, what the strategy says of it, and what it asks for.
fn cases(instrument: &Instrument) -> Vec<(Call, Vec<String>, Vec<Intent>)> {
    let line = |line: &str| vec![line.to_owned()];
    let declared = instrument.id;
    let quote =
        Quote { bid_price: 10, bid_size: 1, ask_price: PRICE_UNDEFINED, ask_size: 2, bid_count: 3, ask_count: 4 };
    let trade = Trade { price: -20, size: 21, trade_id: u64::MAX, aggressor: Aggressor::Seller };
    let delta = Delta { price: 1, size: 2, count: 3, side: BookSide::Ask };
    let top = BookTop { bid_price: 1, bid_size: 2, ask_price: 3, ask_size: 4, bid_levels: 5, ask_levels: 6 };
    let bar = Bar {
        instrument_id: 1,
        publisher_id: 2,
        series: 3,
        trades: u32::MAX,
        late: 5,
        ts_open: 6,
        ts_close: 7,
        ts_recv: 8,
        open: 9,
        high: 10,
        low: -11,
        close: 12,
        volume: 13,
        buy_volume: 14,
    };
    let update = OrderUpdate {
        order_id: 1,
        tag: u64::MAX,
        instrument_id: 3,
        ts_event: 4,
        ts_recv: 5,
        status: OrderStatus::PartFilled,
        reason: 22,
        price: -6,
        leaves: 7,
        filled: 8,
    };
    let execution = Execution {
        order: ClientOrderId { strategy: 0, topic: 0, partition: 0, offset: 0, n: 0 },
        kind: ExecutionKind::Filled,
        side: Side::Sell,
        liquidity: Liquidity::Taker,
        price: 50,
        size: 51,
        leaves: 52,
        fee: -53,
    };
    let fill = Fill { order_id: 1, tag: 2, instrument_id: 3, ts_event: 4, ts_recv: 5, side: Side::Sell, execution };
    let position = Position {
        net: -1,
        working_buy: 2,
        working_sell: 3,
        average_price: 4,
        realized: -5,
        unrealized: PRICE_UNDEFINED,
        fees: -7,
    };
    let limit = NewOrder {
        instrument_id: declared,
        side: Side::Sell,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::PostOnly,
        price: 5,
        size: 6,
        tag: 77,
    };
    let market = NewOrder {
        side: Side::Buy,
        order_type: OrderType::Market,
        time_in_force: TimeInForce::Ioc,
        price: 0,
        size: 9,
        tag: 0,
        ..limit
    };
    let ids = [order_id(2, 56, 0), order_id(2, 56, 1)];
    let asked =
        vec![Intent::Submit { order_id: ids[0], order: limit }, Intent::Submit { order_id: ids[1], order: market }];
    let said = |call, said: &str| (call, line(said), vec![]);
    let asks = |call, intent| (call, vec![], vec![intent]);
    vec![
        (Call::Start, vec!["init 12 1".to_owned(), "start".to_owned()], vec![]),
        said(Call::Quote(HEAD, quote), "quote 7 3 128 40 41 99 10 1 - 2 3 4"),
        said(Call::Trade(HEAD, trade), "trade 7 3 128 40 41 99 -20 21 18446744073709551615 2"),
        said(Call::BookDelta(HEAD, Some(delta)), "book-delta 7 3 128 40 41 99 1 2 3 0 2"),
        said(Call::BookDelta(HEAD, None), "book-delta 7 3 128 40 41 99 9223372036854775807 0 0 1 0"),
        said(Call::Book(HEAD, top), "book 7 3 128 40 41 99 1 2 3 4 5 6"),
        said(Call::Gap(HEAD, Gap { expected: 8, received: 9 }), "gap 7 3 40 41 8 9"),
        said(Call::Recovered { instrument_id: 7, sequence: 9 }, "recovered 7 9"),
        said(Call::Status(HEAD, MarketState::Halted), "status 7 3 128 40 41 99 6"),
        said(Call::Bar(bar), "bar 1 2 3 4294967295 5 6 7 8 9 10 -11 12 13 14"),
        said(Call::Order(update), "order 1 18446744073709551615 3 4 5 6 22 -6 7 8"),
        said(Call::Fill(fill), "fill 1 2 3 4 5 1 50 51 52 -53 2"),
        said(Call::Position(9, position), "on-position 9 -1 2 3 4 -5 - -7"),
        said(Call::TradingState(TradingState::Reducing), "trading-state 1"),
        (timer(1, declared), line(&format!("submit {} {}", ids[0], ids[1])), asked),
        asks(timer(2, 4), Intent::Modify { order_id: 4, price: -2, size: 3 }),
        asks(timer(3, 4), Intent::Cancel { order_id: 4 }),
        asks(timer(4, 4), Intent::CancelAll),
        asks(timer(5, 4), Intent::SetTimer { timer_id: 8, at: 4 }),
        said(timer(6, 0), "now 1234"),
        said(
            timer(7, declared),
            &format!("instrument {declared} {} binance-spot BTCUSDT 10000000 10000 -9", instrument.publisher_id),
        ),
        said(timer(7, 1), "instrument none"),
        said(timer(8, declared), "position 0 0 0 - 0 0 0"),
        said(timer(9, declared), "level none"),
        (timer(10, 0), vec![], vec![]),
        (timer(11, 0), vec!["grüezi".to_owned(); 4], vec![]),
        said(timer(99, u64::MAX), "timer 99 18446744073709551615"),
        said(Call::Stop, "stop"),
    ]
}

#[test]
fn every_callback_and_import_is_the_same_for_every_way_to_run_a_strategy() {
    let strategy = strategy();
    let declared = declared(&strategy);
    let series = |kind, every, grace| BarSeries { instrument_id: declared.id, kind, every, grace };
    for (name, mut guest) in guests(&strategy) {
        let wants = guest.init(&[("fast".to_owned(), "12".to_owned())]).unwrap();
        assert_eq!(wants.callbacks, Callbacks::ALL, "{name}");
        let bars = [
            series(BarKind::Time, 1_000_000_000, 1_000_000),
            series(BarKind::Trades, 3, 0),
            series(BarKind::Volume, 5, 0),
        ];
        assert_eq!(wants.bars, bars, "{name}");
        for (call, said, asked) in cases(&declared) {
            let host = guest.host();
            (host.now, host.source, host.offset, host.record_orders) = (1_234, 2, 56, 0);
            assert_eq!(guest.call(&call), Ok(()), "{name}: {call:?}");
            let intents: Vec<_> = guest.host().effects.drain().collect();
            assert_eq!((lines(&mut *guest), intents), (said, asked), "{name}: {call:?}");
        }
        assert_eq!(guest.host().gauges.iter().collect::<Vec<_>>(), [("edge", 2.5)], "{name}");
    }
}

#[test]
fn what_one_module_saves_every_other_loads_or_refuses() {
    let strategy = strategy();
    for (from, mut before) in guests(&strategy) {
        before.init(&[]).unwrap();
        (0..5).for_each(|at| before.call(&timer(99, at)).unwrap());
        let saved = before.save().unwrap();
        assert_eq!(saved, Saved { version: 3, data: vec![5, 0, 0, 0] }, "{from}");
        for (to, mut after) in guests(&strategy) {
            after.init(&[]).unwrap();
            assert_eq!(after.load(&saved), Ok(()), "{from} to {to}");
            after.call(&Call::Start).unwrap();
            assert_eq!(lines(&mut *after), ["loaded 5", "start"], "{from} to {to}");
            let other = Saved { version: 4, ..saved.clone() };
            assert_eq!(after.load(&other), Err(Fault::refused("version 4 of 4 bytes".to_owned())), "{from} to {to}");
        }
    }
}

#[test]
fn a_strategy_that_refuses_to_start_says_why_in_its_own_words() {
    let strategy = strategy();
    for (name, mut guest) in guests(&strategy) {
        let refused = guest.init(&[("refuse".to_owned(), "no edge today".to_owned())]);
        assert_eq!(refused.unwrap_err(), Fault::refused("no edge today".to_owned()), "{name}");
    }
}
