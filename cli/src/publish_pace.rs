//! When each frame is due: a function of the recording, the speed and the start, and of nothing that happens on the way.

use std::str::FromStr;

use pinion_spec::Decimal;

const ONE: i128 = Decimal::from_units(1).nanos();

/// How fast a recording is replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speed {
    /// This many times as fast as it was recorded.
    Times(Decimal),
    /// As fast as it goes: nothing is ever due, or late.
    Max,
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse::<Decimal>() {
            Ok(times) if times.nanos() > 0 => Ok(Self::Times(times)),
            _ => Err("neither a number above 0, such as 1, 10 or 0.5, nor max".to_owned()),
        }
    }
}

/// The schedule of one pass over a recording.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    speed: Speed,
    start_ns: u64,
    first: Option<u64>,
}

impl Pace {
    /// The first frame is due at `start_ns`, monotonic.
    #[must_use]
    pub(crate) fn new(speed: Speed, start_ns: u64) -> Self {
        Self { speed, start_ns, first: None }
    }

    /// When the frame that was received at `ts_recv` is due, monotonic ns; `None` at full speed. One that was received before the
    /// first is due with it.
    pub(crate) fn due_ns(&mut self, ts_recv: u64) -> Option<u64> {
        let Speed::Times(times) = self.speed else { return None };
        let first = *self.first.get_or_insert(ts_recv);
        let after = i128::from(ts_recv.saturating_sub(first)) * ONE / times.nanos();
        Some(self.start_ns.saturating_add(u64::try_from(after).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(speed: &str, recorded: &[u64]) -> Vec<Option<u64>> {
        let mut pace = Pace::new(speed.parse().unwrap(), 1_000);
        recorded.iter().map(|ts_recv| pace.due_ns(*ts_recv)).collect()
    }

    #[test]
    fn gaps_are_kept_and_scaled() {
        assert_eq!(due("1", &[50, 60, 90]), [Some(1_000), Some(1_010), Some(1_040)]);
        assert_eq!(due("10", &[50, 60, 90]), [Some(1_000), Some(1_001), Some(1_004)]);
        assert_eq!(due("0.5", &[50, 60, 90]), [Some(1_000), Some(1_020), Some(1_080)]);
        assert_eq!(due("max", &[50, 60]), [None, None]);
        assert_eq!(due("1", &[50, 40, 60]), [Some(1_000), Some(1_000), Some(1_010)], "a time that goes back");
    }

    #[test]
    fn a_speed_is_positive_or_max() {
        for text in ["0", "-1", "", "fast", "1e3", "inf"] {
            assert!(text.parse::<Speed>().is_err(), "{text}");
        }
    }
}
