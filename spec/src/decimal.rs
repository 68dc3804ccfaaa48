//! Exact decimals in configuration: text in, integer at 1e-9 inside, never a float.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// Digits after the point that a [`Decimal`] keeps.
pub const DECIMAL_SCALE: u32 = 9;

/// How a [`Decimal`] is written.
pub(crate) const DECIMAL_TEXT: &str = r"^-?[0-9]{1,18}(\.[0-9]{1,9})?$";

const ONE: i128 = 1_000_000_000;

/// A decimal number with 9 digits after the point, as in prices, sizes and limits.
///
/// Written as a string (`"0.25"`): YAML and JSON numbers pass through floats on their way, strings do not.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal(i128);

/// Why a text is no [`Decimal`].
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DecimalError {
    /// Not `[-]digits[.digits]`.
    #[error("not a decimal number such as \"0.25\"")]
    Syntax,
    /// More than 18 digits before or 9 after the point.
    #[error("too many digits: at most 18 before and 9 after the point")]
    Range,
}

impl Decimal {
    /// `units`.0
    #[must_use]
    pub const fn from_units(units: u32) -> Self {
        Self(units as i128 * ONE)
    }

    /// The number times 1e9.
    #[must_use]
    pub const fn nanos(self) -> i128 {
        self.0
    }

    /// `nanos` times 1e-9.
    #[must_use]
    pub const fn from_nanos(nanos: i128) -> Self {
        Self(nanos)
    }

    /// The number at `10^exponent` (-9 to 0), or `None` where it does not fit i64 or would have to be rounded.
    #[must_use]
    pub fn at_exponent(self, exponent: i8) -> Option<i64> {
        let drop = u32::try_from(i32::from(exponent) + 9).ok().filter(|drop| *drop <= 9)?;
        let divisor = 10_i128.pow(drop);
        if self.0 % divisor == 0 { i64::try_from(self.0 / divisor).ok() } else { None }
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return Err(DecimalError::Syntax),
            None => (digits, ""),
        };
        if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
            return Err(DecimalError::Syntax);
        }
        if whole.len() > 18 || fraction.len() > DECIMAL_SCALE as usize {
            return Err(DecimalError::Range);
        }
        let digits_value = |s: &str| s.bytes().fold(0_i128, |value, b| value * 10 + i128::from(b - b'0'));
        #[expect(clippy::cast_possible_truncation, reason = "at most 9")]
        let padding = 10_i128.pow(DECIMAL_SCALE - fraction.len() as u32);
        let value = digits_value(whole) * ONE + digits_value(fraction) * padding;
        Ok(Self(if negative { -value } else { value }))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let value = self.0.unsigned_abs();
        let (whole, fraction) = (value / ONE.unsigned_abs(), value % ONE.unsigned_abs());
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        let fraction = format!("{fraction:09}");
        write!(f, "{sign}{whole}.{}", fraction.trim_end_matches('0'))
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Decimal {
    fn schema_name() -> Cow<'static, str> {
        "Decimal".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": DECIMAL_TEXT,
            "maxLength": 29,
            "description": "A decimal number as a string, such as \"0.25\".",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_and_nothing_is_rounded() {
        for text in ["0", "1", "-0.25", "61800.3", "0.000000001", "999999999999999999.999999999"] {
            assert_eq!(text.parse::<Decimal>().map(|d| d.to_string()), Ok(text.to_owned()));
        }
        for (text, error) in [
            ("", DecimalError::Syntax),
            ("1.", DecimalError::Syntax),
            (".5", DecimalError::Syntax),
            ("1e3", DecimalError::Syntax),
            ("+1", DecimalError::Syntax),
            ("0.0000000001", DecimalError::Range),
            ("1000000000000000000", DecimalError::Range),
        ] {
            assert_eq!(text.parse::<Decimal>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_size_that_its_exponent_cannot_hold_is_refused() {
        let quarter: Decimal = "0.25".parse().unwrap();
        assert_eq!(quarter.at_exponent(-9), Some(250_000_000));
        assert_eq!(quarter.at_exponent(-2), Some(25));
        assert_eq!(quarter.at_exponent(-1), None, "would round");
        assert_eq!(Decimal::from_units(u32::MAX).at_exponent(-9), Some(4_294_967_295_000_000_000));
        assert_eq!("10000000000".parse::<Decimal>().unwrap().at_exponent(-9), None, "would not fit");
        assert_eq!("10000000000".parse::<Decimal>().unwrap().at_exponent(0), Some(10_000_000_000));
    }
}
