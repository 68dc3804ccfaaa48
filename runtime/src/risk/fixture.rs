//! A desk for tests: one strategy, two instruments, a market whose quote the test sets.

use pinion_spec::ids::ClientOrderId;
use pinion_spec::strategy::{Resync, Risk, TradingState};

use super::*;
use crate::book::{BookState, Books, Reference};
use crate::event::{Body, Depth, Event, Execution, ExecutionKind, Head, Liquidity, Origin, Quote, Stamp};
use crate::instruments::{Instrument, Instruments};

/// Sizes are whole units.
pub(super) const BTC: u64 = 7;
pub(super) const ETH: u64 = 8;
/// One unit of the quote currency.
pub(super) const ONE: i64 = 1_000_000_000;
pub(super) const TICK: i64 = ONE / 100;
pub(super) const LOT: i64 = 2;
pub(super) const SECOND: u64 = 1_000_000_000;

pub(super) struct Desk {
    pub(super) limits: Limits,
    pub(super) books: Books,
    pub(super) ledger: Ledger,
    pub(super) now: u64,
    pub(super) trading_state: TradingState,
    pub(super) kill: bool,
    pub(super) next_id: u64,
    sequence: u64,
}

pub(super) fn instruments() -> Instruments {
    let instrument = |id, symbol: &str| Instrument {
        id,
        publisher_id: 1,
        publisher: "venue".into(),
        symbol: symbol.into(),
        tick: TICK,
        lot: LOT,
        size_exponent: 0,
    };
    Instruments::new([instrument(BTC, "BTCUSDT"), instrument(ETH, "ETHUSDT")])
}

pub(super) fn risk() -> Risk {
    Risk {
        max_order_size: "10".parse().unwrap(),
        max_order_notional: "1000".parse().unwrap(),
        price_collar_bps: 100,
        messages_per_second: 100,
        max_open_orders: 4,
        max_position: "20".parse().unwrap(),
        stale_after_millis: 1_000,
        instruments: Some(vec!["BTCUSDT".to_owned()]),
    }
}

impl Desk {
    /// A market of 99 to 100, just seen.
    pub(super) fn new(executions: Executions) -> Self {
        Self::with(&risk(), executions)
    }

    pub(super) fn with(risk: &Risk, executions: Executions) -> Self {
        let limits = Limits::compile(risk, &instruments()).unwrap();
        let ledger = Ledger::new(executions, &limits);
        let mut desk = Self {
            limits,
            books: Books::new(Resync::Snapshot),
            ledger,
            now: 10 * SECOND,
            trading_state: TradingState::Active,
            kill: false,
            next_id: 1,
            sequence: 0,
        };
        desk.quote(99 * ONE, 100 * ONE);
        desk
    }

    pub(super) fn quote(&mut self, bid_price: i64, ask_price: i64) {
        let quote = Quote { bid_price, bid_size: 1, ask_price, ask_size: 1, bid_count: 0, ask_count: 0 };
        self.event(0, Body::Quote(quote));
    }

    /// Breaks the venue's sequence.
    pub(super) fn gap(&mut self) {
        for (sequence, follows) in [(10, 9), (20, 15)] {
            self.event(
                sequence,
                Body::Depth(Depth { first: follows + 1, follows, levels: 0, snapshot: false, ..Depth::default() }),
            );
        }
    }

    fn event(&mut self, sequence: u64, body: Body) {
        let head = Head { instrument_id: BTC, ts_recv: self.now, sequence, ..Head::default() };
        self.books.apply(&Event { head, body, origin: Origin::default(), stamp: Stamp::default() });
    }

    pub(super) fn ask(&mut self, request: Request) -> Result<Order, DenyReason> {
        let context = Context {
            limits: &self.limits,
            books: &self.books,
            now: self.now,
            trading_state: self.trading_state,
            kill: self.kill,
        };
        check(&request, &mut self.ledger, &context).map_err(|denial| denial.reason)
    }

    pub(super) fn submit(&mut self, order: NewOrder) -> Result<Order, DenyReason> {
        let order_id = self.next_id;
        self.next_id += 1;
        self.ask(Request::Submit { order_id, order })
    }

    pub(super) fn modify(&mut self, order_id: u64, price: i64, size: i64) -> Result<Order, DenyReason> {
        self.ask(Request::Modify { order_id, price, size })
    }

    pub(super) fn cancel(&mut self, order_id: u64) -> Result<Order, DenyReason> {
        self.ask(Request::Cancel { order_id })
    }

    /// A report with the next sequence.
    pub(super) fn report(
        &mut self,
        order_id: u64,
        kind: ExecutionKind,
        side: Side,
        price: i64,
        size: i64,
        leaves: i64,
    ) -> Option<OrderUpdate> {
        self.sequence += 1;
        self.report_at(self.sequence, order_id, kind, side, price, size, leaves)
    }

    #[expect(clippy::too_many_arguments, reason = "a report's own fields")]
    pub(super) fn report_at(
        &mut self,
        sequence: u64,
        order_id: u64,
        kind: ExecutionKind,
        side: Side,
        price: i64,
        size: i64,
        leaves: i64,
    ) -> Option<OrderUpdate> {
        let head = Head { instrument_id: BTC, ts_recv: self.now, sequence, ..Head::default() };
        let execution = Execution { side, ..execution(kind, price, size, leaves) };
        self.ledger.apply_execution(order_id, &head, &execution).map(|(update, _)| update)
    }

    /// The position, valued where there is no market.
    pub(super) fn position(&self) -> Position {
        let none = i64::MAX;
        self.ledger.position(BTC, &Reference { bid: none, ask: none, ts_recv: 0, state: BookState::Empty })
    }

    /// Net, and what works to buy and to sell.
    pub(super) fn sizes(&self) -> (i64, i64, i64) {
        let Position { net, working_buy, working_sell, .. } = self.position();
        (net, working_buy, working_sell)
    }

    pub(super) fn net(&self) -> i64 {
        self.position().net
    }
}

fn execution(kind: ExecutionKind, price: i64, size: i64, leaves: i64) -> Execution {
    let order = ClientOrderId { strategy: 1, topic: 1, partition: 0, offset: 0, n: 0 };
    Execution { order, kind, side: Side::Buy, liquidity: Liquidity::Unknown, price, size, leaves, fee: 0 }
}

pub(super) fn limit(side: Side, price: i64, size: i64) -> NewOrder {
    NewOrder {
        instrument_id: BTC,
        side,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Gtc,
        price,
        size,
        tag: 0,
    }
}

pub(super) fn buy(price: i64, size: i64) -> NewOrder {
    limit(Side::Buy, price, size)
}

pub(super) fn sell(price: i64, size: i64) -> NewOrder {
    limit(Side::Sell, price, size)
}

pub(super) fn market(side: Side, size: i64) -> NewOrder {
    let order_type = OrderType::Market;
    NewOrder { order_type, time_in_force: TimeInForce::Ioc, price: 0, ..limit(side, 0, size) }
}
