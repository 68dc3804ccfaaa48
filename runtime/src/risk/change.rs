//! A change of some limits: what a command asks for, or how a strategy file differs from what it was. Pure.

use pinion_spec::Decimal;
use pinion_spec::strategy::Risk;
use serde::{Deserialize, Deserializer};

/// The fields of a `risk` section that change; those that are `None` stay.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RiskChange {
    max_order_size: Option<Decimal>,
    max_order_notional: Option<Decimal>,
    price_collar_bps: Option<u32>,
    messages_per_second: Option<u32>,
    max_open_orders: Option<u32>,
    max_position: Option<Decimal>,
    stale_after_millis: Option<u32>,
    /// `Some(None)`, in JSON `null`: every declared instrument.
    #[serde(deserialize_with = "present")]
    instruments: Option<Option<Vec<String>>>,
}

/// What is there, `null` too.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<Vec<String>>>, D::Error> {
    Deserialize::deserialize(value).map(Some)
}

/// The stricter of two limits, of which the second may not be set. A smaller number is stricter in every field of [`Risk`].
fn stricter<T: Ord + Copy>(wanted: Option<T>, cap: Option<T>) -> Option<T> {
    wanted.map(|wanted| cap.map_or(wanted, |cap| wanted.min(cap)))
}

impl RiskChange {
    /// What changed from one section to another.
    #[must_use]
    pub fn between(before: &Risk, after: &Risk) -> Self {
        fn changed<T: PartialEq + Clone>(before: &T, after: &T) -> Option<T> {
            (before != after).then(|| after.clone())
        }
        Self {
            max_order_size: changed(&before.max_order_size, &after.max_order_size),
            max_order_notional: changed(&before.max_order_notional, &after.max_order_notional),
            price_collar_bps: changed(&before.price_collar_bps, &after.price_collar_bps),
            messages_per_second: changed(&before.messages_per_second, &after.messages_per_second),
            max_open_orders: changed(&before.max_open_orders, &after.max_open_orders),
            max_position: changed(&before.max_position, &after.max_position),
            stale_after_millis: changed(&before.stale_after_millis, &after.stale_after_millis),
            instruments: changed(&before.instruments, &after.instruments),
        }
    }

    /// The section with this change.
    #[must_use]
    pub fn onto(&self, risk: &Risk) -> Risk {
        Risk {
            max_order_size: self.max_order_size.unwrap_or(risk.max_order_size),
            max_order_notional: self.max_order_notional.unwrap_or(risk.max_order_notional),
            price_collar_bps: self.price_collar_bps.unwrap_or(risk.price_collar_bps),
            messages_per_second: self.messages_per_second.unwrap_or(risk.messages_per_second),
            max_open_orders: self.max_open_orders.unwrap_or(risk.max_open_orders),
            max_position: self.max_position.unwrap_or(risk.max_position),
            stale_after_millis: self.stale_after_millis.unwrap_or(risk.stale_after_millis),
            instruments: self.instruments.clone().unwrap_or_else(|| risk.instruments.clone()),
        }
    }

    /// This change, nowhere looser than what `caps` has set.
    #[must_use]
    pub fn capped(self, caps: &Self) -> Self {
        let instruments = match (self.instruments, &caps.instruments) {
            (Some(Some(mut wanted)), Some(Some(cap))) => {
                wanted.retain(|symbol| cap.contains(symbol));
                Some(Some(wanted))
            }
            (Some(None), Some(cap)) => Some(cap.clone()),
            (wanted, _) => wanted,
        };
        Self {
            max_order_size: stricter(self.max_order_size, caps.max_order_size),
            max_order_notional: stricter(self.max_order_notional, caps.max_order_notional),
            price_collar_bps: stricter(self.price_collar_bps, caps.price_collar_bps),
            messages_per_second: stricter(self.messages_per_second, caps.messages_per_second),
            max_open_orders: stricter(self.max_open_orders, caps.max_open_orders),
            max_position: stricter(self.max_position, caps.max_position),
            stale_after_millis: stricter(self.stale_after_millis, caps.stale_after_millis),
            instruments,
        }
    }

    /// This change and then a later one.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self {
            max_order_size: later.max_order_size.or(self.max_order_size),
            max_order_notional: later.max_order_notional.or(self.max_order_notional),
            price_collar_bps: later.price_collar_bps.or(self.price_collar_bps),
            messages_per_second: later.messages_per_second.or(self.messages_per_second),
            max_open_orders: later.max_open_orders.or(self.max_open_orders),
            max_position: later.max_position.or(self.max_position),
            stale_after_millis: later.stale_after_millis.or(self.stale_after_millis),
            instruments: later.instruments.or(self.instruments),
        }
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(json: &str) -> RiskChange {
        serde_json::from_str(json).unwrap()
    }

    /// A section of which no field is the default's.
    fn file() -> Risk {
        change(
            r#"{"maxOrderSize":"0.02","maxOrderNotional":"5000","priceCollarBps":50,"messagesPerSecond":5,"maxOpenOrders":3,
                "maxPosition":"0.05","staleAfterMillis":900,"instruments":["BTCUSDT","ETHUSDT"]}"#,
        )
        .onto(&Risk::default())
    }

    /// The same with every limit at twice as much.
    fn looser() -> Risk {
        change(
            r#"{"maxOrderSize":"0.04","maxOrderNotional":"10001","priceCollarBps":101,"messagesPerSecond":11,"maxOpenOrders":6,
                "maxPosition":"0.1","staleAfterMillis":1800,"instruments":null}"#,
        )
        .onto(&Risk::default())
    }

    #[test]
    fn a_change_touches_only_the_fields_that_it_names() {
        let changed = change(r#"{"maxOrderSize":"0.01"}"#).onto(&file());
        assert_eq!(changed, Risk { max_order_size: "0.01".parse().unwrap(), ..file() });
        assert_eq!(change("{}").onto(&file()), file());
        assert!(change("{}").is_empty());
    }

    #[test]
    fn an_allow_list_is_lifted_by_null_and_kept_by_silence() {
        assert_eq!(change(r#"{"instruments":null}"#).onto(&file()).instruments, None);
        assert_eq!(change(r#"{"maxOpenOrders":1}"#).onto(&file()).instruments, file().instruments);
    }

    #[test]
    fn what_lies_between_two_sections_leads_from_one_to_the_other() {
        for (before, after) in [(file(), looser()), (looser(), file()), (file(), Risk::default())] {
            assert_eq!(RiskChange::between(&before, &after).onto(&before), after);
        }
        assert!(RiskChange::between(&file(), &file()).is_empty());
    }

    #[test]
    fn a_capped_change_is_nowhere_looser_than_its_caps() {
        let caps = RiskChange::between(&looser(), &file());
        let wanted = RiskChange::between(&file(), &looser());
        assert_eq!(wanted.clone().capped(&caps).onto(&file()), file());
        assert_eq!(caps.clone().capped(&wanted).onto(&looser()), file(), "a stricter wish passes");
        assert_eq!(wanted.clone().capped(&RiskChange::default()), wanted, "nothing caps it");
    }

    #[test]
    fn the_later_of_two_changes_counts() {
        let both = change(r#"{"maxOpenOrders":1,"maxOrderSize":"0.01"}"#).then(change(r#"{"maxOpenOrders":2}"#));
        assert_eq!(both, change(r#"{"maxOpenOrders":2,"maxOrderSize":"0.01"}"#));
    }

    #[test]
    fn a_field_that_is_none_is_refused() {
        assert!(
            serde_json::from_str::<RiskChange>(r#"{"maxOrderSiz":"1"}"#)
                .unwrap_err()
                .to_string()
                .contains("maxOrderSiz")
        );
    }
}
