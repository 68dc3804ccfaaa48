//! The control plane's own thread: brings faulted instances back or quarantines them, drops what workers retire, writes guests'
//! log lines, and commits offsets.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pinion_spec::strategy::TradingState;

use crate::app::{App, Inbound};
use crate::clock::mono_ns;
use crate::egress::Undeliverable;
use crate::instance::{InstanceId, Notice};
use crate::limits::{COMMIT_INTERVAL_NS, FAULT_BACKOFF_NS, QUARANTINE_FAULTS, QUARANTINE_WINDOW_NS};
use crate::sandbox::log::LogLevel;
use crate::subscription::{self, Rebalanced};

/// How long after a failure instances for new partitions are made again.
const REBALANCE_RETRY_NS: u64 = 1_000_000_000;

/// What follows a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A fresh guest at this time.
    Retry(u64),
    /// No more.
    Quarantine,
}

/// Decides after the faults at these times, the last of them now. A pure function.
pub(crate) fn after_faults(faults: &[u64], now: u64) -> Verdict {
    let recent = faults.iter().filter(|at| now.saturating_sub(**at) < QUARANTINE_WINDOW_NS).count();
    match u32::try_from(recent).unwrap_or(u32::MAX) {
        n if n >= QUARANTINE_FAULTS => Verdict::Quarantine,
        n => Verdict::Retry(now + FAULT_BACKOFF_NS.saturating_mul(1 << n.saturating_sub(1).min(QUARANTINE_FAULTS))),
    }
}

/// A guest's log line, as the process's own.
pub(crate) fn say(tenant: &str, strategy: &str, (ts, level): (u64, LogLevel), message: &str) {
    match level {
        LogLevel::Debug => tracing::debug!(tenant, strategy, ts, "{message}"),
        LogLevel::Info => tracing::info!(tenant, strategy, ts, "{message}"),
        LogLevel::Warn => tracing::warn!(tenant, strategy, ts, "{message}"),
        LogLevel::Error => tracing::error!(tenant, strategy, ts, "{message}"),
    }
}

/// The app, shared between the admin port and the supervisor. Only the control plane locks it.
pub type SharedApp = Arc<Mutex<Option<App>>>;

/// Locks the app; `None` once it is draining.
pub fn lock(app: &SharedApp) -> MutexGuard<'_, Option<App>> {
    app.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The supervisor's state.
pub struct Supervisor {
    app: SharedApp,
    inbound: Inbound,
    stop: Arc<AtomicBool>,
    faults: HashMap<InstanceId, Vec<u64>>,
    due: Vec<(u64, InstanceId)>,
    /// A rebalance whose instances could not be made, and when to try again. Its feed waits meanwhile.
    stuck: Vec<(u64, Rebalanced)>,
    commit_due: u64,
}

impl Supervisor {
    /// For an app and what its flow says.
    #[must_use]
    pub fn new(app: SharedApp, inbound: Inbound, stop: Arc<AtomicBool>) -> Self {
        Self { app, inbound, stop, faults: HashMap::new(), due: Vec::new(), stuck: Vec::new(), commit_due: 0 }
    }

    /// Runs until it is stopped.
    pub fn run(mut self) {
        while !self.stop.load(Ordering::Acquire) {
            let now = mono_ns();
            let next = self.due.iter().map(|(at, _)| *at).min().unwrap_or(u64::MAX).min(self.commit_due);
            let wait = Duration::from_nanos(next.saturating_sub(now).min(COMMIT_INTERVAL_NS));
            crossbeam_channel::select! {
                recv(self.inbound.notices) -> notice => match notice {
                    Ok(notice) => self.hear(notice),
                    Err(_) => return,
                },
                recv(self.inbound.failures) -> failure => match failure {
                    Ok(failure) => self.undeliverable(&failure),
                    Err(_) => return,
                },
                recv(self.inbound.rebalances) -> rebalanced => match rebalanced {
                    Ok(rebalanced) => self.rebalance(rebalanced),
                    Err(_) => return,
                },
                default(wait) => {}
            }
            self.act(mono_ns());
        }
    }

    fn hear(&mut self, notice: Notice) {
        match notice {
            Notice::Faulted { id, fault, guest, .. } => {
                drop(guest);
                let (tenant, strategy) = self.name(id);
                tracing::warn!(tenant, strategy, kind = fault.kind.label(), detail = fault.detail, "strategy faulted");
                self.fault(id);
            }
            Notice::Retired { id, guest, swapped } => {
                drop(guest);
                if swapped {
                    self.faults.remove(&id);
                    self.due.retain(|(_, due)| *due != id);
                }
            }
            Notice::Kept { id, guest, why } => {
                drop(guest);
                let (tenant, strategy) = self.name(id);
                tracing::error!(tenant, strategy, why, "state cannot be handed on; the module before goes on");
            }
            Notice::Removed { id, guest, metrics } => {
                drop(guest);
                self.faults.remove(&id);
                self.due.retain(|(_, due)| *due != id);
                if let Some(app) = lock(&self.app).as_mut() {
                    app.forget(&metrics);
                }
            }
            Notice::Log { id, lines } => {
                let (tenant, strategy) = self.name(id);
                for (ts, level, message) in lines {
                    say(&tenant, &strategy, (ts, level), &message);
                }
            }
        }
    }

    fn name(&self, id: InstanceId) -> (String, String) {
        lock(&self.app).as_ref().and_then(|app| app.find(id)).map_or_else(Default::default, |(handle, _)| {
            (handle.strategy.tenant().to_owned(), handle.strategy.metadata.name.clone())
        })
    }

    fn fault(&mut self, id: InstanceId) {
        let now = mono_ns();
        let faults = self.faults.entry(id).or_default();
        faults.retain(|at| now.saturating_sub(*at) < QUARANTINE_WINDOW_NS);
        faults.push(now);
        match after_faults(faults, now) {
            Verdict::Retry(at) => self.due.push((at, id)),
            Verdict::Quarantine => {
                let app = lock(&self.app);
                let Some((handle, instance)) = app.as_ref().and_then(|app| app.find(id)) else { return };
                instance.metrics.quarantined.set(1);
                tracing::error!(
                    tenant = handle.strategy.tenant(),
                    strategy = handle.strategy.metadata.name,
                    faults = QUARANTINE_FAULTS,
                    "strategy quarantined: it faulted too often; swap in a mended module"
                );
            }
        }
    }

    /// Kafka refused an order for good: its strategy stops, because it believes in an order that does not exist.
    fn undeliverable(&self, failure: &Undeliverable) {
        let Undeliverable { strategy_index, topic, error } = failure;
        let mut app = lock(&self.app);
        let Some(app) = app.as_mut() else { return };
        let scope = strategy_index.and_then(|index| app.scope_of(index));
        if scope.as_ref().is_some_and(|scope| app.is_halted(scope)) {
            // One of the orders that were under way when the first was refused.
            tracing::debug!(topic, error, "Kafka refuses a record for good");
            return;
        }
        tracing::error!(topic, error, "Kafka refuses a record for good; its offset is not committed");
        let Some(scope) = scope else { return };
        if let Err(error) = app.set_trading_state(&scope, TradingState::Halted) {
            tracing::error!(%error, "cannot halt the strategy");
        }
    }

    /// Fails closed: as long as an instance cannot be made, its feed reads nothing.
    fn rebalance(&mut self, rebalanced: Rebalanced) {
        let Rebalanced { feed, change, partitions, done } = &rebalanced;
        let outcome = lock(&self.app).as_mut().map_or(Ok(()), |app| app.rebalance(*feed, *change, partitions));
        match outcome {
            // Fails only when the feed has ended meanwhile.
            Ok(()) => drop(done.send(())),
            Err(error) => {
                tracing::error!(%error, "cannot take partitions up; their feed waits");
                self.stuck.push((mono_ns() + REBALANCE_RETRY_NS, rebalanced));
            }
        }
    }

    fn act(&mut self, now: u64) {
        let (stuck, later) = std::mem::take(&mut self.stuck).into_iter().partition::<Vec<_>, _>(|(at, _)| *at <= now);
        self.stuck = later;
        stuck.into_iter().for_each(|(_, rebalanced)| self.rebalance(rebalanced));
        let (due, later) = self.due.iter().partition::<Vec<_>, _>(|(at, _)| *at <= now);
        self.due = later;
        for (_, id) in due {
            let revived = lock(&self.app).as_ref().map_or(Ok(()), |app| app.revive(id));
            if let Err(error) = revived {
                tracing::warn!(%error, "cannot bring a strategy back");
                self.fault(id);
            }
        }
        if now >= self.commit_due {
            self.commit_due = now + COMMIT_INTERVAL_NS;
            let consumers = lock(&self.app).as_ref().map_or_else(Vec::new, App::consumers);
            for consumer in consumers {
                if let Err(error) = subscription::commit_moved(&consumer) {
                    tracing::warn!(%error, "cannot commit offsets; trying again");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn back_off_doubles_from_the_first_fault() {
        assert_eq!(after_faults(&[SECOND], SECOND), Verdict::Retry(SECOND + FAULT_BACKOFF_NS));
        assert_eq!(after_faults(&[0, 1, 2], SECOND), Verdict::Retry(SECOND + 4 * FAULT_BACKOFF_NS));
    }

    #[test]
    fn the_last_fault_inside_the_window_quarantines_and_one_fewer_does_not() {
        let faults: Vec<u64> = (0..u64::from(QUARANTINE_FAULTS)).map(|n| n * SECOND).collect();
        let now = faults[faults.len() - 1];
        assert_eq!(after_faults(&faults, now), Verdict::Quarantine);
        assert!(matches!(after_faults(&faults[1..], now), Verdict::Retry(_)));
    }

    #[test]
    fn faults_outside_the_window_are_forgiven() {
        let faults = vec![0; QUARANTINE_FAULTS as usize];
        assert!(matches!(after_faults(&faults, QUARANTINE_WINDOW_NS), Verdict::Retry(_)));
    }
}
