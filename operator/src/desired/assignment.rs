//! From a placement to the documents that pods run by, and to the ConfigMap that holds them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Resource as _, ResourceExt as _};
use pinion_spec::Strategy;
use pinion_spec::assignment::{AssignedShard, AssignedStrategy, Assignment, Version};
use pinion_spec::strategy::TradingState;

use super::{meta, pod_labels};
use crate::crd::RuntimePool;
use crate::names::{assignment_config_map, assignment_key, pod};
use crate::place::Slot;
use crate::rollout::Rollout;

/// Bytes that Kubernetes lets a ConfigMap hold.
pub const CONFIG_MAP_BYTES_MAX: usize = 1_048_576;

/// The key of the ConfigMap under which releases are kept; no pod has this name, for a pod's ends with a number.
pub const ROLLOUTS_KEY: &str = "rollouts.json";

/// A strategy and where it runs.
#[derive(Debug, Clone)]
pub struct Placed {
    /// The resource, admitted: with the tenant's ceilings applied.
    pub strategy: Strategy,
    /// SHA-256 of the module that is to run.
    pub module: String,
    /// Its shards; those that are still fenced left out.
    pub shards: BTreeMap<u16, Slot>,
    /// The pod that finds out how many shards it has, while nobody knows.
    pub scout: Option<u16>,
}

/// What all documents of a pool have in common.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The term of this leader.
    pub epoch: u64,
    /// The lease of its pods.
    pub lease_seconds: u32,
    /// The strictest state that any strategy may be in.
    pub trading_state: TradingState,
}

/// Why nothing is to be written.
#[derive(Debug, thiserror::Error)]
pub enum AssignmentError {
    /// Another leader has written since. Its documents stand.
    #[error(
        "the assignment of pod {pod} is of term {theirs}, and this operator's is {ours}: it is no longer the leader"
    )]
    Deposed {
        /// The pod.
        pod: String,
        /// The term of the document.
        theirs: u64,
        /// This operator's.
        ours: u64,
    },
    /// Too much for one.
    #[error(
        "the assignments of pool {pool} have {bytes} bytes, and a ConfigMap holds {CONFIG_MAP_BYTES_MAX}: move strategies to \
         another pool, or shorten their lists of instruments"
    )]
    TooLarge {
        /// The pool.
        pool: String,
        /// All documents together.
        bytes: usize,
    },
    /// A document is no JSON.
    #[error("write the assignment of pod {pod}")]
    Json {
        /// The pod.
        pod: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The releases are no JSON.
    #[error("write the releases of the strategies")]
    Releases(#[source] serde_json::Error),
}

/// The document of each pod below `pods`: all that there are or are to be. One that says what its predecessor said keeps its version, so that nothing is
/// written; one that says anything else has the next. `previous` are the pool's documents as they are, by pod.
///
/// # Errors
/// If a later leader has written one of them.
pub fn documents(
    pool: &str,
    pods: u16,
    placed: &[Placed],
    terms: Terms,
    previous: &BTreeMap<String, Assignment>,
) -> Result<BTreeMap<String, Assignment>, AssignmentError> {
    let mut documents = BTreeMap::new();
    for ordinal in 0..pods {
        let name = pod(pool, ordinal);
        let mut strategies: Vec<AssignedStrategy> = placed.iter().filter_map(|placed| part(placed, ordinal)).collect();
        strategies.sort_by(|a, b| a.strategy.metadata.name.cmp(&b.strategy.metadata.name));
        let document = Assignment {
            version: Version { epoch: terms.epoch, revision: 1 },
            pod: name.clone(),
            lease_seconds: terms.lease_seconds,
            trading_state: terms.trading_state,
            strategies,
        };
        let document = match previous.get(&name) {
            Some(before) if before.version.epoch > terms.epoch => {
                let theirs = before.version.epoch;
                return Err(AssignmentError::Deposed { pod: name, theirs, ours: terms.epoch });
            }
            Some(before) => successor(before, document),
            None => document,
        };
        documents.insert(name, document);
    }
    Ok(documents)
}

/// A pod's part of a strategy, if it has any.
fn part(placed: &Placed, ordinal: u16) -> Option<AssignedStrategy> {
    let here = placed.shards.iter().filter(|(_, slot)| slot.pod == ordinal);
    let shards: Vec<AssignedShard> =
        here.map(|(shard, slot)| AssignedShard { shard: *shard, worker: slot.worker }).collect();
    (!shards.is_empty() || placed.scout == Some(ordinal)).then(|| AssignedStrategy {
        strategy: placed.strategy.clone(),
        module: placed.module.clone(),
        shards,
    })
}

fn successor(before: &Assignment, next: Assignment) -> Assignment {
    let same = Assignment { version: before.version, ..next };
    if same == *before {
        return same;
    }
    let later_term = next.version.epoch > before.version.epoch;
    let revision = if later_term { 1 } else { before.version.revision.saturating_add(1) };
    Assignment { version: Version { revision, ..next.version }, ..same }
}

/// The ConfigMap of a pool, with a key for each pod and one for the releases of its strategies.
///
/// # Errors
/// If they do not fit.
pub fn config_map(
    pool: &RuntimePool,
    documents: &BTreeMap<String, Assignment>,
    rollouts: &BTreeMap<String, Rollout>,
) -> Result<ConfigMap, AssignmentError> {
    let name = pool.name_any();
    let tenant = pool.namespace().unwrap_or_default();
    let mut data = BTreeMap::new();
    for (pod, document) in documents {
        let text =
            serde_json::to_string(document).map_err(|source| AssignmentError::Json { pod: pod.clone(), source })?;
        data.insert(assignment_key(pod), text);
    }
    data.insert(ROLLOUTS_KEY.to_owned(), serde_json::to_string(rollouts).map_err(AssignmentError::Releases)?);
    let bytes = data.iter().map(|(key, text)| key.len() + text.len()).sum();
    if bytes > CONFIG_MAP_BYTES_MAX {
        return Err(AssignmentError::TooLarge { pool: name, bytes });
    }
    let labels = pod_labels(&tenant, &name);
    Ok(ConfigMap {
        metadata: meta(Some(&tenant), &assignment_config_map(&name), labels, pool.controller_owner_ref(&())),
        data: Some(data),
        ..ConfigMap::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    const TERMS: Terms = Terms { epoch: 3, lease_seconds: 60, trading_state: TradingState::Active };

    fn placed(shards: &[(u16, u16, u16)]) -> Placed {
        let slot = |(shard, pod, worker): &(u16, u16, u16)| (*shard, Slot { pod: *pod, worker: *worker });
        Placed {
            strategy: fixtures::strategy(),
            module: "ab".repeat(32),
            shards: shards.iter().map(slot).collect(),
            scout: None,
        }
    }

    #[test]
    fn each_pod_is_told_its_own_shards_and_no_others() {
        let placed = placed(&[(0, 0, 1), (1, 1, 0), (2, 0, 0)]);
        let documents = documents("default", 3, &[placed], TERMS, &BTreeMap::new()).unwrap();
        let shards = |pod: &str| -> Vec<(u16, u16)> {
            let strategies = &documents[pod].strategies;
            strategies.iter().flat_map(|one| &one.shards).map(|one| (one.shard, one.worker)).collect()
        };
        assert_eq!(shards("default-0"), [(0, 1), (2, 0)]);
        assert_eq!(shards("default-1"), [(1, 0)]);
        assert!(documents["default-2"].strategies.is_empty());
    }

    #[test]
    fn a_strategy_whose_shards_nobody_knows_is_given_to_its_scout_without_shards() {
        let scouted = Placed { scout: Some(1), ..placed(&[]) };
        let documents = documents("default", 2, &[scouted], TERMS, &BTreeMap::new()).unwrap();
        assert!(documents["default-0"].strategies.is_empty());
        assert!(documents["default-1"].strategies[0].shards.is_empty());
    }

    #[test]
    fn what_says_the_same_keeps_its_version_even_under_a_new_leader() {
        let first = documents("default", 2, &[placed(&[(0, 0, 0)])], TERMS, &BTreeMap::new()).unwrap();
        let later = Terms { epoch: 4, ..TERMS };
        assert_eq!(documents("default", 2, &[placed(&[(0, 0, 0)])], later, &first).unwrap(), first);
    }

    #[test]
    fn what_changes_is_newer_and_nothing_else_is_touched() {
        let first = documents("default", 2, &[placed(&[(0, 0, 0)])], TERMS, &BTreeMap::new()).unwrap();
        let moved = documents("default", 2, &[placed(&[(0, 0, 1)])], TERMS, &first).unwrap();
        assert_eq!(moved["default-0"].version, Version { epoch: 3, revision: 2 });
        assert_eq!(moved["default-1"], first["default-1"]);
        let by_next_leader = documents("default", 2, &[], Terms { epoch: 4, ..TERMS }, &moved).unwrap();
        assert_eq!(by_next_leader["default-0"].version, Version { epoch: 4, revision: 1 });
        let deposed = documents("default", 2, &[], TERMS, &by_next_leader).unwrap_err();
        assert!(deposed.to_string().contains("no longer the leader"), "{deposed}");
    }

    #[test]
    fn a_pods_document_is_read_back_as_it_was() {
        let documents = documents("default", 1, &[placed(&[(7, 0, 2)])], TERMS, &BTreeMap::new()).unwrap();
        let data = config_map(&fixtures::pool(), &documents, &BTreeMap::new()).unwrap().data.unwrap();
        let read: Assignment = serde_json::from_str(&data["default-0.json"]).unwrap();
        assert_eq!(read, documents["default-0"]);
    }

    #[test]
    fn assignments_that_do_not_fit_name_the_pool() {
        let mut large = placed(&[(0, 0, 0)]);
        let params = (0..64).map(|i| (format!("p{i}"), "x".repeat(4_096))).collect();
        large.strategy.spec.params = params;
        let several: Vec<Placed> = (0..5).map(|_| large.clone()).collect();
        let documents = documents("default", 1, &several, TERMS, &BTreeMap::new()).unwrap();
        let error = config_map(&fixtures::pool(), &documents, &BTreeMap::new()).unwrap_err();
        assert!(error.to_string().starts_with("the assignments of pool default have 13"), "{error}");
    }
}
