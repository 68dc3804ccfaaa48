//! A strategy without a sandbox: the floor that a sandboxed one is held against. The same source, called by the same worker, with the
//! same host behind it; what differs is the crossing.

use pinion_runtime::effects::{self, Flood};
use pinion_runtime::event::{self, PRICE_UNDEFINED};
use pinion_runtime::risk;
use pinion_runtime::sandbox::log::LogLevel as HostLogLevel;
use pinion_runtime::sandbox::{Call, Callbacks, Fault, FaultKind, Guest, Host as HostState, Saved, Wants};
use pinion_runtime::{bars, instruments, sandbox};
use pinion_strategy::{
    Aggressor, Bar, BarKind, Book, BookAction, BookDelta, BookSide, DenyReason, Fill, Gap, Head, Host, Instrument,
    Level, Liquidity, LogLevel, MarketState, NewOrder, OrderStatus, OrderType, OrderUpdate, Params, Position, Price,
    Quote, Side, Size, Status, Strategy, TimeInForce, Trade, TradingState,
};

/// A strategy as a guest of native code.
pub struct Native<S> {
    host: HostState,
    /// `None` before `on-init`.
    strategy: Option<S>,
}

impl<S> Native<S> {
    /// One that has not been started.
    #[must_use]
    pub const fn new(host: HostState) -> Self {
        Self { host, strategy: None }
    }
}

fn refused(why: String) -> Fault {
    Fault { kind: FaultKind::Init, detail: why }
}

impl<S: Strategy + Send> Guest for Native<S> {
    fn init(&mut self, params: &[(String, String)]) -> Result<Wants, Fault> {
        let instruments: Vec<_> = self.host.instruments_in_order().into_iter().map(instrument).collect();
        let strategy = S::new(&Params::new(params.to_vec()), &instruments).map_err(refused)?;
        let bars = strategy.bars().into_iter().map(|series| bars::BarSeries {
            instrument_id: series.instrument_id,
            kind: match series.kind {
                BarKind::Time => bars::BarKind::Time,
                BarKind::Trades => bars::BarKind::Trades,
                BarKind::Volume => bars::BarKind::Volume,
            },
            every: series.every,
            grace: series.grace,
        });
        let wants = Wants { callbacks: Callbacks(S::WANTS.bits()), bars: bars.collect() };
        self.strategy = Some(strategy);
        Ok(wants)
    }

    fn save(&mut self) -> Result<Saved, Fault> {
        let saved = self.strategy.as_ref().map(Strategy::on_save).unwrap_or_default();
        Ok(Saved { version: saved.version, data: saved.data })
    }

    fn load(&mut self, saved: &Saved) -> Result<(), Fault> {
        let saved = pinion_strategy::Saved { version: saved.version, data: saved.data.clone() };
        self.strategy.as_mut().map_or(Ok(()), |strategy| strategy.on_load(saved)).map_err(refused)
    }

    #[inline]
    fn call(&mut self, call: &Call) -> Result<(), Fault> {
        let Some(strategy) = &mut self.strategy else { return Ok(()) };
        self.host.begin();
        let mut imports = Imports { host: &mut self.host, flooded: false };
        present(strategy, call, &mut imports);
        if imports.flooded {
            self.host.discard();
            return Err(Fault { kind: FaultKind::Intents, detail: "more intents than its budget".to_owned() });
        }
        self.host.commit();
        Ok(())
    }

    fn host(&mut self) -> &mut HostState {
        &mut self.host
    }

    fn memory_bytes(&self) -> usize {
        size_of::<S>()
    }
}

/// The same as the component's glue does.
#[inline]
fn present<S: Strategy>(strategy: &mut S, call: &Call, host: &mut Imports<'_>) {
    match call {
        Call::Quote(h, q) => {
            let (bid_price, bid_size) = (Price(q.bid_price), Size(q.bid_size));
            let (ask_price, ask_size) = (Price(q.ask_price), Size(q.ask_size));
            let (bid_count, ask_count) = (q.bid_count, q.ask_count);
            let quote = Quote { head: head(h), bid_price, bid_size, ask_price, ask_size, bid_count, ask_count };
            strategy.on_quote(host, &quote);
        }
        Call::Trade(h, t) => {
            let aggressor = Aggressor::ALL[t.aggressor as usize];
            let (price, size) = (Price(t.price), Size(t.size));
            strategy.on_trade(host, &Trade { head: head(h), price, size, trade_id: t.trade_id, aggressor });
        }
        Call::BookDelta(h, Some(d)) => {
            let side = Some(if d.side == event::BookSide::Bid { BookSide::Bid } else { BookSide::Ask });
            let (price, size) = (Price(d.price), Size(d.size));
            let delta = BookDelta { head: head(h), price, size, count: d.count, action: BookAction::Set, side };
            strategy.on_book_delta(host, &delta);
        }
        Call::BookDelta(h, None) => {
            let (price, size, action) = (Price(PRICE_UNDEFINED), Size::ZERO, BookAction::Clear);
            strategy.on_book_delta(host, &BookDelta { head: head(h), price, size, count: 0, action, side: None });
        }
        Call::Book(h, b) => {
            let book = Book {
                head: head(h),
                bid_price: Price(b.bid_price),
                bid_size: Size(b.bid_size),
                ask_price: Price(b.ask_price),
                ask_size: Size(b.ask_size),
                bid_levels: b.bid_levels,
                ask_levels: b.ask_levels,
            };
            strategy.on_book(host, &book);
        }
        Call::Gap(h, g) => {
            let gap = Gap {
                instrument_id: h.instrument_id,
                publisher_id: h.publisher_id,
                ts_event: h.ts_event,
                ts_recv: h.ts_recv,
                expected: g.expected,
                received: g.received,
            };
            strategy.on_gap(host, &gap);
        }
        Call::Recovered { instrument_id, sequence } => strategy.on_recovered(host, *instrument_id, *sequence),
        Call::Status(h, state) => {
            strategy.on_status(host, &Status { head: head(h), state: MarketState::ALL[*state as usize] });
        }
        Call::Bar(b) => strategy.on_bar(host, &bar(b)),
        Call::Timer { timer_id, at } => strategy.on_timer(host, *timer_id, *at),
        Call::Order(u) => strategy.on_order(host, &order_update(u)),
        Call::Fill(f) => strategy.on_fill(host, &fill(f)),
        Call::Position(instrument_id, p) => strategy.on_position(host, *instrument_id, &position(*p)),
        Call::TradingState(state) => strategy.on_trading_state(host, TradingState::ALL[*state as usize]),
        Call::Start => strategy.on_start(host),
        Call::Stop => strategy.on_stop(host),
    }
}

#[inline]
const fn head(h: &event::Head) -> Head {
    let event::Head { instrument_id, publisher_id, flags, ts_event, ts_recv, sequence } = *h;
    Head { instrument_id, publisher_id, flags, ts_event, ts_recv, sequence }
}

fn bar(b: &bars::Bar) -> Bar {
    Bar {
        instrument_id: b.instrument_id,
        publisher_id: b.publisher_id,
        series: b.series,
        trades: b.trades,
        late: b.late,
        ts_open: b.ts_open,
        ts_close: b.ts_close,
        ts_recv: b.ts_recv,
        open: Price(b.open),
        high: Price(b.high),
        low: Price(b.low),
        close: Price(b.close),
        volume: Size(b.volume),
        buy_volume: Size(b.buy_volume),
    }
}

fn order_update(u: &sandbox::OrderUpdate) -> OrderUpdate {
    OrderUpdate {
        order_id: u.order_id,
        tag: u.tag,
        instrument_id: u.instrument_id,
        ts_event: u.ts_event,
        ts_recv: u.ts_recv,
        status: OrderStatus::ALL[u.status as usize],
        reason: DenyReason::ALL[usize::from(u.reason)],
        price: Price(u.price),
        leaves: Size(u.leaves),
        filled: Size(u.filled),
    }
}

fn fill(f: &sandbox::Fill) -> Fill {
    let e = &f.execution;
    Fill {
        order_id: f.order_id,
        tag: f.tag,
        instrument_id: f.instrument_id,
        ts_event: f.ts_event,
        ts_recv: f.ts_recv,
        side: Side::ALL[f.side as usize],
        price: Price(e.price),
        size: Size(e.size),
        leaves: Size(e.leaves),
        fee: e.fee,
        liquidity: Liquidity::ALL[e.liquidity as usize],
    }
}

fn position(p: risk::Position) -> Position {
    let known = |amount| Price(amount).is_defined().then_some(amount);
    Position {
        net: Size(p.net),
        working_buy: Size(p.working_buy),
        working_sell: Size(p.working_sell),
        average_price: Price(p.average_price),
        realized: known(p.realized),
        unrealized: known(p.unrealized),
        fees: known(p.fees),
    }
}

fn instrument(i: &instruments::Instrument) -> Instrument {
    Instrument {
        id: i.id,
        publisher_id: i.publisher_id,
        tick: Price(i.tick),
        lot: Size(i.lot),
        size_exponent: i32::from(i.size_exponent),
        symbol: i.symbol.to_string(),
        publisher: i.publisher.to_string(),
    }
}

/// The host's imports, without a boundary.
struct Imports<'a> {
    host: &'a mut HostState,
    flooded: bool,
}

impl Imports<'_> {
    /// In the sandbox such a callback traps at once; here it goes on and has asked for nothing.
    fn asked<T: Default>(&mut self, outcome: Result<T, Flood>) -> T {
        self.flooded |= outcome.is_err();
        outcome.unwrap_or_default()
    }
}

impl Host for Imports<'_> {
    #[inline]
    fn submit(&mut self, order: &NewOrder) -> u64 {
        let outcome = self.host.submit(effects::NewOrder {
            instrument_id: order.instrument_id,
            side: match order.side {
                Side::Buy => event::Side::Buy,
                Side::Sell => event::Side::Sell,
            },
            order_type: match order.order_type {
                OrderType::Limit => effects::OrderType::Limit,
                OrderType::Market => effects::OrderType::Market,
            },
            time_in_force: match order.time_in_force {
                TimeInForce::Gtc => effects::TimeInForce::Gtc,
                TimeInForce::Ioc => effects::TimeInForce::Ioc,
                TimeInForce::Fok => effects::TimeInForce::Fok,
                TimeInForce::PostOnly => effects::TimeInForce::PostOnly,
            },
            price: order.price.0,
            size: order.size.0,
            tag: order.tag,
        });
        self.asked(outcome)
    }

    #[inline]
    fn modify(&mut self, order_id: u64, price: Price, size: Size) {
        let outcome = self.host.modify(order_id, price.0, size.0);
        self.asked(outcome);
    }

    #[inline]
    fn cancel(&mut self, order_id: u64) {
        let outcome = self.host.cancel(order_id);
        self.asked(outcome);
    }

    fn cancel_all(&mut self) {
        let outcome = self.host.cancel_all();
        self.asked(outcome);
    }

    #[inline]
    fn set_timer(&mut self, timer_id: u64, at: u64) {
        let outcome = self.host.set_timer(timer_id, at);
        self.asked(outcome);
    }

    #[inline]
    fn now(&self) -> u64 {
        self.host.now
    }

    fn instrument(&self, id: u64) -> Option<Instrument> {
        self.host.instrument(id).map(instrument)
    }

    #[inline]
    fn position(&self, instrument_id: u64) -> Position {
        position(self.host.position(instrument_id))
    }

    #[inline]
    fn book_level(&self, instrument_id: u64, side: BookSide, depth: u32) -> Option<Level> {
        let side = if side == BookSide::Bid { event::BookSide::Bid } else { event::BookSide::Ask };
        let level = self.host.book_level(instrument_id, side, depth)?;
        Some(Level { price: Price(level.price), size: Size(level.size), count: level.count })
    }

    fn metric_set(&mut self, name: &str, value: f64) {
        self.host.metric_set(name, value);
    }

    fn log(&mut self, level: LogLevel, message: &str) {
        let level = match level {
            LogLevel::Debug => HostLogLevel::Debug,
            LogLevel::Info => HostLogLevel::Info,
            LogLevel::Warn => HostLogLevel::Warn,
            LogLevel::Error => HostLogLevel::Error,
        };
        self.host.log(level, message);
    }
}
