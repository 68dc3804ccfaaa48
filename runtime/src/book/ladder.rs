//! One side of a book: sorted parts of a few dozen levels with the best level last, because that is where a market moves. A level that
//! comes or goes moves its part alone, however deep the book is.

use crate::limits::{BOOK_LEVELS_INITIAL, BOOK_LEVELS_MAX};

/// Levels looked at one by one from the touch before the rest is searched by halves: most changes are near the touch.
const NEAR_LEVELS: usize = 8;
/// Levels of a part: 2 KiB.
const PART_LEVELS: usize = 64;
/// A part that has fewer is laid together with a neighbour, where both have no more than [`JOINED_LEVELS`].
const PART_LEVELS_MIN: usize = 16;
const JOINED_LEVELS: usize = 48;

/// A level and what is known of its past.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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

/// A run of levels: its slot of the slab, how many levels of it, and the key of the first.
#[derive(Debug, Clone, Copy)]
struct Part {
    first: i64,
    slot: usize,
    len: usize,
}

impl Part {
    const fn range(&self) -> std::ops::Range<usize> {
        let start = self.slot * PART_LEVELS;
        start..start + self.len
    }
}

/// The levels of one side, farthest first.
#[derive(Debug, Default)]
pub(super) struct Ladder {
    /// None is empty.
    parts: Vec<Part>,
    /// A slot of [`PART_LEVELS`] for each part, and free ones.
    slab: Vec<Entry>,
    free: Vec<usize>,
    len: usize,
}

/// Where a level is, or where it would go: part, and place in it.
type Place = (usize, usize);

impl Ladder {
    /// Takes the memory that a usual book needs, once.
    pub(super) fn warm(&mut self) {
        if self.slab.capacity() == 0 {
            // Parts are half full at worst for long. What is not used of it is not in RAM either.
            self.slab.reserve_exact(2 * BOOK_LEVELS_INITIAL);
            self.parts.reserve_exact(BOOK_LEVELS_INITIAL / PART_LEVELS_MIN);
            self.free.reserve_exact(BOOK_LEVELS_INITIAL / PART_LEVELS_MIN);
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The level at `depth`, 0 being the best.
    #[inline]
    pub(super) fn at(&self, mut depth: usize) -> Option<&Entry> {
        for part in self.parts.iter().rev() {
            match part.len.checked_sub(depth.checked_add(1)?) {
                Some(place) => return self.slab.get(part.slot * PART_LEVELS + place),
                None => depth -= part.len,
            }
        }
        None
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.parts.iter().rev().flat_map(|part| self.slab[part.range()].iter().rev())
    }

    pub(super) fn get(&self, key: i64) -> Option<&Entry> {
        let (part, place) = self.find(key).ok()?;
        Some(&self.slab[self.parts[part].range()][place])
    }

    /// Sets a level, new or known.
    pub(super) fn set(&mut self, entry: Entry) -> Set {
        let place = match self.find(entry.key) {
            Ok((part, place)) => {
                let range = self.parts[part].range();
                self.slab[range][place] = entry;
                return Set::Taken;
            }
            Err(place) => place,
        };
        if self.len < BOOK_LEVELS_MAX {
            self.insert(place, entry);
            return Set::Taken;
        }
        if place == (0, 0) {
            return Set::Refused;
        }
        let farthest = self.slab[self.parts[0].range()][0].sequence;
        self.take_out((0, 0));
        if let Err(place) = self.find(entry.key) {
            self.insert(place, entry);
        }
        Set::GaveWay(farthest)
    }

    /// Takes a level out.
    pub(super) fn remove(&mut self, key: i64) {
        if let Ok(place) = self.find(key) {
            self.take_out(place);
        }
    }

    /// Takes out the farthest level where there are more than `levels`.
    pub(super) fn pop_beyond(&mut self, levels: usize) -> Option<Entry> {
        (self.len > levels).then(|| self.take_out((0, 0)))
    }

    /// Lays what is kept together again, farthest first.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Entry) -> bool) {
        let (mut to, mut len) = (0, 0);
        for from in 0..self.parts.len() {
            for at in self.parts[from].range() {
                let entry = self.slab[at];
                if keep(&entry) {
                    // It has been read already: no more is written than was read.
                    let part = &mut self.parts[to + len / PART_LEVELS];
                    let place = len % PART_LEVELS;
                    if place == 0 {
                        part.first = entry.key;
                    }
                    self.slab[part.slot * PART_LEVELS + place] = entry;
                    len += 1;
                }
            }
        }
        self.len = len;
        while len > 0 {
            self.parts[to].len = len.min(PART_LEVELS);
            len -= self.parts[to].len;
            to += 1;
        }
        self.free.extend(self.parts.drain(to..).map(|part| part.slot));
    }

    pub(super) fn clear(&mut self) {
        self.free.extend(self.parts.drain(..).map(|part| part.slot));
        self.len = 0;
    }

    /// Where a level is, or where it would go.
    #[inline]
    fn find(&self, key: i64) -> Result<Place, Place> {
        let Some(last) = self.parts.last() else { return Err((0, 0)) };
        let part = match self.parts.len() - 1 {
            index if key >= last.first => index,
            _ => self.parts.partition_point(|part| part.first <= key).saturating_sub(1),
        };
        let levels = &self.slab[self.parts[part].range()];
        let near = if part + 1 == self.parts.len() { levels.len().saturating_sub(NEAR_LEVELS) } else { levels.len() };
        for (place, level) in levels.iter().enumerate().skip(near).rev() {
            if level.key == key {
                return Ok((part, place));
            }
            if level.key < key {
                return Err((part, place + 1));
            }
        }
        let found = levels[..near].binary_search_by_key(&key, |level| level.key);
        found.map(|place| (part, place)).map_err(|place| (part, place))
    }

    fn insert(&mut self, (mut part, mut place): Place, entry: Entry) {
        if self.parts.is_empty() {
            let slot = self.slot();
            self.parts.push(Part { first: entry.key, slot, len: 0 });
        } else if self.parts[part].len == PART_LEVELS {
            self.split(part);
            if place > self.parts[part].len {
                place -= self.parts[part].len;
                part += 1;
            }
        }
        let part = &mut self.parts[part];
        part.len += 1;
        if place == 0 {
            part.first = entry.key;
        }
        let levels = &mut self.slab[part.range()];
        levels.copy_within(place..levels.len() - 1, place + 1);
        levels[place] = entry;
        self.len += 1;
    }

    fn take_out(&mut self, (index, place): Place) -> Entry {
        let part = &mut self.parts[index];
        let levels = &mut self.slab[part.range()];
        let entry = levels[place];
        levels.copy_within(place + 1.., place);
        if place == 0 && levels.len() > 1 {
            part.first = levels[0].key;
        }
        part.len -= 1;
        self.len -= 1;
        match part.len {
            0 => self.free_part(index),
            few if few < PART_LEVELS_MIN => {
                if index + 1 < self.parts.len() {
                    self.join(index);
                }
                if index > 0 {
                    self.join(index - 1);
                }
            }
            _ => {}
        }
        entry
    }

    /// The second half becomes a part of its own.
    fn split(&mut self, index: usize) {
        let slot = self.slot();
        let part = &mut self.parts[index];
        part.len = PART_LEVELS / 2;
        let half = part.range().end;
        self.slab.copy_within(half..half + PART_LEVELS / 2, slot * PART_LEVELS);
        let second = Part { first: self.slab[slot * PART_LEVELS].key, slot, len: PART_LEVELS / 2 };
        self.parts.insert(index + 1, second);
    }

    /// Lays a part and the next together, where they are small enough.
    fn join(&mut self, index: usize) {
        let (first, second) = (self.parts[index], self.parts[index + 1]);
        if first.len + second.len <= JOINED_LEVELS {
            self.slab.copy_within(second.range(), first.range().end);
            self.parts[index].len += second.len;
            self.free_part(index + 1);
        }
    }

    fn free_part(&mut self, index: usize) {
        let part = self.parts.remove(index);
        self.free.push(part.slot);
    }

    fn slot(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            let slot = self.slab.len() / PART_LEVELS;
            self.slab.resize(self.slab.len() + PART_LEVELS, Entry::default());
            slot
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

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
        assert!(ladder.iter().is_sorted_by_key(|e| -e.key));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Set(i64),
        Remove(i64),
        /// So many levels in a row from a key on.
        SetMany(i64, i64),
        RemoveMany(i64, i64),
        PopBeyond(usize),
        /// Keeps every key that this divides.
        Retain(i64),
        Clear,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let key = -300..300_i64;
        let step = prop_oneof![
            10 => key.clone().prop_map(Step::Set),
            10 => key.clone().prop_map(Step::Remove),
            3 => (key.clone(), 1..200_i64).prop_map(|(key, n)| Step::SetMany(key, n)),
            3 => (key, 1..200_i64).prop_map(|(key, n)| Step::RemoveMany(key, n)),
            1 => (0..400_usize).prop_map(Step::PopBeyond),
            1 => (1..5_i64).prop_map(Step::Retain),
            1 => Just(Step::Clear),
        ];
        proptest::collection::vec(step, 1..80)
    }

    proptest! {
        #[test]
        fn it_holds_what_a_sorted_map_holds(steps in steps()) {
            let (mut ladder, mut map) = (Ladder::default(), BTreeMap::new());
            for (step, sequence) in steps.iter().zip(1..) {
                let level = |key| Entry { sequence, ..entry(key) };
                match *step {
                    Step::Set(key) => {
                        prop_assert_eq!(ladder.set(level(key)), Set::Taken);
                        map.insert(key, level(key));
                    }
                    Step::Remove(key) => {
                        ladder.remove(key);
                        map.remove(&key);
                    }
                    Step::SetMany(key, n) => for key in key..key + n {
                        ladder.set(level(key));
                        map.insert(key, level(key));
                    },
                    Step::RemoveMany(key, n) => for key in key..key + n {
                        ladder.remove(key);
                        map.remove(&key);
                    },
                    Step::PopBeyond(levels) => {
                        let popped = ladder.pop_beyond(levels);
                        prop_assert_eq!(popped, if map.len() > levels { map.pop_first().map(|(_, level)| level) } else { None });
                    }
                    Step::Retain(divisor) => {
                        ladder.retain(|level| level.key % divisor == 0);
                        map.retain(|key, _| key % divisor == 0);
                    }
                    Step::Clear => {
                        ladder.clear();
                        map.clear();
                    }
                }
                prop_assert_eq!(ladder.len(), map.len());
                prop_assert!(ladder.iter().eq(map.values().rev()));
                for (depth, level) in map.values().rev().enumerate() {
                    prop_assert_eq!(ladder.at(depth), Some(level));
                }
                prop_assert_eq!(ladder.at(map.len()), None);
                for key in -301..301 {
                    prop_assert_eq!(ladder.get(key), map.get(&key));
                }
                // What is kept of memory: every slot is a part's or free, and no two neighbours are small.
                prop_assert_eq!((ladder.parts.len() + ladder.free.len()) * PART_LEVELS, ladder.slab.len());
                prop_assert!(ladder.parts.iter().all(|part| part.len > 0 && part.first == ladder.slab[part.range()][0].key));
                prop_assert!(ladder.parts.windows(2).all(|two| two[0].len + two[1].len > PART_LEVELS_MIN));
            }
        }
    }
}
