//! One tenant, one pool and one strategy that fit each other, for the tests to bend.

use kube::Resource as _;
use pinion_spec::Strategy;
use pinion_spec::pool::RuntimePoolSpec;
use pinion_spec::tenant::TenantSpec;

use crate::crd::{RuntimePool, RuntimePoolResource, Tenant, TenantResource};

pub(crate) fn tenant() -> TenantSpec {
    serde_json::from_value(serde_json::json!({
        "access": {"view": ["desk-7"], "edit": ["desk-7-quants"], "risk": ["risk-officers"]},
        "quota": {"cores": 16, "memoryMiB": 32768, "strategies": 20},
        "kafka": {
            "brokers": ["kafka-0.kafka:9092", "10.9.8.7:9094"],
            "credentials": {"name": "kafka-client"},
            "namespace": "kafka",
            "topicPrefixes": ["desk-7."],
            "readTopics": ["md.shared"]
        },
        "registry": {
            "allowed": ["registry.example/desk-7", "other.example:5000"],
            "credentials": "registry",
            "authorities": {"name": "registry-ca"}
        },
        "egress": [{"cidr": "10.1.0.0/16", "ports": [443]}]
    }))
    .unwrap()
}

pub(crate) fn strategy() -> Strategy {
    let text = r#"
apiVersion: pinion.dev/v1alpha1
kind: Strategy
metadata: {name: ema-cross, namespace: desk-7}
spec:
  module: {configMap: {name: ema-cross-1, key: module.wasm}}
  inputs: [{topic: md.shared, encoding: binance-spot}]
  outputs: {orders: {topic: desk-7.orders}, denials: {topic: desk-7.denials}}
  instruments:
    - {symbol: BTCUSDT, tick: "0.01", lot: "0.00001"}
    - {symbol: ETHUSDT, tick: "0.01", lot: "0.0001"}
  risk: {maxOrderSize: "5", maxPosition: "25"}
"#;
    pinion_spec::parse(text, "fixture").unwrap().remove(0)
}

pub(crate) fn pool_spec() -> RuntimePoolSpec {
    serde_json::from_value(serde_json::json!({
        "image": "registry.example/pinion-runtime:0.1.0",
        "coresPerPod": 4,
        "memoryMiB": 2048,
        "nodeSelector": {"pinion.dev/cores": "exclusive"},
        "tolerations": [{"key": "dedicated", "value": "pinion", "effect": "NoSchedule"}],
        "wait": "spin"
    }))
    .unwrap()
}

pub(crate) fn tenant_resource() -> Tenant {
    let mut tenant = Tenant::new("desk-7", TenantResource(tenant()));
    tenant.meta_mut().uid = Some("11111111-1111-1111-1111-111111111111".into());
    tenant
}

pub(crate) fn pool() -> RuntimePool {
    let mut pool = RuntimePool::new("default", RuntimePoolResource(pool_spec()));
    pool.meta_mut().namespace = Some("desk-7".into());
    pool.meta_mut().uid = Some("22222222-2222-2222-2222-222222222222".into());
    pool
}

pub(crate) fn resource() -> crate::crd::Strategy {
    let mut resource = crate::crd::Strategy::new("ema-cross", crate::crd::StrategyResource(strategy().spec));
    resource.meta_mut().namespace = Some("desk-7".into());
    resource
}
