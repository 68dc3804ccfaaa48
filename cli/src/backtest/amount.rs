//! Amounts as text: exact decimals of integers, and counts by name.

use std::collections::BTreeMap;

use pinion_runtime::instruments::Instruments;
use pinion_venue::account::{Holding, MONEY_SCALE};
use serde::Serialize;

/// What is held of an instrument at the end, and how much was dealt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Position {
    pub(crate) net: String,
    pub(crate) volume: String,
}

impl Position {
    /// With the instrument's symbol; its number where it is not declared.
    pub(crate) fn of(instrument_id: u64, holding: &Holding, instruments: &Instruments) -> (String, Self) {
        let instrument = instruments.get(instrument_id);
        let symbol = instrument.map_or_else(|| instrument_id.to_string(), |instrument| instrument.symbol.to_string());
        let scale = instrument.map_or(0, |instrument| u32::from(instrument.size_exponent.unsigned_abs()));
        (symbol, Self { net: decimal(holding.net, scale), volume: decimal(holding.volume, scale) })
    }
}

/// An amount at 1e-18.
pub(crate) fn money(amount: i128) -> String {
    decimal(amount, MONEY_SCALE)
}

/// An integer at 10^-scale as a decimal without trailing zeros.
pub(crate) fn decimal(value: i128, scale: u32) -> String {
    let unit = 10_u128.pow(scale.min(38));
    let (whole, fraction) = (value.unsigned_abs() / unit, value.unsigned_abs() % unit);
    let sign = if value < 0 { "-" } else { "" };
    if fraction == 0 {
        return format!("{sign}{whole}");
    }
    let fraction = format!("{fraction:0width$}", width = scale as usize);
    format!("{sign}{whole}.{}", fraction.trim_end_matches('0'))
}

/// ` (a 1, b 2)`, or nothing.
pub(crate) fn parts(counts: &BTreeMap<&'static str, u64>) -> String {
    if counts.is_empty() {
        return String::new();
    }
    let parts: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    format!(" ({})", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_and_carry_no_trailing_zero() {
        assert_eq!(money(1_230_000_000_000_000_000), "1.23");
        assert_eq!(money(-1), "-0.000000000000000001");
        assert_eq!(money(-5_000_000_000_000_000_000), "-5");
        assert_eq!(decimal(-15, 1), "-1.5");
    }
}
