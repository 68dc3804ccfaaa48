//! Order messages read back, for what stands behind the orders topic: a gateway, a simulated venue, a replay.
//!
//! Either form ([`super`]), told by how it begins. Hostile like every record: what is not exactly an order of ours is refused with the
//! field. Allocates; it is not on the way from market data to orders.

use pinion_spec::Decimal;
use pinion_spec::ids::ClientOrderId;
use serde::Deserialize;
use thiserror::Error;
use zerocopy::FromBytes as _;

use super::FlatOrder;
use crate::effects::{OrderType, TimeInForce};
use crate::event::Side;
use crate::risk::OrderKind;

/// An order message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadOrder {
    /// New, modify, cancel.
    pub kind: OrderKind,
    /// Which order.
    pub id: ClientOrderId,
    /// Which instrument.
    pub instrument_id: u64,
    /// Buy or sell.
    pub side: Side,
    /// Limit or market.
    pub order_type: OrderType,
    /// How long it lives.
    pub time_in_force: TimeInForce,
    /// At 1e-9.
    pub price: i64,
    /// The whole size, in base units.
    pub size: Decimal,
    /// The strategy's own mark.
    pub tag: u64,
    /// Stream time of the decision, ns.
    pub ts: u64,
}

/// A record that is no order message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// Neither form.
    #[error("it is neither JSON nor a flat order of version 1")]
    Form,
    /// JSON that is none of ours.
    #[error("{0}")]
    Json(String),
    /// A field with a value that it cannot have.
    #[error("field {field}: {value} is not among its values")]
    Field {
        /// Which.
        field: &'static str,
        /// What it says.
        value: String,
    },
}

#[derive(Deserialize)]
struct JsonOrder<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    client_order_id: &'a str,
    instrument_id: u64,
    side: &'a str,
    order_type: &'a str,
    time_in_force: &'a str,
    price: Decimal,
    size: Decimal,
    tag: u64,
    ts: u64,
}

/// Reads an order message.
///
/// # Errors
/// [`ReadError`]
pub fn read_order(value: &[u8]) -> Result<ReadOrder, ReadError> {
    match value.first() {
        Some(b'{') => json(value),
        Some(b'P') => flat(value),
        _ => Err(ReadError::Form),
    }
}

fn json(value: &[u8]) -> Result<ReadOrder, ReadError> {
    let order: JsonOrder<'_> = serde_json::from_slice(value).map_err(|error| ReadError::Json(error.to_string()))?;
    let wrong = |field, value: &str| ReadError::Field { field, value: format!("{value:?}") };
    Ok(ReadOrder {
        kind: match order.kind {
            "new" => OrderKind::New,
            "modify" => OrderKind::Modify,
            "cancel" => OrderKind::Cancel,
            other => return Err(wrong("type", other)),
        },
        id: ClientOrderId::parse(order.client_order_id.as_bytes())
            .map_err(|_| wrong("client_order_id", order.client_order_id))?,
        instrument_id: order.instrument_id,
        side: match order.side {
            "buy" => Side::Buy,
            "sell" => Side::Sell,
            other => return Err(wrong("side", other)),
        },
        order_type: match order.order_type {
            "limit" => OrderType::Limit,
            "market" => OrderType::Market,
            other => return Err(wrong("order_type", other)),
        },
        time_in_force: match order.time_in_force {
            "gtc" => TimeInForce::Gtc,
            "ioc" => TimeInForce::Ioc,
            "fok" => TimeInForce::Fok,
            "post_only" => TimeInForce::PostOnly,
            other => return Err(wrong("time_in_force", other)),
        },
        price: order.price.at_exponent(-9).ok_or_else(|| wrong("price", &order.price.to_string()))?,
        size: order.size,
        tag: order.tag,
        ts: order.ts,
    })
}

fn flat(value: &[u8]) -> Result<ReadOrder, ReadError> {
    let order = FlatOrder::ref_from_bytes(value).map_err(|_| ReadError::Form)?;
    if order.magic != *b"PO" || order.version != 1 {
        return Err(ReadError::Form);
    }
    let wrong = |field, value: u8| ReadError::Field { field, value: value.to_string() };
    let digits = u32::from(order.size_scale);
    let unit = 9_u32.checked_sub(digits).map(|zeros| 10_i128.pow(zeros));
    let unit = unit.ok_or_else(|| wrong("size_scale", order.size_scale))?;
    Ok(ReadOrder {
        kind: match order.kind {
            0 => OrderKind::New,
            1 => OrderKind::Modify,
            2 => OrderKind::Cancel,
            other => return Err(wrong("kind", other)),
        },
        id: ClientOrderId {
            strategy: order.strategy.get(),
            topic: order.topic.get(),
            partition: order.partition.get(),
            offset: order.offset.get(),
            n: order.n.get(),
        },
        instrument_id: order.instrument_id.get(),
        side: match order.side {
            0 => Side::Buy,
            1 => Side::Sell,
            other => return Err(wrong("side", other)),
        },
        order_type: match order.order_type {
            0 => OrderType::Limit,
            1 => OrderType::Market,
            other => return Err(wrong("order_type", other)),
        },
        time_in_force: match order.time_in_force {
            0 => TimeInForce::Gtc,
            1 => TimeInForce::Ioc,
            2 => TimeInForce::Fok,
            3 => TimeInForce::PostOnly,
            other => return Err(wrong("time_in_force", other)),
        },
        price: order.price.get(),
        size: Decimal::from_nanos(i128::from(order.size.get()) * unit),
        tag: order.tag.get(),
        ts: order.ts.get(),
    })
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes as _;

    use super::*;

    const JSON: &str = r#"{"type":"new","client_order_id":"ID","strategy":"s","symbol":"BTCUSDT","instrument_id":18446744073709551615,"side":"sell","order_type":"limit","time_in_force":"post_only","price":"61800.3","size":"0.25","tag":7,"ts":9}"#;

    fn id() -> ClientOrderId {
        ClientOrderId { strategy: 1, topic: 2, partition: 3, offset: 4, n: 5 }
    }

    fn order() -> ReadOrder {
        ReadOrder {
            kind: OrderKind::New,
            id: id(),
            instrument_id: u64::MAX,
            side: Side::Sell,
            order_type: OrderType::Limit,
            time_in_force: TimeInForce::PostOnly,
            price: 61_800_300_000_000,
            size: "0.25".parse().unwrap(),
            tag: 7,
            ts: 9,
        }
    }

    fn json() -> String {
        JSON.replace("ID", &id().to_string())
    }

    fn flat() -> FlatOrder {
        FlatOrder {
            magic: *b"PO",
            version: 1,
            kind: 0,
            side: 1,
            order_type: 0,
            time_in_force: 3,
            size_scale: 2,
            strategy: 1.into(),
            topic: 2.into(),
            partition: 3.into(),
            offset: 4.into(),
            n: 5.into(),
            reserved: [0; 6],
            instrument_id: u64::MAX.into(),
            price: 61_800_300_000_000.into(),
            size: 25.into(),
            tag: 7.into(),
            ts: 9.into(),
            input_partition: 0.into(),
            input_offset: 0.into(),
        }
    }

    #[test]
    fn both_forms_of_an_order_are_read_to_the_same() {
        assert_eq!(read_order(json().as_bytes()), Ok(order()));
        assert_eq!(read_order(flat().as_bytes()), Ok(order()));
    }

    #[test]
    fn what_is_not_exactly_an_order_is_refused_with_the_field() {
        for (from, to, said) in [
            (r#""sell""#, r#""both""#, "side"),
            (r#""new""#, r#""denied""#, "type"),
            (r#""61800.3""#, r#""10000000000""#, "price"),
            (r#","ts":9"#, "", "ts"),
            (r#""tag":7"#, r#""tag":-7"#, "invalid value"),
        ] {
            let error = read_order(json().replace(from, to).as_bytes()).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let other = FlatOrder { side: 2, ..flat() };
        assert_eq!(read_order(other.as_bytes()), Err(ReadError::Field { field: "side", value: "2".to_owned() }));
        assert_eq!(read_order(FlatOrder { version: 2, ..flat() }.as_bytes()), Err(ReadError::Form));
        assert_eq!(read_order(&flat().as_bytes()[..87]), Err(ReadError::Form));
        assert_eq!(read_order(b""), Err(ReadError::Form));
    }
}
