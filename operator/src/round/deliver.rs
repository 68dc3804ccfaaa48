//! Brings documents, renewals and modules to the pods of a pool and takes in what they say.
//!
//! A lease counts from a time of the pod's clock that the pod has told before. So one that hangs gets none, however long a renewal lies
//! in its socket, and its shards can go elsewhere in time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use pinion_spec::assignment::{Assignment, PodClock};
use pinion_spec::pool::LEASE_SECONDS_DEFAULT;

use super::calls::{About, Answer, Calls, Outcome};
use super::{Context, POLL, POLL_BUSY, RoundError};
use crate::clock::mono_ns;
use crate::figures::Figures;
use crate::fleet::{Fleet, Member};
use crate::leader::RENEW_EVERY;
use crate::pods::{Address, CALL_MAX, PodError, Said};

/// How long a round waits for answers: far longer than a pod needs for one, and far shorter than the time in which a halt is to arrive
/// that comes meanwhile.
const PATIENCE: Duration = Duration::from_millis(50);

/// Which pods are called.
#[derive(Debug, Clone)]
pub(super) enum Pass {
    /// All, and each is waited for: nothing is known of them yet.
    First,
    /// These, whose documents are stricter than before. They do not wait for a call that is under way.
    Stricter(BTreeSet<String>),
    /// Those that are due.
    Due,
}

/// Renewals in a lease's time: two may fail.
const RENEWALS: u64 = 3;
/// An apiserver that is away for so long stops nobody with the default lease.
const OUTAGE: Duration = Duration::from_secs(30);
/// From its end until the pods hear: of asking for the Lease, of a round that asks the pods, and of one that renews.
const RESUMED: Duration = Duration::from_secs(10);

const _: () = {
    let left = LEASE_SECONDS_DEFAULT as u64 * (RENEWALS - 1) / RENEWALS;
    assert!(left >= OUTAGE.as_secs() + RESUMED.as_secs());
    assert!(RESUMED.as_secs() > 2 * (RENEW_EVERY.as_secs() + POLL.as_secs()));
};

/// What is to be sent to a pod.
enum Errand {
    /// Its document: a new one, or the renewal of the one that it has; and the time of its clock from which the lease counts, with
    /// when that was heard.
    Assign(Assignment, (PodClock, u64)),
    /// Nothing: it is asked.
    Ask,
}

/// A call to each pod that is due for one, and the answers so far. Returns whether anything new was learnt or may be in a moment.
pub(super) async fn deliver(
    context: &Arc<Context>,
    fleet: &mut Fleet,
    calls: &mut Calls,
    namespace: &str,
    address: &impl Fn(IpAddr) -> Option<Address>,
    pass: &Pass,
) -> Result<bool, RoundError> {
    let documents = std::mem::take(&mut fleet.documents);
    let learnt = renew(context, fleet, calls, &documents, namespace, address, pass).await;
    fleet.documents = documents;
    upload(context, fleet, calls, namespace, address);
    learnt
}

/// The same with these documents, and no modules.
pub(super) async fn renew(
    context: &Arc<Context>,
    fleet: &mut Fleet,
    calls: &mut Calls,
    documents: &BTreeMap<String, Assignment>,
    namespace: &str,
    address: &impl Fn(IpAddr) -> Option<Address>,
    pass: &Pass,
) -> Result<bool, RoundError> {
    // Those that have to be asked for their clock first have their leases renewed in the second go.
    let goes = if matches!(pass, Pass::Due) { 2 } else { 1 };
    let mut learnt = false;
    for _ in 0..goes {
        let begun = begin(context, fleet, calls, documents, address, pass)?;
        let patience = if matches!(pass, Pass::First) { CALL_MAX } else { PATIENCE };
        for answer in calls.answers(begun, patience).await {
            learnt |= take(context, fleet, answer, namespace);
        }
    }
    let pending = fleet.pods.iter().any(|(name, member)| !member.suspect && calls.has(name, About::Document));
    Ok(learnt || pending)
}

/// Begins the calls that are due. Returns the numbers of those that are waited for.
fn begin(
    context: &Arc<Context>,
    fleet: &mut Fleet,
    calls: &mut Calls,
    documents: &BTreeMap<String, Assignment>,
    address: &impl Fn(IpAddr) -> Option<Address>,
    pass: &Pass,
) -> Result<BTreeSet<u64>, RoundError> {
    // The clocks that are sent back were heard before this, so by a process that led.
    context.leadership().epoch()?;
    let now_ns = mono_ns();
    let mut begun = BTreeSet::new();
    for (name, member) in &mut fleet.pods {
        let urgent = match pass {
            Pass::First | Pass::Due => false,
            // One that did not answer the last time is asked often, and gets it as soon as it answers.
            Pass::Stricter(pods) if pods.contains(name) && !member.suspect => true,
            Pass::Stricter(_) => continue,
        };
        let Some(address) = member.ip.and_then(address) else { continue };
        if calls.has(name, About::Document) && !urgent {
            continue;
        }
        let Some(errand) = errand(member, documents.get(name), now_ns) else { continue };
        let number =
            calls.begin(name, &member.uid, About::Document, call(Arc::clone(context), address, errand, urgent));
        // One that did not answer the last time is not waited for.
        if !member.suspect || matches!(pass, Pass::First) {
            begun.insert(number);
        }
    }
    Ok(begun)
}

fn errand(member: &mut Member, document: Option<&Assignment>, now_ns: u64) -> Option<Errand> {
    let since = |then: u64| Duration::from_nanos(now_ns.saturating_sub(then));
    let Some(document) = document.filter(|_| !member.suspect) else {
        return (since(member.asked_ns) >= POLL_BUSY).then_some(Errand::Ask);
    };
    let report = member.report.as_ref();
    let due_ns = member.renewed_ns + u64::from(document.lease_seconds) * 1_000_000_000 / RENEWALS;
    // What it told before that would renew little.
    let heard = member.clock.as_ref().is_some_and(|(_, heard_ns)| *heard_ns >= due_ns);
    if heard || report.is_none_or(|report| report.version < document.version) {
        let clock = member.lease(document.lease_seconds);
        return Some(clock.map_or(Errand::Ask, |clock| Errand::Assign(document.clone(), clock)));
    }
    if now_ns >= due_ns {
        return Some(Errand::Ask);
    }
    let every = if report.is_some_and(|report| report.settled) { POLL } else { POLL_BUSY };
    (since(member.asked_ns) >= every * 9 / 10).then_some(Errand::Ask)
}

async fn call(context: Arc<Context>, address: Address, errand: Errand, urgent: bool) -> Outcome {
    let (label, leased_ns, answer) = match errand {
        Errand::Assign(document, (clock, heard_ns)) => {
            ("assign", Some(heard_ns), context.pods.assign(&address, &document, &clock, urgent).await)
        }
        Errand::Ask => ("report", None, context.pods.report(&address).await),
    };
    let outcome = match &answer {
        Ok(_) => "ok",
        Err(error) if error.may_have_arrived() => "failed",
        Err(_) => "unreached",
    };
    context.writer.metrics.called(label, outcome);
    Outcome::Report(leased_ns, answer)
}

/// Remembers what came of a call. Returns whether it tells anything new.
fn take(context: &Context, fleet: &mut Fleet, answer: Answer, namespace: &str) -> bool {
    let Answer { pod, uid, outcome, at_ns, superseded } = answer;
    // Another of the same name says nothing of this one. Before Kubernetes has told of it, a pod has no UID here.
    let Some(member) = fleet.pods.get_mut(&pod).filter(|member| member.uid == uid) else { return false };
    match outcome {
        Outcome::Report(leased_ns, answer) => report(member, leased_ns, answer, (at_ns, superseded), namespace, &pod),
        Outcome::Module(Ok(())) => {
            context.writer.metrics.called("module", "ok");
            true
        }
        Outcome::Module(Err(problem)) => {
            context.writer.metrics.called("module", "failed");
            tracing::warn!(tenant = namespace, pod, problem, "a module could not be given to a pod");
            false
        }
        Outcome::Metrics(answer) => {
            context.writer.metrics.called("metrics", if answer.is_ok() { "ok" } else { "failed" });
            member.scraped_ns = at_ns;
            match answer {
                Ok(text) => {
                    member.scrapes = (member.scrapes.1.take(), Some(Figures::read(&text, at_ns)));
                    member.unscraped = None;
                }
                Err(error) => member.unscraped = Some(error.to_string()),
            }
            false
        }
    }
}

fn report(
    member: &mut Member,
    leased_ns: Option<u64>,
    answer: Result<Said, PodError>,
    (at_ns, superseded): (u64, bool),
    namespace: &str,
    pod: &str,
) -> bool {
    member.asked_ns = at_ns;
    match answer {
        // What it said is older than what it has been told since.
        _ if superseded => false,
        Ok(Said { report, clock }) => {
            member.answered_ns = at_ns;
            member.clock = Some((clock, at_ns));
            member.renewed_ns = member.renewed_ns.max(leased_ns.unwrap_or_default());
            let was_suspect = std::mem::replace(&mut member.suspect, false);
            let new = was_suspect || member.report.as_ref() != Some(&report);
            member.report = Some(report);
            new
        }
        Err(error) => {
            if !member.suspect {
                tracing::warn!(tenant = namespace, pod, %error, "a pod does not do as it is told");
            }
            member.suspect = true;
            false
        }
    }
}

/// Gives pods the modules that they miss.
fn upload(
    context: &Arc<Context>,
    fleet: &Fleet,
    calls: &mut Calls,
    namespace: &str,
    address: &impl Fn(IpAddr) -> Option<Address>,
) {
    for (name, member) in &fleet.pods {
        let (Some(report), Some(address)) = (&member.report, member.ip.and_then(address)) else { continue };
        if member.suspect || calls.has(name, About::Module) {
            continue;
        }
        let assigned = fleet.documents.get(name).into_iter().flat_map(|document| &document.strategies);
        let Some(assigned) = assigned.into_iter().find(|one| report.missing_modules.contains(&one.module)) else {
            continue;
        };
        let (source, digest) = (assigned.strategy.spec.module.clone(), assigned.module.clone());
        let (context, namespace) = (Arc::clone(context), namespace.to_owned());
        calls.begin(name, &member.uid, About::Module, async move {
            Outcome::Module(match context.modules.bytes(&namespace, &source, &digest).await {
                Ok(Some(bytes)) => {
                    context.pods.put_module(&address, &digest, bytes).await.map_err(|error| error.to_string())
                }
                Ok(None) => Err("its ConfigMap has another module by now".to_owned()),
                Err(error) => Err(error.to_string()),
            })
        });
    }
}

#[cfg(test)]
mod tests {
    use pinion_spec::assignment::{PodReport, Version};
    use pinion_spec::strategy::TradingState;

    use super::*;
    use crate::fence::lease_end_ns;

    const SECOND: u64 = 1_000_000_000;

    fn document(revision: u64) -> Assignment {
        Assignment {
            version: Version { epoch: 1, revision },
            pod: "p-0".into(),
            lease_seconds: 60,
            trading_state: TradingState::Active,
            strategies: Vec::new(),
        }
    }

    /// A pod that told its clock at 100 s, and has a lease from then.
    fn member() -> Member {
        let report = PodReport { version: document(1).version, settled: true, ..PodReport::default() };
        let clock = PodClock { clock: "c".into(), ns: 7 };
        let heard_ns = 100 * SECOND;
        Member {
            report: Some(report),
            clock: Some((clock, heard_ns)),
            renewed_ns: heard_ns,
            asked_ns: heard_ns,
            suspect: false,
            ..Member::new("u".into())
        }
    }

    fn errand_at(member: &mut Member, revision: u64, seconds: u64) -> Option<Errand> {
        errand(member, Some(&document(revision)), seconds * SECOND)
    }

    #[test]
    fn a_lease_is_renewed_from_a_time_that_the_pod_told_when_it_was_due() {
        let mut member = member();
        member.clock.as_mut().unwrap().1 = 119 * SECOND;
        member.asked_ns = 119 * SECOND;
        assert!(errand_at(&mut member, 1, 119).is_none());
        assert!(matches!(errand_at(&mut member, 1, 120), Some(Errand::Ask)));
        // However late the answer is taken in.
        member.clock.as_mut().unwrap().1 = 125 * SECOND;
        assert!(
            matches!(errand_at(&mut member, 1, 126), Some(Errand::Assign(_, (_, heard_ns))) if heard_ns == 125 * SECOND)
        );
        assert_eq!(member.lease_end_ns, lease_end_ns(125 * SECOND, 60));
    }

    #[test]
    fn a_new_document_waits_for_no_clock_and_a_pod_that_failed_to_answer_is_sent_nothing() {
        let mut member = member();
        assert!(matches!(errand_at(&mut member, 2, 125), Some(Errand::Assign(..))));
        member.suspect = true;
        assert!(matches!(errand_at(&mut member, 2, 126), Some(Errand::Ask)));
    }
}
