//! From a 64-bit id to a place in an array: open addressing, linear probing, no tombstones.
//!
//! Finding, inserting and removing never allocate; only [`IdIndex::new`] and [`IdIndex::grow`] do. Removal shifts the entries
//! behind it back, so a table that has seen a million orders is as quick as a new one.

/// Multiplier of Fibonacci hashing: 2^64 over the golden ratio. Source: Knuth, TAOCP 3, 6.4.
const FIBONACCI: u64 = 0x9e37_79b9_7f4a_7c15;

/// Marks a free slot; no place has this number.
const FREE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Slot {
    id: u64,
    place: u32,
}

/// Places by id.
#[derive(Debug, Clone)]
pub(crate) struct IdIndex {
    slots: Vec<Slot>,
    len: usize,
}

impl IdIndex {
    /// Room for `capacity` ids.
    pub(crate) fn new(capacity: usize) -> Self {
        // At most half full, so that a search ends after a probe or two.
        let slots = (capacity.max(1) * 2).next_power_of_two();
        Self { slots: vec![Slot { id: 0, place: FREE }; slots], len: 0 }
    }

    /// How many ids fit.
    pub(crate) fn capacity(&self) -> usize {
        self.slots.len() / 2
    }

    /// The place of `id`.
    #[inline]
    pub(crate) fn get(&self, id: u64) -> Option<u32> {
        let slot = self.slots[self.find(id)];
        (slot.place != FREE).then_some(slot.place)
    }

    /// Sets the place of `id`. Returns false, and does nothing, when the id is new and the index is full.
    pub(crate) fn insert(&mut self, id: u64, place: u32) -> bool {
        assert!(place != FREE);
        let at = self.find(id);
        if self.slots[at].place == FREE {
            if self.len == self.capacity() {
                return false;
            }
            self.len += 1;
        }
        self.slots[at] = Slot { id, place };
        true
    }

    /// Takes an id out and returns its place.
    pub(crate) fn remove(&mut self, id: u64) -> Option<u32> {
        let mut hole = self.find(id);
        let place = self.slots[hole].place;
        if place == FREE {
            return None;
        }
        self.len -= 1;
        let mask = self.slots.len() - 1;
        let mut next = hole;
        loop {
            next = (next + 1) & mask;
            let slot = self.slots[next];
            if slot.place == FREE {
                break;
            }
            // An entry may move into the hole when the hole lies between where it would like to be and where it is.
            if next.wrapping_sub(self.home(slot.id)) & mask >= next.wrapping_sub(hole) & mask {
                self.slots[hole] = slot;
                hole = next;
            }
        }
        self.slots[hole].place = FREE;
        Some(place)
    }

    /// Doubles the room. Allocates.
    pub(crate) fn grow(&mut self) {
        let mut larger = Self::new(self.capacity() * 2);
        for slot in self.slots.iter().filter(|slot| slot.place != FREE) {
            larger.insert(slot.id, slot.place);
        }
        *self = larger;
    }

    /// The slot that holds `id`, or the free one where it would go. There is always a free one.
    #[inline]
    fn find(&self, id: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = self.home(id);
        while self.slots[at].place != FREE && self.slots[at].id != id {
            at = (at + 1) & mask;
        }
        at
    }

    #[inline]
    fn home(&self, id: u64) -> usize {
        // The high bits of the product are the well-mixed ones.
        (id.wrapping_mul(FIBONACCI) >> 32) as usize & (self.slots.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Few ids in a small table: long runs, wrapped runs, and every way of removing from them.
        #[test]
        fn the_index_agrees_with_a_map(steps in prop::collection::vec((0u64..24, any::<bool>(), 0u32..100), 0..400)) {
            let mut index = IdIndex::new(16);
            let mut map = HashMap::new();
            for (id, insert, place) in steps {
                if insert {
                    let fits = map.contains_key(&id) || map.len() < index.capacity();
                    prop_assert_eq!(index.insert(id, place), fits);
                    if fits {
                        map.insert(id, place);
                    }
                } else {
                    prop_assert_eq!(index.remove(id), map.remove(&id));
                }
                for id in 0..24 {
                    prop_assert_eq!(index.get(id), map.get(&id).copied());
                }
            }
            index.grow();
            for id in 0..24 {
                prop_assert_eq!(index.get(id), map.get(&id).copied());
            }
        }
    }

    #[test]
    fn a_full_index_refuses_and_stays_as_it_was() {
        let mut index = IdIndex::new(2);
        assert!(index.insert(1, 0) && index.insert(2, 1));
        assert!(!index.insert(3, 2));
        assert_eq!(index.get(3), None);
        assert!(index.insert(2, 5), "an id that is there can always be set");
        assert_eq!(index.get(2), Some(5));
    }
}
