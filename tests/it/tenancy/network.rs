//! What the tenants' network policies mean, read from the apiserver and decided as Kubernetes defines it: nothing in a test's cluster enforces
//! them, so who may reach whom is computed from selectors, ports and the labels of real pods and namespaces.

use std::collections::BTreeMap;
use std::net::IpAddr;

use pinion_tests::kube::Cluster;
use serde_json::{Value, json};

use super::desk;
use crate::desk::{becomes, tenant};

type Labels = BTreeMap<String, String>;

/// Someone at an end of a connection.
#[derive(Debug, Clone)]
struct End {
    namespace: String,
    namespace_labels: Labels,
    /// `None`: no pod, such as an address outside.
    labels: Option<Labels>,
    ip: IpAddr,
}

impl End {
    fn pod(cluster: &Cluster, namespace: &str, labels: &[(&str, &str)], ip: &str) -> Self {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Self { labels: Some(labels), ..Self::of(cluster, namespace, ip) }
    }

    fn of(cluster: &Cluster, namespace: &str, ip: &str) -> Self {
        let answer = cluster.ask(&["get", "namespace", namespace, "--output=json"]);
        let found: Value = serde_json::from_str(&answer).unwrap();
        let namespace_labels = serde_json::from_value(found["metadata"]["labels"].clone()).unwrap();
        Self { namespace: namespace.to_owned(), namespace_labels, labels: None, ip: ip.parse().unwrap() }
    }

    fn outside(ip: &str) -> Self {
        Self { namespace: String::new(), namespace_labels: Labels::new(), labels: None, ip: ip.parse().unwrap() }
    }
}

/// The policies of a cluster, as stored.
struct Policies(Vec<Value>);

impl Policies {
    fn read(cluster: &Cluster) -> Self {
        let answer = cluster.ask(&["get", "networkpolicies", "--all-namespaces", "--output=json"]);
        let mut list: Value = serde_json::from_str(&answer).unwrap();
        Self(serde_json::from_value(list["items"].take()).unwrap())
    }

    /// Both ends must allow it; an end that no policy selects allows everything.
    fn allow(&self, from: &End, to: &End, protocol: &str, port: u16) -> bool {
        self.allows(from, to, "Egress", (protocol, port)) && self.allows(to, from, "Ingress", (protocol, port))
    }

    fn allows(&self, at: &End, peer: &End, direction: &str, port: (&str, u16)) -> bool {
        let Some(labels) = &at.labels else { return true };
        let policies = self.0.iter().filter(|policy| {
            policy["metadata"]["namespace"] == at.namespace.as_str()
                && policy["spec"]["policyTypes"].as_array().unwrap().iter().any(|kind| kind == direction)
                && selects(&policy["spec"]["podSelector"], labels)
        });
        let policies: Vec<&Value> = policies.collect();
        let (rules, peers) = if direction == "Egress" { ("egress", "to") } else { ("ingress", "from") };
        let rules = policies.iter().flat_map(|policy| policy["spec"][rules].as_array().into_iter().flatten());
        policies.is_empty()
            || rules.into_iter().any(|rule| {
                let peers = rule[peers].as_array().map(Vec::as_slice).unwrap_or_default();
                let ports = rule["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
                (peers.is_empty() || peers.iter().any(|one| is_peer(one, peer, &at.namespace)))
                    && (ports.is_empty() || ports.iter().any(|one| is_port(one, port)))
            })
    }
}

fn selects(selector: &Value, labels: &Labels) -> bool {
    assert!(selector["matchExpressions"].is_null(), "not read here: {selector}");
    let wanted = selector["matchLabels"].as_object();
    wanted.is_none_or(|wanted| wanted.iter().all(|(key, value)| labels.get(key).map(String::as_str) == value.as_str()))
}

fn is_peer(peer: &Value, end: &End, own_namespace: &str) -> bool {
    if let Some(block) = peer["ipBlock"].as_object() {
        assert!(block.get("except").is_none(), "not read here: {peer}");
        return contains(block["cidr"].as_str().unwrap(), end.ip);
    }
    let Some(labels) = &end.labels else { return false };
    let namespace = match &peer["namespaceSelector"] {
        Value::Null => end.namespace == own_namespace,
        selector => selects(selector, &end.namespace_labels),
    };
    namespace && (peer["podSelector"].is_null() || selects(&peer["podSelector"], labels))
}

fn is_port(rule: &Value, (protocol, port): (&str, u16)) -> bool {
    let number = rule["port"].as_u64().unwrap_or_else(|| panic!("a port by its number: {rule}"));
    assert!(rule["endPort"].is_null(), "not read here: {rule}");
    rule["protocol"].as_str().unwrap_or("TCP") == protocol && number == u64::from(port)
}

fn contains(cidr: &str, ip: IpAddr) -> bool {
    let (network, bits) = cidr.split_once('/').unwrap();
    let bits: u32 = bits.parse().unwrap();
    match (network.parse().unwrap(), ip) {
        (IpAddr::V4(network), IpAddr::V4(ip)) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            u32::from(network) & mask == u32::from(ip) & mask
        }
        (IpAddr::V6(network), IpAddr::V6(ip)) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            u128::from(network) & mask == u128::from(ip) & mask
        }
        _ => false,
    }
}

#[test]
fn a_tenants_pods_reach_kafka_and_dns_and_are_reached_by_operator_and_monitoring_alone() {
    let (Some(first), Some(second)) = (desk(), desk()) else { return };
    let cluster = first.cluster;
    for (desk, egress) in [(&first, json!([])), (&second, json!([{"cidr": "0.0.0.0/0"}]))] {
        let mut resource = tenant(&desk.name, desk.broker);
        resource["spec"]["kafka"]["namespace"] = json!("kafka");
        resource["spec"]["kafka"]["brokers"] = json!(["kafka-0.kafka:9094", "203.0.113.7:9095"]);
        resource["spec"]["egress"] = egress;
        desk.apply(&resource);
        becomes(cluster, &desk.name, &format!("tenant/{}", desk.name), "Ready", "True", "AsSpecified");
        desk.apply(&crate::desk::pool(&desk.name, 1));
    }
    for name in ["kafka", "monitoring", "elsewhere"] {
        cluster.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}).to_string());
    }
    let _ = cluster.ask(&["label", "namespace", "monitoring", "pinion.dev/monitoring=true", "--overwrite"]);

    // The pods with the labels and the address that Kubernetes has given them.
    let runtime = |namespace: &str| {
        pinion_tests::wait::until("the pod's address", crate::desk::STEP, || {
            let output = cluster.kubectl(&["get", "pod", "default-0", "--namespace", namespace, "--output=json"]);
            let pod: Value = serde_json::from_slice(&output.stdout).ok()?;
            let labels: Labels = serde_json::from_value(pod["metadata"]["labels"].clone()).ok()?;
            let ip = pod["status"]["podIP"].as_str()?.to_owned();
            Some(End { labels: Some(labels), ..End::of(cluster, namespace, &ip) })
        })
    };
    let (a, b) = (runtime(&first.name), runtime(&second.name));
    // Somebody who came to run a pod in the second tenant's namespace, under whatever labels.
    let guise = |namespace: &str| End { namespace: namespace.to_owned(), ..b.clone() };
    let operator_name = [("app.kubernetes.io/name", "pinion-operator")];
    let operator = End::pod(cluster, "pinion-system", &operator_name, "10.0.0.2");
    let neighbour = End::pod(cluster, "pinion-system", &[("app", "other")], "10.0.0.3");
    let false_operator = End::pod(cluster, &second.name, &operator_name, "10.0.0.4");
    let prometheus = End::pod(cluster, "monitoring", &[("app", "prometheus")], "10.0.0.5");
    let kafka = End::pod(cluster, "kafka", &[("app", "kafka")], "10.0.0.6");
    let dns = End::pod(cluster, "kube-system", &[("k8s-app", "kube-dns")], "10.0.0.7");
    let stranger = End::pod(cluster, "elsewhere", &[], "10.0.0.8");
    let (broker, internet) = (End::outside("203.0.113.7"), End::outside("198.51.100.1"));

    let policies = Policies::read(cluster);
    let cases: [(&str, &End, &End, &str, u16, bool); 21] = [
        ("operator → admin port", &operator, &a, "TCP", 9101, true),
        ("monitoring → admin port", &prometheus, &a, "TCP", 9101, true),
        ("operator → another port", &operator, &a, "TCP", 22, false),
        ("a pod beside the operator → admin port", &neighbour, &a, "TCP", 9101, false),
        ("a pod of a namespace without policies → admin port", &stranger, &a, "TCP", 9101, false),
        ("the second tenant's pod → the first's admin port", &b, &a, "TCP", 9101, false),
        ("the second tenant's pod, whose tenant may go anywhere → any port of the first's", &b, &a, "TCP", 443, false),
        (
            "a pod of the second tenant that is labelled as the operator → admin port",
            &false_operator,
            &a,
            "TCP",
            9101,
            false,
        ),
        ("the first's own pod → its own kind", &a, &guise(&first.name), "TCP", 9101, false),
        ("outside → admin port", &internet, &a, "TCP", 9101, false),
        ("the first's pod → Kafka in the cluster", &a, &kafka, "TCP", 9094, true),
        ("the first's pod → Kafka by address", &a, &broker, "TCP", 9095, true),
        ("the first's pod → Kafka on a port that is not Kafka's", &a, &kafka, "TCP", 22, false),
        ("the first's pod → that address on another port", &a, &broker, "TCP", 443, false),
        ("the first's pod → DNS", &a, &dns, "UDP", 53, true),
        ("the first's pod → another port of DNS' pods", &a, &dns, "TCP", 8080, false),
        ("the first's pod → the internet", &a, &internet, "TCP", 443, false),
        ("the first's pod → the second's", &a, &b, "TCP", 9101, false),
        ("the first's pod → the operator", &a, &operator, "TCP", 8080, false),
        ("the second's pod → the internet, as its Tenant says", &b, &internet, "TCP", 443, true),
        ("the second's pod → a namespace without policies, as its Tenant says", &b, &stranger, "TCP", 80, true),
    ];
    for (what, from, to, protocol, port, allowed) in cases {
        assert_eq!(policies.allow(from, to, protocol, port), allowed, "{what}");
        println!("{}  {what} {protocol} {port}", if allowed { "yes" } else { " - " });
    }
}
