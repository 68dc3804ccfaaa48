//! How many messages an instance may send in any second of stream time.
//!
//! Exact, in fixed memory: the times of the last N messages, N being the limit. A message is allowed when the N-th last one is
//! a second old.

const SECOND_NS: u64 = 1_000_000_000;

/// Times of the last messages, a ring.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    times: Vec<u64>,
    /// Where the next one goes.
    next: usize,
    /// How many are known, at most the ring's length.
    len: usize,
}

impl Throttle {
    /// Makes room for a limit of `messages`, keeping what is known. Never shrinks: a limit that is lowered and raised again
    /// must not forget what was sent meanwhile.
    pub(super) fn fit(&mut self, messages: usize) {
        if messages <= self.times.len() {
            return;
        }
        let mut times: Vec<u64> = (1..=self.len).rev().filter_map(|ago| self.ago(ago)).collect();
        times.resize(messages, 0);
        self.times = times;
        self.next = self.len;
    }

    /// Whether one more message at `now` keeps every second at `limit` messages or fewer.
    #[inline]
    pub(super) fn allows(&self, now: u64, limit: usize) -> bool {
        let limit = limit.min(self.times.len());
        limit > 0 && self.ago(limit).is_none_or(|time| now.saturating_sub(time) >= SECOND_NS)
    }

    /// Counts a message, allowed or not.
    #[inline]
    pub(super) fn count(&mut self, now: u64) {
        let Some(time) = self.times.get_mut(self.next) else { return };
        *time = now;
        self.len = (self.len + 1).min(self.times.len());
        self.next += 1;
        if self.next == self.times.len() {
            self.next = 0;
        }
    }

    /// The time of the n-th last message.
    #[inline]
    fn ago(&self, n: usize) -> Option<u64> {
        if n > self.len {
            return None;
        }
        let place = if n <= self.next { self.next - n } else { self.next + self.times.len() - n };
        self.times.get(place).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_second_after_the_first_of_n_messages_there_is_room_for_one_more() {
        let mut throttle = Throttle::default();
        assert!(!throttle.allows(0, 1), "no room before the limit is known");
        throttle.fit(2);
        throttle.count(5);
        throttle.count(6);
        assert!(!throttle.allows(SECOND_NS + 4, 2));
        assert!(throttle.allows(SECOND_NS + 5, 2));
        throttle.count(SECOND_NS + 5);
        assert!(!throttle.allows(SECOND_NS + 5, 2));
        assert!(throttle.allows(SECOND_NS + 6, 2));
    }

    #[test]
    fn a_raised_limit_remembers_what_was_sent_under_the_lower_one() {
        let mut throttle = Throttle::default();
        throttle.fit(2);
        for now in 1..=5 {
            throttle.count(now);
        }
        throttle.fit(4);
        throttle.fit(3);
        assert!(throttle.allows(6, 3));
        throttle.count(6);
        assert!(!throttle.allows(SECOND_NS + 3, 3));
        assert!(throttle.allows(SECOND_NS + 4, 3));
    }

    proptest! {
        #[test]
        fn no_second_holds_more_than_the_limit(
            steps in prop::collection::vec((0u64..SECOND_NS / 3, 1usize..6, any::<bool>()), 1..200)
        ) {
            let mut throttle = Throttle::default();
            throttle.fit(6);
            let (mut now, mut sent) = (0, Vec::<u64>::new());
            for (wait, limit, forced) in steps {
                now += wait;
                let recent = sent.iter().filter(|time| now - **time < SECOND_NS).count();
                let allowed = throttle.allows(now, limit);
                prop_assert_eq!(allowed, recent < limit);
                if allowed || forced {
                    throttle.count(now);
                    sent.push(now);
                }
            }
        }
    }
}
