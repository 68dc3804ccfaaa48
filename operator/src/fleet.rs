//! What is remembered of a pool's pods from one round to the next. All of it is lost with the term; then whatever may have been
//! given to a pod counts as still given until the pod says otherwise or its lease is over.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use pinion_spec::assignment::{Assignment, PodClock, PodReport, Version};
use serde_json::Value as Json;

use crate::fence::{Holder, lease_end_ns};
use crate::figures::Figures;
use crate::place::{self, PodState, Shards};
use crate::rollout::Rollout;
use crate::scale;

/// A pod that has not answered for so long gets nothing, and what it has goes to others once its lease is over. Longer than its
/// process takes to begin again.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// One pool.
#[derive(Debug)]
pub struct Fleet {
    /// When this term began to look after the pool.
    pub began: Timestamp,
    /// The same, monotonic nanoseconds.
    pub began_ns: u64,
    /// Its pods by name, those included that are gone and whose lease may last.
    pub pods: BTreeMap<String, Member>,
    /// The documents that were last made, by pod.
    pub documents: BTreeMap<String, Assignment>,
    /// Where each shard was last to go.
    pub targets: Shards,
    /// What each strategy's last decision on its workers asked to be remembered.
    pub scaling: BTreeMap<String, scale::Memory>,
    /// Each strategy's releases.
    pub rollouts: BTreeMap<String, Rollout>,
    /// Shards of each strategy, as far as pods have said.
    pub shards: BTreeMap<String, u16>,
    /// What each shard of a group costs, thousandths of a core, as it was last measured.
    pub loads: BTreeMap<String, BTreeMap<u16, u32>>,
    /// When a group's shards were last given out differently, monotonic nanoseconds: figures from before say nothing of now.
    pub changed_ns: BTreeMap<String, u64>,
    /// Pods whose process has begun anew since the last round: so have the instances of their shards.
    pub renewed: BTreeSet<String>,
    /// Shards of each strategy that have begun afresh, until that has been said.
    pub begun: BTreeMap<String, BTreeSet<u16>>,
}

/// One pod.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its UID; empty while only its document is known.
    pub uid: String,
    /// Where it is, while it is.
    pub ip: Option<IpAddr>,
    /// Kubernetes is ending it.
    pub terminating: bool,
    /// Its containers have ended for good.
    pub ended: bool,
    /// Kubernetes has it no more; its process may still run where nobody reaches it.
    pub is_gone: bool,
    /// It may have been given something to run.
    pub may_run: bool,
    /// How often Kubernetes has started its container again, once it has said.
    pub restarts: Option<u64>,
    /// Its last answer.
    pub report: Option<PodReport>,
    /// When that was, monotonic nanoseconds.
    pub answered_ns: u64,
    /// When the last call to it ended, monotonic nanoseconds.
    pub asked_ns: u64,
    /// Its clock as it last told it, and when that was heard, monotonic nanoseconds.
    pub clock: Option<(PodClock, u64)>,
    /// From when its lease counts for certain, monotonic nanoseconds.
    pub renewed_ns: u64,
    /// When every lease is over that it was ever to be given ([`lease_end_ns`]), whether that has arrived or not: an answer can be lost
    /// when the request was not.
    pub lease_end_ns: u64,
    /// Its metrics as they were read the time before, and last.
    pub scrapes: (Option<Figures>, Option<Figures>),
    /// When its metrics were last asked for to the end, monotonic nanoseconds.
    pub scraped_ns: u64,
    /// Why they could not be read the last time.
    pub unscraped: Option<String>,
    /// The last call failed: it is asked for a report, and for its clock, before anything is put to it.
    pub suspect: bool,
}

impl Fleet {
    /// The pool as a new term finds it: with the documents of the terms before.
    #[must_use]
    pub fn new(
        documents: BTreeMap<String, Assignment>,
        rollouts: BTreeMap<String, Rollout>,
        now: Timestamp,
        now_ns: u64,
    ) -> Self {
        let member = |document: &Assignment| Member {
            may_run: true,
            // What the leader before gave it counts from a time that it told that leader, who was none any more before this began.
            lease_end_ns: lease_end_ns(now_ns, document.lease_seconds),
            // It has the usual time to answer.
            answered_ns: now_ns,
            ..Member::new(String::new())
        };
        let pods = documents.iter().map(|(name, document)| (name.clone(), member(document))).collect();
        Self {
            began: now,
            began_ns: now_ns,
            pods,
            documents,
            targets: Shards::new(),
            scaling: BTreeMap::new(),
            rollouts,
            shards: BTreeMap::new(),
            loads: BTreeMap::new(),
            changed_ns: BTreeMap::new(),
            renewed: BTreeSet::new(),
            begun: BTreeMap::new(),
        }
    }

    /// Takes in what Kubernetes says of the pods.
    pub fn observe<'a>(&mut self, pods: impl IntoIterator<Item = &'a Json>, now_ns: u64) {
        let mut gone: BTreeMap<&String, &mut Member> = self.pods.iter_mut().collect();
        let mut come = Vec::new();
        for pod in pods {
            let text = |path: &str| pod.pointer(path).and_then(Json::as_str).unwrap_or_default();
            let (name, uid) = (text("/metadata/name").to_owned(), text("/metadata/uid"));
            let ip = text("/status/podIP").parse().ok();
            let terminating = pod.pointer("/metadata/deletionTimestamp").is_some();
            let ended = matches!(text("/status/phase"), "Succeeded" | "Failed");
            let restarts = pod.pointer("/status/containerStatuses/0/restartCount").and_then(Json::as_u64);
            match gone.remove(&name) {
                // The document's pod, seen for the first time in this term: it may be the very one that runs.
                Some(member) if member.uid == uid || member.uid.is_empty() => {
                    uid.clone_into(&mut member.uid);
                    (member.ip, member.terminating, member.ended) = (ip, terminating, ended);
                    member.is_gone = false;
                    if member.restarts.is_some_and(|before| restarts.is_some_and(|now| now > before)) {
                        self.renewed.insert(name);
                    }
                    member.restarts = restarts.or(member.restarts);
                }
                // Another of the same name: Kubernetes has ended the one before.
                _ => {
                    self.renewed.insert(name.clone());
                    let new = Member::new(uid.to_owned());
                    come.push((name, Member { ip, terminating, ended, restarts, ..new }));
                }
            }
        }
        for member in gone.into_values() {
            (member.ip, member.terminating, member.is_gone) = (None, true, true);
        }
        self.pods.extend(come);
        self.pods.retain(|_, member| !member.is_gone || !member.is_over(now_ns));
    }

    /// Whether its pods have been called in this term.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.pods.values().any(|member| member.asked_ns > 0)
    }

    /// The pods as placement sees them.
    #[must_use]
    pub fn placeable(&self, pool: &str, workers: u16, now_ns: u64) -> Vec<place::Pod> {
        let state = |member: &Member| {
            if member.terminating {
                PodState::Draining
            } else if member.is_silent(now_ns) {
                PodState::NotReady
            } else {
                PodState::Ready
            }
        };
        let pods = self.pods.iter().filter_map(|(name, member)| Some((ordinal(pool, name)?, member)));
        pods.map(|(ordinal, member)| place::Pod { ordinal, workers, state: state(member) }).collect()
    }

    /// What pods say of a strategy's shards; 0 while nobody has said.
    pub fn shards_of(&mut self, namespace: &str, name: &str, known: u16) -> u16 {
        let reports = self.pods.values().filter_map(|member| member.report.as_ref());
        let said = reports
            .flat_map(|report| &report.strategies)
            .filter(|said| said.namespace == namespace && said.name == name);
        let most = said.map(|said| said.shards_total).max().unwrap_or(0);
        let known = self.shards.get(name).copied().unwrap_or(0).max(known).max(most);
        self.shards.insert(name.to_owned(), known);
        known
    }

    /// Everybody but `to` who may still run what is in no document.
    pub fn holders<'a>(&'a self, to: &'a str) -> impl Iterator<Item = Holder<'a>> {
        let others = self.pods.iter().filter(move |(name, member)| member.may_run && name.as_str() != to);
        others.map(move |(name, member)| Holder {
            released_in: self.documents.get(name).map_or_else(Version::default, |document| document.version),
            report: member.report.as_ref(),
            lease_end_ns: member.lease_end_ns,
            process_ended: member.ended,
        })
    }
}

impl Member {
    /// A pod that has been given nothing yet.
    #[must_use]
    pub const fn new(uid: String) -> Self {
        Self {
            uid,
            ip: None,
            terminating: false,
            ended: false,
            is_gone: false,
            may_run: false,
            restarts: None,
            report: None,
            answered_ns: 0,
            asked_ns: 0,
            clock: None,
            renewed_ns: 0,
            lease_end_ns: 0,
            scrapes: (None, None),
            scraped_ns: 0,
            unscraped: None,
            suspect: true,
        }
    }

    /// Whether it has not answered for too long although it was asked, or never. Who is not asked, because the operator waits for
    /// Kubernetes, is not silent.
    #[must_use]
    pub fn is_silent(&self, now_ns: u64) -> bool {
        let late = Duration::from_nanos(now_ns.saturating_sub(self.answered_ns)) > SILENCE_MAX;
        self.answered_ns == 0 || (self.suspect && late)
    }

    /// Whether it was there before this term, has said nothing in it yet, and still has the usual time to.
    #[must_use]
    pub fn is_unheard(&self, now_ns: u64) -> bool {
        self.report.is_none() && !self.is_silent(now_ns)
    }

    /// Whether it runs nothing, as it says under this document or as its lease tells.
    #[must_use]
    pub fn is_idle(&self, document: Option<Version>, now_ns: u64) -> bool {
        let says = |report: &PodReport| {
            document.is_none_or(|version| report.version >= version)
                && report.strategies.iter().all(|strategy| strategy.shards.is_empty())
        };
        self.is_over(now_ns) || self.report.as_ref().is_some_and(says)
    }

    /// Whether it can run nothing any more.
    const fn is_over(&self, now_ns: u64) -> bool {
        !self.may_run || self.ended || now_ns > self.lease_end_ns
    }

    /// Its clock for a document with this lease that is sent to it now, and when that was heard. From here on it may have the lease.
    pub fn lease(&mut self, seconds: u32) -> Option<(PodClock, u64)> {
        let (clock, heard_ns) = self.clock.clone()?;
        self.lease_end_ns = self.lease_end_ns.max(lease_end_ns(heard_ns, seconds));
        Some((clock, heard_ns))
    }
}

/// The number of a pool's pod.
#[must_use]
pub fn ordinal(pool: &str, pod: &str) -> Option<u16> {
    pod.strip_prefix(pool)?.strip_prefix('-')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_lease_is_over_only_when_every_one_that_was_ever_sent_is() {
        let mut member = Member { may_run: true, ..Member::new(String::new()) };
        assert!(member.lease(60).is_none() && member.is_over(1), "without its clock it can be given none");
        let clock = PodClock { clock: "c".into(), ns: 5 };
        member.clock = Some((clock.clone(), 100 * SECOND));
        assert_eq!(member.lease(60), Some((clock, 100 * SECOND)));
        let end_ns = lease_end_ns(100 * SECOND, 60);
        // Sent again and again, it counts from the same time; a shorter one takes nothing away.
        let _ = (member.lease(60), member.lease(5));
        assert!(!member.is_over(end_ns) && member.is_over(end_ns + 1));
    }

    #[test]
    fn the_next_leader_counts_what_the_one_before_may_have_given_from_its_own_begin() {
        let document = Assignment {
            version: Version::default(),
            pod: "p-0".into(),
            lease_seconds: 60,
            trading_state: pinion_spec::strategy::TradingState::Active,
            strategies: Vec::new(),
        };
        let documents = BTreeMap::from([("p-0".into(), document)]);
        let fleet = Fleet::new(documents, BTreeMap::new(), Timestamp::UNIX_EPOCH, 9 * SECOND);
        let holder = fleet.holders("p-1").next().expect("it may still run");
        assert_eq!(holder.lease_end_ns, lease_end_ns(9 * SECOND, 60));
    }

    #[test]
    fn who_is_not_asked_is_not_silent_and_who_is_asked_in_vain_is() {
        let mut member = Member::new(String::new());
        assert!(member.is_silent(SECOND), "it has never answered");
        (member.answered_ns, member.suspect) = (SECOND, false);
        assert!(!member.is_silent(60 * SECOND), "the operator had no time for it");
        member.suspect = true;
        assert!(!member.is_silent(11 * SECOND));
        assert!(member.is_unheard(11 * SECOND));
        assert!(member.is_silent(12 * SECOND));
        assert!(!member.is_unheard(12 * SECOND));
    }
}
