//! How many workers each demand gets when there are not enough for all.

use super::{DEMANDS_PER_WORKER_MAX, Demand, Shards, Shortage};

/// What each demand gets, in the order of the demands.
#[derive(Debug)]
pub(super) struct Grants {
    /// Workers.
    pub(super) workers: Vec<usize>,
    /// What it lacks.
    pub(super) shortages: Vec<Option<Shortage>>,
    /// Demands that one slot may serve.
    pub(super) demands_per_slot: usize,
}

impl Grants {
    pub(super) fn of(demands: &[&Demand], slots: usize, current: &Shards) -> Self {
        if slots == 0 {
            let shortages = vec![Some(Shortage::NoReadyPod); demands.len()];
            return Self { workers: vec![0; demands.len()], shortages, demands_per_slot: 0 };
        }
        if demands.len() > slots { Self::shared(demands, slots, current) } else { Self::exclusive(demands, slots) }
    }

    /// Everybody gets the same, or less where less is asked for; what does not divide goes to the first by name.
    fn exclusive(demands: &[&Demand], slots: usize) -> Self {
        let mut workers = vec![0; demands.len()];
        let mut left = slots;
        while left > 0 {
            let mut anybody = false;
            for (granted, demand) in workers.iter_mut().zip(demands) {
                if left > 0 && *granted < demand.useful() {
                    *granted += 1;
                    left -= 1;
                    anybody = true;
                }
            }
            if !anybody {
                break;
            }
        }
        let shortage = |(granted, demand): (&usize, &&Demand)| {
            let wanted = demand.useful();
            (*granted < wanted).then_some(Shortage::Fewer { wanted, granted: *granted })
        };
        let shortages = workers.iter().zip(demands).map(shortage).collect();
        Self { workers, shortages, demands_per_slot: 1 }
    }

    /// One worker each, which others have as well. Those that run already come before those that do not.
    fn shared(demands: &[&Demand], slots: usize, current: &Shards) -> Self {
        let demands_per_slot = demands.len().div_ceil(slots).min(DEMANDS_PER_WORKER_MAX);
        let mut order: Vec<usize> = (0..demands.len()).collect();
        order.sort_by_key(|i| !current.contains_key(&demands[*i].group));
        let mut workers = vec![0; demands.len()];
        let mut shortages = vec![Some(Shortage::Full); demands.len()];
        for i in order.into_iter().take(slots * demands_per_slot) {
            workers[i] = 1;
            shortages[i] = Some(Shortage::Shared);
        }
        Self { workers, shortages, demands_per_slot }
    }
}
