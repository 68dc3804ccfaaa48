//! What goes into a guest and what comes out of it: a flat quote in, a flat order out, numbers in little-endian order.
//!
//! A quote is 80 bytes, the scalars of Pinion's `on-quote` one after the other: instrument id (8), publisher id (4), flags (4),
//! ts-event (8), ts-recv (8), sequence (8), bid price (8), bid size (8), ask price (8), ask size (8), bid count (4), ask count (4).
//! An order is 33: instrument id (8), side (1: 1 buys), price (8), size (8), tag (8), which is the quote's sequence.

use crate::cross::{Asked, Cross};

/// What a quote asks for. Reads no more of it than that needs.
pub(crate) fn order(cross: &mut Cross, quote: &[u8]) -> Option<[u8; 33]> {
    let quote: &[u8; 80] = quote.try_into().ok()?;
    let field = |at: usize| -> [u8; 8] { std::array::from_fn(|byte| quote[at + byte]) };
    let Asked { buys, price, size } = cross.on_quote(i64::from_le_bytes(field(40)), i64::from_le_bytes(field(56)))?;
    let mut order = [0; 33];
    order[..8].copy_from_slice(&field(0));
    order[8] = u8::from(buys);
    order[9..17].copy_from_slice(&price.to_le_bytes());
    order[17..25].copy_from_slice(&size.to_le_bytes());
    order[25..].copy_from_slice(&field(32));
    Some(order)
}
