//! Prices and sizes: integers that cannot be mixed up, and no floats.

use std::ops::{Add, Neg, Sub};

/// A price in the quote currency at 1e-9.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(pub i64);

impl Price {
    /// Not known: an empty side of a book. Greater than every price.
    pub const UNDEFINED: Self = Self(i64::MAX);

    /// Whether there is a price.
    #[must_use]
    #[inline]
    pub const fn is_defined(self) -> bool {
        self.0 != Self::UNDEFINED.0
    }

    /// The price in the middle, rounded to zero; `None` where one of the two is not known.
    #[must_use]
    #[inline]
    pub const fn midpoint(self, other: Self) -> Option<Self> {
        if self.is_defined() && other.is_defined() { Some(Self(self.0.midpoint(other.0))) } else { None }
    }
}

/// A size at 10^`size_exponent` of the base unit (1e-9 unless the instrument says otherwise). Negative for what is short.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub i64);

impl Size {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Without its sign.
    #[must_use]
    #[inline]
    pub const fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }
}

/// Saturates: sizes near the ends of their range are refused by the host anyway.
impl Add for Size {
    type Output = Self;

    #[inline]
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// Saturates.
impl Sub for Size {
    type Output = Self;

    #[inline]
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// Saturates.
impl Neg for Size {
    type Output = Self;

    #[inline]
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

/// A decimal text (`"0.25"`) as an integer at `10^exponent`; `None` for what is no decimal, does not fit or would be rounded.
pub(crate) fn decimal(text: &str, exponent: i32) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let places = usize::try_from(exponent.checked_neg()?).ok()?;
    let (kept, cut) = fraction.split_at_checked(places).unwrap_or((fraction, ""));
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !plain(whole) || !plain(fraction) || cut.bytes().any(|b| b != b'0') {
        return None;
    }
    let padding = std::iter::repeat_n(b'0', places - kept.len());
    let value = whole
        .bytes()
        .chain(kept.bytes())
        .chain(padding)
        .try_fold(0_i64, |value, digit| value.checked_mul(10)?.checked_add(i64::from(digit - b'0')))?;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_or_refused() {
        assert_eq!(decimal("61800.3", -9), Some(61_800_300_000_000));
        assert_eq!(decimal("-0.25", -2), Some(-25));
        assert_eq!(decimal("0.250", -2), Some(25));
        assert_eq!(decimal("7", 0), Some(7));
        for (text, exponent) in
            [("", -9), ("1.", -9), (".5", -9), ("1e3", -9), ("0.255", -2), ("0.1", 0), ("9999999999", -9), ("1", 1)]
        {
            assert_eq!(decimal(text, exponent), None, "{text}");
        }
    }

    #[test]
    fn a_midpoint_needs_both_prices() {
        assert_eq!(Price(i64::MAX - 1).midpoint(Price(i64::MAX - 3)), Some(Price(i64::MAX - 2)));
        assert_eq!(Price(1).midpoint(Price::UNDEFINED), None);
    }
}
