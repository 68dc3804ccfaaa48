//! A strategy's own gauges, as `metric-set` fills them: fixed storage, and a callback that faults has set nothing.

use crate::limits::{GAUGE_NAME_BYTES_MAX, GAUGES_MAX};

#[derive(Debug, Clone, Copy)]
struct Name {
    bytes: [u8; GAUGE_NAME_BYTES_MAX],
    len: usize,
}

/// At most [`GAUGES_MAX`] named values. A name stays once it is set.
#[derive(Debug)]
pub struct Gauges {
    names: [Name; GAUGES_MAX],
    values: [f64; GAUGES_MAX],
    staged: [f64; GAUGES_MAX],
    /// Slot i has a value in `staged`: bit i.
    staged_mask: u32,
    /// Names that callbacks which returned have set; those from here to `staged_len` are of the running callback.
    len: usize,
    staged_len: usize,
    refused: u64,
}

const _: () = assert!(GAUGES_MAX <= u32::BITS as usize);

impl Default for Gauges {
    fn default() -> Self {
        Self {
            names: [Name { bytes: [0; GAUGE_NAME_BYTES_MAX], len: 0 }; GAUGES_MAX],
            values: [0.0; GAUGES_MAX],
            staged: [0.0; GAUGES_MAX],
            staged_mask: 0,
            len: 0,
            staged_len: 0,
            refused: 0,
        }
    }
}

impl Gauges {
    /// Stages a value until the callback has returned.
    pub fn set(&mut self, name: &str, value: f64) {
        let known = self.names[..self.staged_len].iter().position(|known| &known.bytes[..known.len] == name.as_bytes());
        let slot = match known {
            Some(slot) => slot,
            None if self.staged_len < GAUGES_MAX && (1..=GAUGE_NAME_BYTES_MAX).contains(&name.len()) => {
                let slot = self.staged_len;
                self.names[slot].bytes[..name.len()].copy_from_slice(name.as_bytes());
                self.names[slot].len = name.len();
                self.staged_len += 1;
                slot
            }
            None => {
                self.refused += 1;
                return;
            }
        };
        self.staged[slot] = value;
        self.staged_mask |= 1 << slot;
    }

    /// The callback returned: what it set is set.
    #[inline]
    pub fn commit(&mut self) {
        if self.staged_mask != 0 {
            for slot in 0..self.staged_len {
                if self.staged_mask & (1 << slot) != 0 {
                    self.values[slot] = self.staged[slot];
                }
            }
            self.len = self.staged_len;
            self.staged_mask = 0;
        }
    }

    /// The callback faulted: it has set nothing.
    pub fn discard(&mut self) {
        self.staged_len = self.len;
        self.staged_mask = 0;
    }

    /// Names and values, in the order in which the names first came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        // Names are copies of whole `&str`s, so none is ever skipped here.
        self.names[..self.len]
            .iter()
            .zip(self.values)
            .filter_map(|(name, value)| Some((std::str::from_utf8(&name.bytes[..name.len]).ok()?, value)))
    }

    /// Values dropped because their name was one too many, too long or empty.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_over_the_limit_is_counted_and_known_names_go_on() {
        let mut gauges = Gauges::default();
        for i in 0..=GAUGES_MAX {
            gauges.set(&format!("gauge-{i}"), 1.0);
        }
        gauges.set("gauge-0", 2.0);
        gauges.set("", 1.0);
        gauges.set(&"x".repeat(GAUGE_NAME_BYTES_MAX + 1), 1.0);
        gauges.commit();
        assert_eq!(gauges.iter().count(), GAUGES_MAX);
        assert_eq!(gauges.iter().next(), Some(("gauge-0", 2.0)));
        assert_eq!(gauges.refused(), 3);
    }

    #[test]
    fn a_faulted_callback_leaves_values_and_names_as_they_were() {
        let mut gauges = Gauges::default();
        gauges.set("a", 1.0);
        gauges.commit();
        gauges.set("a", 2.0);
        gauges.set("b", 3.0);
        gauges.discard();
        gauges.commit();
        assert_eq!(gauges.iter().collect::<Vec<_>>(), [("a", 1.0)]);
        gauges.set("c", 4.0);
        gauges.commit();
        assert_eq!(gauges.iter().collect::<Vec<_>>(), [("a", 1.0), ("c", 4.0)]);
    }
}
