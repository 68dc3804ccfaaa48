//! What the contract says arrives, arrives: the same through both lanes.

use pinion_spec::ids::ClientOrderId;
use pinion_spec::strategy::{Budget, TradingState};

use super::guests::guest;
use super::{HEAD, LANES, ON_QUOTE, QUOTE, budget, host, instance, sandbox, started};
use crate::bars::{Bar, BarKind, BarSeries};
use crate::effects::{Intent, NewOrder, OrderType, TimeInForce};
use crate::event::{
    Aggressor, BookSide, Delta, Execution, ExecutionKind, Liquidity, MarketState, PRICE_UNDEFINED, Side, Trade,
    order_id,
};
use crate::limits::SAVED_BYTES_MAX;
use crate::risk::Position;
use crate::sandbox::log::LogLevel;
use crate::sandbox::{
    BookTop, Call, Callbacks, Fault, FaultKind, Fill, Gap, Guest, HostConfig, OrderStatus, OrderUpdate, Saved, Wants,
};

fn intents(guest: &mut Box<dyn Guest>) -> Vec<Intent> {
    guest.host().effects.drain().collect()
}

/// A guest that tells every parameter of one callback: parameter i as `modify(i, parameter, 0)`.
fn echo(callback: &str, types: &str) -> Vec<u8> {
    let tell = types.split_whitespace().enumerate().map(|(i, ty)| match ty {
        "i32" => format!("(call $modify (i64.const {i}) (i64.extend_i32_u (local.get {i})) (i64.const 0))"),
        _ => format!("(call $modify (i64.const {i}) (local.get {i}) (i64.const 0))"),
    });
    guest(&format!("(func (on \"{callback}\") {})", tell.collect::<String>()))
}

const HEAD_TYPES: &str = "i64 i32 i32 i64 i64 i64";

#[test]
fn every_scalar_of_every_callback_arrives_in_its_place() {
    let h = [7, 3, 128, 40, 41, 99];
    let with_head = |rest: &[i64]| [&h[..], rest].concat();
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
    let update = OrderUpdate {
        order_id: 1,
        tag: 2,
        instrument_id: 3,
        ts_event: 4,
        ts_recv: 5,
        status: OrderStatus::Filled,
        reason: 22,
        price: -6,
        leaves: 7,
        filled: 8,
    };
    let top = BookTop { bid_price: 1, bid_size: 2, ask_price: 3, ask_size: 4, bid_levels: 5, ask_levels: 6 };
    let delta = Delta { price: -1, size: 2, count: 3, side: BookSide::Ask };
    let trade = Trade { price: 20, size: 21, trade_id: u64::MAX, aggressor: Aggressor::Seller };
    let events = |rest: &str| format!("{HEAD_TYPES} {rest}");
    let bar = Bar {
        instrument_id: 1,
        publisher_id: 2,
        series: 3,
        trades: 4,
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
    let position = Position {
        net: -1,
        working_buy: 2,
        working_sell: 3,
        average_price: 4,
        realized: -5,
        unrealized: i64::MAX,
        fees: -7,
    };
    let cases: [(&str, String, Call, Vec<i64>); 16] = [
        ("quote", events("i64 i64 i64 i64 i32 i32"), Call::Quote(HEAD, QUOTE), with_head(&[10, 1, 11, 2, 3, 4])),
        ("trade", events("i64 i64 i64 i32"), Call::Trade(HEAD, trade), with_head(&[20, 21, -1, 2])),
        ("book-delta", events("i64 i64 i32 i32 i32"), Call::BookDelta(HEAD, Some(delta)), with_head(&[-1, 2, 3, 0, 2])),
        (
            "book-delta",
            events("i64 i64 i32 i32 i32"),
            Call::BookDelta(HEAD, None),
            with_head(&[PRICE_UNDEFINED, 0, 0, 1, 0]),
        ),
        ("book", events("i64 i64 i64 i64 i32 i32"), Call::Book(HEAD, top), with_head(&[1, 2, 3, 4, 5, 6])),
        (
            "gap",
            "i64 i32 i64 i64 i64 i64".to_owned(),
            Call::Gap(HEAD, Gap { expected: 8, received: 9 }),
            vec![7, 3, 40, 41, 8, 9],
        ),
        ("recovered", "i64 i64".to_owned(), Call::Recovered { instrument_id: 7, sequence: 9 }, vec![7, 9]),
        ("status", events("i32"), Call::Status(HEAD, MarketState::Halted), with_head(&[6])),
        (
            "bar",
            "i64 i32 i32 i32 i32 i64 i64 i64 i64 i64 i64 i64 i64 i64".to_owned(),
            Call::Bar(bar),
            vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10, -11, 12, 13, 14],
        ),
        (
            "position",
            "i64 i64 i64 i64 i64 i64 i64 i64".to_owned(),
            Call::Position(9, position),
            vec![9, -1, 2, 3, 4, -5, i64::MAX, -7],
        ),
        ("timer", "i64 i64".to_owned(), Call::Timer { timer_id: 7, at: 9 }, vec![7, 9]),
        (
            "order",
            "i64 i64 i64 i64 i64 i32 i32 i64 i64 i64".to_owned(),
            Call::Order(update),
            vec![1, 2, 3, 4, 5, 7, 22, -6, 7, 8],
        ),
        (
            "fill",
            "i64 i64 i64 i64 i64 i32 i64 i64 i64 i64 i32".to_owned(),
            Call::Fill(fill),
            vec![1, 2, 3, 4, 5, 1, 50, 51, 52, -53, 2],
        ),
        ("trading-state", "i32".to_owned(), Call::TradingState(TradingState::Halted), vec![2]),
        ("start", String::new(), Call::Start, vec![]),
        ("stop", String::new(), Call::Stop, vec![]),
    ];
    for (callback, types, call, expected) in cases {
        let echo = echo(callback, &types);
        for lane in LANES {
            let config = HostConfig { intents_per_call: 16, ..config() };
            let module = sandbox().load_for(&echo, lane).unwrap();
            let mut guest = module.instantiate(crate::sandbox::Host::new(config), &budget()).unwrap();
            guest.init(&[]).unwrap();
            assert_eq!(guest.call(&call), Ok(()), "{callback}, {lane:?}");
            let told: Vec<_> = intents(&mut guest)
                .into_iter()
                .map(|intent| match intent {
                    Intent::Modify { price, .. } => price,
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(told, expected, "{callback}, {lane:?}");
        }
    }
}

fn config() -> HostConfig {
    HostConfig { instruments: host().instruments, intents_per_call: 4, log_bytes_per_second: 4_096 }
}

#[test]
fn every_intent_leaves_as_it_was_asked_for() {
    let all = guest(
        r#"(func (on "quote")
             (call $cancel (call $submit (i64.const 7) (i32.const 1) (i32.const 1) (i32.const 3)
               (i64.const -5) (i64.const 6) (i64.const 77)))
             (call $set-timer (i64.const 8) (call $now))
             (call $cancel-all))
           (func (on "trade")
             (call $modify (i64.const 1) (i64.const 2) (i64.const 3)))"#,
    );
    let order = NewOrder {
        instrument_id: 7,
        side: Side::Sell,
        order_type: OrderType::Market,
        time_in_force: TimeInForce::PostOnly,
        price: -5,
        size: 6,
        tag: 77,
    };
    for lane in LANES {
        let mut guest = started(&all, lane);
        (guest.host().now, guest.host().source, guest.host().offset) = (1_234, 2, 56);
        guest.call(&ON_QUOTE).unwrap();
        let order_id = order_id(2, 56, 0);
        assert_eq!(
            intents(&mut guest),
            [
                Intent::Submit { order_id, order },
                Intent::Cancel { order_id },
                Intent::SetTimer { timer_id: 8, at: 1_234 },
                Intent::CancelAll
            ],
            "{lane:?}"
        );
        let trade = Trade { price: 1, size: 1, trade_id: 1, aggressor: Aggressor::None };
        guest.call(&Call::Trade(HEAD, trade)).unwrap();
        assert_eq!(intents(&mut guest), [Intent::Modify { order_id: 1, price: 2, size: 3 }], "{lane:?}");
        guest.call(&ON_QUOTE).unwrap();
        assert_eq!(
            intents(&mut guest)[0],
            Intent::Submit { order_id: crate::event::order_id(2, 56, 1), order },
            "{lane:?}: a second order of the same record has an id of its own"
        );
    }
}

#[test]
fn records_are_laid_out_as_the_canonical_abi_says() {
    // Memory is filled with ones first, so that what is not written is seen.
    let layouts = [
        (
            "(call $instrument (i64.const 7) (i32.const 64))",
            vec![(64, 1), (72, 7), (80, 3), (88, 10_000_000), (96, 10_000)],
        ),
        ("(call $instrument (i64.const 8) (i32.const 64))", vec![(64, 0)]),
        (
            "(call $position (i64.const 7) (i32.const 64))",
            vec![(64, 0), (72, 0), (80, 0), (88, i64::MAX as u64), (96, 0), (104, 0), (112, 0)],
        ),
        ("(call $book-level (i64.const 7) (i32.const 1) (i32.const 0) (i32.const 64))", vec![(64, 0)]),
        ("(call $book-level (i64.const 7) (i32.const 0) (i32.const 0) (i32.const 64))", vec![(64, 0)]),
    ];
    for (call, fields) in layouts {
        for (at, expected) in fields {
            // Discriminants are a byte, the publisher is 4; the rest are 8.
            let load = match at {
                64 if !call.contains("position") => "i64.load8_u",
                80 if call.contains("instrument") => "i64.load32_u",
                _ => "i64.load",
            };
            let body = format!(
                r#"(func (on "quote") (memory.fill (i32.const 0) (i32.const 255) (i32.const 256)) {call}
                     (call $cancel ({load} (i32.const {at}))))"#
            );
            for lane in LANES {
                let mut guest = started(&guest(&body), lane);
                guest.call(&ON_QUOTE).unwrap();
                assert_eq!(intents(&mut guest), [Intent::Cancel { order_id: expected }], "{call} {at} {lane:?}");
            }
        }
    }
    let exponent_and_symbol = guest(
        r#"(func (on "quote") (call $instrument (i64.const 7) (i32.const 64))
             (call $cancel (i64.load32_s (i32.const 104)))
             (call $log (i32.const 3) (i32.load (i32.const 108)) (i32.load (i32.const 112))))"#,
    );
    for lane in LANES {
        let mut guest = started(&exponent_and_symbol, lane);
        guest.call(&ON_QUOTE).unwrap();
        assert_eq!(intents(&mut guest), [Intent::Cancel { order_id: (-9_i64).cast_unsigned() }], "{lane:?}");
        let mut lines = Vec::new();
        guest.host().log.drain(|line| lines.push((line.level, line.message.to_owned())));
        assert_eq!(lines, [(LogLevel::Error, "BTCUSDT".to_owned())], "{lane:?}");
    }
}

/// An `on-init` that refuses, with a text whose pointer lies at `at` of one of its lists.
fn refuses_with(list: u32, at: u32) -> Vec<u8> {
    guest(&format!(
        r#"(func (on "init")
             (i32.store8 (i32.const 16) (i32.const 1))
             (i32.store (i32.const 20) (i32.load offset={at} (local.get {list})))
             (i32.store (i32.const 24) (i32.load offset={len} (local.get {list})))
             (i32.const 16))"#,
        len = at + 4
    ))
}

#[test]
fn on_init_gets_params_and_instruments_and_its_refusal_comes_back() {
    let params = [("fast".to_owned(), "12".to_owned()), ("name".to_owned(), "Zürich".to_owned())];
    for (list, at, text) in [(0, 0, "fast"), (0, 8, "12"), (0, 24, "Zürich"), (2, 36, "BTCUSDT"), (2, 44, "binance")] {
        for lane in LANES {
            let fault = instance(&refuses_with(list, at), lane).unwrap().init(&params).unwrap_err();
            assert_eq!(fault, crate::sandbox::Fault::refused(text.to_owned()), "{lane:?}");
        }
    }
}

#[test]
fn only_the_callbacks_that_the_contract_knows_are_wanted() {
    let wants = |bits: i32| {
        guest(&format!(r#"(func (on "init") (i32.store16 (i32.const 20) (i32.const {bits})) (i32.const 16))"#))
    };
    for lane in LANES {
        let of = |bits| instance(&wants(bits), lane).unwrap().init(&[]).unwrap();
        let only = |callbacks| Wants { callbacks, bars: Vec::new() };
        assert_eq!(of(0b1001_0000_0101), only(Callbacks(0b1001_0000_0101)), "{lane:?}");
        assert_eq!(of(-1), only(Callbacks::ALL), "{lane:?}");
    }
}

/// An `on-init` that wants the bars in the list at `at`, `len` of them; what they are is said by `data` at 1024.
fn wants_bars(at: u32, len: u32, data: &str) -> Vec<u8> {
    guest(&format!(
        r#"(data (i32.const 1024) "{data}")
           (func (on "init") (i32.store (i32.const 24) (i32.const {at})) (i32.store (i32.const 28) (i32.const {len}))
             (i32.const 16))"#
    ))
}

#[test]
fn wanted_bars_arrive_as_they_are_and_what_is_no_list_of_bars_is_refused() {
    let id = r"\07\00\00\00\00\00\00\00";
    let series =
        |kind: u8| format!(r"{id}\{kind:02x}\00\00\00\00\00\00\00\09\00\00\00\00\00\00\00\08\00\00\00\00\00\00\00");
    let two = format!("{}{}", series(0), series(2));
    let bars = [BarKind::Time, BarKind::Volume].map(|kind| BarSeries { instrument_id: 7, kind, every: 9, grace: 8 });
    for lane in LANES {
        let init = |at, len, data: &str| instance(&wants_bars(at, len, data), lane).unwrap().init(&[]);
        assert_eq!(init(1024, 2, &two).unwrap(), Wants { callbacks: Callbacks(0), bars: bars.to_vec() }, "{lane:?}");
        for (at, len, data) in
            [(1024, 1, series(3)), (1028, 1, two.clone()), (65_528, 1, two.clone()), (1024, u32::MAX, two.clone())]
        {
            let fault = init(at, len, &data).unwrap_err();
            assert_eq!(fault.kind, FaultKind::BadPointer, "{lane:?}: {at} {len}: {fault}");
        }
    }
}

/// Saves `len` bytes from 2048 on as version 3; loads what is of version 3 with `abc` in it, and refuses all else with `no`. Asks for an
/// order on the way, which is to come to nothing.
fn saving(len: u32, memory: u32) -> Vec<u8> {
    guest(&format!(
        r#"(memory (export "memory") {memory})
           (data (i32.const 2048) "abc") (data (i32.const 3000) "no")
           (func (on "save")
             (call $cancel-all)
             (i32.store (i32.const 32) (i32.const 3)) (i32.store (i32.const 36) (i32.const 2048))
             (i32.store (i32.const 40) (i32.const {len})) (i32.const 32))
           (func (on "load")
             (call $cancel-all)
             (i32.store8 (i32.const 48) (i32.eqz (i32.and
               (i32.and (i32.eq (local.get 0) (i32.const 3)) (i32.eq (local.get 2) (i32.const 3)))
               (i32.eq (i32.load8_u offset=2 (local.get 1)) (i32.const 99)))))
             (i32.store (i32.const 52) (i32.const 3000)) (i32.store (i32.const 56) (i32.const 2))
             (i32.const 48))"#
    ))
}

#[test]
fn what_a_guest_saves_another_loads_or_refuses_and_what_they_ask_for_meanwhile_is_dropped() {
    for lane in LANES {
        let mut before = started(&saving(3, 1), lane);
        let saved = before.save().unwrap();
        assert_eq!(saved, Saved { version: 3, data: b"abc".to_vec() }, "{lane:?}");
        let mut after = started(&saving(3, 1), lane);
        assert_eq!(after.load(&saved), Ok(()), "{lane:?}");
        let older = Saved { version: 2, ..saved };
        assert_eq!(after.load(&older), Err(Fault::refused("no".to_owned())), "{lane:?}");
        assert!(before.host().effects.is_empty() && after.host().effects.is_empty(), "{lane:?}");
        before.call(&ON_QUOTE).unwrap();
    }
}

#[test]
fn as_much_as_a_mebibyte_is_saved_and_a_byte_more_is_a_fault() {
    let most = u32::try_from(SAVED_BYTES_MAX).unwrap();
    let budget = Budget { memory_mib: 8, ..budget() };
    for lane in LANES {
        let save = |len| -> Result<(usize, String), Fault> {
            let module = sandbox().load_for(&saving(len, 64), lane).unwrap();
            let mut guest = module.instantiate(host(), &budget).unwrap();
            guest.init(&[]).unwrap();
            let saved = guest.save()?;
            guest.load(&saved).map_or_else(|refused| Ok((saved.data.len(), refused.detail)), |()| panic!("loaded"))
        };
        assert_eq!(save(most), Ok((SAVED_BYTES_MAX, "no".to_owned())), "{lane:?}");
        assert_eq!(save(most + 1).unwrap_err().kind, FaultKind::Memory, "{lane:?}");
        assert!(matches!(save(64 << 20).unwrap_err().kind, FaultKind::BadPointer | FaultKind::Memory), "{lane:?}");
    }
}

#[test]
fn logs_are_cut_escaped_and_rate_limited_and_survive_a_fault() {
    let loud = guest(
        r#"(data (i32.const 0) "one\ntwo")
           (func (on "quote") (call $log (i32.const 2) (i32.const 0) (i32.const 7)))
           (func (on "trade") (memory.fill (i32.const 1000) (i32.const 120) (i32.const 60000))
             (call $log (i32.const 0) (i32.const 1000) (i32.const 60000)))
           (func (on "stop") (call $log (i32.const 3) (i32.const 0) (i32.const 3)) unreachable)"#,
    );
    for lane in LANES {
        let mut guest = started(&loud, lane);
        guest.host().now = 5;
        guest.call(&ON_QUOTE).unwrap();
        let mut lines = Vec::new();
        guest.host().log.drain(|line| lines.push((line.now, line.level, line.message.to_owned())));
        assert_eq!(lines, [(5, LogLevel::Warn, "one\\ntwo".to_owned())], "{lane:?}");
        // 4,096 bytes a second: eight bytes are gone, three cut messages of 1,024 and their ends fit, the others do not.
        let trade = Trade { price: 1, size: 1, trade_id: 1, aggressor: Aggressor::None };
        for _ in 0..10 {
            guest.call(&Call::Trade(HEAD, trade)).unwrap();
        }
        assert_eq!(guest.host().log.dropped(), 7, "{lane:?}");
        assert!(guest.call(&Call::Stop).is_err());
        let mut last = String::new();
        guest.host().log.drain(|line| last = line.message.to_owned());
        assert_eq!(last, "one", "{lane:?}");
    }
}

#[test]
fn gauges_take_effect_when_the_callback_returns() {
    let gauge = guest(
        r#"(data (i32.const 0) "edge")
           (func (on "quote") (call $metric-set (i32.const 0) (i32.const 4) (f64.const 2.5)))
           (func (on "stop") (call $metric-set (i32.const 0) (i32.const 4) (f64.const 9)) unreachable)"#,
    );
    for lane in LANES {
        let mut guest = started(&gauge, lane);
        guest.call(&ON_QUOTE).unwrap();
        assert!(guest.call(&Call::Stop).is_err());
        assert_eq!(guest.host().gauges.iter().collect::<Vec<_>>(), [("edge", 2.5)], "{lane:?}");
    }
}

#[test]
fn cold_callbacks_have_more_time_than_the_budget_of_a_call() {
    // About 100 ms of work, under a budget of 1 us.
    let slow = |callback: &str| {
        guest(&format!(
            r#"(func (on "{callback}") (local $n i32)
                 (loop $more (local.set $n (i32.add (local.get $n) (i32.const 1)))
                   (br_if $more (i32.lt_u (local.get $n) (i32.const 100000000)))))"#
        ))
    };
    let budget = Budget { call_micros: 1, ..budget() };
    for lane in LANES {
        for (callback, call, passes) in
            [("start", Call::Start, true), ("stop", Call::Stop, true), ("quote", ON_QUOTE, false)]
        {
            let module = sandbox().load_for(&slow(callback), lane).unwrap();
            let mut guest = module.instantiate(host(), &budget).unwrap();
            guest.init(&[]).unwrap();
            assert_eq!(guest.call(&call).is_ok(), passes, "{callback}, {lane:?}");
        }
    }
}

#[test]
fn arithmetic_gives_the_same_bits_in_both_lanes() {
    // 0/0 has a sign that machines disagree on, unless NaNs are canonical.
    let nan = guest(
        r#"(func (on "quote")
             (call $cancel (i64.reinterpret_f64 (f64.div (f64.const -0) (f64.convert_i64_s (i64.sub (local.get 0) (i64.const 7)))))))"#,
    );
    for lane in LANES {
        let mut guest = started(&nan, lane);
        guest.call(&ON_QUOTE).unwrap();
        assert_eq!(intents(&mut guest), [Intent::Cancel { order_id: 0x7ff8_0000_0000_0000 }], "{lane:?}");
    }
}
