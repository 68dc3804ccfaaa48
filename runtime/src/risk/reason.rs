//! Why an intent is denied.

/// Why the host denied an intent; numbers as in the contract's `deny-reason`, where 0 is `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum DenyReason {
    /// Not above zero, or undefined.
    InvalidPrice = 1,
    /// Not above zero, or not more than is filled already.
    InvalidSize = 2,
    /// No multiple of the instrument's tick.
    InvalidTick = 3,
    /// No multiple of the instrument's lot.
    InvalidLot = 4,
    /// Not declared in the strategy file.
    UnknownInstrument = 5,
    /// Declared, but not on the allow-list.
    InstrumentNotAllowed = 6,
    /// One order's size.
    MaxOrderSize = 7,
    /// One order's price times size.
    MaxOrderNotional = 8,
    /// Farther beyond the far side of the market than the collar allows.
    PriceCollar = 9,
    /// No market to measure the price against.
    NoReferencePrice = 10,
    /// Too many messages in one second of stream time.
    MessageRate = 11,
    /// Too many working orders.
    MaxOpenOrders = 12,
    /// The position, if every working order on that side filled.
    MaxPosition = 13,
    /// An order with this id works or has worked.
    DuplicateOrder = 14,
    /// No such order works, or it cannot be modified.
    UnknownOrder = 15,
    /// The market is known only from too long ago.
    StaleBook = 16,
    /// Best bid not below best ask.
    CrossedBook = 17,
    /// The venue's sequence broke.
    GappedBook = 18,
    /// Would not bring the position nearer to zero.
    TradingStateReducing = 19,
    /// Halted.
    TradingStateHalted = 20,
    /// The kill switch is on.
    KillSwitch = 21,
    /// Could trade with an order of the same strategy.
    SelfMatch = 22,
    /// A sum or product that does not fit.
    Overflow = 23,
}

impl DenyReason {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 23] = [
        Self::InvalidPrice,
        Self::InvalidSize,
        Self::InvalidTick,
        Self::InvalidLot,
        Self::UnknownInstrument,
        Self::InstrumentNotAllowed,
        Self::MaxOrderSize,
        Self::MaxOrderNotional,
        Self::PriceCollar,
        Self::NoReferencePrice,
        Self::MessageRate,
        Self::MaxOpenOrders,
        Self::MaxPosition,
        Self::DuplicateOrder,
        Self::UnknownOrder,
        Self::StaleBook,
        Self::CrossedBook,
        Self::GappedBook,
        Self::TradingStateReducing,
        Self::TradingStateHalted,
        Self::KillSwitch,
        Self::SelfMatch,
        Self::Overflow,
    ];

    /// Its place in [`DenyReason::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize - 1
    }

    /// The number in the contract.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::InvalidPrice => "invalid_price",
            Self::InvalidSize => "invalid_size",
            Self::InvalidTick => "invalid_tick",
            Self::InvalidLot => "invalid_lot",
            Self::UnknownInstrument => "unknown_instrument",
            Self::InstrumentNotAllowed => "instrument_not_allowed",
            Self::MaxOrderSize => "max_order_size",
            Self::MaxOrderNotional => "max_order_notional",
            Self::PriceCollar => "price_collar",
            Self::NoReferencePrice => "no_reference_price",
            Self::MessageRate => "message_rate",
            Self::MaxOpenOrders => "max_open_orders",
            Self::MaxPosition => "max_position",
            Self::DuplicateOrder => "duplicate_order",
            Self::UnknownOrder => "unknown_order",
            Self::StaleBook => "stale_book",
            Self::CrossedBook => "crossed_book",
            Self::GappedBook => "gapped_book",
            Self::TradingStateReducing => "trading_state_reducing",
            Self::TradingStateHalted => "trading_state_halted",
            Self::KillSwitch => "kill_switch",
            Self::SelfMatch => "self_match",
            Self::Overflow => "overflow",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_the_names_and_numbers_of_the_contract() {
        let contract = include_str!("../../../wit/strategy.wit");
        let (_, rest) = contract.split_once("enum deny-reason {").unwrap();
        let (names, _) = rest.split_once('}').unwrap();
        let names: Vec<_> = names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        assert_eq!(names[0], "none");
        assert_eq!(names.len(), DenyReason::ALL.len() + 1);
        for reason in DenyReason::ALL {
            assert_eq!(names[usize::from(reason.code())].replace('-', "_"), reason.label());
        }
    }
}
