//! Whether workers run on cores that are their pods' alone: what the pods say, never what was asked for.

use pinion_spec::assignment::PodReport;
use pinion_spec::status::{ConditionStatus, ConditionType, Reason};

/// What pods say of workers' cores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pinning {
    /// Every worker is bound to a core, and the pods' cores are their own.
    Exclusive,
    /// Some are not: which pod's, and why.
    Shared(String),
}

/// A pod, its last report, and which of its workers are asked about; `None`: all.
pub type Said<'a> = (&'a str, Option<&'a PodReport>, Option<&'a [u16]>);

impl Pinning {
    /// What pods have said. `None` while one of them, or all, have not.
    #[must_use]
    pub fn of<'a>(pods: impl IntoIterator<Item = Said<'a>>) -> Option<Self> {
        let (mut any, mut silent) = (false, false);
        for (pod, report, workers) in pods {
            let Some(report) = report else {
                silent = true;
                continue;
            };
            any = true;
            let all: Vec<u16> = (0..u16::MAX).take(report.cores.len()).collect();
            let is_free = |worker: &&u16| report.cores.get(usize::from(**worker)).is_none_or(Option::is_none);
            if let Some(worker) = workers.unwrap_or(&all).iter().find(is_free) {
                let unbound = || format!("worker {worker} is bound to no core");
                return Some(Self::Shared(format!("{pod}: {}", report.cores_shared.clone().unwrap_or_else(unbound))));
            }
        }
        (any && !silent).then_some(Self::Exclusive)
    }
}

/// The condition that says so.
#[must_use]
pub fn condition(pinning: Option<&Pinning>) -> (ConditionType, ConditionStatus, Reason, String) {
    let (status, reason, message) = match pinning {
        Some(Pinning::Exclusive) => {
            let message = "every worker is bound to a core that is its pod's alone";
            (ConditionStatus::True, Reason::AsSpecified, message.to_owned())
        }
        Some(Pinning::Shared(why)) => (ConditionStatus::False, Reason::SharedCores, why.clone()),
        None => (ConditionStatus::Unknown, Reason::NotMeasured, "a pod has not said yet".to_owned()),
    };
    (ConditionType::Pinned, status, reason, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(cores: &[Option<u32>], cores_shared: Option<&str>) -> PodReport {
        PodReport { cores: cores.to_vec(), cores_shared: cores_shared.map(str::to_owned), ..PodReport::default() }
    }

    #[test]
    fn it_holds_where_every_worker_that_is_asked_about_has_a_core() {
        let (own, half) = (report(&[Some(3), Some(2)], None), report(&[Some(1), None], None));
        assert_eq!(Pinning::of([("p-0", Some(&own), None)]), Some(Pinning::Exclusive));
        assert_eq!(
            Pinning::of([("p-0", Some(&own), None), ("p-1", Some(&half), Some(&[0][..]))]),
            Some(Pinning::Exclusive)
        );
        let Some(Pinning::Shared(why)) = Pinning::of([("p-0", Some(&own), None), ("p-1", Some(&half), None)]) else {
            panic!("worker 1 of p-1 is bound to nothing")
        };
        assert_eq!(why, "p-1: worker 1 is bound to no core");
    }

    #[test]
    fn a_pod_whose_cores_are_everybodys_says_why() {
        let shared = report(&[None], Some("it may run on all 2 cores"));
        let said = Pinning::of([("p-0", Some(&shared), Some(&[0][..]))]);
        assert_eq!(said, Some(Pinning::Shared("p-0: it may run on all 2 cores".into())));
    }

    #[test]
    fn what_no_pod_has_said_is_not_known_and_a_worker_that_a_pod_does_not_have_has_no_core() {
        let own = report(&[Some(1)], None);
        assert_eq!(Pinning::of([]), None);
        assert_eq!(Pinning::of([("p-0", Some(&own), None), ("p-1", None, None)]), None);
        assert!(matches!(Pinning::of([("p-0", Some(&own), Some(&[1][..]))]), Some(Pinning::Shared(_))));
    }
}
