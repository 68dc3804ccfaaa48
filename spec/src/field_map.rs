//! The map of an in-house feed: where its JSON records say what. One for each input of encoding `json-map`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A place in a JSON record: names of fields, and numbers of items in arrays, each behind a slash.
pub(crate) const JSON_PATH: &str = "^(/[^/~]{1,64}){1,8}$";

/// Where an in-house feed's JSON says what. A place is `/` and a field's name, again for a field inside; items of arrays are numbered
/// from 0 (`/data/0/px`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FieldMap {
    /// The instrument's symbol.
    #[schemars(length(max = 520), regex(pattern = JSON_PATH))]
    pub symbol: String,
    /// The venue's time; every record must have it then. Absent: no record has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 520), regex(pattern = JSON_PATH))]
    pub time: Option<String>,
    /// What that time counts since the Unix epoch; a fraction may follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_unit: Option<TimeUnit>,
    /// The feed's own sequence. Absent: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 520), regex(pattern = JSON_PATH))]
    pub sequence: Option<String>,
    /// What tells quotes from trades: text or a number, compared with `when`. Needed where both are mapped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 520), regex(pattern = JSON_PATH))]
    pub kind: Option<String>,
    /// Records that are a best bid and ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<QuoteMap>,
    /// Records that are a trade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trade: Option<TradeMap>,
}

/// Where a quote says what. A price that is 0, null or absent is an empty side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuoteMap {
    /// What `kind` holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub when: Option<String>,
    /// Best bid.
    #[schemars(length(max = 520), regex(pattern = JSON_PATH))]
    pub bid_price: String,
    /// Size at the best bid. Absent: the feed has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 520), regex(pattern = JSON_PATH))]
    pub bid_size: Option<String>,
    /// Best ask.
    #[schemars(length(max = 520), regex(pattern = JSON_PATH))]
    pub ask_price: String,
    /// Size at the best ask. Absent: the feed has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 520), regex(pattern = JSON_PATH))]
    pub ask_size: Option<String>,
}

/// Where a trade says what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TradeMap {
    /// What `kind` holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub when: Option<String>,
    /// Price.
    #[schemars(length(max = 520), regex(pattern = JSON_PATH))]
    pub price: String,
    /// Size.
    #[schemars(length(max = 520), regex(pattern = JSON_PATH))]
    pub size: String,
    /// Whose side is told: `taker` or `maker`.
    #[serde(default)]
    pub side_of: SideOf,
    /// The side. Absent: the feed does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 520), regex(pattern = JSON_PATH))]
    pub side: Option<String>,
    /// What `side` holds for a buyer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub buy: Option<String>,
    /// What `side` holds for a seller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub sell: Option<String>,
    /// The trade's number. Absent: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 520), regex(pattern = JSON_PATH))]
    pub id: Option<String>,
}

/// What a time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TimeUnit {
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
}

impl TimeUnit {
    /// Digits behind the point that a nanosecond is, in this unit.
    #[must_use]
    pub const fn ns_digits(self) -> u32 {
        match self {
            Self::S => 9,
            Self::Ms => 6,
            Self::Us => 3,
            Self::Ns => 0,
        }
    }
}

/// Whose side a trade tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SideOf {
    /// Who took: the aggressor.
    #[default]
    Taker,
    /// Whose order rested: the aggressor is the other one.
    Maker,
}
