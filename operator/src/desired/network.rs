//! A tenant's network: nothing in or out, but for what is named here.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{Resource as _, ResourceExt as _};

use super::{meta, selector};
use crate::crd::Tenant;
use crate::names::{ADMIN_PORT, LABEL_MONITORING, LABEL_NAMESPACE, LABEL_OPERATOR, LABEL_RUNTIME, LABEL_TENANT};

/// The policies of a tenant. `operator_namespace` is where the operator runs.
#[must_use]
pub fn policies(tenant: &Tenant, operator_namespace: &str) -> Vec<NetworkPolicy> {
    let name = tenant.name_any();
    let policy = |policy_name: &str, spec: NetworkPolicySpec| NetworkPolicy {
        metadata: meta(Some(&name), policy_name, [(LABEL_TENANT, name.clone())], tenant.controller_owner_ref(&())),
        spec: Some(spec),
    };
    let runtime = || Some(selector([LABEL_RUNTIME]));
    let admin = || Some(vec![port("TCP", ADMIN_PORT)]);
    let ingress_from = |peer: NetworkPolicyPeer| NetworkPolicySpec {
        pod_selector: runtime(),
        ingress: Some(vec![NetworkPolicyIngressRule { from: Some(vec![peer]), ports: admin() }]),
        policy_types: Some(vec!["Ingress".into()]),
        ..NetworkPolicySpec::default()
    };
    let operator = NetworkPolicyPeer {
        namespace_selector: Some(selector([(LABEL_NAMESPACE, operator_namespace)])),
        pod_selector: Some(selector([LABEL_OPERATOR])),
        ip_block: None,
    };
    let monitoring =
        NetworkPolicyPeer { namespace_selector: Some(selector([LABEL_MONITORING])), ..NetworkPolicyPeer::default() };
    vec![
        policy(
            "default-deny",
            NetworkPolicySpec {
                pod_selector: Some(LabelSelector::default()),
                policy_types: Some(vec!["Ingress".into(), "Egress".into()]),
                ..NetworkPolicySpec::default()
            },
        ),
        policy("allow-dns", egress(vec![dns()])),
        policy("allow-kafka", egress(kafka(tenant))),
        policy("allow-egress", egress(named(tenant))),
        policy("allow-operator", ingress_from(operator)),
        policy("allow-metrics", ingress_from(monitoring)),
    ]
}

/// What the runtime's pods may reach. No rules mean nothing, not everything: an empty rule would.
fn egress(rules: Vec<NetworkPolicyEgressRule>) -> NetworkPolicySpec {
    NetworkPolicySpec {
        pod_selector: Some(selector([LABEL_RUNTIME])),
        egress: Some(rules),
        policy_types: Some(vec!["Egress".into()]),
        ..NetworkPolicySpec::default()
    }
}

fn dns() -> NetworkPolicyEgressRule {
    let peer = NetworkPolicyPeer {
        namespace_selector: Some(selector([(LABEL_NAMESPACE, "kube-system")])),
        pod_selector: Some(selector([("k8s-app", "kube-dns")])),
        ip_block: None,
    };
    NetworkPolicyEgressRule { to: Some(vec![peer]), ports: Some(vec![port("UDP", 53), port("TCP", 53)]) }
}

/// Kafka: its namespace, on any of the bootstrap servers' ports, and each broker that is named by address. A broker named by
/// host is not resolved here; it is in the namespace, or among the tenant's `egress`.
fn kafka(tenant: &Tenant) -> Vec<NetworkPolicyEgressRule> {
    let kafka = &tenant.spec.0.kafka;
    let brokers: Vec<(&str, u16)> = kafka
        .brokers
        .iter()
        .filter_map(|broker| broker.rsplit_once(':'))
        .filter_map(|(host, port)| Some((host.trim_matches(['[', ']']), port.parse().ok()?)))
        .collect();
    let ports: BTreeSet<u16> = brokers.iter().map(|(_, port)| *port).collect();
    let mut rules = Vec::new();
    if let Some(namespace) = &kafka.namespace {
        let peer = NetworkPolicyPeer {
            namespace_selector: Some(selector([(LABEL_NAMESPACE, namespace)])),
            ..NetworkPolicyPeer::default()
        };
        rules.push(to(peer, ports));
    }
    for (host, port) in brokers {
        if let Ok(address) = host.parse::<IpAddr>() {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            rules.push(to(block(&format!("{address}/{bits}")), [port]));
        }
    }
    rules
}

fn named(tenant: &Tenant) -> Vec<NetworkPolicyEgressRule> {
    let egress = &tenant.spec.0.egress;
    egress.iter().map(|egress| to(block(&egress.cidr), egress.ports.iter().copied())).collect()
}

/// Without ports: on all of them.
fn to(peer: NetworkPolicyPeer, ports: impl IntoIterator<Item = u16>) -> NetworkPolicyEgressRule {
    let ports: Vec<NetworkPolicyPort> = ports.into_iter().map(|number| port("TCP", number)).collect();
    NetworkPolicyEgressRule { to: Some(vec![peer]), ports: (!ports.is_empty()).then_some(ports) }
}

fn block(cidr: &str) -> NetworkPolicyPeer {
    let ip_block = Some(IPBlock { cidr: cidr.to_owned(), except: None });
    NetworkPolicyPeer { ip_block, ..NetworkPolicyPeer::default() }
}

fn port(protocol: &str, number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(number.into())),
        ..NetworkPolicyPort::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::tenant_resource;

    fn spec(tenant: &Tenant, name: &str) -> NetworkPolicySpec {
        let policies = policies(tenant, "pinion-system");
        policies.into_iter().find(|policy| policy.name_any() == name).unwrap().spec.unwrap()
    }

    #[test]
    fn everything_is_denied_both_ways_to_every_pod() {
        let deny = spec(&tenant_resource(), "default-deny");
        assert_eq!(deny.pod_selector, Some(LabelSelector::default()));
        assert_eq!(deny.policy_types.unwrap(), ["Ingress", "Egress"]);
        assert!(deny.ingress.is_none() && deny.egress.is_none());
    }

    #[test]
    fn no_rule_lets_everybody_in_or_everything_out() {
        let mut bare = tenant_resource();
        bare.spec.0.egress.clear();
        bare.spec.0.kafka.namespace = None;
        bare.spec.0.kafka.brokers = vec!["kafka.example:9092".into()];
        for tenant in [tenant_resource(), bare] {
            for policy in policies(&tenant, "pinion-system") {
                let spec = policy.spec.unwrap();
                let peers = spec.egress.iter().flatten().map(|rule| &rule.to);
                let peers: Vec<_> = peers.chain(spec.ingress.iter().flatten().map(|rule| &rule.from)).collect();
                assert!(peers.iter().all(|peers| peers.as_ref().is_some_and(|peers| !peers.is_empty())), "{peers:?}");
            }
        }
    }

    #[test]
    fn kafka_is_reached_in_its_namespace_and_at_its_addresses_on_its_ports() {
        let mut tenant = tenant_resource();
        tenant.spec.0.kafka.brokers.push("[2001:db8::7]:9095".into());
        let found = serde_json::to_value(spec(&tenant, "allow-kafka").egress).unwrap();
        let ports = |i: usize| -> Vec<u64> {
            found[i]["ports"].as_array().unwrap().iter().map(|port| port["port"].as_u64().unwrap()).collect()
        };
        assert_eq!(found[0]["to"][0]["namespaceSelector"]["matchLabels"][LABEL_NAMESPACE], "kafka");
        assert_eq!(ports(0), [9092, 9094, 9095]);
        assert_eq!((found[1]["to"][0]["ipBlock"]["cidr"].as_str(), ports(1)), (Some("10.9.8.7/32"), vec![9094]));
        assert_eq!((found[2]["to"][0]["ipBlock"]["cidr"].as_str(), ports(2)), (Some("2001:db8::7/128"), vec![9095]));
    }

    #[test]
    fn only_the_operator_and_monitoring_reach_the_admin_port() {
        let operator = serde_json::to_value(spec(&tenant_resource(), "allow-operator").ingress).unwrap();
        let from = &operator[0]["from"][0];
        assert_eq!(from["namespaceSelector"]["matchLabels"][LABEL_NAMESPACE], "pinion-system");
        assert_eq!(from["podSelector"]["matchLabels"][LABEL_OPERATOR.0], LABEL_OPERATOR.1);
        assert_eq!(operator[0]["ports"][0]["port"], ADMIN_PORT);
        let metrics = serde_json::to_value(spec(&tenant_resource(), "allow-metrics").ingress).unwrap();
        assert_eq!(metrics[0]["from"][0]["namespaceSelector"]["matchLabels"][LABEL_MONITORING.0], "true");
    }
}
