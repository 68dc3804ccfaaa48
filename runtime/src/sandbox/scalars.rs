//! The contract's enums as numbers, for the direct lane: what goes in is ours and fits, what comes out is checked.

use pinion_spec::strategy::TradingState;

use super::fault::Refusal;
use super::log::LogLevel;
use crate::bars::BarKind;
use crate::effects::{OrderType, TimeInForce};
use crate::event::{BookSide, Side};

fn refuse<T>(name: &'static str, value: u32) -> Result<T, Refusal> {
    Err(Refusal::Enum { name, value })
}

/// `side`
pub(super) fn side(value: u32) -> Result<Side, Refusal> {
    match value {
        0 => Ok(Side::Buy),
        1 => Ok(Side::Sell),
        _ => refuse("side", value),
    }
}

/// `order-type`
pub(super) fn order_type(value: u32) -> Result<OrderType, Refusal> {
    match value {
        0 => Ok(OrderType::Limit),
        1 => Ok(OrderType::Market),
        _ => refuse("order-type", value),
    }
}

/// `time-in-force`
pub(super) fn time_in_force(value: u32) -> Result<TimeInForce, Refusal> {
    match value {
        0 => Ok(TimeInForce::Gtc),
        1 => Ok(TimeInForce::Ioc),
        2 => Ok(TimeInForce::Fok),
        3 => Ok(TimeInForce::PostOnly),
        _ => refuse("time-in-force", value),
    }
}

/// `book-side`, whose `none` names no level.
pub(super) fn book_side(value: u32) -> Result<Option<BookSide>, Refusal> {
    match value {
        0 => Ok(None),
        1 => Ok(Some(BookSide::Bid)),
        2 => Ok(Some(BookSide::Ask)),
        _ => refuse("book-side", value),
    }
}

/// `bar-kind`
pub(super) fn bar_kind(value: u32) -> Result<BarKind, Refusal> {
    match value {
        0 => Ok(BarKind::Time),
        1 => Ok(BarKind::Trades),
        2 => Ok(BarKind::Volume),
        _ => refuse("bar-kind", value),
    }
}

/// `log-level`
pub(super) fn log_level(value: u32) -> Result<LogLevel, Refusal> {
    match value {
        0 => Ok(LogLevel::Debug),
        1 => Ok(LogLevel::Info),
        2 => Ok(LogLevel::Warn),
        3 => Ok(LogLevel::Error),
        _ => refuse("log-level", value),
    }
}

/// `trading-state`
pub(super) const fn trading_state(state: TradingState) -> u32 {
    match state {
        TradingState::Active => 0,
        TradingState::Reducing => 1,
        TradingState::Halted => 2,
    }
}
