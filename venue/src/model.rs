//! What the venue assumes: latency and fees. Parsed from the command line's texts.

use std::fmt;
use std::str::FromStr;

use pinion_spec::Decimal;
use thiserror::Error;

use crate::limits::{FEE_BPS_MAX, LATENCY_NS_MAX};
use crate::rng::Rng;

/// The whole model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Model {
    /// One way, order to venue and venue to strategy.
    pub latency: Latency,
    /// Maker and taker.
    pub fees: Fees,
    /// What latencies are drawn from.
    pub seed: u64,
}

impl Default for Model {
    /// A millisecond each way, and what a small account pays.
    fn default() -> Self {
        let bps = 1_000_000_000;
        Self { latency: Latency::fixed(1_000_000), fees: Fees::new(2 * bps, 5 * bps), seed: 1 }
    }
}

/// How long a message is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    low_ns: u64,
    high_ns: u64,
}

/// Fees in basis points of the notional at 1e-9; negative for a rebate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fees {
    maker: i64,
    taker: i64,
}

/// A text that is no latency or no fees.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ModelError {
    /// Not `5ms` or `1ms..5ms`.
    #[error("{0:?} is no latency; write one such as `500us`, or two between which each is drawn, such as `1ms..5ms`")]
    Latency(String),
    /// Beyond the limit, or the wrong way round.
    #[error("{0:?}: a latency lies between 0 and {max} s, the shorter one first", max = LATENCY_NS_MAX / 1_000_000_000)]
    LatencyRange(String),
    /// Not `1.5,5`.
    #[error("{0:?} are no fees; write maker and taker in basis points, such as `1.5,5`, a rebate below zero")]
    Fees(String),
    /// Beyond the limit.
    #[error("{0:?}: fees lie between -{FEE_BPS_MAX} and {FEE_BPS_MAX} basis points")]
    FeesRange(String),
}

impl Latency {
    /// Always the same.
    #[must_use]
    pub fn fixed(ns: u64) -> Self {
        Self { low_ns: ns.min(LATENCY_NS_MAX), high_ns: ns.min(LATENCY_NS_MAX) }
    }

    /// Drawn evenly between the two.
    #[must_use]
    pub fn between(low_ns: u64, high_ns: u64) -> Self {
        let high_ns = high_ns.min(LATENCY_NS_MAX);
        Self { low_ns: low_ns.min(high_ns), high_ns }
    }

    pub(crate) fn draw(self, rng: &mut Rng) -> u64 {
        let width = self.high_ns.saturating_sub(self.low_ns);
        if width == 0 { self.low_ns } else { self.low_ns.saturating_add(rng.below(width.saturating_add(1))) }
    }
}

impl FromStr for Latency {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let (low, high) = text.split_once("..").unwrap_or((text, text));
        let wrong = || ModelError::Latency(text.to_owned());
        let (low_ns, high_ns) = (duration(low).ok_or_else(wrong)?, duration(high).ok_or_else(wrong)?);
        if low_ns > high_ns || high_ns > LATENCY_NS_MAX {
            return Err(ModelError::LatencyRange(text.to_owned()));
        }
        Ok(Self { low_ns, high_ns })
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.low_ns == self.high_ns {
            true => f.write_str(&shown(self.low_ns)),
            false => write!(f, "{}..{}", shown(self.low_ns), shown(self.high_ns)),
        }
    }
}

/// A duration in the largest unit that holds it in whole numbers.
fn shown(ns: u64) -> String {
    let units = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)];
    let unit = units.into_iter().find(|(_, unit)| ns > 0 && ns.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{ns}ns"), |(name, unit)| format!("{}{name}", ns / unit))
}

fn duration(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_ns: i128 = match &text[digits.len()..] {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        _ => return None,
    };
    let nanos = digits.parse::<Decimal>().ok()?.nanos().checked_mul(unit_ns)?;
    u64::try_from(nanos / 1_000_000_000).ok().filter(|_| nanos >= 0 && nanos % 1_000_000_000 == 0)
}

impl Fees {
    /// For people: `2 bps maker, 5 bps taker`.
    #[must_use]
    pub fn told(self) -> String {
        let [maker, taker] = self.bps();
        format!("{maker} bps maker, {taker} bps taker")
    }

    fn bps(self) -> [Decimal; 2] {
        [self.maker, self.taker].map(|bps| Decimal::from_nanos(bps.into()))
    }

    /// Of maker and taker, basis points at 1e-9, cut to the limit.
    #[must_use]
    pub fn new(maker: i64, taker: i64) -> Self {
        let most = i64::from(FEE_BPS_MAX) * 1_000_000_000;
        Self { maker: maker.clamp(-most, most), taker: taker.clamp(-most, most) }
    }

    /// The fee of a fill at 1e-9 of the quote currency, rounded against us; `None` where it does not fit. `scale`: the digits behind
    /// the point that `size` has.
    pub(crate) fn of(self, maker: bool, price: i64, size: i64, scale: u32) -> Option<i64> {
        let rate = i128::from(if maker { self.maker } else { self.taker });
        let notional = i128::from(price) * i128::from(size);
        // The notional's digits beyond 1e-9, a basis point, and the rate's own digits.
        let unit = 10_i128.checked_pow(scale.checked_add(13)?)?;
        // In two parts, so that no product leaves 128 bits: both are below 2^126.
        let (whole, rest) = (notional.div_euclid(unit), notional.rem_euclid(unit));
        let rest = rest * rate;
        let up = rest.div_euclid(unit) + i128::from(rest.rem_euclid(unit) != 0);
        i64::try_from(whole.checked_mul(rate)?.checked_add(up)?).ok()
    }
}

impl FromStr for Fees {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let wrong = || ModelError::Fees(text.to_owned());
        let (maker, taker) = text.split_once(',').ok_or_else(wrong)?;
        let most = i128::from(FEE_BPS_MAX) * 1_000_000_000;
        let rate = |text: &str| {
            let bps = text.trim().parse::<Decimal>().map_err(|_| wrong())?.nanos();
            let inside = i64::try_from(bps).ok().filter(|_| bps.abs() <= most);
            inside.ok_or_else(|| ModelError::FeesRange(text.to_owned()))
        };
        Ok(Self { maker: rate(maker)?, taker: rate(taker)? })
    }
}

impl fmt::Display for Fees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [maker, taker] = self.bps();
        write!(f, "{maker},{taker}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_one_duration_or_two_between_which_it_is_drawn() {
        for (text, low, high) in [("0", 0, 0), ("250us", 250_000, 250_000), ("0.5ms..2ms", 500_000, 2_000_000)] {
            let latency: Latency = text.parse().unwrap();
            assert_eq!(latency, Latency { low_ns: low, high_ns: high });
            assert_eq!(latency.to_string().parse(), Ok(latency));
        }
        for text in ["", "5", "ms", "-1ms", "1.5ns", "1ms..", "5 ms", "..", "1ms..2ms..3ms"] {
            assert_eq!(text.parse::<Latency>(), Err(ModelError::Latency(text.to_owned())), "{text}");
        }
        for text in ["5ms..1ms", "61s"] {
            assert_eq!(text.parse::<Latency>(), Err(ModelError::LatencyRange(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_drawn_latency_stays_between_its_bounds_and_reaches_them() {
        let mut rng = Rng::new(3);
        let drawn: Vec<u64> = (0..500).map(|_| Latency::between(5, 8).draw(&mut rng)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&5), Some(&8)));
    }

    #[test]
    fn fees_are_rounded_against_us() {
        let fees: Fees = "-0.5,2.5".parse().unwrap();
        // 100 at 1e-9 times 0.01 at 1e-9: a notional of 1, of which 2.5 basis points are 0.00025.
        assert_eq!(fees.of(false, 100_000_000_000, 10_000_000, 9), Some(250_000));
        assert_eq!(fees.of(true, 100_000_000_000, 10_000_000, 9), Some(-50_000));
        // A notional of 1e-9: 2.5e-13 is charged as 1e-9, and a rebate of 5e-14 is none.
        assert_eq!(fees.of(false, 1_000_000_000, 1, 9), Some(1));
        assert_eq!(fees.of(true, 1_000_000_000, 1, 9), Some(0));
        assert_eq!(fees.of(false, i64::MAX, i64::MAX, 0), None, "refused, not wrapped");
        // Scale 0: 3 lots at 7, of which 2.5 basis points are 0.00525.
        assert_eq!(fees.of(false, 7_000_000_000, 3, 0), Some(5_250_000));
    }

    #[test]
    fn fees_that_are_none_are_refused() {
        assert_eq!("1.5".parse::<Fees>(), Err(ModelError::Fees("1.5".to_owned())));
        assert_eq!("a,1".parse::<Fees>(), Err(ModelError::Fees("a,1".to_owned())));
        assert_eq!("1,1001".parse::<Fees>(), Err(ModelError::FeesRange("1001".to_owned())));
        assert_eq!("-0.5,2.5".parse::<Fees>().unwrap().to_string(), "-0.5,2.5");
    }
}
