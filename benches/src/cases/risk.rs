//! A risk check.
//!
//! `submit` is exactly one check of a new order and its record in the ledger, sides alternating so that the position stays; in
//! `submit and cancel` the order rests, and its cancel is part of it; `denied` is what a guest outside the collar costs.

use std::hint::black_box;

use pinion_runtime::book::Books;
use pinion_runtime::effects::{NewOrder, OrderType, TimeInForce};
use pinion_runtime::event::{Body, Event, Head, Origin, Quote, Side, Stamp};
use pinion_runtime::instruments::{Instrument, Instruments};
use pinion_runtime::risk::{Context, Denial, Executions, Ledger, Limits, Order, Request, check};
use pinion_spec::strategy::{Resync, Risk, TradingState};

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case { name: "risk/submit", make: submit },
    Case { name: "risk/submit and cancel", make: submit_and_cancel },
    Case { name: "risk/denied", make: denied },
];

const ONE: i64 = 1_000_000_000;
/// The instrument that is traded.
pub(super) const ID: u64 = 0x9d2c_5681_7f4a_7c15;

/// Between two checks, so that the message rate of 1,000 a second is reached and never passed.
const STEP_NS: u64 = 1_000_000;
/// Checks between two quotes: fewer than make a quote stale in an hour, so many that quotes do not count in the measure.
const CHECKS_PER_QUOTE: u64 = 1 << 20;

struct Desk {
    limits: Limits,
    books: Books,
    ledger: Ledger,
    ids: Vec<u64>,
    now: u64,
    checks: u64,
}

impl Desk {
    /// Ten instruments and eight resting orders far from the market.
    fn new() -> Self {
        let instrument = |n: u64| Instrument {
            id: ID.wrapping_add(n.wrapping_mul(0x0123_4567_89ab_cdef)),
            publisher_id: 1,
            publisher: "venue".into(),
            symbol: format!("S{n}").into(),
            tick: 10_000_000,
            lot: 10_000,
            size_exponent: -9,
        };
        let risk = Risk { messages_per_second: 1_000, stale_after_millis: 3_600_000, ..Risk::default() };
        let instruments = Instruments::new((0..10).map(instrument));
        let Ok(limits) = Limits::compile(&risk, &instruments) else { unreachable!("the defaults compile") };
        let ledger = Ledger::new(Executions::Assumed, &limits);
        let ids = instruments.iter().map(|instrument| instrument.id).collect();
        let mut desk = Self { limits, books: Books::new(Resync::Snapshot), ledger, ids, now: STEP_NS, checks: 0 };
        for n in 0..8 {
            assert!(desk.submit(Side::Buy, TimeInForce::Gtc, (50_000 + n) * ONE).is_some());
        }
        desk
    }

    #[cold]
    fn quote(&mut self) {
        let (bid_price, ask_price) = (60_000 * ONE, 60_001 * ONE);
        let quote = Quote { bid_price, bid_size: ONE, ask_price, ask_size: ONE, bid_count: 0, ask_count: 0 };
        for id in &self.ids {
            let head = Head { instrument_id: *id, ts_recv: self.now, ..Head::default() };
            let (origin, stamp) = (Origin::default(), Stamp::default());
            self.books.apply(&Event { head, body: Body::Quote(quote), origin, stamp });
        }
    }

    #[inline]
    fn submit(&mut self, side: Side, time_in_force: TimeInForce, price: i64) -> Option<u64> {
        let order_type = OrderType::Limit;
        let size = 1_000_000;
        let order = NewOrder { instrument_id: ID, side, order_type, time_in_force, price, size, tag: 1 };
        // Ids as instances make them: an offset above the bits that number the intents of a record.
        let order_id = (self.checks << 12) + 1;
        self.check(&Request::Submit { order_id, order }).is_ok().then_some(order_id)
    }

    #[inline]
    fn check(&mut self, request: &Request) -> Result<Order, Denial> {
        if self.checks.is_multiple_of(CHECKS_PER_QUOTE) {
            self.quote();
        }
        self.checks += 1;
        self.now += STEP_NS;
        let context = Context {
            limits: &self.limits,
            books: &self.books,
            now: self.now,
            trading_state: TradingState::Active,
            kill: false,
        };
        black_box(check(black_box(request), &mut self.ledger, &context))
    }
}

fn submit() -> Box<dyn FnMut()> {
    let (mut desk, mut buys) = (Desk::new(), false);
    Box::new(move || {
        buys = !buys;
        let (side, price) = if buys { (Side::Buy, 60_001 * ONE) } else { (Side::Sell, 60_000 * ONE) };
        assert!(desk.submit(side, TimeInForce::Ioc, price).is_some(), "it is approved");
    })
}

fn submit_and_cancel() -> Box<dyn FnMut()> {
    let mut desk = Desk::new();
    Box::new(move || {
        let order_id = desk.submit(Side::Buy, TimeInForce::Gtc, 60_000 * ONE).unwrap_or_default();
        // Cancels count in the message rate: one step of the clock for each.
        assert!(desk.check(&Request::Cancel { order_id }).is_ok(), "it is approved");
    })
}

fn denied() -> Box<dyn FnMut()> {
    let mut desk = Desk::new();
    Box::new(move || assert!(desk.submit(Side::Buy, TimeInForce::Gtc, 61_000 * ONE).is_none(), "it is denied"))
}

/// One that was approved.
pub(super) fn order() -> Order {
    let mut desk = Desk::new();
    let (side, order_type, time_in_force) = (Side::Buy, OrderType::Limit, TimeInForce::Ioc);
    let (price, size) = (60_001 * ONE, 1_000_000);
    let order = NewOrder { instrument_id: ID, side, order_type, time_in_force, price, size, tag: 1 };
    match desk.check(&Request::Submit { order_id: 1 << 40, order }) {
        Ok(order) => order,
        Err(denial) => unreachable!("it is approved: {denial:?}"),
    }
}
