//! Times and numbers for people: RFC 3339 in UTC, durations in the unit that suits them, counts with their thousands apart.

/// `ns` since the Unix epoch, with as many digits of a second as it has: `2024-08-08T23:54:15.030314667Z`.
#[must_use]
pub fn rfc3339(ns: u64) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(ns)) {
        Ok(timestamp) => timestamp.to_string(),
        // Not reached: u64 nanoseconds end in the year 2554, jiff's timestamps in 9999.
        Err(_) => format!("{ns} ns since 1970-01-01T00:00:00Z"),
    }
}

/// `ns` with about three digits: `830 ns`, `12.4 us`, `1.25 ms`, `3.10 s`.
#[must_use]
pub fn duration(ns: u64) -> String {
    let (unit, name) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (1_000, "us"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    let (whole, thousandths) = (ns / unit, ns % unit * 1_000 / unit);
    match whole {
        0..10 => format!("{whole}.{:02} {name}", thousandths / 10),
        10..100 => format!("{whole}.{} {name}", thousandths / 100),
        _ => format!("{whole} {name}"),
    }
}

/// A count with its thousands apart: `12,345,678`.
#[must_use]
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_keeps_its_nanoseconds() {
        assert_eq!(rfc3339(1_723_161_255_030_314_667), "2024-08-08T23:54:15.030314667Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(u64::MAX), "2554-07-21T23:34:33.709551615Z");
    }

    #[test]
    fn a_duration_is_written_in_the_unit_that_suits_it_and_never_longer_than_it_was() {
        let cases = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 us"),
            (12_480, "12.4 us"),
            (999_999, "999 us"),
            (1_256_000, "1.25 ms"),
            (3_100_000_000, "3.10 s"),
            (61_000_000_000, "61.0 s"),
        ];
        for (ns, text) in cases {
            assert_eq!(duration(ns), text);
        }
    }

    #[test]
    fn thousands_are_told_apart() {
        for (n, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(count(n), text);
        }
    }
}
