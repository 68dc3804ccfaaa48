//! Execution reports written as JSON, for what stands in for a gateway: [`crate::decode`] reads them back to the same.
//!
//! The fields are those of Pinion's execution report, every one present, and behind them what a reader steps over: `reporter`, who wrote
//! it, and `reason`, where a message was refused.

use super::{client_order_id, json, side};
use crate::decode::decimal::PRICE_SCALE;
use crate::event::{Execution, ExecutionKind, Head, Liquidity};

/// Appends a report. `size_scale`: the digits behind the point that the sizes of the report have.
pub fn encode_execution(
    head: &Head,
    execution: &Execution,
    size_scale: u32,
    reporter: &str,
    reason: Option<&'static str>,
    out: &mut Vec<u8>,
) {
    json::word(out, r#"{"type":""#, kind(execution.kind));
    client_order_id(out, execution.order);
    json::number(out, r#","instrument_id":"#, head.instrument_id);
    json::word(out, r#","side":""#, side(execution.side));
    json::decimal(out, r#","price":""#, execution.price, PRICE_SCALE);
    json::decimal(out, r#","size":""#, execution.size, size_scale);
    json::decimal(out, r#","leaves":""#, execution.leaves, size_scale);
    json::decimal(out, r#","fee":""#, execution.fee, PRICE_SCALE);
    match execution.liquidity {
        Liquidity::Maker => json::word(out, r#","liquidity":""#, "maker"),
        Liquidity::Taker => json::word(out, r#","liquidity":""#, "taker"),
        Liquidity::Unknown => out.extend_from_slice(br#","liquidity":null"#),
    }
    json::number(out, r#","ts_event":"#, head.ts_event);
    json::number(out, r#","sequence":"#, head.sequence);
    json::text(out, r#","reporter":"#, reporter);
    if let Some(reason) = reason {
        json::text(out, r#","reason":"#, reason);
    }
    out.push(b'}');
}

const fn kind(kind: ExecutionKind) -> &'static str {
    match kind {
        ExecutionKind::Accepted => "accepted",
        ExecutionKind::Rejected => "rejected",
        ExecutionKind::Replaced => "replaced",
        ExecutionKind::Cancelled => "cancelled",
        ExecutionKind::Expired => "expired",
        ExecutionKind::Filled => "filled",
    }
}

#[cfg(test)]
mod tests {
    use pinion_spec::ids::{ClientOrderId, publisher_id};
    use pinion_spec::strategy::Encoding;
    use proptest::prelude::*;

    use super::*;
    use crate::decode::{Decoder, Record};
    use crate::event::{Body, FLAG_LAST, Side};
    use crate::instruments::Instrument;

    fn kinds() -> impl Strategy<Value = ExecutionKind> {
        use ExecutionKind::{Accepted, Cancelled, Expired, Filled, Rejected, Replaced};
        prop::sample::select(vec![Accepted, Rejected, Replaced, Cancelled, Expired, Filled])
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_to_the_same(
            kind in kinds(),
            buys in any::<bool>(),
            liquidity in prop::sample::select(vec![Liquidity::Maker, Liquidity::Taker, Liquidity::Unknown]),
            (price, fee, sequence, ts_event) in (any::<i64>(), any::<i64>(), any::<u64>(), any::<u64>()),
            (size, leaves, exponent) in (0..=i64::MAX, 0..=i64::MAX, -9_i8..=0),
            (strategy, offset, n) in (any::<u32>(), any::<u64>(), any::<u16>()),
            refused in any::<bool>(),
        ) {
            let order = ClientOrderId { strategy, topic: 7, partition: 3, offset, n };
            let side = if buys { Side::Buy } else { Side::Sell };
            let execution = Execution { order, kind, side, liquidity, price, size, leaves, fee };
            let declared = Instrument {
                id: u64::MAX - 1,
                publisher_id: publisher_id("venue"),
                publisher: "venue".into(),
                symbol: "A".into(),
                tick: 0,
                lot: 0,
                size_exponent: exponent,
            };
            let head = Head {
                instrument_id: declared.id,
                publisher_id: publisher_id("paper"),
                flags: FLAG_LAST,
                ts_event,
                ts_recv: 5,
                sequence,
            };
            let mut text = Vec::new();
            let reason = refused.then_some("would_take");
            encode_execution(&head, &execution, u32::from(exponent.unsigned_abs()), "me", reason, &mut text);
            let mut decoder = Decoder::new(Encoding::PinionExecution, "paper", &[declared]).unwrap();
            let mut events = Vec::new();
            decoder.decode(&Record { value: &text, key: None, ts_recv: 5 }, &mut events).unwrap();
            prop_assert_eq!(events.len(), 1);
            prop_assert_eq!(events[0].head, head);
            prop_assert_eq!(&events[0].body, &Body::Execution(execution));
        }
    }
}
