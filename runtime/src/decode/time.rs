//! A venue's written time to wall ns: RFC 3339 in UTC, as precise as it stands, down to the nanosecond.
//!
//! Promise: exact or refused, as with numbers. Between 1970 and the year 2554, where u64 ends.

use super::decimal::{self, NumberError};
use super::error::DecodeError;
use super::json::{Token, text_of};

const FRACTION_DIGITS: usize = 9;
const NS_PER_SECOND: u64 = 1_000_000_000;

/// The time that a token is, ns since the Unix epoch.
pub(super) fn utc_of(token: Token, record: &[u8], field: &'static str) -> Result<u64, DecodeError> {
    let at = token.at();
    parse(text_of(token, record, field)?).map_err(|error| match error {
        NumberError::Syntax => DecodeError::BadType { field, at, expected: "a time in UTC, as RFC 3339 writes it" },
        NumberError::Range => DecodeError::OutOfRange { field, at },
    })
}

/// `2014-11-07T08:19:28.464459Z`: nothing else than `T` and `Z`, no other offset, no leap second.
fn parse(text: &[u8]) -> Result<u64, NumberError> {
    let (time, rest) = text.split_first_chunk::<19>().ok_or(NumberError::Syntax)?;
    let separated = time[4] == b'-' && time[7] == b'-' && time[10] == b'T' && time[13] == b':' && time[16] == b':';
    let fraction = match rest {
        b"Z" => 0,
        [b'.', digits @ .., b'Z'] => fraction_ns(digits)?,
        _ => return Err(NumberError::Syntax),
    };
    if !separated {
        return Err(NumberError::Syntax);
    }
    let (year, month, day) = (number(&time[..4])?, number(&time[5..7])?, number(&time[8..10])?);
    let (hour, minute, second) = (number(&time[11..13])?, number(&time[14..16])?, number(&time[17..])?);
    let possible = (1..=12).contains(&month)
        && (1..=days_of_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !possible || year < 1970 {
        return Err(NumberError::Range);
    }
    let seconds = ((days_since_epoch(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    let whole = seconds.checked_mul(NS_PER_SECOND).and_then(|ns| ns.checked_add(fraction));
    whole.ok_or(NumberError::Range)
}

/// Digits and nothing else.
fn number(text: &[u8]) -> Result<u64, NumberError> {
    match decimal::unsigned_prefix(text, 0)? {
        (value, end) if end == text.len() => Ok(value),
        _ => Err(NumberError::Syntax),
    }
}

/// What stands behind the point, in ns. Digits beyond the ninth must be zeros.
fn fraction_ns(digits: &[u8]) -> Result<u64, NumberError> {
    let (kept, beyond) = digits.split_at(digits.len().min(FRACTION_DIGITS));
    let value = number(kept)?;
    if !beyond.iter().all(u8::is_ascii_digit) {
        return Err(NumberError::Syntax);
    }
    if beyond.iter().any(|digit| *digit != b'0') {
        return Err(NumberError::Range);
    }
    Ok((kept.len()..FRACTION_DIGITS).fold(value, |value, _| value * 10))
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a day of the Gregorian calendar that is not before it.
fn days_since_epoch(year: u64, month: u64, day: u64) -> u64 {
    let leap_years_before = |year: u64| (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;
    let years = (year - 1970) * 365 + leap_years_before(year) - leap_years_before(1970);
    years + (1..month).map(|month| days_of_month(year, month)).sum::<u64>() + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values by `date --utc --date=... +%s`.
    #[test]
    fn a_time_is_as_precise_as_it_stands() {
        for (text, ns) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2014-11-07T08:19:28.464459Z", 1_415_348_368_464_459_000),
            ("2019-08-14T20:42:27.265Z", 1_565_815_347_265_000_000),
            ("2000-02-29T23:59:59.999999999Z", 951_868_799_999_999_999),
            ("2024-12-31T23:59:59.1Z", 1_735_689_599_100_000_000),
            ("2024-12-31T23:59:59.100000000000Z", 1_735_689_599_100_000_000),
            ("2100-03-01T00:00:00Z", 4_107_542_400_000_000_000),
            ("2554-07-21T23:34:33.709551615Z", u64::MAX),
        ] {
            assert_eq!(parse(text.as_bytes()), Ok(ns), "{text}");
        }
    }

    #[test]
    fn other_ways_to_write_a_time_and_times_that_are_not_are_refused() {
        for (text, error) in [
            ("", NumberError::Syntax),
            ("2014-11-07", NumberError::Syntax),
            ("2014-11-07T08:19:28", NumberError::Syntax),
            ("2014-11-07T08:19:28.Z", NumberError::Syntax),
            ("2014-11-07T08:19:28,5Z", NumberError::Syntax),
            ("2014-11-07 08:19:28Z", NumberError::Syntax),
            ("2014-11-07T08:19:28z", NumberError::Syntax),
            ("2014-11-07T08:19:28+00:00", NumberError::Syntax),
            ("2014-11-0aT08:19:28Z", NumberError::Syntax),
            ("2014-11-07T08:19:28.1234567890xZ", NumberError::Syntax),
            ("+014-11-07T08:19:28Z", NumberError::Syntax),
            ("2014-11-07T08:19:28.1234567891Z", NumberError::Range),
            ("1969-12-31T23:59:59Z", NumberError::Range),
            ("2014-13-07T08:19:28Z", NumberError::Range),
            ("2014-00-07T08:19:28Z", NumberError::Range),
            ("2014-11-31T08:19:28Z", NumberError::Range),
            ("2100-02-29T08:19:28Z", NumberError::Range),
            ("2014-11-00T08:19:28Z", NumberError::Range),
            ("2014-11-07T24:00:00Z", NumberError::Range),
            ("2014-11-07T08:60:28Z", NumberError::Range),
            ("2014-11-07T08:19:60Z", NumberError::Range),
            ("2554-07-21T23:34:33.709551616Z", NumberError::Range),
            ("9999-12-31T23:59:59Z", NumberError::Range),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(error), "{text}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut expected = 0;
        for year in 1970..2555 {
            for month in 1..=12 {
                for day in 1..=days_of_month(year, month) {
                    assert_eq!(days_since_epoch(year, month, day), expected, "{year}-{month}-{day}");
                    expected += 1;
                }
            }
        }
    }
}
