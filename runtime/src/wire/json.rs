//! The fields of a JSON object, written one after the other: an order is written while the record that caused it waits, and Rust's formatting takes
//! several times as long as all that it is to say.

use super::digits;
use crate::decode::decimal::PRICE_SCALE;

/// A field of text that holds nothing that JSON gives a meaning: `open` is all that stands before it.
#[inline]
pub(super) fn word(out: &mut Vec<u8>, open: &str, word: &str) {
    out.extend_from_slice(open.as_bytes());
    out.extend_from_slice(word.as_bytes());
    out.push(b'"');
}

/// A field of any text, escaped as JSON wants it.
#[inline]
pub(super) fn text(out: &mut Vec<u8>, open: &str, text: &str) {
    out.extend_from_slice(open.as_bytes());
    // Writing to a Vec cannot fail, and a str always serialises.
    let _ = serde_json::to_writer(out, text);
}

/// A whole number.
#[inline]
pub(super) fn number(out: &mut Vec<u8>, open: &str, value: u64) {
    out.extend_from_slice(open.as_bytes());
    digits(out, value);
}

/// A decimal of `value` at 10^-scale, without trailing zeros, as a string.
#[inline]
pub(super) fn decimal(out: &mut Vec<u8>, open: &str, value: i64, scale: u32) {
    let unit = 10_u64.pow(scale.min(PRICE_SCALE));
    let (whole, mut fraction) = (value.unsigned_abs() / unit, value.unsigned_abs() % unit);
    out.extend_from_slice(open.as_bytes());
    if value < 0 {
        out.push(b'-');
    }
    digits(out, whole);
    if fraction > 0 {
        let mut places = scale.min(PRICE_SCALE) as usize;
        while fraction % 10 == 0 {
            fraction /= 10;
            places -= 1;
        }
        let zeros = places - 1 - fraction.ilog10() as usize;
        out.push(b'.');
        out.extend(std::iter::repeat_n(b'0', zeros));
        digits(out, fraction);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: i64, scale: u32) -> String {
        let mut out = Vec::new();
        decimal(&mut out, "\"", value, scale);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn decimals_are_exact_and_carry_no_trailing_zero() {
        assert_eq!(shown(61_800_300_000_000, 9), r#""61800.3""#);
        assert_eq!(shown(1, 9), r#""0.000000001""#);
        assert_eq!(shown(-1_500, 3), r#""-1.5""#);
        assert_eq!(shown(1_050, 3), r#""1.05""#);
        assert_eq!(shown(10, 0), r#""10""#);
        assert_eq!(shown(0, 9), r#""0""#);
        assert_eq!(shown(i64::MIN, 9), r#""-9223372036.854775808""#);
    }

    #[test]
    fn a_hostile_name_stays_inside_its_string() {
        let mut out = Vec::new();
        text(&mut out, "{\"symbol\":", "A\"},{\"\u{7}");
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"symbol":"A\"},{\"\u0007""#);
    }
}
