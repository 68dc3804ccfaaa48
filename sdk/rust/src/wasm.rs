//! The strategy as a guest: from the generated bindings to [`Strategy`] and [`Host`], and nothing else.

use std::marker::PhantomData;

use crate::{
    Aggressor, Bar, BarKind, BarSeries, Book, BookAction, BookDelta, BookSide, DenyReason, Fill, Gap, Head, Host,
    Instrument, Level, Liquidity, LogLevel, MarketState, NewOrder, OrderStatus, OrderType, OrderUpdate, Params,
    Position, Price, Quote, Saved, Side, Size, Status, Strategy, TimeInForce, Trade, TradingState,
};
use bindings::exports::pinion::strategy::handler::Guest;
use bindings::pinion::strategy::{host, types};

/// What wit-bindgen makes of `wit/strategy.wit`.
// JUSTIFICATION: calls across the boundary are unsafe by nature; the code is generated from the contract.
#[allow(unsafe_code, missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::undocumented_unsafe_blocks)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "strategy",
        export_macro_name: "export_handler",
        pub_export_macro: true,
    });
}

pub use bindings::export_handler;

/// A strategy and the place where its one instance lives; made by [`crate::export!`].
pub trait Exported: Strategy {
    /// Lends the instance, `None` before `on-init`.
    fn with<R>(call: impl FnOnce(&mut Option<Self>) -> R) -> R;
}

/// The contract's `handler` for a strategy.
#[derive(Debug)]
pub struct Handler<S>(PhantomData<S>);

/// The head of an event of the bindings, which have no such record: flat fields travel in registers.
macro_rules! head {
    ($event:expr) => {
        Head {
            instrument_id: $event.instrument_id,
            publisher_id: $event.publisher_id,
            flags: $event.flags,
            ts_event: $event.ts_event,
            ts_recv: $event.ts_recv,
            sequence: $event.sequence,
        }
    };
}

#[inline]
fn call<S: Exported>(callback: impl FnOnce(&mut S, &mut Imports)) {
    S::with(|strategy| {
        if let Some(strategy) = strategy {
            callback(strategy, &mut Imports);
        }
    });
}

/// What a panic says, to the host: without it a fault would show an `unreachable` and no word of why.
#[cold]
fn last_words(panic: &std::panic::PanicHookInfo<'_>) {
    host::log(types::LogLevel::Error, &panic.to_string().replace('\n', " "));
}

impl<S: Exported> Guest for Handler<S> {
    fn on_init(params: Vec<(String, String)>, instruments: Vec<types::Instrument>) -> Result<types::Wants, String> {
        std::panic::set_hook(Box::new(last_words));
        let instruments: Vec<_> = instruments.into_iter().map(instrument).collect();
        let strategy = S::new(&Params::new(params), &instruments)?;
        let bars = strategy.bars().into_iter().map(bar_series).collect();
        S::with(|place| *place = Some(strategy));
        Ok(types::Wants { callbacks: types::Callbacks::from_bits_retain(S::WANTS.bits()), bars })
    }

    fn on_start() {
        call(|s: &mut S, host| s.on_start(host));
    }

    fn on_quote(q: types::Quote) {
        let quote = Quote {
            head: head!(q),
            bid_price: Price(q.bid_price),
            bid_size: Size(q.bid_size),
            ask_price: Price(q.ask_price),
            ask_size: Size(q.ask_size),
            bid_count: q.bid_count,
            ask_count: q.ask_count,
        };
        call(|s: &mut S, host| s.on_quote(host, &quote));
    }

    fn on_trade(t: types::Trade) {
        let aggressor = match t.aggressor {
            types::Aggressor::None => Aggressor::None,
            types::Aggressor::Buyer => Aggressor::Buyer,
            types::Aggressor::Seller => Aggressor::Seller,
        };
        let trade =
            Trade { head: head!(t), price: Price(t.price), size: Size(t.size), trade_id: t.trade_id, aggressor };
        call(|s: &mut S, host| s.on_trade(host, &trade));
    }

    fn on_book_delta(d: types::BookDelta) {
        let delta = BookDelta {
            head: head!(d),
            price: Price(d.price),
            size: Size(d.size),
            count: d.count,
            action: match d.action {
                types::BookAction::Set => BookAction::Set,
                types::BookAction::Clear => BookAction::Clear,
            },
            side: match d.side {
                types::BookSide::None => None,
                types::BookSide::Bid => Some(BookSide::Bid),
                types::BookSide::Ask => Some(BookSide::Ask),
            },
        };
        call(|s: &mut S, host| s.on_book_delta(host, &delta));
    }

    fn on_book(b: types::Book) {
        let book = Book {
            head: head!(b),
            bid_price: Price(b.bid_price),
            bid_size: Size(b.bid_size),
            ask_price: Price(b.ask_price),
            ask_size: Size(b.ask_size),
            bid_levels: b.bid_levels,
            ask_levels: b.ask_levels,
        };
        call(|s: &mut S, host| s.on_book(host, &book));
    }

    fn on_gap(g: types::Gap) {
        let types::Gap { instrument_id, publisher_id, ts_event, ts_recv, expected, received } = g;
        let gap = Gap { instrument_id, publisher_id, ts_event, ts_recv, expected, received };
        call(|s: &mut S, host| s.on_gap(host, &gap));
    }

    fn on_recovered(instrument_id: u64, sequence: u64) {
        call(|s: &mut S, host| s.on_recovered(host, instrument_id, sequence));
    }

    fn on_status(s: types::Status) {
        let status = Status { head: head!(s), state: numbered(MarketState::ALL, s.state as usize) };
        call(|s: &mut S, host| s.on_status(host, &status));
    }

    fn on_bar(b: types::Bar) {
        let bar = Bar {
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
        call(|s: &mut S, host| s.on_bar(host, &bar));
    }

    fn on_timer(timer_id: u64, at: u64) {
        call(|s: &mut S, host| s.on_timer(host, timer_id, at));
    }

    fn on_order(u: types::OrderUpdate) {
        let update = OrderUpdate {
            order_id: u.order_id,
            tag: u.tag,
            instrument_id: u.instrument_id,
            ts_event: u.ts_event,
            ts_recv: u.ts_recv,
            status: numbered(OrderStatus::ALL, u.status as usize),
            reason: numbered(DenyReason::ALL, u.reason as usize),
            price: Price(u.price),
            leaves: Size(u.leaves),
            filled: Size(u.filled),
        };
        call(|s: &mut S, host| s.on_order(host, &update));
    }

    fn on_fill(f: types::Fill) {
        let fill = Fill {
            order_id: f.order_id,
            tag: f.tag,
            instrument_id: f.instrument_id,
            ts_event: f.ts_event,
            ts_recv: f.ts_recv,
            side: numbered(Side::ALL, f.side as usize),
            price: Price(f.price),
            size: Size(f.size),
            leaves: Size(f.leaves),
            fee: f.fee,
            liquidity: numbered(Liquidity::ALL, f.liquidity as usize),
        };
        call(|s: &mut S, host| s.on_fill(host, &fill));
    }

    fn on_trading_state(state: types::TradingState) {
        call(|s: &mut S, host| s.on_trading_state(host, numbered(TradingState::ALL, state as usize)));
    }

    fn on_position(instrument_id: u64, p: types::Position) {
        let position = position(p);
        call(|s: &mut S, host| s.on_position(host, instrument_id, &position));
    }

    fn on_save() -> types::Saved {
        let saved = S::with(|strategy| strategy.as_ref().map(Strategy::on_save)).unwrap_or_default();
        types::Saved { version: saved.version, data: saved.data }
    }

    fn on_load(saved: types::Saved) -> Result<(), String> {
        let saved = Saved { version: saved.version, data: saved.data };
        S::with(|strategy| strategy.as_mut().map_or(Ok(()), |strategy| strategy.on_load(saved)))
    }

    fn on_stop() {
        call(|s: &mut S, host| s.on_stop(host));
    }
}

/// The case with the contract's number; both enums have the contract's order.
fn numbered<T: Copy>(all: &[T], number: usize) -> T {
    all[number]
}

fn instrument(i: types::Instrument) -> Instrument {
    Instrument {
        id: i.id,
        publisher_id: i.publisher_id,
        tick: Price(i.tick),
        lot: Size(i.lot),
        size_exponent: i.size_exponent,
        symbol: i.symbol,
        publisher: i.publisher,
    }
}

fn bar_series(series: BarSeries) -> types::BarSeries {
    let BarSeries { instrument_id, kind, every, grace } = series;
    let kind = match kind {
        BarKind::Time => types::BarKind::Time,
        BarKind::Trades => types::BarKind::Trades,
        BarKind::Volume => types::BarKind::Volume,
    };
    types::BarSeries { instrument_id, kind, every, grace }
}

fn position(p: types::Position) -> Position {
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

/// The host behind the imports.
#[derive(Debug)]
struct Imports;

impl Host for Imports {
    #[inline]
    fn submit(&mut self, order: &NewOrder) -> u64 {
        host::submit(types::NewOrder {
            instrument_id: order.instrument_id,
            side: match order.side {
                Side::Buy => types::Side::Buy,
                Side::Sell => types::Side::Sell,
            },
            order_type: match order.order_type {
                OrderType::Limit => types::OrderType::Limit,
                OrderType::Market => types::OrderType::Market,
            },
            time_in_force: match order.time_in_force {
                TimeInForce::Gtc => types::TimeInForce::Gtc,
                TimeInForce::Ioc => types::TimeInForce::Ioc,
                TimeInForce::Fok => types::TimeInForce::Fok,
                TimeInForce::PostOnly => types::TimeInForce::PostOnly,
            },
            price: order.price.0,
            size: order.size.0,
            tag: order.tag,
        })
    }

    #[inline]
    fn modify(&mut self, order_id: u64, price: Price, size: Size) {
        host::modify(order_id, price.0, size.0);
    }

    #[inline]
    fn cancel(&mut self, order_id: u64) {
        host::cancel(order_id);
    }

    #[inline]
    fn cancel_all(&mut self) {
        host::cancel_all();
    }

    #[inline]
    fn set_timer(&mut self, timer_id: u64, at: u64) {
        host::set_timer(timer_id, at);
    }

    #[inline]
    fn now(&self) -> u64 {
        host::now()
    }

    fn instrument(&self, id: u64) -> Option<Instrument> {
        host::instrument(id).map(instrument)
    }

    #[inline]
    fn position(&self, instrument_id: u64) -> Position {
        position(host::position(instrument_id))
    }

    #[inline]
    fn book_level(&self, instrument_id: u64, side: BookSide, depth: u32) -> Option<Level> {
        let side = match side {
            BookSide::Bid => types::BookSide::Bid,
            BookSide::Ask => types::BookSide::Ask,
        };
        let level = host::book_level(instrument_id, side, depth)?;
        Some(Level { price: Price(level.price), size: Size(level.size), count: level.count })
    }

    fn metric_set(&mut self, name: &str, value: f64) {
        host::metric_set(name, value);
    }

    fn log(&mut self, level: LogLevel, message: &str) {
        let level = match level {
            LogLevel::Debug => types::LogLevel::Debug,
            LogLevel::Info => types::LogLevel::Info,
            LogLevel::Warn => types::LogLevel::Warn,
            LogLevel::Error => types::LogLevel::Error,
        };
        host::log(level, message);
    }
}
