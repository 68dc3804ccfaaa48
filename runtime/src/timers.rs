//! The timers of one instance, in stream time.

use crate::limits::TIMERS_MAX;

/// A timer that is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timer {
    /// When it fires, stream time.
    pub at: u64,
    /// The guest's own id.
    pub id: u64,
}

/// At most [`TIMERS_MAX`]; all room is taken at once.
#[derive(Debug)]
pub struct Timers {
    timers: Vec<Timer>,
    /// When the first fires, `u64::MAX` where none is set.
    next: u64,
}

impl Default for Timers {
    fn default() -> Self {
        Self { timers: Vec::with_capacity(TIMERS_MAX), next: u64::MAX }
    }
}

impl Timers {
    /// Sets, replaces or (with `at` 0) clears a timer. False where there is no room for another.
    #[must_use]
    pub fn set(&mut self, id: u64, at: u64) -> bool {
        match self.timers.iter().position(|timer| timer.id == id) {
            Some(index) if at == 0 => {
                self.timers.swap_remove(index);
            }
            Some(index) => self.timers[index].at = at,
            None if at == 0 => {}
            None if self.timers.len() == TIMERS_MAX => return false,
            None => self.timers.push(Timer { at, id }),
        }
        self.find_next();
        true
    }

    /// When the first fires, `u64::MAX` where none is set.
    #[must_use]
    #[inline]
    pub const fn due(&self) -> u64 {
        self.next
    }

    /// Takes out the first; of two for the same time the one of the lower id.
    pub fn pop(&mut self) -> Option<Timer> {
        let index = (0..self.timers.len()).min_by_key(|i| (self.timers[*i].at, self.timers[*i].id))?;
        let timer = self.timers.swap_remove(index);
        self.find_next();
        Some(timer)
    }

    /// Clears them all.
    pub fn clear(&mut self) {
        self.timers.clear();
        self.next = u64::MAX;
    }

    fn find_next(&mut self) {
        self.next = self.timers.iter().map(|timer| timer.at).min().unwrap_or(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fires_first_and_of_two_for_the_same_time_the_lower_id() {
        let mut timers = Timers::default();
        for (id, at) in [(5, 30), (9, 20), (2, 20), (1, 40)] {
            assert!(timers.set(id, at));
        }
        assert!(timers.set(1, 10) && timers.set(5, 0) && timers.set(77, 0));
        assert_eq!(timers.due(), 10);
        let fired: Vec<_> = std::iter::from_fn(|| timers.pop().map(|timer| (timer.id, timer.at))).collect();
        assert_eq!((fired.as_slice(), timers.due()), ([(1, 10), (2, 20), (9, 20)].as_slice(), u64::MAX));
    }

    #[test]
    fn one_more_than_there_is_room_for_is_refused_and_one_in_another_s_place_is_not() {
        let mut timers = Timers::default();
        assert!((0..TIMERS_MAX as u64).all(|id| timers.set(id, 1)));
        assert!(!timers.set(TIMERS_MAX as u64, 1));
        assert!(timers.set(0, 2));
    }
}
