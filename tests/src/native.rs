//! A strategy of the SDK as a [`Guest`] without WebAssembly: the same source, the same host functions, no sandbox.
//!
//! What the sandbox's lanes are compared with, in tests for what they decide and in benches for what they cost. It has no CPU or
//! memory budget, and a panic is a panic; only the intents' budget is the same, because it decides which orders there are.

use pinion_runtime::bars::{BarKind, BarSeries};
use pinion_runtime::effects::{self, Flood};
use pinion_runtime::event::{self, BookSide};
use pinion_runtime::sandbox::{Call, Callbacks, Fault, FaultKind, Guest, Host, Saved, Wants, log};
use pinion_spec::strategy::TradingState;
use pinion_strategy as sdk;
use pinion_strategy::{Params, Price, Size, Strategy};

/// A strategy and the host state that it acts on.
#[derive(Debug)]
pub struct Native<S> {
    strategy: Option<S>,
    host: Host,
}

impl<S: Strategy> Native<S> {
    /// An instance that has not been initialised.
    #[must_use]
    pub fn new(host: Host) -> Self {
        Self { strategy: None, host }
    }
}

impl<S: Strategy + Send> Guest for Native<S> {
    fn init(&mut self, params: &[(String, String)]) -> Result<Wants, Fault> {
        let instruments: Vec<_> = self.host.instruments_in_order().into_iter().map(instrument).collect();
        let strategy = S::new(&Params::new(params.to_vec()), &instruments).map_err(Fault::refused)?;
        let bars = strategy.bars().into_iter().map(bar_series).collect();
        self.strategy = Some(strategy);
        Ok(Wants { callbacks: Callbacks(S::WANTS.bits()), bars })
    }

    fn save(&mut self) -> Result<Saved, Fault> {
        let saved = self.strategy.as_ref().map(Strategy::on_save).unwrap_or_default();
        Ok(Saved { version: saved.version, data: saved.data })
    }

    fn load(&mut self, saved: &Saved) -> Result<(), Fault> {
        let saved = sdk::Saved { version: saved.version, data: saved.data.clone() };
        self.strategy.as_mut().map_or(Ok(()), |strategy| strategy.on_load(saved).map_err(Fault::refused))
    }

    #[inline]
    fn call(&mut self, call: &Call) -> Result<(), Fault> {
        let Some(strategy) = &mut self.strategy else { return Ok(()) };
        self.host.begin();
        let mut imports = Imports { host: &mut self.host, flood: false };
        present(strategy, &mut imports, call);
        if imports.flood {
            self.host.discard();
            return Err(Fault { kind: FaultKind::Intents, detail: "more intents than the budget allows".to_owned() });
        }
        self.host.commit();
        Ok(())
    }

    fn host(&mut self) -> &mut Host {
        &mut self.host
    }

    fn memory_bytes(&self) -> usize {
        size_of::<S>()
    }
}

#[inline]
fn present<S: Strategy>(strategy: &mut S, host: &mut Imports<'_>, call: &Call) {
    match *call {
        Call::Start => strategy.on_start(host),
        Call::Stop => strategy.on_stop(host),
        Call::Quote(h, q) => {
            let quote = sdk::Quote {
                head: head(h),
                bid_price: Price(q.bid_price),
                bid_size: Size(q.bid_size),
                ask_price: Price(q.ask_price),
                ask_size: Size(q.ask_size),
                bid_count: q.bid_count,
                ask_count: q.ask_count,
            };
            strategy.on_quote(host, &quote);
        }
        Call::Trade(h, t) => {
            let trade = sdk::Trade {
                head: head(h),
                price: Price(t.price),
                size: Size(t.size),
                trade_id: t.trade_id,
                aggressor: sdk::Aggressor::ALL[t.aggressor as usize],
            };
            strategy.on_trade(host, &trade);
        }
        Call::BookDelta(h, delta) => {
            let (price, size, count) = delta.map_or((event::PRICE_UNDEFINED, 0, 0), |d| (d.price, d.size, d.count));
            let delta = sdk::BookDelta {
                head: head(h),
                price: Price(price),
                size: Size(size),
                count,
                action: if delta.is_some() { sdk::BookAction::Set } else { sdk::BookAction::Clear },
                side: delta.map(|d| match d.side {
                    BookSide::Bid => sdk::BookSide::Bid,
                    BookSide::Ask => sdk::BookSide::Ask,
                }),
            };
            strategy.on_book_delta(host, &delta);
        }
        Call::Book(h, b) => {
            let book = sdk::Book {
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
            let gap = sdk::Gap {
                instrument_id: h.instrument_id,
                publisher_id: h.publisher_id,
                ts_event: h.ts_event,
                ts_recv: h.ts_recv,
                expected: g.expected,
                received: g.received,
            };
            strategy.on_gap(host, &gap);
        }
        Call::Recovered { instrument_id, sequence } => strategy.on_recovered(host, instrument_id, sequence),
        Call::Status(h, state) => {
            let status = sdk::Status { head: head(h), state: sdk::MarketState::ALL[state as usize] };
            strategy.on_status(host, &status);
        }
        Call::Bar(b) => {
            let bar = sdk::Bar {
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
            };
            strategy.on_bar(host, &bar);
        }
        Call::Position(id, of) => strategy.on_position(host, id, &position(of)),
        Call::Timer { timer_id, at } => strategy.on_timer(host, timer_id, at),
        Call::Order(u) => {
            let update = sdk::OrderUpdate {
                order_id: u.order_id,
                tag: u.tag,
                instrument_id: u.instrument_id,
                ts_event: u.ts_event,
                ts_recv: u.ts_recv,
                status: sdk::OrderStatus::ALL[u.status as usize],
                reason: sdk::DenyReason::ALL[usize::from(u.reason)],
                price: Price(u.price),
                leaves: Size(u.leaves),
                filled: Size(u.filled),
            };
            strategy.on_order(host, &update);
        }
        Call::Fill(f) => {
            let e = f.execution;
            let fill = sdk::Fill {
                order_id: f.order_id,
                tag: f.tag,
                instrument_id: f.instrument_id,
                ts_event: f.ts_event,
                ts_recv: f.ts_recv,
                side: sdk::Side::ALL[f.side as usize],
                price: Price(e.price),
                size: Size(e.size),
                leaves: Size(e.leaves),
                fee: e.fee,
                liquidity: sdk::Liquidity::ALL[e.liquidity as usize],
            };
            strategy.on_fill(host, &fill);
        }
        Call::TradingState(state) => {
            let state = match state {
                TradingState::Active => sdk::TradingState::Active,
                TradingState::Reducing => sdk::TradingState::Reducing,
                TradingState::Halted => sdk::TradingState::Halted,
            };
            strategy.on_trading_state(host, state);
        }
    }
}

#[inline]
fn head(h: event::Head) -> sdk::Head {
    let event::Head { instrument_id, publisher_id, flags, ts_event, ts_recv, sequence } = h;
    sdk::Head { instrument_id, publisher_id, flags, ts_event, ts_recv, sequence }
}

fn instrument(i: &pinion_runtime::instruments::Instrument) -> sdk::Instrument {
    sdk::Instrument {
        id: i.id,
        publisher_id: i.publisher_id,
        tick: Price(i.tick),
        lot: Size(i.lot),
        size_exponent: i32::from(i.size_exponent),
        symbol: i.symbol.to_string(),
        publisher: i.publisher.to_string(),
    }
}

fn bar_series(series: sdk::BarSeries) -> BarSeries {
    let sdk::BarSeries { instrument_id, kind, every, grace } = series;
    let kind = match kind {
        sdk::BarKind::Time => BarKind::Time,
        sdk::BarKind::Trades => BarKind::Trades,
        sdk::BarKind::Volume => BarKind::Volume,
    };
    BarSeries { instrument_id, kind, every, grace }
}

#[inline]
fn position(position: pinion_runtime::risk::Position) -> sdk::Position {
    let known = |amount| Price(amount).is_defined().then_some(amount);
    sdk::Position {
        net: Size(position.net),
        working_buy: Size(position.working_buy),
        working_sell: Size(position.working_sell),
        average_price: Price(position.average_price),
        realized: known(position.realized),
        unrealized: known(position.unrealized),
        fees: known(position.fees),
    }
}

/// The host, as the SDK's trait.
struct Imports<'a> {
    host: &'a mut Host,
    /// An intent was over the budget: the callback goes on here, where the sandbox would have ended it.
    flood: bool,
}

impl Imports<'_> {
    fn note<T: Default>(&mut self, asked: Result<T, Flood>) -> T {
        self.flood |= asked.is_err();
        asked.unwrap_or_default()
    }
}

impl sdk::Host for Imports<'_> {
    #[inline]
    fn submit(&mut self, order: &sdk::NewOrder) -> u64 {
        let asked = self.host.submit(effects::NewOrder {
            instrument_id: order.instrument_id,
            side: match order.side {
                sdk::Side::Buy => event::Side::Buy,
                sdk::Side::Sell => event::Side::Sell,
            },
            order_type: match order.order_type {
                sdk::OrderType::Limit => effects::OrderType::Limit,
                sdk::OrderType::Market => effects::OrderType::Market,
            },
            time_in_force: match order.time_in_force {
                sdk::TimeInForce::Gtc => effects::TimeInForce::Gtc,
                sdk::TimeInForce::Ioc => effects::TimeInForce::Ioc,
                sdk::TimeInForce::Fok => effects::TimeInForce::Fok,
                sdk::TimeInForce::PostOnly => effects::TimeInForce::PostOnly,
            },
            price: order.price.0,
            size: order.size.0,
            tag: order.tag,
        });
        self.note(asked)
    }

    #[inline]
    fn modify(&mut self, order_id: u64, price: Price, size: Size) {
        let asked = self.host.modify(order_id, price.0, size.0);
        self.note(asked);
    }

    #[inline]
    fn cancel(&mut self, order_id: u64) {
        let asked = self.host.cancel(order_id);
        self.note(asked);
    }

    fn cancel_all(&mut self) {
        let asked = self.host.cancel_all();
        self.note(asked);
    }

    #[inline]
    fn set_timer(&mut self, timer_id: u64, at: u64) {
        let asked = self.host.set_timer(timer_id, at);
        self.note(asked);
    }

    #[inline]
    fn now(&self) -> u64 {
        self.host.now
    }

    fn instrument(&self, id: u64) -> Option<sdk::Instrument> {
        self.host.instrument(id).map(instrument)
    }

    #[inline]
    fn position(&self, instrument_id: u64) -> sdk::Position {
        position(self.host.position(instrument_id))
    }

    #[inline]
    fn book_level(&self, instrument_id: u64, side: sdk::BookSide, depth: u32) -> Option<sdk::Level> {
        let side = match side {
            sdk::BookSide::Bid => BookSide::Bid,
            sdk::BookSide::Ask => BookSide::Ask,
        };
        let level = self.host.book_level(instrument_id, side, depth)?;
        Some(sdk::Level { price: Price(level.price), size: Size(level.size), count: level.count })
    }

    fn metric_set(&mut self, name: &str, value: f64) {
        self.host.metric_set(name, value);
    }

    fn log(&mut self, level: sdk::LogLevel, message: &str) {
        let level = match level {
            sdk::LogLevel::Debug => log::LogLevel::Debug,
            sdk::LogLevel::Info => log::LogLevel::Info,
            sdk::LogLevel::Warn => log::LogLevel::Warn,
            sdk::LogLevel::Error => log::LogLevel::Error,
        };
        self.host.log(level, message);
    }
}
