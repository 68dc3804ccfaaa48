//! How a new module or new parameters take over, and how they are taken back.
//!
//! A release is on probation from when it is assigned. One that faults in that time is replaced by the one before it, and is not
//! tried again until the resource names another.

use std::collections::BTreeMap;

use jiff::Timestamp;
use pinion_spec::strategy::{ModuleSource, Strategy};
use serde::{Deserialize, Serialize};

/// A module with its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// SHA-256 of the module.
    pub module: String,
    /// Where it is from.
    pub source: ModuleSource,
    /// What it is started with.
    pub params: BTreeMap<String, String>,
}

/// What is known of a strategy's releases. Kept beside the assignments, so that an operator that begins anew rolls back as well.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rollout {
    /// The one that is assigned.
    pub running: Option<Release>,
    /// The one before it.
    pub previous: Option<Release>,
    /// When the running one was assigned, seconds since the Unix epoch.
    pub since: i64,
    /// The one that faulted on probation, while the resource still names it.
    pub refused: Option<Release>,
}

/// What has just been decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// Another release than before is assigned.
    Installed,
    /// The running one has faulted; the one before it is assigned.
    RolledBack,
}

impl Rollout {
    /// Decides which release is assigned. `faults` are those that pods report of the running one.
    pub fn advance(
        &mut self,
        wanted: &Release,
        rules: &pinion_spec::scaling::Rollout,
        faults: u64,
        now: Timestamp,
    ) -> Change {
        let Some(running) = self.running.clone() else {
            *self = Self { running: Some(wanted.clone()), since: now.as_second(), ..Self::default() };
            return Change::Installed;
        };
        if self.refused.as_ref().is_some_and(|refused| refused != wanted) {
            self.refused = None;
        }
        if running != *wanted && self.refused.is_none() {
            let (previous, since) = (Some(running), now.as_second());
            *self = Self { running: Some(wanted.clone()), previous, since, refused: None };
            return Change::Installed;
        }
        let on_probation = now.as_second() - self.since < i64::from(rules.probation_seconds);
        let faulted = rules.rollback && on_probation && faults > 0 && self.refused.is_none();
        if faulted && let Some(previous) = self.previous.take() {
            *self = Self { running: Some(previous), previous: None, since: now.as_second(), refused: Some(running) };
            return Change::RolledBack;
        }
        Change::None
    }

    /// The strategy with the release that is assigned, and its module.
    #[must_use]
    pub fn assigned(&self, strategy: &Strategy) -> Option<(Strategy, String)> {
        let running = self.running.as_ref()?;
        let mut strategy = strategy.clone();
        strategy.spec.module = running.source.clone();
        strategy.spec.params = running.params.clone();
        Some((strategy, running.module.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(module: &str) -> Release {
        Release { module: module.into(), source: ModuleSource::default(), params: BTreeMap::new() }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    const RULES: pinion_spec::scaling::Rollout =
        pinion_spec::scaling::Rollout { probation_seconds: 60, rollback: true };

    fn module(rollout: &Rollout) -> &str {
        &rollout.running.as_ref().unwrap().module
    }

    fn two() -> Rollout {
        let mut rollout = Rollout::default();
        assert_eq!(rollout.advance(&release("a"), &RULES, 0, at(0)), Change::Installed);
        assert_eq!(rollout.advance(&release("b"), &RULES, 0, at(1_000)), Change::Installed);
        rollout
    }

    #[test]
    fn a_release_that_faults_on_probation_gives_way_to_the_one_before_and_is_not_tried_again() {
        let mut rollout = two();
        assert_eq!(rollout.advance(&release("b"), &RULES, 1, at(1_059)), Change::RolledBack);
        assert_eq!(module(&rollout), "a");
        assert_eq!(rollout.advance(&release("b"), &RULES, 1, at(1_060)), Change::None);
        assert_eq!(module(&rollout), "a");
        assert_eq!(rollout.advance(&release("c"), &RULES, 0, at(1_061)), Change::Installed);
        assert_eq!((module(&rollout), &rollout.refused), ("c", &None));
    }

    #[test]
    fn faults_after_probation_or_without_rollback_or_of_the_first_release_change_nothing() {
        assert_eq!(two().advance(&release("b"), &RULES, 1, at(1_060)), Change::None);
        let keep = pinion_spec::scaling::Rollout { rollback: false, ..RULES };
        assert_eq!(two().advance(&release("b"), &keep, 1, at(1_001)), Change::None);
        let mut first = Rollout::default();
        first.advance(&release("a"), &RULES, 0, at(0));
        assert_eq!(first.advance(&release("a"), &RULES, 9, at(1)), Change::None);
    }

    #[test]
    fn other_parameters_are_another_release() {
        let mut rollout = two();
        let mut other = release("b");
        other.params.insert("fast".into(), "3".into());
        assert_eq!(rollout.advance(&other, &RULES, 0, at(1_001)), Change::Installed);
        assert_eq!(rollout.advance(&other, &RULES, 1, at(1_002)), Change::RolledBack);
        assert!(rollout.running.unwrap().params.is_empty());
    }

    #[test]
    fn going_back_by_hand_ends_the_refusal() {
        let mut rollout = two();
        rollout.advance(&release("b"), &RULES, 1, at(1_001));
        assert_eq!(rollout.advance(&release("a"), &RULES, 0, at(1_002)), Change::None);
        assert_eq!(rollout.refused, None);
        assert_eq!(rollout.advance(&release("b"), &RULES, 0, at(1_003)), Change::Installed);
    }
}
