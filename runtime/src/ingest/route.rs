//! Where one partition's records go, and which of them have gone there already.

/// One partition of a feed.
#[derive(Debug, Clone, Default)]
pub(super) struct Route {
    /// Its workers: bit i is worker i.
    pub(super) workers: u64,
    /// The last batch that had records of it, and their offsets: the first, and the one after the last.
    batch: u64,
    first: u64,
    next: u64,
}

impl Route {
    /// Whether a record of this batch has been taken before. librdkafka pauses partitions by itself when a group shares them out anew, and
    /// resumes them from where the application was; a record that it handed over at the very moment it may hand over again. What is older than the last
    /// batch comes because the log was reset, and is taken.
    #[inline]
    pub(super) fn is_repeat(&mut self, batch: u64, offset: u64) -> bool {
        if (self.first..self.next).contains(&offset) {
            return true;
        }
        if self.batch != batch {
            (self.batch, self.first) = (batch, offset);
        }
        self.next = offset + 1;
        false
    }

    /// It is read no more; who reads it next begins where was committed.
    pub(super) fn forget(&mut self) {
        *self = Self { workers: self.workers, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(route: &mut Route, batch: u64, offsets: &[u64]) -> Vec<u64> {
        offsets.iter().copied().filter(|offset| !route.is_repeat(batch, *offset)).collect()
    }

    #[test]
    fn what_comes_again_of_the_last_batch_is_not_taken_twice() {
        let mut route = Route::default();
        assert_eq!(taken(&mut route, 1, &[10, 11, 13]), [10, 11, 13]);
        assert_eq!(taken(&mut route, 2, &[11, 13, 14, 15]), [14, 15]);
        assert!(taken(&mut route, 4, &[14, 15]).is_empty());
        assert_eq!(taken(&mut route, 5, &[16]), [16]);
    }

    #[test]
    fn a_log_that_begins_anew_is_taken_from_its_beginning() {
        let mut route = Route::default();
        assert_eq!(taken(&mut route, 1, &[10, 11]), [10, 11]);
        assert_eq!(taken(&mut route, 2, &[12]), [12]);
        assert_eq!(taken(&mut route, 3, &[0, 1]), [0, 1]);
        assert_eq!(taken(&mut route, 4, &[1, 2]), [2]);
    }

    #[test]
    fn a_partition_that_was_given_up_is_read_from_wherever_it_is_assigned() {
        let mut route = Route { workers: 5, ..Route::default() };
        assert_eq!(taken(&mut route, 1, &[10, 11, 12]), [10, 11, 12]);
        route.forget();
        assert_eq!(taken(&mut route, 2, &[11, 12]), [11, 12]);
        assert_eq!(route.workers, 5);
    }
}
