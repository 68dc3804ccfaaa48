//! A strategy file's `risk` section, compiled once into integers at each instrument's own exponent.

use pinion_spec::Decimal;
use pinion_spec::strategy::Risk;
use thiserror::Error;

use crate::id_index::IdIndex;
use crate::instruments::Instruments;

/// A `risk` section that cannot be held to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LimitsError {
    /// Below zero, or not a whole number of the instrument's size units, or too large for them.
    #[error("risk.{field}: {value} cannot be held for {symbol} at size exponent {size_exponent}")]
    Size {
        /// Which limit, as in the file.
        field: &'static str,
        /// As in the file.
        value: Decimal,
        /// Which instrument.
        symbol: Box<str>,
        /// Its exponent.
        size_exponent: i8,
    },
    /// Below zero or too large.
    #[error("risk.maxOrderNotional: {0} is below zero or too large")]
    Notional(Decimal),
    /// A price collar that would let a sell go below zero.
    #[error("risk.priceCollarBps: {0} is above 10000")]
    Collar(u32),
    /// The allow-list names what the file does not declare.
    #[error("risk.instruments: {0} is not declared in instruments")]
    Undeclared(Box<str>),
    /// A declared tick or lot below zero.
    #[error("instruments: tick or lot of {0} is below zero")]
    Increment(Box<str>),
}

/// What one instrument's orders are measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InstrumentLimits {
    /// 0: any price.
    pub(super) tick: i64,
    /// 0: any size.
    pub(super) lot: i64,
    pub(super) allowed: bool,
    /// At the instrument's exponent.
    pub(super) order_size_max: i64,
    /// At 1e-9 times the instrument's exponent: what price times size gives.
    pub(super) order_notional_max: i128,
    /// At the instrument's exponent.
    pub(super) position_max: i64,
    /// Digits after the point of a size.
    pub(super) size_scale: u32,
}

/// The limits of one instance.
#[derive(Debug, Clone)]
pub struct Limits {
    index: IdIndex,
    ids: Vec<u64>,
    instruments: Vec<InstrumentLimits>,
    pub(super) collar_bps: u16,
    pub(super) messages_per_second: usize,
    pub(super) open_orders_max: usize,
    pub(super) stale_ns: u64,
}

impl Limits {
    /// Compiles the section for these instruments.
    ///
    /// # Errors
    /// The first limit that would have to be rounded, does not fit or makes no sense.
    pub fn compile(risk: &Risk, instruments: &Instruments) -> Result<Self, LimitsError> {
        let allow = risk.instruments.as_deref();
        for symbol in allow.into_iter().flatten() {
            if !instruments.iter().any(|instrument| *instrument.symbol == **symbol) {
                return Err(LimitsError::Undeclared(symbol.as_str().into()));
            }
        }
        let collar_bps = u16::try_from(risk.price_collar_bps).ok().filter(|bps| *bps <= 10_000);
        let mut declared: Vec<_> = instruments.iter().collect();
        declared.sort_unstable_by_key(|instrument| instrument.id);
        let mut limits = Self {
            index: IdIndex::new(declared.len()),
            ids: Vec::with_capacity(declared.len()),
            instruments: Vec::with_capacity(declared.len()),
            collar_bps: collar_bps.ok_or(LimitsError::Collar(risk.price_collar_bps))?,
            messages_per_second: risk.messages_per_second as usize,
            open_orders_max: risk.max_open_orders as usize,
            stale_ns: u64::from(risk.stale_after_millis) * 1_000_000,
        };
        for (place, instrument) in (0..).zip(declared) {
            let size = |field, value: Decimal| {
                let units = value.at_exponent(instrument.size_exponent).filter(|units| *units >= 0);
                units.ok_or_else(|| LimitsError::Size {
                    field,
                    value,
                    symbol: instrument.symbol.clone(),
                    size_exponent: instrument.size_exponent,
                })
            };
            if instrument.tick < 0 || instrument.lot < 0 {
                return Err(LimitsError::Increment(instrument.symbol.clone()));
            }
            limits.index.insert(instrument.id, place);
            limits.ids.push(instrument.id);
            limits.instruments.push(InstrumentLimits {
                tick: instrument.tick,
                lot: instrument.lot,
                allowed: allow.is_none_or(|symbols| symbols.iter().any(|symbol| **symbol == *instrument.symbol)),
                order_size_max: size("maxOrderSize", risk.max_order_size)?,
                order_notional_max: notional(risk.max_order_notional, instrument.size_exponent)?,
                position_max: size("maxPosition", risk.max_position)?,
                size_scale: u32::from(instrument.size_exponent.unsigned_abs()),
            });
        }
        Ok(limits)
    }

    /// Ids of the declared instruments.
    pub(super) fn ids(&self) -> &[u64] {
        &self.ids
    }

    #[inline]
    pub(super) fn get(&self, instrument_id: u64) -> Option<&InstrumentLimits> {
        self.instruments.get(self.index.get(instrument_id)? as usize)
    }
}

/// A notional as price times size gives it: the price at 1e-9, the size at its exponent.
fn notional(value: Decimal, size_exponent: i8) -> Result<i128, LimitsError> {
    let scale = 10_i128.checked_pow(u32::from(size_exponent.unsigned_abs()));
    let scaled = scale.and_then(|scale| value.nanos().checked_mul(scale));
    scaled.filter(|notional| *notional >= 0).ok_or(LimitsError::Notional(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instruments::Instrument;

    fn instruments(size_exponent: i8) -> Instruments {
        let symbol = "BTCUSDT".into();
        Instruments::new([Instrument {
            id: 1,
            publisher_id: 1,
            publisher: "venue".into(),
            symbol,
            tick: 10,
            lot: 1,
            size_exponent,
        }])
    }

    #[test]
    fn limits_are_at_the_instruments_exponent() {
        let risk = Risk { max_order_size: "2".parse().unwrap(), max_position: "3".parse().unwrap(), ..Risk::default() };
        let limits = Limits::compile(&risk, &instruments(-2)).unwrap();
        let one = limits.get(1).unwrap();
        assert_eq!((one.order_size_max, one.position_max), (200, 300));
        // 10,000 in the quote currency: a price of 5,000 times a size of 2 exactly.
        assert_eq!(one.order_notional_max, 5_000 * 1_000_000_000 * 200);
        assert_eq!(limits.get(2), None);
    }

    #[test]
    fn a_limit_that_would_be_rounded_or_is_below_zero_is_refused_with_its_field() {
        let half = Risk { max_order_size: "0.5".parse().unwrap(), ..Risk::default() };
        let error = Limits::compile(&half, &instruments(0)).unwrap_err();
        assert_eq!(error.to_string(), "risk.maxOrderSize: 0.5 cannot be held for BTCUSDT at size exponent 0");
        let negative = Risk { max_position: "-1".parse().unwrap(), ..Risk::default() };
        assert!(matches!(
            Limits::compile(&negative, &instruments(0)),
            Err(LimitsError::Size { field: "maxPosition", .. })
        ));
        let negative = Risk { max_order_notional: "-1".parse().unwrap(), ..Risk::default() };
        assert!(matches!(Limits::compile(&negative, &instruments(0)), Err(LimitsError::Notional(_))));
        let wide = Risk { price_collar_bps: 10_001, ..Risk::default() };
        assert_eq!(Limits::compile(&wide, &instruments(0)).unwrap_err(), LimitsError::Collar(10_001));
    }

    #[test]
    fn an_allow_list_may_only_name_declared_instruments() {
        let risk = Risk { instruments: Some(vec!["ETHUSDT".to_owned()]), ..Risk::default() };
        assert_eq!(Limits::compile(&risk, &instruments(-9)).unwrap_err(), LimitsError::Undeclared("ETHUSDT".into()));
    }
}
