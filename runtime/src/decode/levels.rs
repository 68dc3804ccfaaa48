//! Levels of a book as most venues write them, and what a price or a size may be.

use super::Events;
use super::decimal::{PRICE_SCALE, digits};
use super::error::DecodeError;
use super::json::Scanner;
use crate::event::{Body, BookSide, Delta, Head, PRICE_UNDEFINED};

/// `[["price","size"],..]`, one delta each. Further items of a level are stepped over.
pub(super) fn levels(
    scanner: &mut Scanner<'_>,
    field: &'static str,
    side: BookSide,
    head: Head,
    size_scale: u32,
    events: &mut Events<'_>,
) -> Result<(), DecodeError> {
    if !scanner.array()? {
        return Ok(());
    }
    loop {
        let at = scanner.position();
        if scanner.peek()? != b'[' {
            scanner.value()?;
            return Err(DecodeError::BadType { field, at, expected: "an array of levels" });
        }
        if !scanner.array()? {
            return Err(DecodeError::BadType { field, at, expected: "a price and a size" });
        }
        scanner.peek()?;
        let price_at = scanner.position();
        let price = match scanner.decimal(field, PRICE_SCALE) {
            Err(DecodeError::OutOfRange { .. }) if is_far(side, scanner.since(price_at)) => None,
            price => Some(defined_price(price?, field, at)?),
        };
        if !scanner.another_item()? {
            return Err(DecodeError::BadType { field, at, expected: "a price and a size" });
        }
        let size = not_negative(scanner.decimal(field, size_scale)?, field, at)?;
        while scanner.another_item()? {
            scanner.value()?;
        }
        match price {
            Some(price) => events.push(head, Body::Delta(Delta { price, size, count: 0, side }))?,
            None => events.far_levels += 1,
        }
        if !scanner.another_item()? {
            return Ok(());
        }
    }
}

/// Whether a price that was refused is that of an ask dearer than any price can be. Someone offers a coin at ten billion on every open
/// venue; whole books would be lost for it, and it is the one level whose place in the book (the end) is known without its price.
#[cold]
pub(super) fn is_far(side: BookSide, price: &[u8]) -> bool {
    const DEAREST: u64 = i64::MAX as u64 / 10_u64.pow(PRICE_SCALE);
    let (whole, len) = digits(price.strip_prefix(b"\"").unwrap_or(price), 0);
    side == BookSide::Ask && len > 0 && (len > 19 || whole >= DEAREST)
}

/// The one price that means "none" cannot come from a venue.
#[inline]
pub(super) fn defined_price(price: i64, field: &'static str, at: usize) -> Result<i64, DecodeError> {
    if price == PRICE_UNDEFINED { Err(DecodeError::OutOfRange { field, at }) } else { Ok(price) }
}

/// A size counts something.
#[inline]
pub(super) fn not_negative(size: i64, field: &'static str, at: usize) -> Result<i64, DecodeError> {
    if size < 0 { Err(DecodeError::OutOfRange { field, at }) } else { Ok(size) }
}
