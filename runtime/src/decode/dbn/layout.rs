//! Where the fields of DBN's records lie. All numbers are little-endian; lengths and offsets are the format's own, and are the same in
//! its versions 1, 2 and 3 for every record that gives events. What differs between versions (definitions, statistics, messages of the
//! gateway) is not read beyond its header.
//!
//! Source: <https://databento.com/docs/standards-and-conventions/databento-binary-encoding>.

use zerocopy::little_endian::{I32, I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// A price that there is none of.
pub(super) const PRICE_NONE: i64 = i64::MAX;
/// A size that there is none of.
pub(super) const SIZE_NONE: u32 = u32::MAX;
/// A time that there is none of.
pub(super) const TIME_NONE: u64 = u64::MAX;
/// A record's length is told in words of this many bytes.
pub(super) const WORD_BYTES: usize = 4;

/// What every record begins with: 16 bytes.
#[derive(Debug, Clone, Copy, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    /// Of the whole record, in words.
    pub(super) length: u8,
    pub(super) rtype: u8,
    pub(super) publisher_id: U16,
    pub(super) instrument_id: U32,
    pub(super) ts_event: U64,
}

/// A trade, and the first half of a record with levels: 48 bytes with its header. Quotes that are sampled (`bbo`, `cbbo`) and
/// consolidated ones (`cmbp-1`) leave some of it unset; see the module above.
#[derive(Debug, Clone, Copy, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Trade {
    pub(super) header: Header,
    pub(super) price: I64,
    pub(super) size: U32,
    pub(super) action: u8,
    pub(super) side: u8,
    pub(super) flags: u8,
    pub(super) depth: u8,
    pub(super) ts_recv: U64,
    pub(super) ts_in_delta: I32,
    pub(super) sequence: U32,
}

/// One level, both sides: 32 bytes.
#[derive(Debug, Clone, Copy, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Level {
    pub(super) bid_price: I64,
    pub(super) ask_price: I64,
    pub(super) bid_size: U32,
    pub(super) ask_size: U32,
    /// Orders; of a consolidated quote the publisher instead.
    pub(super) bid_count: U32,
    pub(super) ask_count: U32,
}

/// The best level (80 bytes), or the ten best (368).
#[derive(Debug, Clone, Copy, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Levels<const N: usize> {
    pub(super) trade: Trade,
    pub(super) levels: [Level; N],
}

/// An order of a book by order: 56 bytes.
#[derive(Debug, Clone, Copy, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Order {
    pub(super) header: Header,
    pub(super) order_id: U64,
    pub(super) price: I64,
    pub(super) size: U32,
    pub(super) flags: u8,
    pub(super) channel_id: u8,
    pub(super) action: u8,
    pub(super) side: u8,
    pub(super) ts_recv: U64,
    pub(super) ts_in_delta: I32,
    pub(super) sequence: U32,
}

/// The state of an instrument's market: 40 bytes.
#[derive(Debug, Clone, Copy, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Status {
    pub(super) header: Header,
    pub(super) ts_recv: U64,
    pub(super) action: U16,
    pub(super) reason: U16,
    pub(super) trading_event: U16,
    pub(super) is_trading: u8,
    pub(super) is_quoting: u8,
    pub(super) is_short_sell_restricted: u8,
    pub(super) reserved: [u8; 7],
}

const _: () = assert!(size_of::<Header>() == 16);
const _: () = assert!(size_of::<Trade>() == 48);
const _: () = assert!(size_of::<Levels<1>>() == 80);
const _: () = assert!(size_of::<Levels<10>>() == 368);
const _: () = assert!(size_of::<Order>() == 56);
const _: () = assert!(size_of::<Status>() == 40);
