//! What a tenant's quota says of a pool whose pods are not made: Kubernetes refuses them, and says so only in events.

use pinion_spec::pool::RuntimePoolSpec;
use serde_json::Value as Json;

use crate::apply::quantity;

/// Thousandths of a byte in a MiB, as [`quantity`] counts.
const MIB: u128 = 1_000 << 20;

/// Why a pool has fewer pods than it is to have, where the quota is why. `quota` is the ResourceQuota as Kubernetes counts it, `made`
/// how many pods there are.
#[must_use]
pub fn shortage(quota: &Json, pool: &RuntimePoolSpec, made: u32, wanted: u32) -> Option<String> {
    if made >= wanted {
        return None;
    }
    let amount = |part: &str, resource: &str| quantity(quota["status"][part][resource].as_str()?);
    let (cores, cores_hard) = (amount("used", "requests.cpu")?, amount("hard", "requests.cpu")?);
    let (memory, memory_hard) = (amount("used", "requests.memory")?, amount("hard", "requests.memory")?);
    let (each_cores, each_memory) = (u128::from(pool.cores_per_pod) * 1_000, u128::from(pool.memory_mib) * MIB);
    let fits = cores + each_cores <= cores_hard && memory + each_memory <= memory_hard;
    (!fits).then(|| {
        format!(
            "{made} of {wanted} pods are made: each takes {} cores and {} MiB, and of the tenant's quota {} of {} cores and {} of {} MiB \
             are used; raise spec.quota of the Tenant, or lower minPods or maxPods of the pool",
            pool.cores_per_pod,
            pool.memory_mib,
            whole(cores, 1_000),
            whole(cores_hard, 1_000),
            whole(memory, MIB),
            whole(memory_hard, MIB),
        )
    })
}

/// A number without a fraction where it has none, else with a digit of it.
fn whole(thousandths: u128, unit: u128) -> String {
    match (thousandths / unit, thousandths % unit * 10 / unit) {
        (whole, 0) => whole.to_string(),
        (whole, tenths) => format!("{whole}.{tenths}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::pool_spec;

    fn quota(cores: &str, memory: &str) -> Json {
        json!({"status": {
            "hard": {"requests.cpu": "8", "requests.memory": "8192Mi"},
            "used": {"requests.cpu": cores, "requests.memory": memory}
        }})
    }

    #[test]
    fn a_pod_that_the_quota_has_no_room_for_is_told_with_the_numbers() {
        let found = shortage(&quota("5500m", "4Gi"), &pool_spec(), 1, 3).unwrap();
        assert!(found.starts_with("1 of 3 pods are made: each takes 4 cores and 2048 MiB"), "{found}");
        assert!(found.contains("5.5 of 8 cores and 4096 of 8192 MiB are used"), "{found}");
        assert!(shortage(&quota("0", "7Gi"), &pool_spec(), 1, 3).is_some(), "memory alone is enough");
    }

    #[test]
    fn pods_that_are_made_or_that_there_is_room_for_are_no_shortage() {
        assert_eq!(shortage(&quota("8", "8Gi"), &pool_spec(), 2, 2), None);
        assert_eq!(shortage(&quota("4", "2Gi"), &pool_spec(), 1, 2), None, "it is on its way");
        assert_eq!(shortage(&json!({}), &pool_spec(), 1, 2), None, "nobody has counted yet");
    }
}
