//! Why a record could not be decoded, and why one that could holds nothing for a strategy.

use thiserror::Error;

use crate::limits::{INSTRUMENTS_MAX, JSON_DEPTH_MAX, RECORD_BYTES_MAX, RECORD_EVENTS_MAX, SYMBOL_BYTES_MAX};

/// The world is wrong: a record that is not what its input's encoding says. `at` is a byte position in the record's value.
///
/// Plain data: to make one allocates nothing, so a flood of bad records costs no more than good ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Larger than [`RECORD_BYTES_MAX`].
    #[error("record of {bytes} bytes, and the limit is {RECORD_BYTES_MAX}")]
    TooLarge {
        /// The record's size.
        bytes: usize,
    },
    /// The record ends before it is complete.
    #[error("record ends at byte {at}, before it is complete")]
    Truncated {
        /// Where it ends.
        at: usize,
    },
    /// Not JSON.
    #[error("not JSON: expected {expected} at byte {at}")]
    NotJson {
        /// Where.
        at: usize,
        /// What the grammar asks for there.
        expected: &'static str,
    },
    /// Bytes that are no UTF-8 text.
    #[error("not UTF-8 at byte {at}")]
    NotUtf8 {
        /// The first wrong byte.
        at: usize,
    },
    /// Nested deeper than [`JSON_DEPTH_MAX`].
    #[error("nested deeper than {JSON_DEPTH_MAX} at byte {at}")]
    TooDeep {
        /// Where the limit is passed.
        at: usize,
    },
    /// A message without a field that its kind must have.
    #[error("field `{field}` is missing")]
    MissingField {
        /// Its name on the wire.
        field: &'static str,
    },
    /// A field that stands twice in one object: which one counts would be a guess.
    #[error("field `{field}` stands twice, again at byte {at}")]
    DuplicateField {
        /// Its name on the wire.
        field: &'static str,
        /// Where it stands again.
        at: usize,
    },
    /// A field of another JSON type than its kind of message has there, or a word that it cannot be.
    #[error("field `{field}` at byte {at} is not {expected}")]
    BadType {
        /// Its name on the wire.
        field: &'static str,
        /// Where its value is.
        at: usize,
        /// What belongs there.
        expected: &'static str,
    },
    /// Not `[-]digits[.digits]`.
    #[error("field `{field}` at byte {at} is not a plain decimal number")]
    BadNumber {
        /// Its name on the wire.
        field: &'static str,
        /// Where its value is.
        at: usize,
    },
    /// A number that does not fit, or would have to be rounded to fit.
    #[error("field `{field}` at byte {at} does not fit its unit without wrapping or rounding")]
    OutOfRange {
        /// Its name on the wire.
        field: &'static str,
        /// Where its value is.
        at: usize,
    },
    /// No symbol in the record, and neither its key nor the input says which instrument is meant; or one that must be declared
    /// and is not.
    #[error("no known instrument: the record names none that is known, and neither does its key")]
    UnknownSymbol,
    /// An empty symbol, or one longer than [`SYMBOL_BYTES_MAX`].
    #[error("symbol of {bytes} bytes: between 1 and {SYMBOL_BYTES_MAX} are allowed")]
    BadSymbol {
        /// Its length.
        bytes: usize,
    },
    /// One symbol more than [`INSTRUMENTS_MAX`].
    #[error("more than {INSTRUMENTS_MAX} instruments in one input")]
    TooManyInstruments,
    /// Two symbols that hash to the same instrument id: one of them must be numbered in the strategy file.
    #[error("instrument id {id} already belongs to another symbol: declare one of the two with an `id`")]
    InstrumentCollision {
        /// The id that both would have.
        id: u64,
    },
    /// More than [`RECORD_EVENTS_MAX`].
    #[error("more than {RECORD_EVENTS_MAX} events in one record")]
    TooManyEvents,
    /// A flat record that is not laid out as documented.
    #[error("bad layout at byte {at}: {what}")]
    BadLayout {
        /// Where the message begins.
        at: usize,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl DecodeError {
    /// Every value of [`Self::reason`], so that a metric has all its series from the start.
    pub const REASONS: [&'static str; 16] = [
        "too_large",
        "truncated",
        "not_json",
        "not_utf8",
        "too_deep",
        "missing_field",
        "duplicate_field",
        "bad_type",
        "bad_number",
        "out_of_range",
        "unknown_symbol",
        "bad_symbol",
        "too_many_instruments",
        "instrument_collision",
        "too_many_events",
        "bad_layout",
    ];

    /// The metric label.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        Self::REASONS[self.reason_index()]
    }

    /// The place of [`Self::reason`] in [`Self::REASONS`]: counters are an array.
    #[must_use]
    pub const fn reason_index(&self) -> usize {
        match self {
            Self::TooLarge { .. } => 0,
            Self::Truncated { .. } => 1,
            Self::NotJson { .. } => 2,
            Self::NotUtf8 { .. } => 3,
            Self::TooDeep { .. } => 4,
            Self::MissingField { .. } => 5,
            Self::DuplicateField { .. } => 6,
            Self::BadType { .. } => 7,
            Self::BadNumber { .. } => 8,
            Self::OutOfRange { .. } => 9,
            Self::UnknownSymbol => 10,
            Self::BadSymbol { .. } => 11,
            Self::TooManyInstruments => 12,
            Self::InstrumentCollision { .. } => 13,
            Self::TooManyEvents => 14,
            Self::BadLayout { .. } => 15,
        }
    }
}

/// Why a well-formed message holds nothing for a strategy. Counted apart from errors: nothing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Skip {
    /// An answer to a subscription, or another message of the connection itself.
    Control = 0,
    /// A kind of message that no callback takes.
    OtherKind = 1,
    /// The best few levels again and again: neither a change of the book nor the whole of it.
    PartialBook = 2,
    /// A futures trade with the insurance fund or by auto-deleveraging: it says nothing of the market's price.
    OffBookTrade = 3,
    /// An execution report of an order that Pinion did not send.
    NotOurs = 4,
    /// Trades from before the subscription, sent again at each one: a strategy would take them for new.
    PastTrade = 5,
    /// An ask too dear for a price to say (over nine billion): it is left out of its book, which it can only end.
    FarLevel = 6,
    /// An order of a book that the venue tells of order by order: no book is kept of it.
    ByOrder = 7,
    /// A bar: the host makes bars from trades.
    Bar = 8,
}

impl Skip {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::Control,
        Self::OtherKind,
        Self::PartialBook,
        Self::OffBookTrade,
        Self::NotOurs,
        Self::PastTrade,
        Self::FarLevel,
        Self::ByOrder,
        Self::Bar,
    ];

    /// The metric label.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::OtherKind => "other_kind",
            Self::PartialBook => "partial_book",
            Self::OffBookTrade => "off_book_trade",
            Self::NotOurs => "not_ours",
            Self::PastTrade => "past_trade",
            Self::FarLevel => "far_level",
            Self::ByOrder => "by_order",
            Self::Bar => "bar",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_distinct() {
        let mut reasons = DecodeError::REASONS.to_vec();
        reasons.sort_unstable();
        reasons.dedup();
        assert_eq!(reasons.len(), DecodeError::REASONS.len());
        assert_eq!(DecodeError::UnknownSymbol.reason(), "unknown_symbol");
        assert_eq!(DecodeError::BadLayout { at: 0, what: "" }.reason(), "bad_layout");
    }
}
