//! Keeps what the pods have while rounds fail: whatever Kubernetes refuses or does not answer, it stops nobody's trading.
//!
//! Promises: a pod is put only a document that is written in the ConfigMap, or the very one that it says it holds; nothing is decided,
//! nothing is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt as _;
use pinion_spec::assignment::Assignment;

use super::deliver::{Pass, renew};
use super::pool::{attend, token, written};
use super::{Context, Memory, RoundError, typed};
use crate::crd::RuntimePool;
use crate::fleet::{Fleet, Member};
use crate::kinds::Kind;
use crate::pods::Address;

/// Renews the leases of a tenant's pods that are due.
///
/// # Errors
/// If another process leads.
pub async fn keep(context: &Arc<Context>, tenant: &str, memory: &mut Memory) -> Result<(), RoundError> {
    for pool in typed::<RuntimePool>(context.cache(), Kind::RuntimePool, tenant) {
        let Some(token) = token(context, tenant) else { continue };
        let (written, _) = written(context, &pool);
        let fleet = attend(context, &pool, &mut memory.fleets);
        let calls = memory.calls.entry(pool.name_any()).or_default();
        let kept = kept(fleet, &written);
        let address = |ip| Some(Address { ip, token: token.clone() });
        renew(context, fleet, calls, &kept, tenant, &address, &Pass::Due).await?;
    }
    Ok(())
}

/// What each pod may be put without anything being decided.
fn kept(fleet: &Fleet, written: &BTreeMap<String, Assignment>) -> BTreeMap<String, Assignment> {
    let document = |(name, member): (&String, &Member)| {
        let held = member.report.as_ref()?.version;
        let from_written = written.get(name).filter(|document| document.version >= held);
        // One that was put before it could be written: a halt.
        let document =
            from_written.or_else(|| fleet.documents.get(name).filter(|document| document.version == held))?;
        Some((name.clone(), document.clone()))
    };
    fleet.pods.iter().filter_map(document).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use pinion_spec::assignment::{PodReport, Version};
    use pinion_spec::strategy::TradingState;

    use super::*;

    fn documents(revision: u64) -> BTreeMap<String, Assignment> {
        let document = Assignment {
            version: Version { epoch: 1, revision },
            pod: "p-0".into(),
            lease_seconds: 60,
            trading_state: TradingState::Active,
            strategies: Vec::new(),
        };
        BTreeMap::from([("p-0".into(), document)])
    }

    /// What a pod is put that holds this revision, where this one is written and that one was decided.
    fn put(held: u64, in_the_map: u64, decided: u64) -> Option<u64> {
        let mut fleet = Fleet::new(documents(decided), BTreeMap::new(), Timestamp::UNIX_EPOCH, 1);
        let version = Version { epoch: 1, revision: held };
        fleet.pods.get_mut("p-0").unwrap().report = Some(PodReport { version, ..PodReport::default() });
        kept(&fleet, &documents(in_the_map)).get("p-0").map(|document| document.version.revision)
    }

    #[test]
    fn a_document_that_could_not_be_written_is_put_to_no_pod_that_has_not_got_it() {
        assert_eq!(put(5, 5, 6), Some(5));
    }

    #[test]
    fn a_document_that_is_written_is_put_to_a_pod_that_missed_it() {
        assert_eq!(put(5, 6, 6), Some(6));
    }

    #[test]
    fn a_halt_that_was_put_before_it_could_be_written_is_kept() {
        assert_eq!(put(6, 5, 6), Some(6));
    }

    #[test]
    fn a_pod_that_holds_what_nobody_here_knows_is_only_asked() {
        assert_eq!(put(7, 5, 6), None);
    }
}
