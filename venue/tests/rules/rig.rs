//! A market of one instrument for the tests: prices in whole units, sizes in lots of 1, stream time by hand.

use std::collections::BTreeMap;

use pinion_runtime::book::Books;
use pinion_runtime::effects::{OrderType, TimeInForce};
use pinion_runtime::event::{
    Aggressor, Body, BookSide, Delta, Depth, Event, ExecutionKind, FLAG_LAST, Head, Liquidity, Origin, PRICE_UNDEFINED,
    Quote, Side, Stamp, Trade,
};
use pinion_runtime::instruments::Instrument;
use pinion_runtime::risk::OrderKind;
use pinion_spec::ids::ClientOrderId;
use pinion_spec::strategy::Resync;

use pinion_venue::{Fees, Latency, Message, Model, Report, Venue};

/// The instrument.
pub(crate) const ID: u64 = 7;
/// A price of 1.
pub(crate) const ONE: i64 = 1_000_000_000;

/// A venue, the books that it looks at, and all that it has reported.
pub(crate) struct Rig {
    pub(crate) venue: Venue,
    pub(crate) books: Books,
    pub(crate) sequence: u64,
    now: u64,
    orders: u16,
    pub(crate) reports: Vec<Report>,
}

/// An order by the number that [`Rig::send`] gave it.
pub(crate) fn id(n: u16) -> ClientOrderId {
    ClientOrderId { strategy: 1, topic: 2, partition: 0, offset: 3, n }
}

impl Rig {
    pub(crate) fn new(latency: Latency) -> Self {
        let model = Model { latency, fees: Fees::new(ONE, 2 * ONE), seed: 1 };
        let instrument = Instrument {
            id: ID,
            publisher_id: 1,
            publisher: "venue".into(),
            symbol: "X".into(),
            tick: 0,
            lot: 0,
            size_exponent: 0,
        };
        Self {
            venue: Venue::new(model, [&instrument]),
            books: Books::new(Resync::Snapshot),
            sequence: 10,
            now: 0,
            orders: 0,
            reports: Vec::new(),
        }
    }

    /// Without latency, at once at an order book of these levels at time 1: (price, size) from the best.
    pub(crate) fn with_book(bids: &[(i64, i64)], asks: &[(i64, i64)]) -> Self {
        let mut rig = Self::new(Latency::fixed(0));
        rig.snapshot(1, bids, asks);
        rig
    }

    pub(crate) fn event(&mut self, ts: u64, body: Body, sequence: u64) {
        self.now = self.now.max(ts);
        let head = Head { instrument_id: ID, publisher_id: 1, flags: FLAG_LAST, ts_event: ts, ts_recv: ts, sequence };
        let event = Event { head, body, origin: Origin::default(), stamp: Stamp::default() };
        self.venue.arrive(ts, &self.books);
        self.books.apply(&event);
        self.venue.market(&event, &self.books);
        while let Some(report) = self.venue.report(ts) {
            self.reports.push(report);
        }
    }

    pub(crate) fn quote(&mut self, ts: u64, bid: (i64, i64), ask: (i64, i64)) {
        let price = |price: i64| if price == 0 { PRICE_UNDEFINED } else { price * ONE };
        let quote = Quote {
            bid_price: price(bid.0),
            bid_size: bid.1,
            ask_price: price(ask.0),
            ask_size: ask.1,
            bid_count: 0,
            ask_count: 0,
        };
        self.event(ts, Body::Quote(quote), 0);
    }

    pub(crate) fn trade(&mut self, ts: u64, price: i64, size: i64, aggressor: Aggressor) {
        self.event(ts, Body::Trade(Trade { price: price * ONE, size, trade_id: 0, aggressor }), 0);
    }

    pub(crate) fn snapshot(&mut self, ts: u64, bids: &[(i64, i64)], asks: &[(i64, i64)]) {
        self.frame(ts, true, bids, asks);
    }

    pub(crate) fn update(&mut self, ts: u64, bids: &[(i64, i64)], asks: &[(i64, i64)]) {
        self.frame(ts, false, bids, asks);
    }

    /// An update whose predecessor is missing.
    pub(crate) fn gap(&mut self, ts: u64) {
        self.sequence += 5;
        self.update(ts, &[(1, 1)], &[]);
    }

    fn frame(&mut self, ts: u64, snapshot: bool, bids: &[(i64, i64)], asks: &[(i64, i64)]) {
        let follows = self.sequence;
        self.sequence += 1;
        let sequence = self.sequence;
        let levels = u32::try_from(bids.len() + asks.len()).unwrap();
        let depth = Depth { first: sequence, follows, levels, snapshot, ..Depth::default() };
        self.event(ts, Body::Depth(depth), sequence);
        let sides = bids.iter().map(|level| (BookSide::Bid, level)).chain(asks.iter().map(|l| (BookSide::Ask, l)));
        for (side, (price, size)) in sides {
            self.event(ts, Body::Delta(Delta { price: price * ONE, size: *size, count: 0, side }), sequence);
        }
    }

    /// An order decided now; its number.
    pub(crate) fn send(&mut self, side: Side, price: i64, size: i64, time_in_force: TimeInForce) -> u16 {
        let n = self.orders;
        self.orders += 1;
        self.message(n, OrderKind::New, side, OrderType::Limit, time_in_force, price, size);
        n
    }

    pub(crate) fn buy(&mut self, price: i64, size: i64) -> u16 {
        self.send(Side::Buy, price, size, TimeInForce::Gtc)
    }

    pub(crate) fn modify(&mut self, n: u16, price: i64, size: i64) {
        self.message(n, OrderKind::Modify, Side::Buy, OrderType::Limit, TimeInForce::Gtc, price, size);
    }

    pub(crate) fn cancel(&mut self, n: u16) {
        self.message(n, OrderKind::Cancel, Side::Buy, OrderType::Limit, TimeInForce::Gtc, 1, 1);
    }

    #[expect(clippy::too_many_arguments, reason = "a message has so many parts")]
    pub(crate) fn message(
        &mut self,
        n: u16,
        kind: OrderKind,
        side: Side,
        order_type: OrderType,
        time_in_force: TimeInForce,
        price: i64,
        size: i64,
    ) {
        let ts = self.now;
        let price = price * ONE;
        self.venue.send(Message {
            id: id(n),
            kind,
            instrument_id: ID,
            side,
            order_type,
            time_in_force,
            price,
            size,
            ts,
        });
    }

    /// What was reported of an order: kind, price in units, size, leaves.
    pub(crate) fn told(&self, n: u16) -> Vec<(ExecutionKind, i64, i64, i64)> {
        let of = self.reports.iter().map(|report| report.execution).filter(|execution| execution.order == id(n));
        of.map(|e| (e.kind, e.price / ONE, e.size, e.leaves)).collect()
    }

    /// Its fills: when, at what price, how much, and whether it made or took.
    pub(crate) fn fills(&self, n: u16) -> Vec<(u64, i64, i64, Liquidity)> {
        let filled =
            |report: &&Report| report.execution.order == id(n) && report.execution.kind == ExecutionKind::Filled;
        let of = self.reports.iter().filter(filled);
        of.map(|r| (r.ts_event, r.execution.price / ONE, r.execution.size, r.execution.liquidity)).collect()
    }

    /// Every order's filled size.
    pub(crate) fn filled(&self) -> BTreeMap<u16, i64> {
        let mut filled = BTreeMap::new();
        for report in &self.reports {
            if report.execution.kind == ExecutionKind::Filled {
                *filled.entry(report.execution.order.n).or_default() += report.execution.size;
            }
        }
        filled
    }
}
