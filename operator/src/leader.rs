//! Who of the operator's processes acts: the holder of one Lease.
//!
//! Promises: the holder acts only while its own clock, which counts suspended time, says that its lease lasts; nobody else takes a
//! lease before that moment has passed; the epoch is higher with each change of holder. A holder that is told to end lets go, so
//! the next begins within [`RENEW_EVERY`]; one that is killed is followed after [`LEASE`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp as LeaseTime;
use kube::api::PostParams;
use kube::{Api, Client};

use crate::clock::mono_ns;
use crate::metrics::{Call, Metrics};

/// How long a lease lasts from its last renewal.
pub const LEASE: Duration = Duration::from_secs(6);
/// How often it is renewed, and asked for.
pub const RENEW_EVERY: Duration = Duration::from_millis(1_500);
/// Before the lease is over the holder has stopped: what it sends at the last moment arrives in time.
const MARGIN: Duration = Duration::from_millis(1_500);
/// How long one call may take: a renewal fails before the lease is over, and not before a slow apiserver may have answered.
const CALL_MAX: Duration = Duration::from_millis(2_500);
/// The Lease's name.
const NAME: &str = "pinion-operator";

const _: () = assert!(RENEW_EVERY.as_millis() + CALL_MAX.as_millis() + MARGIN.as_millis() < LEASE.as_millis());

/// Whether this process may act. Shared by everything that writes.
#[derive(Debug, Default)]
pub struct Leadership {
    until_ns: AtomicU64,
    epoch: AtomicU64,
    heard_ns: AtomicU64,
}

/// Who has not been answered about the Lease for so long could not lead: several askings in a row have failed.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// The lease is somebody else's, or nobody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this process is not the leader (any more)")]
pub struct NotLeader;

impl Leadership {
    /// This holder's term.
    ///
    /// # Errors
    /// If the lease is over or was never held.
    pub fn epoch(&self) -> Result<u64, NotLeader> {
        self.epoch_at(mono_ns())
    }

    fn epoch_at(&self, now_ns: u64) -> Result<u64, NotLeader> {
        let epoch = self.epoch.load(Ordering::Acquire);
        if now_ns < self.until_ns.load(Ordering::Acquire) { Ok(epoch) } else { Err(NotLeader) }
    }

    /// How much longer it lasts if it is not renewed.
    #[must_use]
    pub fn left(&self) -> Duration {
        Duration::from_nanos(self.until_ns.load(Ordering::Acquire).saturating_sub(mono_ns()))
    }

    /// Whether the apiserver has answered lately, whoever leads.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        let heard_ns = self.heard_ns.load(Ordering::Acquire);
        heard_ns > 0 && Duration::from_nanos(mono_ns().saturating_sub(heard_ns)) < SILENCE_MAX
    }

    /// Held since before `asked_ns`, when the renewal was sent.
    fn hold(&self, epoch: u64, asked_ns: u64) {
        self.epoch.store(epoch, Ordering::Release);
        let lasts = u64::try_from((LEASE - MARGIN).as_nanos()).unwrap_or(u64::MAX);
        self.until_ns.store(asked_ns.saturating_add(lasts), Ordering::Release);
    }

    fn let_go(&self) {
        self.until_ns.store(0, Ordering::Release);
    }
}

/// What the Lease says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    holder: String,
    transitions: u64,
    version: String,
}

/// What is to be done about the Lease.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// There is none: make it.
    Create,
    /// It is ours: renew it.
    Renew,
    /// It is nobody's any more: take it.
    Take {
        /// The new term.
        epoch: u64,
    },
    /// It is somebody else's.
    Wait,
}

/// What one process knows of the Lease: how long it has seen it unchanged by its own clock. The times written in it are of other
/// machines' clocks, and decide nothing.
#[derive(Debug, Default)]
struct Candidate {
    seen: Option<(Seen, u64)>,
    /// The term that this process holds.
    epoch: Option<u64>,
}

impl Candidate {
    fn step(&mut self, identity: &str, lease: Option<&Seen>, now_ns: u64) -> Step {
        let Some(lease) = lease else {
            return Step::Create;
        };
        // A process that finds its own name after a restart has not held this term: it takes a new one.
        if lease.holder == identity && self.epoch == Some(lease.transitions) {
            return Step::Renew;
        }
        self.epoch = None;
        let since = match &self.seen {
            Some((seen, since)) if seen == lease => *since,
            _ => now_ns,
        };
        self.seen = Some((lease.clone(), since));
        let over = now_ns.saturating_sub(since) >= u64::try_from(LEASE.as_nanos()).unwrap_or(u64::MAX);
        if lease.holder.is_empty() || over {
            Step::Take { epoch: lease.transitions.saturating_add(1) }
        } else {
            Step::Wait
        }
    }
}

/// Why the Lease could not be dealt with.
#[derive(Debug, thiserror::Error)]
enum LeaseError {
    #[error("ask for the lease")]
    Get(#[source] kube::Error),
    #[error("write the lease")]
    Write(#[source] kube::Error),
    #[error("the apiserver has not answered for {CALL_MAX:?}")]
    Slow,
}

impl LeaseError {
    const fn kube(&self) -> Option<&kube::Error> {
        match self {
            Self::Get(error) | Self::Write(error) => Some(error),
            Self::Slow => None,
        }
    }
}

/// Takes part in the election.
pub struct Election {
    api: Api<Lease>,
    identity: String,
    leadership: Arc<Leadership>,
    metrics: Arc<Metrics>,
    candidate: Candidate,
    last: Option<Lease>,
}

impl Election {
    /// A candidate of this name; unique among the operator's processes.
    #[must_use]
    pub fn new(
        client: Client,
        namespace: &str,
        identity: &str,
        leadership: Arc<Leadership>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, identity: identity.to_owned(), leadership, metrics, candidate: Candidate::default(), last: None }
    }

    /// Asks for the lease and keeps it, until `stop` is done; then lets go of it.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut ticks = tokio::time::interval(RENEW_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut stop => break,
                _ = ticks.tick() => {}
            }
            let outcome = tokio::time::timeout(CALL_MAX, self.turn()).await.unwrap_or(Err(LeaseError::Slow));
            if let Err(error) = outcome {
                self.metrics.kube_error(Call::Lease, error.kube());
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, source, "the election goes on");
            } else {
                self.leadership.heard_ns.store(mono_ns(), Ordering::Release);
            }
        }
        self.release().await;
    }

    async fn turn(&mut self) -> Result<(), LeaseError> {
        // While it is ours, the answer to the last renewal is what there is: one call a renewal.
        let current = match self.last.take() {
            Some(lease) if self.leadership.epoch().is_ok() => Some(lease),
            _ => self.api.get_opt(NAME).await.map_err(LeaseError::Get)?,
        };
        let seen = current.as_ref().map(seen);
        let asked_ns = mono_ns();
        let epoch = match self.candidate.step(&self.identity, seen.as_ref(), asked_ns) {
            Step::Wait => return Ok(()),
            Step::Create => 1,
            Step::Renew => self.candidate.epoch.unwrap_or(1),
            Step::Take { epoch } => epoch,
        };
        let took = self.candidate.epoch.is_none();
        let written = self.write(current, epoch, &self.identity.clone()).await;
        match written {
            Ok(lease) => {
                self.candidate.epoch = Some(epoch);
                self.leadership.hold(epoch, asked_ns);
                self.last = Some(lease);
                if took {
                    tracing::info!(epoch, "this process is the leader now");
                }
                Ok(())
            }
            // Somebody was quicker.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(error) => Err(LeaseError::Write(error)),
        }
    }

    /// Only if nobody has written since `current` was read: Kubernetes compares the resourceVersion.
    async fn write(&self, current: Option<Lease>, epoch: u64, holder: &str) -> Result<Lease, kube::Error> {
        let now = MicroTime(LeaseTime::now());
        let before = current.as_ref().and_then(|lease| lease.spec.as_ref());
        let same_term = before.is_some_and(|spec| transitions(spec) == epoch);
        let acquired = before.filter(|_| same_term).and_then(|spec| spec.acquire_time.clone());
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
            lease_transitions: i32::try_from(epoch).ok(),
            acquire_time: Some(acquired.unwrap_or_else(|| now.clone())),
            renew_time: Some(now),
            ..LeaseSpec::default()
        };
        match current {
            Some(lease) => {
                let lease = Lease { spec: Some(spec), ..lease };
                self.api.replace(NAME, &PostParams::default(), &lease).await
            }
            None => {
                let metadata = ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() };
                self.api.create(&PostParams::default(), &Lease { metadata, spec: Some(spec) }).await
            }
        }
    }

    async fn release(mut self) {
        let (epoch, lease) = (self.candidate.epoch, self.last.take());
        let held = self.leadership.epoch().is_ok();
        // First stop, then let go.
        self.leadership.let_go();
        if let (true, Some(epoch), Some(lease)) = (held, epoch, lease) {
            let released = tokio::time::timeout(CALL_MAX, self.write(Some(lease), epoch, "")).await;
            match released {
                Ok(Ok(_)) => tracing::info!(epoch, "let go of the lease"),
                Ok(Err(error)) => tracing::warn!(%error, "could not let go of the lease; it runs out"),
                Err(_) => tracing::warn!("no answer to letting go of the lease; it runs out"),
            }
        }
    }
}

fn transitions(spec: &LeaseSpec) -> u64 {
    spec.lease_transitions.and_then(|transitions| u64::try_from(transitions).ok()).unwrap_or(0)
}

fn seen(lease: &Lease) -> Seen {
    let spec = lease.spec.clone().unwrap_or_default();
    Seen {
        transitions: transitions(&spec),
        holder: spec.holder_identity.unwrap_or_default(),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn lease(holder: &str, transitions: u64, version: u64) -> Seen {
        Seen { holder: holder.into(), transitions, version: version.to_string() }
    }

    #[test]
    fn the_first_makes_the_lease() {
        assert_eq!(Candidate::default().step("a", None, 0), Step::Create);
    }

    #[test]
    fn a_lease_that_is_renewed_is_never_taken() {
        let mut candidate = Candidate::default();
        for n in 0..100 {
            assert_eq!(candidate.step("b", Some(&lease("a", 3, n)), n * 5 * SECOND), Step::Wait);
        }
    }

    #[test]
    fn a_lease_that_stands_still_is_taken_after_its_time_by_the_clock_of_who_waits() {
        let mut candidate = Candidate::default();
        let dead = lease("a", 3, 7);
        assert_eq!(candidate.step("b", Some(&dead), 100 * SECOND), Step::Wait);
        assert_eq!(candidate.step("b", Some(&dead), 106 * SECOND - 1), Step::Wait);
        assert_eq!(candidate.step("b", Some(&dead), 106 * SECOND), Step::Take { epoch: 4 });
    }

    #[test]
    fn a_lease_that_was_let_go_is_taken_at_once_under_a_higher_epoch() {
        assert_eq!(Candidate::default().step("b", Some(&lease("", 3, 7)), 0), Step::Take { epoch: 4 });
    }

    #[test]
    fn a_process_that_finds_its_own_name_after_a_restart_waits_and_begins_a_new_term() {
        let mut candidate = Candidate::default();
        let own = lease("a", 3, 7);
        assert_eq!(candidate.step("a", Some(&own), 0), Step::Wait);
        assert_eq!(candidate.step("a", Some(&own), 6 * SECOND), Step::Take { epoch: 4 });
        candidate.epoch = Some(4);
        assert_eq!(candidate.step("a", Some(&lease("a", 4, 8)), 7 * SECOND), Step::Renew);
        // Somebody else took it meanwhile.
        assert_eq!(candidate.step("a", Some(&lease("b", 5, 9)), 8 * SECOND), Step::Wait);
    }

    #[test]
    fn the_holder_stops_before_anybody_may_take_its_lease() {
        let leadership = Leadership::default();
        assert_eq!(leadership.epoch_at(0), Err(NotLeader));
        leadership.hold(4, 100 * SECOND);
        assert_eq!(leadership.epoch_at(104 * SECOND), Ok(4));
        // Another has seen the renewal when it was sent at the earliest, and waits the whole lease from there.
        assert_eq!(leadership.epoch_at(106 * SECOND - u64::try_from(MARGIN.as_nanos()).unwrap()), Err(NotLeader));
        leadership.let_go();
        assert_eq!(leadership.epoch_at(101 * SECOND), Err(NotLeader));
    }
}
