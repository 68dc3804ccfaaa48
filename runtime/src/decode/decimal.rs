//! Digits to integers: `61685.99000000` to i64 at 1e-9 (prices), or at 10 to an instrument's exponent (sizes).
//!
//! Promise: exact or refused. Nothing is rounded, nothing wraps, no float is touched. One pass over the bytes, eight digits at
//! a time.
//!
//! Grammar: `[-]digits[.digits]`. Leading and trailing zeros are taken as they are; `+`, `.5`, `5.`, `1e3` are refused. Where a
//! venue writes floats ([`parse_float_text`]) an exponent may follow, and the number is as exact.

/// Digits after the point of a price.
pub const PRICE_SCALE: u32 = 9;

/// Digits that always fit u64.
const DIGITS_FIT: usize = 19;

const POW10: [u64; DIGITS_FIT + 1] = {
    let mut table = [1; DIGITS_FIT + 1];
    let mut i = 1;
    while i < table.len() {
        table[i] = table[i - 1] * 10;
        i += 1;
    }
    table
};

/// Why a text is no number of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberError {
    /// Not the grammar.
    Syntax,
    /// Does not fit, or would have to be rounded.
    Range,
}

/// The number that `text` is, times 10 to `scale` (0 to 9).
///
/// # Errors
/// [`NumberError`].
#[inline]
pub fn parse(text: &[u8], scale: u32) -> Result<i64, NumberError> {
    match prefix(text, 0, scale)? {
        (value, end) if end == text.len() => Ok(value),
        _ => Err(NumberError::Syntax),
    }
}

/// The number that begins at `at`, times 10 to `scale` (0 to 9), and where it ends: at the first byte that cannot belong to it.
///
/// # Errors
/// [`NumberError`].
#[inline]
pub(super) fn prefix(bytes: &[u8], at: usize, scale: u32) -> Result<(i64, usize), NumberError> {
    assert!(scale <= PRICE_SCALE);
    let negative = bytes.get(at) == Some(&b'-');
    let start = at + usize::from(negative);
    let (whole, whole_len) = digits(bytes, start);
    if whole_len == 0 {
        return Err(NumberError::Syntax);
    }
    let point = start + whole_len;
    let (fraction, fraction_len) = if bytes.get(point) == Some(&b'.') {
        match digits(bytes, point + 1) {
            (_, 0) => return Err(NumberError::Syntax),
            digits => digits,
        }
    } else {
        (0, 0)
    };
    let end = if fraction_len == 0 { point } else { point + 1 + fraction_len };
    let magnitude = if whole_len + fraction_len <= DIGITS_FIT && fraction_len <= scale as usize {
        (whole * POW10[fraction_len] + fraction).checked_mul(POW10[scale as usize - fraction_len])
    } else {
        exact(&bytes[start..point], &bytes[end - fraction_len..end], scale)
    };
    let value = match magnitude {
        Some(magnitude) if negative => 0_i64.checked_sub_unsigned(magnitude),
        Some(magnitude) => i64::try_from(magnitude).ok(),
        None => None,
    };
    value.map(|value| (value, end)).ok_or(NumberError::Range)
}

/// The same with an exponent or without: how programs print a float that is large or small (`1.2345E7`, `5.0E-5`).
///
/// # Errors
/// [`NumberError`].
#[inline]
pub(super) fn parse_float_text(text: &[u8], scale: u32) -> Result<i64, NumberError> {
    parse(text, scale).or_else(|error| {
        let mut parts = text.splitn(2, |byte| matches!(byte, b'e' | b'E'));
        match (parts.next(), parts.next()) {
            (Some(mantissa), Some(exponent)) => with_exponent(mantissa, exponent, scale),
            _ => Err(error),
        }
    })
}

/// Digits of an exponent: three are more than any price or size has.
const EXPONENT_DIGITS_MAX: usize = 3;

#[cold]
fn with_exponent(mantissa: &[u8], exponent: &[u8], scale: u32) -> Result<i64, NumberError> {
    let (negative, mantissa) = match mantissa {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, mantissa),
    };
    let (whole, fraction) = match mantissa.iter().position(|byte| *byte == b'.') {
        Some(point) if point + 1 < mantissa.len() => (&mantissa[..point], &mantissa[point + 1..]),
        Some(_) => return Err(NumberError::Syntax),
        None => (mantissa, &[][..]),
    };
    if whole.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(NumberError::Syntax);
    }
    let (down, exponent) = match exponent {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let power = match unsigned_prefix(exponent, 0)? {
        (power, end) if end == exponent.len() && end <= EXPONENT_DIGITS_MAX => {
            usize::try_from(power).map_err(|_| NumberError::Range)?
        }
        (_, end) if end == exponent.len() => return Err(NumberError::Range),
        _ => return Err(NumberError::Syntax),
    };
    // Zeros at the end say only where the point is.
    let digits = || whole.iter().chain(fraction).map(|digit| u64::from(digit - b'0'));
    let zeros = digits().rev().take_while(|digit| *digit == 0).count();
    let len = whole.len() + fraction.len() - zeros;
    let value = digits().take(len).try_fold(0_u64, |value, digit| value.checked_mul(10)?.checked_add(digit));
    let value = value.ok_or(NumberError::Range)?;
    if value == 0 {
        return Ok(0);
    }
    // How many zeros to write behind the value; fewer than none would round.
    let (up, down) =
        (scale as usize + zeros + if down { 0 } else { power }, fraction.len() + if down { power } else { 0 });
    let shift = up.checked_sub(down).ok_or(NumberError::Range)?;
    let magnitude = POW10.get(shift).and_then(|pow| value.checked_mul(*pow)).ok_or(NumberError::Range)?;
    let value = if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() };
    value.ok_or(NumberError::Range)
}

/// The unsigned integer that begins at `at`, and where it ends.
///
/// # Errors
/// [`NumberError`].
#[inline]
pub(super) fn unsigned_prefix(bytes: &[u8], at: usize) -> Result<(u64, usize), NumberError> {
    let (value, len) = digits(bytes, at);
    let end = at + len;
    match len {
        0 => Err(NumberError::Syntax),
        1..=DIGITS_FIT => Ok((value, end)),
        _ => exact(&bytes[at..end], b"", 0).map(|value| (value, end)).ok_or(NumberError::Range),
    }
}

/// The value of the run of digits at `at`, and its length. The value is wrong (wrapped) when there are more than
/// [`DIGITS_FIT`]; the caller looks.
#[inline]
pub(super) fn digits(bytes: &[u8], at: usize) -> (u64, usize) {
    let mut value = 0_u64;
    let mut len = 0;
    while let Some(chunk) = bytes.get(at + len..).and_then(<[u8]>::first_chunk::<8>) {
        let (chunk, n) = eight_digits(*chunk);
        value = value.wrapping_mul(POW10[n]).wrapping_add(chunk);
        len += n;
        if n < 8 || !bytes.get(at + len).is_some_and(u8::is_ascii_digit) {
            return (value, len);
        }
    }
    // The last few bytes of the record.
    while let Some(digit) = bytes.get(at + len).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit <= 9) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        len += 1;
    }
    (value, len)
}

/// The value of the digits that `chunk` begins with, and how many there are. Eight bytes in one register: the digits are moved to
/// its end (zeros come before them), then neighbours are joined to pairs, fours and eight.
#[inline]
fn eight_digits(chunk: [u8; 8]) -> (u64, usize) {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let value = u64::from_le_bytes(chunk) ^ (ONES * 0x30);
    // The high bit of each byte that is no digit. A carry only ever comes from such a byte, so the lowest bit set is right.
    let others = (value.wrapping_add(ONES * 0x76) | value) & (ONES * 0x80);
    let n = (others.trailing_zeros() / 8) as usize;
    if n == 0 {
        return (0, 0);
    }
    let value = value << (8 * (8 - n));
    let value = (value.wrapping_mul(10) + (value >> 8)) & 0x00ff_00ff_00ff_00ff;
    let value = (value.wrapping_mul(100) + (value >> 16)) & 0x0000_ffff_0000_ffff;
    let value = (value.wrapping_mul(10_000) + (value >> 32)) & 0xffff_ffff;
    (value, n)
}

/// Any number of digits, exactly: zeros that say nothing are dropped first. `None` where it does not fit u64 or would round.
#[cold]
fn exact(whole: &[u8], fraction: &[u8], scale: u32) -> Option<u64> {
    let significant = fraction.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    if significant > scale as usize {
        return None;
    }
    let padding = scale as usize - significant;
    let digits = whole.iter().chain(&fraction[..significant]).map(|digit| u64::from(digit - b'0'));
    digits
        .chain(std::iter::repeat_n(0, padding))
        .try_fold(0_u64, |value, digit| value.checked_mul(10)?.checked_add(digit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_that_venues_send_are_exact() {
        for (text, scale, value) in [
            ("61685.99000000", 9, 61_685_990_000_000),
            ("0.00022000", 9, 220_000),
            ("61800.3", 9, 61_800_300_000_000),
            ("0.000", 9, 0),
            ("-0", 9, 0),
            ("-37.63", 9, -37_630_000_000),
            ("12", 0, 12),
            ("12.000", 0, 12),
            ("0.014", 3, 14),
            ("0.01400000000000", 3, 14),
            ("000000000000000000000000001.5", 9, 1_500_000_000),
            ("9223372036.854775807", 9, i64::MAX),
            ("-9223372036.854775808", 9, i64::MIN),
            ("9223372036854775807", 0, i64::MAX),
        ] {
            assert_eq!(parse(text.as_bytes(), scale), Ok(value), "{text} at {scale}");
        }
    }

    #[test]
    fn what_does_not_fit_or_would_round_is_refused() {
        for (text, scale) in [
            ("9223372036.854775808", 9),
            ("-9223372036.854775809", 9),
            ("18446744073.709551616", 9),
            ("10000000000", 9),
            ("0.0000000001", 9),
            ("0.0145", 3),
            ("1.5", 0),
            ("99999999999999999999999999999999999999999999999", 0),
        ] {
            assert_eq!(parse(text.as_bytes(), scale), Err(NumberError::Range), "{text} at {scale}");
        }
    }

    #[test]
    fn other_ways_to_write_a_number_are_refused() {
        for text in [
            "",
            "-",
            ".",
            ".5",
            "5.",
            "+1",
            "1e3",
            "1E3",
            "1.5e3",
            "0x10",
            " 1",
            "1 ",
            "1,5",
            "NaN",
            "--1",
            "1.2.3",
            "1\u{0660}",
        ] {
            assert_eq!(parse(text.as_bytes(), 9), Err(NumberError::Syntax), "{text:?}");
        }
    }

    #[test]
    fn a_float_with_an_exponent_is_as_exact_as_one_without() {
        for (text, scale, value) in [
            ("5.0E-5", 9, 50_000),
            ("1.2345678E7", 9, 12_345_678_000_000_000),
            ("1e3", 9, 1_000_000_000_000),
            ("1E+3", 0, 1_000),
            ("-2.5e-1", 9, -250_000_000),
            ("0E0", 9, 0),
            ("-0.0E-300", 9, 0),
            ("0.00E999", 9, 0),
            ("1200e-2", 0, 12),
            ("9.223372036854775807E18", 0, i64::MAX),
            ("-9.223372036854775808E18", 0, i64::MIN),
            ("61685.99", 9, 61_685_990_000_000),
        ] {
            assert_eq!(parse_float_text(text.as_bytes(), scale), Ok(value), "{text} at {scale}");
        }
        for (text, scale) in [
            ("1E-10", 9),
            ("1.5E-9", 9),
            ("1e10", 9),
            ("1e1000", 0),
            ("9.223372036854775808E18", 0),
            ("18446744073709551616E0", 0),
            ("99999999999", 9),
        ] {
            assert_eq!(parse_float_text(text.as_bytes(), scale), Err(NumberError::Range), "{text} at {scale}");
        }
        for text in
            ["", "E5", "1E", "1E+", "1E-", "1E--5", "1E5E5", "1E5.0", ".5E1", "5.E1", "1.2.3E4", "+1E5", "-E5", "1 E5"]
        {
            assert_eq!(parse_float_text(text.as_bytes(), 9), Err(NumberError::Syntax), "{text:?}");
        }
    }

    #[test]
    fn an_unsigned_integer_goes_to_its_limit_and_no_further() {
        assert_eq!(unsigned_prefix(b"18446744073709551615,", 0), Ok((u64::MAX, 20)));
        assert_eq!(unsigned_prefix(b"18446744073709551616", 0), Err(NumberError::Range));
        assert_eq!(unsigned_prefix(b"x5123107832006}", 1), Ok((5_123_107_832_006, 14)));
        assert_eq!(unsigned_prefix(b"-1", 0), Err(NumberError::Syntax));
    }

    /// The same by 128-bit arithmetic, one digit at a time.
    fn oracle(text: &str, scale: u32) -> Result<i64, NumberError> {
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let pow = 10_i128.pow(u32::try_from(fraction.len()).unwrap());
        let value: i128 = format!("{whole}{fraction}").parse().unwrap();
        let scaled = sign * value * 10_i128.pow(scale);
        if scaled % pow == 0 {
            i64::try_from(scaled / pow).map_err(|_| NumberError::Range)
        } else {
            Err(NumberError::Range)
        }
    }

    proptest! {
        #[test]
        fn every_decimal_is_what_128_bit_arithmetic_says(
            text in "-?[0-9]{1,14}(\\.[0-9]{1,12}0{0,3})?", scale in 0_u32..=9, tail in "[\"},]?.{0,9}",
        ) {
            prop_assert_eq!(parse(text.as_bytes(), scale), oracle(&text, scale));
            // What follows the number changes nothing.
            if !tail.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
                let longer = format!("{text}{tail}");
                prop_assert_eq!(prefix(longer.as_bytes(), 0, scale).map(|(value, _)| value), oracle(&text, scale));
            }
        }

        #[test]
        fn an_exponent_only_moves_the_point(text in "-?[0-9]{1,9}(\\.[0-9]{1,9})?", by in 0_usize..9, scale in 0_u32..=9) {
            // The same number with its point `by` places further left, and an exponent that puts it back.
            let (sign, digits) = text.strip_prefix('-').map_or(("", &*text), |rest| ("-", rest));
            let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
            let whole = format!("{}{whole}", "0".repeat(by + 1));
            let (left, right) = whole.split_at(whole.len() - by);
            let point = if right.len() + fraction.len() > 0 { "." } else { "" };
            let moved = format!("{sign}{left}{point}{right}{fraction}E{by}");
            prop_assert_eq!(parse_float_text(moved.as_bytes(), scale), oracle(&text, scale), "{}", moved);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, at in 0_usize..16, scale in 0_u32..=9) {
            let _ = prefix(&bytes, at, scale);
            let _ = parse_float_text(&bytes, scale);
            let _ = unsigned_prefix(&bytes, at);
        }

        #[test]
        fn eight_bytes_are_read_as_one_by_one(bytes: [u8; 8]) {
            let n = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let value = bytes[..n].iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
            prop_assert_eq!(eight_digits(bytes), (value, n));
        }
    }
}
