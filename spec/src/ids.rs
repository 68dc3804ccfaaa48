//! Numbers that name things, computed the same way by everyone: instruments, publishers and orders.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// 64-bit FNV-1a over `bytes`, then a finaliser so that short keys spread over all bits.
///
/// Stable for ever: instrument ids and client order ids are made from it.
/// Source: Fowler, Noll, Vo, FNV-1a; finaliser of MurmurHash3 (fmix64).
#[must_use]
pub const fn stable_hash(bytes: &[u8]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut i = 0;
    while i < bytes.len() {
        hash ^= bytes[i] as u64;
        hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
        i += 1;
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// The id of a publisher (a venue's feed), from its name in the strategy file.
#[must_use]
pub const fn publisher_id(publisher: &str) -> u32 {
    (stable_hash(publisher.as_bytes()) >> 32) as u32
}

/// The id of an instrument that the strategy file does not number: a hash of publisher and symbol, so that it needs no state.
#[must_use]
pub fn instrument_id(publisher: &str, symbol: &[u8]) -> u64 {
    let mut key = Vec::with_capacity(publisher.len() + 1 + symbol.len());
    key.extend_from_slice(publisher.as_bytes());
    key.push(0);
    key.extend_from_slice(symbol);
    stable_hash(&key)
}

/// What `client_order_id` says: which strategy sent the order because of which record.
///
/// As text: `{strategy:8 hex}-{topic:4 hex}{partition:4 hex}-{offset base 36}-{n base 36}`, at most 36 characters of
/// `[0-9a-z-]`, which every venue takes. The same strategy over the same record always makes the same id, so a repeat
/// after a crash is recognisable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientOrderId {
    /// Hash of tenant and strategy name; see [`ClientOrderId::strategy_hash`].
    pub strategy: u32,
    /// Hash of the input topic's name; see [`ClientOrderId::topic_hash`].
    pub topic: u16,
    /// Partition of the input record.
    pub partition: u16,
    /// Offset of the input record.
    pub offset: u64,
    /// Which of the intents caused by that record, from 0.
    pub n: u16,
}

/// A text that is no client order id of ours.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("not a Pinion client order id")]
pub struct NotOurs;

impl ClientOrderId {
    /// Longest text form in bytes.
    pub const TEXT_LEN_MAX: usize = 36;

    /// Hash of a strategy's tenant and name.
    #[must_use]
    pub fn strategy_hash(tenant: &str, name: &str) -> u32 {
        let mut key = Vec::with_capacity(tenant.len() + 1 + name.len());
        key.extend_from_slice(tenant.as_bytes());
        key.push(0);
        key.extend_from_slice(name.as_bytes());
        (stable_hash(&key) >> 32) as u32
    }

    /// Hash of an input topic's name.
    #[must_use]
    pub const fn topic_hash(topic: &str) -> u16 {
        (stable_hash(topic.as_bytes()) >> 48) as u16
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`NotOurs`] for anything that [`ClientOrderId`] would not have written.
    pub fn parse(text: &[u8]) -> Result<Self, NotOurs> {
        let text = std::str::from_utf8(text).map_err(|_| NotOurs)?;
        let mut parts = text.split('-');
        let mut part = || parts.next().ok_or(NotOurs);
        let (strategy, place, offset, n) = (part()?, part()?, part()?, part()?);
        if parts.next().is_some() || strategy.len() != 8 || place.len() != 8 || !place.is_ascii() {
            return Err(NotOurs);
        }
        let hex16 = |s: &str| u16::from_str_radix(s, 16).map_err(|_| NotOurs);
        let id = Self {
            strategy: u32::from_str_radix(strategy, 16).map_err(|_| NotOurs)?,
            topic: hex16(&place[..4])?,
            partition: hex16(&place[4..])?,
            offset: u64::from_str_radix(offset, 36).map_err(|_| NotOurs)?,
            n: u16::from_str_radix(n, 36).map_err(|_| NotOurs)?,
        };
        // One id, one text: refuses "+1", leading zeros and capitals, which from_str_radix would take.
        if id.to_string() == text { Ok(id) } else { Err(NotOurs) }
    }

    /// Writes the text form into `out` without allocating and returns its length.
    #[must_use]
    pub fn write(&self, out: &mut [u8; Self::TEXT_LEN_MAX]) -> usize {
        let mut at = 0;
        let mut hex = |value: u64, digits: u32| {
            for digit in (0..digits).rev() {
                out[at] = b"0123456789abcdef"[((value >> (4 * digit)) & 0xf) as usize];
                at += 1;
            }
            if digits == 8 {
                out[at] = b'-';
                at += 1;
            }
        };
        hex(u64::from(self.strategy), 8);
        hex(u64::from(self.topic) << 16 | u64::from(self.partition), 8);
        at = write_base36(out, at, self.offset);
        out[at] = b'-';
        write_base36(out, at + 1, u64::from(self.n))
    }
}

fn write_base36(out: &mut [u8; ClientOrderId::TEXT_LEN_MAX], at: usize, mut value: u64) -> usize {
    let mut digits = [0u8; 13];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(value % 36) as usize];
        value /= 36;
        if value == 0 {
            break;
        }
    }
    let len = digits.len() - first;
    out[at..at + len].copy_from_slice(&digits[first..]);
    at + len
}

impl fmt::Display for ClientOrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; Self::TEXT_LEN_MAX];
        let len = self.write(&mut text);
        f.write_str(std::str::from_utf8(&text[..len]).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for ClientOrderId {
    type Err = NotOurs;

    fn from_str(text: &str) -> Result<Self, NotOurs> {
        Self::parse(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_client_order_id_fits_the_limit_that_venues_set() {
        // Offsets are below 2^44 (see the runtime's limits), yet even the largest u63 fits.
        let id = ClientOrderId {
            strategy: u32::MAX,
            topic: u16::MAX,
            partition: u16::MAX,
            offset: i64::MAX as u64,
            n: u16::MAX,
        };
        assert_eq!(id.to_string(), "ffffffff-ffffffff-1y2p0ij32e8e7-1ekf");
        assert_eq!(id.to_string().len(), ClientOrderId::TEXT_LEN_MAX);
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn only_the_text_that_we_write_is_read() {
        let id = ClientOrderId { strategy: 0xab, topic: 1, partition: 0, offset: 0, n: 35 };
        assert_eq!(id.to_string(), "000000ab-00010000-0-z");
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in [
            "",
            "000000ab-00010000-0",
            "000000AB-00010000-0-z",
            "000000ab-00010000-00-z",
            "000000ab-00010000-+0-z",
            "000000ab-00010000-0-z-",
            "000000ab-0001é00-0-z",
            "000000ab-00010000-zzzzzzzzzzzzzz-0",
        ] {
            assert_eq!(text.parse::<ClientOrderId>(), Err(NotOurs), "{text}");
        }
    }

    #[test]
    fn ids_are_stable_for_ever() {
        assert_eq!(stable_hash(b""), 0xefd0_1f60_ba99_2926);
        assert_ne!(instrument_id("binance", b"BTCUSDT"), instrument_id("binance-usdm", b"BTCUSDT"));
        // The separator keeps ("a", "bc") and ("ab", "c") apart.
        assert_ne!(instrument_id("a", b"bc"), instrument_id("ab", b"c"));
    }
}
