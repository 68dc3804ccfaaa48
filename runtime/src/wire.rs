//! How orders and denials are written to Kafka.
//!
//! The value is a function of the decision alone, so a replay writes the same bytes; what depends on a clock or on the deployment
//! is in the record's timestamp and headers. The key is the instrument's symbol.
//!
//! An order as JSON, every field always present and in this order:
//!
//! | field | type | |
//! |---|---|---|
//! | `type` | `new`, `modify`, `cancel` | |
//! | `client_order_id` | string | see [`ClientOrderId`]; the same for all messages about one order |
//! | `strategy` | string | its name |
//! | `symbol` | string | the venue's |
//! | `instrument_id` | number, u64 | |
//! | `side` | `buy`, `sell` | |
//! | `order_type` | `limit`, `market` | |
//! | `time_in_force` | `gtc`, `ioc`, `fok`, `post_only` | |
//! | `price` | string, decimal | of a market order the worst that the collar allows |
//! | `size` | string, decimal | the whole size |
//! | `tag` | number, u64 | the strategy's own mark |
//! | `ts` | number, ns | stream time of the decision |
//!
//! A denial: `type` (`denied`), `reason`, then `request` (`submit`, `modify`, `cancel`), `client_order_id`, `strategy`, `symbol`,
//! `instrument_id`, `side`, `price`, `size`, `tag`, `ts`; `side`, `price` and `size` are `null` where the request has none.
//!
//! An order as a flat record is [`FlatOrder`], little-endian.

mod execution;
mod json;
mod read;

use std::borrow::Cow;

use pinion_spec::ids::ClientOrderId;
use pinion_spec::strategy::OrderEncoding;
use zerocopy::byteorder::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::decode::decimal::PRICE_SCALE;
use crate::effects::{OrderType, TimeInForce};
use crate::egress::OrderRoute;
use crate::event::{Origin, PRICE_UNDEFINED, Side, order_id_parts};
use crate::risk::{Denial, Order, OrderKind, Request};
pub use execution::encode_execution;
pub use read::{ReadError, ReadOrder, read_order};

/// Whose decision it was, because of what, and when in the stream.
#[derive(Debug, Clone, Copy)]
pub struct Provenance<'a> {
    /// Tenant, strategy, module, instruments.
    pub route: &'a OrderRoute,
    /// The record.
    pub origin: Origin,
    /// Stream time, ns.
    pub ts: u64,
}

impl Provenance<'_> {
    /// The symbol of an instrument; its number where the strategy does not declare it.
    #[must_use]
    pub fn symbol(&self, instrument_id: u64) -> Cow<'_, str> {
        match self.route.instruments.get(instrument_id) {
            Some(instrument) => Cow::Borrowed(&instrument.symbol),
            None => Cow::Owned(instrument_id.to_string()),
        }
    }

    fn size_scale(&self, instrument_id: u64) -> u32 {
        self.route.instruments.get(instrument_id).map_or(PRICE_SCALE, |i| u32::from(i.size_exponent.unsigned_abs()))
    }

    /// What venues see of a guest's order id.
    #[must_use]
    pub fn client_order_id(&self, order_id: u64) -> ClientOrderId {
        let (source, offset, n) = order_id_parts(order_id);
        let (topic, partition) = self.route.identity.sources.get(usize::from(source)).copied().unwrap_or_default();
        ClientOrderId { strategy: self.route.identity.strategy, topic, partition, offset, n }
    }
}

/// An approved order as a flat record: 88 bytes, little-endian, no padding.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct FlatOrder {
    /// `PO`.
    pub magic: [u8; 2],
    /// 1.
    pub version: u8,
    /// 0 new, 1 modify, 2 cancel.
    pub kind: u8,
    /// 0 buy, 1 sell.
    pub side: u8,
    /// 0 limit, 1 market.
    pub order_type: u8,
    /// 0 gtc, 1 ioc, 2 fok, 3 post only.
    pub time_in_force: u8,
    /// How many digits after the point `size` has.
    pub size_scale: u8,
    /// [`ClientOrderId::strategy`].
    pub strategy: U32,
    /// [`ClientOrderId::topic`].
    pub topic: U16,
    /// [`ClientOrderId::partition`].
    pub partition: U16,
    /// [`ClientOrderId::offset`].
    pub offset: U64,
    /// [`ClientOrderId::n`].
    pub n: U16,
    /// 0.
    pub reserved: [u8; 6],
    /// Which instrument.
    pub instrument_id: U64,
    /// At 1e-9.
    pub price: I64,
    /// The whole size.
    pub size: I64,
    /// The strategy's own mark.
    pub tag: U64,
    /// Stream time of the decision, ns.
    pub ts: U64,
    /// Input record: its topic's index in the feed is not on the wire; partition and offset are.
    pub input_partition: U64,
    /// See `input_partition`.
    pub input_offset: U64,
}

/// Appends an order in its route's encoding.
pub fn encode_order(order: &Order, provenance: &Provenance<'_>, out: &mut Vec<u8>) {
    match provenance.route.encoding {
        OrderEncoding::Json => order_json(order, provenance, out),
        OrderEncoding::PinionFlat => order_flat(order, provenance, out),
    }
}

fn order_flat(order: &Order, provenance: &Provenance<'_>, out: &mut Vec<u8>) {
    let id = provenance.client_order_id(order.order_id());
    let scale = provenance.size_scale(order.instrument_id());
    let flat = FlatOrder {
        magic: *b"PO",
        version: 1,
        kind: order.kind() as u8,
        side: order.side() as u8,
        order_type: order.order_type() as u8,
        time_in_force: order.time_in_force() as u8,
        size_scale: u8::try_from(scale).unwrap_or(u8::MAX),
        strategy: id.strategy.into(),
        topic: id.topic.into(),
        partition: id.partition.into(),
        offset: id.offset.into(),
        n: id.n.into(),
        reserved: [0; 6],
        instrument_id: order.instrument_id().into(),
        price: order.price().into(),
        size: order.size().into(),
        tag: order.tag().into(),
        ts: provenance.ts.into(),
        input_partition: u64::from(provenance.origin.partition).into(),
        input_offset: provenance.origin.offset.into(),
    };
    out.extend_from_slice(flat.as_bytes());
}

fn order_json(order: &Order, provenance: &Provenance<'_>, out: &mut Vec<u8>) {
    let instrument_id = order.instrument_id();
    json::word(out, r#"{"type":""#, order_kind(order.kind()));
    client_order_id(out, provenance.client_order_id(order.order_id()));
    json::text(out, r#","strategy":"#, &provenance.route.strategy);
    json::text(out, r#","symbol":"#, &provenance.symbol(instrument_id));
    json::number(out, r#","instrument_id":"#, instrument_id);
    json::word(out, r#","side":""#, side(order.side()));
    json::word(out, r#","order_type":""#, order_type(order.order_type()));
    json::word(out, r#","time_in_force":""#, time_in_force(order.time_in_force()));
    json::decimal(out, r#","price":""#, order.price(), PRICE_SCALE);
    json::decimal(out, r#","size":""#, order.size(), provenance.size_scale(instrument_id));
    json::number(out, r#","tag":"#, order.tag());
    json::number(out, r#","ts":"#, provenance.ts);
    out.push(b'}');
}

/// Appends a denial as JSON.
pub fn encode_denial(denial: &Denial, provenance: &Provenance<'_>, out: &mut Vec<u8>) {
    let (request, wanted_side, price, size) = match denial.request {
        Request::Submit { order, .. } => ("submit", Some(order.side), Some(order.price), Some(order.size)),
        Request::Modify { price, size, .. } => ("modify", None, Some(price), Some(size)),
        Request::Cancel { .. } => ("cancel", None, None, None),
    };
    json::word(out, r#"{"type":""#, "denied");
    json::word(out, r#","reason":""#, denial.reason.label());
    json::word(out, r#","request":""#, request);
    client_order_id(out, provenance.client_order_id(denial.request.order_id()));
    json::text(out, r#","strategy":"#, &provenance.route.strategy);
    json::text(out, r#","symbol":"#, &provenance.symbol(denial.instrument_id));
    json::number(out, r#","instrument_id":"#, denial.instrument_id);
    match wanted_side {
        Some(wanted_side) => json::word(out, r#","side":""#, side(wanted_side)),
        None => out.extend_from_slice(br#","side":null"#),
    }
    match price.filter(|price| *price != PRICE_UNDEFINED) {
        Some(price) => json::decimal(out, r#","price":""#, price, PRICE_SCALE),
        None => out.extend_from_slice(br#","price":null"#),
    }
    match size {
        Some(size) => json::decimal(out, r#","size":""#, size, provenance.size_scale(denial.instrument_id)),
        None => out.extend_from_slice(br#","size":null"#),
    }
    json::number(out, r#","tag":"#, denial.tag);
    json::number(out, r#","ts":"#, provenance.ts);
    out.push(b'}');
}

/// Appends a whole number.
#[inline]
pub(crate) fn digits(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn client_order_id(out: &mut Vec<u8>, id: ClientOrderId) {
    let mut text = [0; ClientOrderId::TEXT_LEN_MAX];
    let len = id.write(&mut text);
    out.extend_from_slice(br#","client_order_id":""#);
    out.extend_from_slice(&text[..len]);
    out.push(b'"');
}

const fn order_kind(kind: OrderKind) -> &'static str {
    match kind {
        OrderKind::New => "new",
        OrderKind::Modify => "modify",
        OrderKind::Cancel => "cancel",
    }
}

const fn side(side: Side) -> &'static str {
    match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    }
}

/// An order's type, as on the wire.
#[must_use]
pub const fn order_type(order_type: OrderType) -> &'static str {
    match order_type {
        OrderType::Limit => "limit",
        OrderType::Market => "market",
    }
}

/// How long an order lives, as on the wire.
#[must_use]
pub const fn time_in_force(time_in_force: TimeInForce) -> &'static str {
    match time_in_force {
        TimeInForce::Gtc => "gtc",
        TimeInForce::Ioc => "ioc",
        TimeInForce::Fok => "fok",
        TimeInForce::PostOnly => "post_only",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flat_order_has_the_documented_layout() {
        assert_eq!(size_of::<FlatOrder>(), 88);
        assert_eq!(std::mem::offset_of!(FlatOrder, strategy), 8);
        assert_eq!(std::mem::offset_of!(FlatOrder, offset), 16);
        assert_eq!(std::mem::offset_of!(FlatOrder, instrument_id), 32);
        assert_eq!(std::mem::offset_of!(FlatOrder, price), 40);
        assert_eq!(std::mem::offset_of!(FlatOrder, ts), 64);
        assert_eq!(std::mem::offset_of!(FlatOrder, input_offset), 80);
    }
}
