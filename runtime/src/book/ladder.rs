//! One side of a book: a sorted array with the best level last, because that is where a market moves.

use crate::limits::{BOOK_LEVELS_INITIAL, BOOK_LEVELS_MAX};

/// Levels looked at one by one from the touch before the rest is searched by halves: most changes are near the touch.
const NEAR_LEVELS: usize = 8;

/// A level and what is known of its past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Price as a number that grows towards the touch on both sides; see [`super::key`].
    pub(super) key: i64,
    pub(super) size: i64,
    /// Sequence of the update or snapshot that last set it.
    pub(super) sequence: u64,
    pub(super) count: u32,
    /// Number of the snapshot that brought it, 0 where an update did.
    pub(super) brought: u32,
}

/// What setting a level on a full side costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Set {
    /// Nothing: there was room.
    Taken,
    /// The farthest level, last changed at this sequence.
    GaveWay(u64),
    /// The level itself: it would have been the farthest.
    Refused,
}

/// The levels of one side, farthest first.
#[derive(Debug, Default)]
pub(super) struct Ladder {
    entries: Vec<Entry>,
}

impl Ladder {
    /// Takes the memory that a usual book needs, once.
    pub(super) fn warm(&mut self) {
        if self.entries.capacity() == 0 {
            self.entries.reserve_exact(BOOK_LEVELS_INITIAL);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The level at `depth`, 0 being the best.
    #[inline]
    pub(super) fn at(&self, depth: usize) -> Option<&Entry> {
        let place = self.entries.len().checked_sub(depth.checked_add(1)?)?;
        self.entries.get(place)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().rev()
    }

    pub(super) fn get(&self, key: i64) -> Option<&Entry> {
        self.find(key).ok().map(|place| &self.entries[place])
    }

    /// Sets a level, new or known.
    pub(super) fn set(&mut self, entry: Entry) -> Set {
        let place = match self.find(entry.key) {
            Ok(place) => {
                self.entries[place] = entry;
                return Set::Taken;
            }
            Err(place) => place,
        };
        if self.entries.len() < BOOK_LEVELS_MAX {
            self.entries.insert(place, entry);
            return Set::Taken;
        }
        if place == 0 {
            return Set::Refused;
        }
        let farthest = self.entries[0].sequence;
        self.entries.copy_within(1..place, 0);
        self.entries[place - 1] = entry;
        Set::GaveWay(farthest)
    }

    /// Takes a level out.
    pub(super) fn remove(&mut self, key: i64) {
        if let Ok(place) = self.find(key) {
            self.entries.remove(place);
        }
    }

    /// Takes out the farthest level where there are more than `levels`.
    pub(super) fn pop_beyond(&mut self, levels: usize) -> Option<Entry> {
        (self.entries.len() > levels).then(|| self.entries.remove(0))
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Entry) -> bool) {
        self.entries.retain(keep);
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Where a level is, or where it would go.
    #[inline]
    fn find(&self, key: i64) -> Result<usize, usize> {
        let near = self.entries.len().saturating_sub(NEAR_LEVELS);
        for place in (near..self.entries.len()).rev() {
            let at = self.entries[place].key;
            if at == key {
                return Ok(place);
            }
            if at < key {
                return Err(place + 1);
            }
        }
        self.entries[..near].binary_search_by_key(&key, |entry| entry.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: i64) -> Entry {
        Entry { key, size: 1, sequence: key.unsigned_abs(), count: 0, brought: 0 }
    }

    #[test]
    fn on_a_full_side_the_level_farthest_from_the_touch_gives_way() {
        let mut ladder = Ladder::default();
        let full = i64::try_from(BOOK_LEVELS_MAX).unwrap();
        for key in 1..=full {
            assert_eq!(ladder.set(entry(key)), Set::Taken);
        }
        assert_eq!(ladder.set(entry(0)), Set::Refused, "farther than all of them");
        assert_eq!(ladder.set(entry(1)), Set::Taken, "a known level is changed in place");
        assert_eq!(ladder.set(entry(full + 1)), Set::GaveWay(1));
        assert_eq!(ladder.len(), BOOK_LEVELS_MAX);
        assert_eq!(ladder.get(1), None);
        assert_eq!(ladder.at(0).map(|e| e.key), Some(full + 1));
        assert_eq!(ladder.at(BOOK_LEVELS_MAX - 1).map(|e| e.key), Some(2));
        assert!(ladder.entries.is_sorted_by_key(|e| e.key));
    }
}
