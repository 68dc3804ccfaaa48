//! A venue's checksum of a book's best levels: see [`Checksum`] for what it covers.
//!
//! Cost: forty numbers to digits and some four hundred bytes of CRC-32, about a microsecond for each update of a book that has one.

use flate2::Crc;

use super::ladder::{Entry, Ladder};
use super::price;
use crate::event::{BookSide, CHECKSUM_DIGITS_MAX, Checksum};

/// Levels of a side that a checksum covers.
const LEVELS: usize = 10;
/// Digits of the largest i64.
const DIGITS: usize = 19;

/// The checksum of a book whose numbers are written as `like` says.
pub(super) fn of(asks: &Ladder, bids: &Ladder, like: &Checksum) -> u32 {
    let mut crc = Crc::new();
    let mut take = |side: BookSide, entry: &Entry| {
        write(price(side, entry.key), like.price_shift, &mut crc);
        write(entry.size, like.size_shift, &mut crc);
    };
    asks.iter().take(LEVELS).for_each(|entry| take(BookSide::Ask, entry));
    bids.iter().take(LEVELS).for_each(|entry| take(BookSide::Bid, entry));
    crc.sum()
}

/// Adds a number's digits, with `shift` zeros behind them or that many digits fewer.
fn write(number: i64, shift: i8, crc: &mut Crc) {
    let mut text = [b'0'; DIGITS + CHECKSUM_DIGITS_MAX.unsigned_abs() as usize];
    let (mut start, mut rest) = (DIGITS, number.unsigned_abs());
    while rest > 0 {
        start -= 1;
        text[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let end = DIGITS.saturating_add_signed(shift.into());
    // Nothing is left of a number that is smaller than what is taken away; the venue's would have said so.
    crc.update(text.get(start..end).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: i64, shift: i8) -> u32 {
        let mut crc = Crc::new();
        write(number, shift, &mut crc);
        crc.sum()
    }

    fn crc(text: &[u8]) -> u32 {
        let mut crc = Crc::new();
        crc.update(text);
        crc.sum()
    }

    #[test]
    fn digits_are_the_venues() {
        for (number, shift, digits) in [
            (13_260_800_000, -3, "13260800"),
            (50_000_000, -4, "5000"),
            (304, 0, "304"),
            (5, 3, "5000"),
            (5, -3, ""),
            (0, 0, ""),
            (i64::MAX, 18, "9223372036854775807000000000000000000"),
            (i64::MAX, -18, "9"),
        ] {
            assert_eq!(text(number, shift), crc(digits.as_bytes()), "{number} {shift}");
        }
    }

    #[test]
    fn no_shift_makes_it_panic() {
        for shift in i8::MIN..=i8::MAX {
            text(i64::MIN, shift);
            text(1, shift);
        }
    }
}
