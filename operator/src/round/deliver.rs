//! Brings documents, renewals and modules to the pods of a pool and takes in what they say.
//!
//! A pod whose last call failed is only asked for a report, which renews nothing: so the end of its lease stays where it is, and
//! its shards can go elsewhere in time.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures::future::join_all;
use pinion_spec::assignment::{Assignment, PodReport};
use pinion_spec::pool::LEASE_SECONDS_DEFAULT;

use super::{Context, POLL, POLL_BUSY, RoundError};
use crate::clock::{mono_ns, now};
use crate::fleet::{Fleet, Member};
use crate::leader::RENEW_EVERY;
use crate::pods::{Address, PodError};

/// Renewals in a lease's time: two may fail.
const RENEWALS: u32 = 3;
/// An apiserver that is away for so long stops nobody with the default lease.
const OUTAGE: Duration = Duration::from_secs(30);
/// From its end until the pods hear: of asking for the Lease, of a round that asks the pods, and of one that renews.
const RESUMED: Duration = Duration::from_secs(10);

const _: () = {
    let left = LEASE_SECONDS_DEFAULT as u64 * (RENEWALS as u64 - 1) / RENEWALS as u64;
    assert!(left >= OUTAGE.as_secs() + RESUMED.as_secs());
    assert!(RESUMED.as_secs() > 2 * (RENEW_EVERY.as_secs() + POLL.as_secs()));
};

/// What is to be sent to a pod.
enum Errand<'a> {
    /// Its document: a new one, or the renewal of the one that it has.
    Assign(&'a Assignment),
    /// Nothing: it is asked.
    Ask,
}

/// One call to each pod that is due for one, and the modules that pods miss. Returns whether anything new was learnt.
pub(super) async fn deliver(
    context: &Context,
    fleet: &mut Fleet,
    namespace: &str,
    address: &impl Fn(IpAddr) -> Option<Address>,
) -> Result<bool, RoundError> {
    let documents = std::mem::take(&mut fleet.documents);
    let learnt = renew(context, fleet, &documents, namespace, address).await;
    fleet.documents = documents;
    upload(context, fleet, namespace, address).await;
    learnt
}

/// One call to each pod that is due for one, with these documents. Returns whether anything new was learnt.
pub(super) async fn renew(
    context: &Context,
    fleet: &mut Fleet,
    documents: &BTreeMap<String, Assignment>,
    namespace: &str,
    address: &impl Fn(IpAddr) -> Option<Address>,
) -> Result<bool, RoundError> {
    context.leadership().epoch()?;
    let now_ns = mono_ns();
    let calls = fleet.pods.iter().filter_map(|(name, member)| {
        let address = address(member.ip?)?;
        let errand = errand(member, documents.get(name), now_ns)?;
        Some(call(context, name.clone(), address, errand))
    });
    let answers = join_all(calls.collect::<Vec<_>>()).await;
    Ok(take_all(fleet, answers, namespace))
}

/// Puts these documents at once to the pods that they are for; to nobody else, whose answer would be waited for.
pub(super) async fn put(
    context: &Context,
    fleet: &mut Fleet,
    documents: &BTreeMap<String, Assignment>,
    namespace: &str,
    address: &impl Fn(IpAddr) -> Option<Address>,
) -> Result<(), RoundError> {
    context.leadership().epoch()?;
    let calls = documents.iter().filter_map(|(name, document)| {
        let member = fleet.pods.get(name).filter(|member| !member.suspect)?;
        Some(call(context, name.clone(), address(member.ip?)?, Errand::Assign(document)))
    });
    let answers = join_all(calls.collect::<Vec<_>>()).await;
    take_all(fleet, answers, namespace);
    Ok(())
}

fn errand<'a>(member: &Member, document: Option<&'a Assignment>, now_ns: u64) -> Option<Errand<'a>> {
    let since = |then: u64| Duration::from_nanos(now_ns.saturating_sub(then));
    let Some(document) = document.filter(|_| !member.suspect) else {
        return (since(member.asked_ns) >= POLL_BUSY).then_some(Errand::Ask);
    };
    let report = member.report.as_ref();
    let renewal = since(member.renewed_ns) >= Duration::from_secs(u64::from(document.lease_seconds)) / RENEWALS;
    if renewal || report.is_none_or(|report| report.version < document.version) {
        return Some(Errand::Assign(document));
    }
    let every = if report.is_some_and(|report| report.settled) { POLL } else { POLL_BUSY };
    (since(member.asked_ns) >= every * 9 / 10).then_some(Errand::Ask)
}

/// The pod, the lease that was given if one was, and the answer.
type Answer = (String, Option<u32>, Result<PodReport, PodError>);

async fn call(context: &Context, name: String, address: Address, errand: Errand<'_>) -> Answer {
    let (label, lease, answer) = match errand {
        Errand::Assign(document) => {
            ("assign", Some(document.lease_seconds), context.pods.assign(&address, document).await)
        }
        Errand::Ask => ("report", None, context.pods.report(&address).await),
    };
    let outcome = match &answer {
        Ok(_) => "ok",
        Err(error) if error.may_have_arrived() => "failed",
        Err(_) => "unreached",
    };
    context.writer.metrics.called(label, outcome);
    (name, lease, answer)
}

fn take_all(fleet: &mut Fleet, answers: Vec<Answer>, namespace: &str) -> bool {
    let mut learnt = false;
    for (name, lease_seconds, answer) in answers {
        let Some(member) = fleet.pods.get_mut(&name) else { continue };
        learnt |= take(member, lease_seconds, answer, namespace, &name);
    }
    learnt
}

/// Remembers what came of a call. Returns whether it tells anything new.
fn take(
    member: &mut Member,
    lease: Option<u32>,
    answer: Result<PodReport, PodError>,
    namespace: &str,
    pod: &str,
) -> bool {
    let now_ns = mono_ns();
    member.asked_ns = now_ns;
    if let Some(lease) = lease
        && answer.as_ref().err().is_none_or(PodError::may_have_arrived)
    {
        member.attempted_at = now();
        member.lease_seconds = member.lease_seconds.max(lease);
    }
    match answer {
        Ok(report) => {
            member.answered_ns = now_ns;
            if lease.is_some() {
                member.renewed_ns = now_ns;
            }
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
async fn upload(context: &Context, fleet: &Fleet, namespace: &str, address: &impl Fn(IpAddr) -> Option<Address>) {
    for (name, member) in &fleet.pods {
        let (Some(report), Some(address)) = (&member.report, member.ip.and_then(address)) else { continue };
        for digest in &report.missing_modules {
            let document = fleet.documents.get(name);
            let assigned = document.and_then(|document| document.strategies.iter().find(|one| one.module == *digest));
            let Some(assigned) = assigned else { continue };
            let source = &assigned.strategy.spec.module;
            let outcome = match context.modules.bytes(namespace, source, digest).await {
                Ok(Some(bytes)) => {
                    context.pods.put_module(&address, digest, bytes).await.map_err(|error| error.to_string())
                }
                Ok(None) => Err("its ConfigMap has another module by now".to_owned()),
                Err(error) => Err(error.to_string()),
            };
            context.writer.metrics.called("module", if outcome.is_ok() { "ok" } else { "failed" });
            if let Err(problem) = outcome {
                tracing::warn!(tenant = namespace, pod = name, digest, problem, "a module could not be given to a pod");
            }
        }
    }
}
