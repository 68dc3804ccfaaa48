//! Which slot each granted worker is, so that the most shards stay where they are: a matching of greatest weight.
//!
//! Only slots that a demand already runs on have weight, so the graph is sparse. It is solved by successive cheapest
//! augmenting paths, which is exact; the workers that keep nothing then go where there is most room.

use std::collections::{BTreeMap, VecDeque};

use super::Slot;

/// One worker that a demand was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    /// Whose.
    pub(super) demand: usize,
    /// How many shards it gets.
    pub(super) shards: usize,
    /// How many of them need not move, by slot.
    pub(super) keeps: BTreeMap<usize, usize>,
}

/// A slot for each unit.
#[derive(Debug)]
pub(super) struct Matching {
    /// In the order of the units.
    pub(super) slots: Vec<Option<usize>>,
    /// The units on each slot.
    on: Vec<Vec<usize>>,
}

impl Matching {
    pub(super) fn of(units: &[Unit], slots: &[Slot], per_slot: usize) -> Self {
        let mut matching = Self { slots: vec![None; units.len()], on: vec![Vec::new(); slots.len()] };
        for start in 0..units.len() {
            matching.augment(units, per_slot, start);
        }
        matching.fill(slots, per_slot);
        matching
    }

    /// Brings one more unit in, moving others where that keeps more shards in all.
    ///
    /// With each unit in turn the matching stays the heaviest of the units so far, so the gain of the best path is what the new one
    /// adds; a path ends at a slot with room, or at a unit that gives its slot up.
    fn augment(&mut self, units: &[Unit], per_slot: usize, start: usize) {
        let gain = |unit: usize, slot: usize| units[unit].keeps.get(&slot).copied().unwrap_or(0).cast_signed();
        // Best gain with which each slot is reached, and the unit that would take it.
        let mut reached: BTreeMap<usize, (isize, usize)> = BTreeMap::new();
        let mut best_of_unit: BTreeMap<usize, isize> = BTreeMap::from([(start, 0)]);
        let mut queue = VecDeque::from([start]);
        while let Some(unit) = queue.pop_front() {
            let base = best_of_unit[&unit];
            for slot in units[unit].keeps.keys().filter(|slot| self.slots[unit] != Some(**slot)) {
                let total = base + gain(unit, *slot);
                if reached.get(slot).is_some_and(|(best, _)| *best >= total) {
                    continue;
                }
                reached.insert(*slot, (total, unit));
                if self.on[*slot].len() < per_slot {
                    continue;
                }
                for occupant in &self.on[*slot] {
                    let without = total - gain(*occupant, *slot);
                    if best_of_unit.get(occupant).is_none_or(|best| *best < without) {
                        best_of_unit.insert(*occupant, without);
                        queue.push_back(*occupant);
                    }
                }
            }
        }
        let to_room = reached.iter().filter(|(slot, _)| self.on[**slot].len() < per_slot);
        let to_room = to_room.map(|(slot, (total, unit))| (*total, End::Slot(*slot, *unit)));
        let to_unit = best_of_unit.iter().filter(|(unit, _)| **unit != start);
        let to_unit = to_unit.map(|(unit, total)| (*total, End::Unit(*unit)));
        let Some((total, end)) = to_room.chain(to_unit).max_by_key(|(total, _)| *total) else {
            return;
        };
        if total > 0 {
            self.shift(end, start, &reached);
        }
    }

    /// Walks a path back from its end: every unit on it takes the slot that it reached.
    fn shift(&mut self, end: End, start: usize, reached: &BTreeMap<usize, (isize, usize)>) {
        let mut step = match end {
            End::Slot(slot, unit) => Some((slot, unit)),
            End::Unit(loser) => self.leave(loser).and_then(|slot| Some((slot, reached.get(&slot)?.1))),
        };
        while let Some((slot, unit)) = step {
            let left = self.leave(unit);
            self.slots[unit] = Some(slot);
            self.on[slot].push(unit);
            step = left.filter(|_| unit != start).and_then(|left| Some((left, reached.get(&left)?.1)));
        }
    }

    fn leave(&mut self, unit: usize) -> Option<usize> {
        let slot = self.slots[unit].take()?;
        self.on[slot].retain(|other| *other != unit);
        Some(slot)
    }

    /// Gives the units that keep nothing a slot: the emptiest, in the pod with most room, the lowest.
    fn fill(&mut self, slots: &[Slot], per_slot: usize) {
        let mut used_in_pod: BTreeMap<u16, usize> = BTreeMap::new();
        for (slot, units) in slots.iter().zip(&self.on) {
            *used_in_pod.entry(slot.pod).or_default() += units.len();
        }
        for unit in 0..self.slots.len() {
            if self.slots[unit].is_some() {
                continue;
            }
            let room = (0..slots.len()).filter(|slot| self.on[*slot].len() < per_slot);
            let best = room.min_by_key(|slot| (self.on[*slot].len(), used_in_pod[&slots[*slot].pod], slots[*slot]));
            if let Some(slot) = best {
                self.slots[unit] = Some(slot);
                self.on[slot].push(unit);
                *used_in_pod.entry(slots[slot].pod).or_default() += 1;
            }
        }
    }
}

/// Where a path ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// At a slot with room, which the unit takes.
    Slot(usize, usize),
    /// At a unit that gives its slot up.
    Unit(usize),
}
