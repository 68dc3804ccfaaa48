//! The check itself: a request, the limits and what is known of market and orders, to an order or a reason.

use pinion_spec::strategy::TradingState;

use super::ledger::{Held, Ledger};
use super::limits::{InstrumentLimits, Limits};
use super::{Denial, DenyReason, Order, OrderKind, Request};
use crate::book::{BookState, Books, Reference};
use crate::effects::{NewOrder, OrderType, TimeInForce};
use crate::event::{PRICE_UNDEFINED, Side};

/// Basis points of one.
const BPS_ONE: u16 = 10_000;

/// What a request is checked against.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The strategy's limits.
    pub limits: &'a Limits,
    /// The feed's books.
    pub books: &'a Books,
    /// The stream clock.
    pub now: u64,
    /// What the strategy may do.
    pub trading_state: TradingState,
    /// Whether a kill switch that covers this instance is on.
    pub kill: bool,
}

/// An order as it would be, be it new or modified.
struct Proposal {
    instrument_id: u64,
    side: Side,
    /// `None` for market orders.
    price: Option<i64>,
    /// Whole size.
    size: i64,
}

/// Checks a request and, where it passes, records it in the ledger as sent.
///
/// # Errors
/// Why it was denied. The ledger is then as it was.
#[inline]
pub fn check(request: &Request, ledger: &mut Ledger, context: &Context<'_>) -> Result<Order, Denial> {
    let checked = match request {
        Request::Submit { order_id, order } => submit(*order_id, order, ledger, context),
        Request::Modify { order_id, price, size } => modify(*order_id, *price, *size, ledger, context),
        Request::Cancel { order_id } => cancel(*order_id, ledger, context),
    };
    checked.map_err(|reason| denial(request, reason, ledger))
}

#[inline]
fn submit(order_id: u64, new: &NewOrder, ledger: &mut Ledger, context: &Context<'_>) -> Result<Order, DenyReason> {
    let limits = permitted(new.instrument_id, context)?;
    if ledger.knows(order_id) {
        return Err(DenyReason::DuplicateOrder);
    }
    let (position, held) = ledger.held(new.instrument_id).ok_or(DenyReason::UnknownInstrument)?;
    let price = (new.order_type == OrderType::Limit).then_some(new.price);
    let proposal = Proposal { instrument_id: new.instrument_id, side: new.side, price, size: new.size };
    let price = evaluate(&proposal, limits, context)?;
    position_fits(new.side, new.size, held, limits, context.trading_state)?;
    self_match(new.side, price, held)?;
    if !ledger.has_room(context.limits.open_orders_max) {
        return Err(DenyReason::MaxOpenOrders);
    }
    throttle(ledger, context)?;
    let order = Order {
        kind: OrderKind::New,
        order_id,
        instrument_id: new.instrument_id,
        side: new.side,
        order_type: new.order_type,
        time_in_force: new.time_in_force,
        price,
        size: new.size,
        tag: new.tag,
    };
    ledger.sent(position, &order);
    Ok(order)
}

fn modify(
    order_id: u64,
    price: i64,
    size: i64,
    ledger: &mut Ledger,
    context: &Context<'_>,
) -> Result<Order, DenyReason> {
    let (place, working) = ledger.find(order_id).ok_or(DenyReason::UnknownOrder)?;
    let rests = matches!(working.time_in_force, TimeInForce::Gtc | TimeInForce::PostOnly);
    if !rests || working.order_type == OrderType::Market {
        return Err(DenyReason::UnknownOrder);
    }
    let limits = permitted(working.instrument_id, context)?;
    let (_, held) = ledger.held(working.instrument_id).ok_or(DenyReason::UnknownInstrument)?;
    let proposal = Proposal { instrument_id: working.instrument_id, side: working.side, price: Some(price), size };
    let price = evaluate(&proposal, limits, context)?;
    let leaves = size.checked_sub(working.filled).ok_or(DenyReason::Overflow)?;
    if leaves <= 0 {
        return Err(DenyReason::InvalidSize);
    }
    let change = ledger.exposure_change(working, leaves);
    position_fits(working.side, change, held, limits, context.trading_state)?;
    self_match(working.side, price, held)?;
    let order = Order {
        kind: OrderKind::Modify,
        order_id,
        instrument_id: working.instrument_id,
        side: working.side,
        order_type: working.order_type,
        time_in_force: working.time_in_force,
        price,
        size,
        tag: working.tag,
    };
    throttle(ledger, context)?;
    ledger.modified(place, price, size);
    Ok(order)
}

/// A cancel of a working order passes in every state; it only counts.
fn cancel(order_id: u64, ledger: &mut Ledger, context: &Context<'_>) -> Result<Order, DenyReason> {
    let (place, working) = ledger.find(order_id).ok_or(DenyReason::UnknownOrder)?;
    let order = Order {
        kind: OrderKind::Cancel,
        order_id,
        instrument_id: working.instrument_id,
        side: working.side,
        order_type: working.order_type,
        time_in_force: working.time_in_force,
        price: working.price,
        size: working.size,
        tag: working.tag,
    };
    ledger.throttle.count(context.now);
    ledger.cancelled(place);
    Ok(order)
}

/// The instrument's limits, where anything at all may be sent on it.
#[inline]
fn permitted<'a>(instrument_id: u64, context: &Context<'a>) -> Result<&'a InstrumentLimits, DenyReason> {
    if context.kill {
        return Err(DenyReason::KillSwitch);
    }
    if context.trading_state == TradingState::Halted {
        return Err(DenyReason::TradingStateHalted);
    }
    let limits = context.limits.get(instrument_id).ok_or(DenyReason::UnknownInstrument)?;
    if limits.allowed { Ok(limits) } else { Err(DenyReason::InstrumentNotAllowed) }
}

/// Checks an order by itself and against the market. Returns its price; of a market order the worst the collar allows.
#[inline]
fn evaluate(proposal: &Proposal, limits: &InstrumentLimits, context: &Context<'_>) -> Result<i64, DenyReason> {
    if proposal.size <= 0 {
        return Err(DenyReason::InvalidSize);
    }
    if limits.lot > 0 && proposal.size % limits.lot != 0 {
        return Err(DenyReason::InvalidLot);
    }
    if let Some(price) = proposal.price {
        if price <= 0 || price == PRICE_UNDEFINED {
            return Err(DenyReason::InvalidPrice);
        }
        if limits.tick > 0 && price % limits.tick != 0 {
            return Err(DenyReason::InvalidTick);
        }
    }
    if proposal.size > limits.order_size_max {
        return Err(DenyReason::MaxOrderSize);
    }
    let reference = reference(proposal, context)?;
    let price = match proposal.price {
        Some(price) => inside_collar(proposal.side, price, reference, context.limits.collar_bps)?,
        None => collar_bound(proposal.side, reference, context.limits.collar_bps, limits.tick)?,
    };
    // Both factors are below 2^63, so the product fits.
    if i128::from(price) * i128::from(proposal.size) > limits.order_notional_max {
        return Err(DenyReason::MaxOrderNotional);
    }
    Ok(price)
}

/// The far side of a market that can be trusted.
#[inline]
fn reference(proposal: &Proposal, context: &Context<'_>) -> Result<i64, DenyReason> {
    let reference: Reference = context.books.reference(proposal.instrument_id);
    if reference.state == BookState::Gapped {
        return Err(DenyReason::GappedBook);
    }
    let far = match proposal.side {
        Side::Buy => reference.ask,
        Side::Sell => reference.bid,
    };
    if far <= 0 || far == PRICE_UNDEFINED {
        return Err(DenyReason::NoReferencePrice);
    }
    if context.now.saturating_sub(reference.ts_recv) > context.limits.stale_ns {
        return Err(DenyReason::StaleBook);
    }
    if reference.is_crossed() {
        return Err(DenyReason::CrossedBook);
    }
    Ok(far)
}

#[inline]
fn inside_collar(side: Side, price: i64, far: i64, bps: u16) -> Result<i64, DenyReason> {
    let (scaled, far) = (i128::from(price) * i128::from(BPS_ONE), i128::from(far));
    let inside = match side {
        Side::Buy => scaled <= far * i128::from(BPS_ONE + bps),
        Side::Sell => scaled >= far * i128::from(BPS_ONE - bps),
    };
    if inside { Ok(price) } else { Err(DenyReason::PriceCollar) }
}

/// The worst price inside the collar that is a multiple of the tick.
fn collar_bound(side: Side, far: i64, bps: u16, tick: i64) -> Result<i64, DenyReason> {
    let (far, one, tick) = (i128::from(far), i128::from(BPS_ONE), i128::from(tick.max(1)));
    let bound = match side {
        Side::Buy => far * i128::from(BPS_ONE + bps) / one / tick * tick,
        // Upwards, and never to nothing.
        Side::Sell => ((far * i128::from(BPS_ONE - bps) + one * tick - 1) / (one * tick)).max(1) * tick,
    };
    if bound == 0 {
        return Err(DenyReason::PriceCollar);
    }
    i64::try_from(bound).ok().filter(|bound| *bound != PRICE_UNDEFINED).ok_or(DenyReason::Overflow)
}

/// Checks the position that would result if everything working on this side filled, `change` more included.
#[inline]
fn position_fits(
    side: Side,
    change: i64,
    held: &Held,
    limits: &InstrumentLimits,
    trading_state: TradingState,
) -> Result<(), DenyReason> {
    // Mirrored, so that both sides are the buy side.
    let (net, working) = match side {
        Side::Buy => (held.net, held.working_buy),
        Side::Sell => (-held.net, held.working_sell),
    };
    let worst = net + working + i128::from(change);
    if change > 0 && worst > i128::from(limits.position_max) {
        return Err(DenyReason::MaxPosition);
    }
    // Reducing: against the position, and not past zero.
    if trading_state == TradingState::Reducing && (net >= 0 || worst > 0) {
        return Err(DenyReason::TradingStateReducing);
    }
    Ok(())
}

#[inline]
fn self_match(side: Side, price: i64, held: &Held) -> Result<(), DenyReason> {
    let matches = match side {
        Side::Buy => held.sell_best <= price,
        Side::Sell => held.buy_best >= price,
    };
    if matches { Err(DenyReason::SelfMatch) } else { Ok(()) }
}

/// Counts a message that is about to be sent, where there is room for it.
#[inline]
fn throttle(ledger: &mut Ledger, context: &Context<'_>) -> Result<(), DenyReason> {
    if !ledger.throttle.allows(context.now, context.limits.messages_per_second) {
        return Err(DenyReason::MessageRate);
    }
    ledger.throttle.count(context.now);
    Ok(())
}

#[cold]
fn denial(request: &Request, reason: DenyReason, ledger: &Ledger) -> Denial {
    let unknown = Denial { reason, request: *request, instrument_id: 0, tag: 0, price: 0, leaves: 0, filled: 0 };
    match request {
        Request::Submit { order, .. } => {
            Denial { instrument_id: order.instrument_id, tag: order.tag, price: order.price, ..unknown }
        }
        Request::Modify { order_id, .. } | Request::Cancel { order_id } => match ledger.find(*order_id) {
            Some((_, order)) => Denial {
                instrument_id: order.instrument_id,
                tag: order.tag,
                price: order.price,
                leaves: order.leaves,
                filled: order.filled,
                ..unknown
            },
            None => unknown,
        },
    }
}
