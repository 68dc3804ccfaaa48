//! Clears away modules that `pinion deploy` has brought and that nothing needs any more. Their number has a limit, because they lie in
//! the store that all tenants share; and people of a tenant may make ConfigMaps and not delete them, for assignments are ConfigMaps.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ListParams;
use serde_json::Value as Json;

use super::{Context, Memory, RoundError};
use crate::cache::Key;
use crate::client::read;
use crate::clock::{mono_ns, now};
use crate::kinds::Kind;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(600);
/// A module is uploaded before the strategy that names it is changed, and may be named again by whoever tries two in turn.
const AGE_SECONDS_MIN: i64 = 3_600;
/// ConfigMaps that `pinion deploy` makes.
const LABELS: &str = "app.kubernetes.io/managed-by=pinion-cli";
/// How their names begin; the module's digest follows.
const PREFIX: &str = "pinion-module-";

/// Does so for a tenant, now and then.
pub(super) async fn modules(context: &Context, tenant: &str, memory: &mut Memory) -> Result<(), RoundError> {
    let now_ns = mono_ns();
    // The first time after a while: a new leader has enough to do.
    let since_ns = *memory.cleared_ns.get_or_insert(now_ns);
    if Duration::from_nanos(now_ns.saturating_sub(since_ns)) < EVERY {
        return Ok(());
    }
    memory.cleared_ns = Some(now_ns);
    let api = Api::<ConfigMap>::namespaced(context.writer.client.clone(), tenant);
    let params = ListParams::default().labels(LABELS);
    let listed = read(context.metrics(), api.list_metadata(&params)).await;
    let listed = listed.map_err(|source| RoundError::Read(tenant.to_owned(), source))?;
    let strategies = context.cache().list(Kind::Strategy, tenant);
    let needed = needed(strategies.iter().map(AsRef::as_ref));
    for map in listed.items {
        let name = map.metadata.name.unwrap_or_default();
        let made = map.metadata.creation_timestamp.map_or(i64::MAX, |made| made.0.as_second());
        if name.starts_with(PREFIX) && !needed.contains(&name) && now().as_second() - made > AGE_SECONDS_MIN {
            tracing::info!(tenant, name, "a module that nothing needs is cleared away");
            context.writer.delete(&Key { kind: Kind::ConfigMap, tenant: tenant.to_owned(), name }).await?;
        }
    }
    Ok(())
}

/// The ConfigMaps that strategies name, run, or ran before what they run.
fn needed<'a>(strategies: impl Iterator<Item = &'a Json>) -> BTreeSet<String> {
    let mut needed = BTreeSet::new();
    for strategy in strategies {
        let text = |path: &str| strategy.pointer(path).and_then(Json::as_str).filter(|text| !text.is_empty());
        needed.extend(text("/spec/module/configMap/name").map(str::to_owned));
        let digests = [text("/status/module/running"), text("/status/module/previous")];
        needed.extend(digests.into_iter().flatten().map(|digest| format!("{PREFIX}{digest}")));
    }
    needed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_named_what_runs_and_what_ran_before_is_needed() {
        let strategies = [
            json!({"spec": {"module": {"configMap": {"name": "mine", "key": "k"}}}, "status": {"module": {"running": "aa"}}}),
            json!({"spec": {"module": {"oci": "r"}}, "status": {"module": {"running": "bb", "previous": "cc"}}}),
            json!({"spec": {}}),
        ];
        let needed: Vec<String> = needed(strategies.iter()).into_iter().collect();
        assert_eq!(needed, ["mine", "pinion-module-aa", "pinion-module-bb", "pinion-module-cc"]);
    }
}
