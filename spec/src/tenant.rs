//! The `Tenant` resource: who may do what, how much of the cluster and of Kafka is theirs, and how far their risk limits
//! may go. A tenant's namespace has the tenant's name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Decimal;
use crate::oci::OCI_PREFIX;
use crate::strategy::{DNS_LABEL, TOPIC_NAME};

/// What a tenant is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantSpec {
    /// Whom the identity provider's groups make of its users.
    #[serde(default)]
    pub access: Access,
    /// How much of the cluster is theirs.
    pub quota: Quota,
    /// Their Kafka identity and topics.
    pub kafka: TenantKafka,
    /// Upper bounds of each strategy's risk limits. Absent: the strategies' own limits hold.
    #[serde(default)]
    pub risk: RiskCeilings,
    /// The registries that their strategies' modules may come from. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<TenantRegistry>,
    /// What their pods may reach besides Kafka and DNS, such as a registry of modules.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub egress: Vec<Egress>,
    /// Every strategy is HALTED, whatever it says itself.
    #[serde(default)]
    pub suspended: bool,
}

/// Groups of the cluster's identity provider (OIDC), by what their members may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Access {
    /// See strategies, pools, pods, their logs and events.
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    pub view: Vec<String>,
    /// Also deploy, change and delete strategies. Pools name an image and nodes, so they are the platform's.
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    pub edit: Vec<String>,
    /// See all that `view` does, and change strategies in place: halt and resume them, set their limits. They create and delete none.
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    pub risk: Vec<String>,
}

/// How much of the cluster a tenant may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Quota {
    /// Exclusive cores of all their pods.
    #[schemars(range(min = 1, max = 65_536))]
    pub cores: u32,
    /// Memory of all their pods, MiB.
    #[serde(rename = "memoryMiB")]
    #[schemars(range(min = 128, max = 67_108_864))]
    pub memory_mib: u32,
    /// Strategies.
    #[schemars(range(min = 1, max = 1_000))]
    pub strategies: u32,
}

/// A tenant's Kafka identity, and the topics that are theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantKafka {
    /// Bootstrap servers, `host:port`.
    #[schemars(
        length(min = 1, max = 16),
        inner(length(min = 3, max = 260), regex(pattern = "^([A-Za-z0-9.-]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5}$"))
    )]
    pub brokers: Vec<String>,
    /// The Secret in their namespace with the client's properties: TLS, SASL. Absent: a Kafka without either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<SecretKey>,
    /// The namespace that the brokers' pods run in. Absent: they are outside of the cluster, and those that are not named by
    /// address must be among `egress`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub namespace: Option<String>,
    /// Topics (and consumer groups) that begin with one of these are theirs to read and write.
    #[serde(default)]
    #[schemars(length(max = 16), inner(length(min = 1, max = 249), regex(pattern = TOPIC_NAME)))]
    pub topic_prefixes: Vec<String>,
    /// Topics of others that they may read as well, such as shared market data.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(min = 1, max = 249), regex(pattern = TOPIC_NAME)))]
    pub read_topics: Vec<String>,
}

/// Where a tenant's modules may come from (`module.oci`). Their pods pull; `egress` must let them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantRegistry {
    /// Registries, or repositories in them with all that is below: `registry.example`, `registry.example:5000/desk-7`.
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 512), regex(pattern = OCI_PREFIX)))]
    pub allowed: Vec<String>,
    /// The Secret in their namespace, of type `kubernetes.io/dockerconfigjson`, with the credentials. Absent: registries that want none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub credentials: Option<String>,
    /// The ConfigMap in their namespace with certificates of authorities that registries are trusted by, besides public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<Authorities>,
}

/// Certificates of authorities, PEM, in an entry of a ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authorities {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in its `data`.
    #[serde(default = "ca_crt")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn ca_crt() -> String {
    "ca.crt".into()
}

/// An entry of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKey {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in its `data`.
    #[serde(default = "client_properties")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn client_properties() -> String {
    "client.properties".into()
}

/// Upper bounds of a strategy's risk limits, each as in [`crate::strategy::Risk`]. A strategy that asks for more gets
/// the bound.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RiskCeilings {
    /// Largest size of one order, base units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_order_size: Option<Decimal>,
    /// Largest price times size of one order, quote currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_order_notional: Option<Decimal>,
    /// Furthest that a price may be from the market, basis points.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub price_collar_bps: Option<u32>,
    /// Submits, modifies and cancels in any second.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub messages_per_second: Option<u32>,
    /// Orders that may work at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_096))]
    pub max_open_orders: Option<u32>,
    /// Largest position if every working order of a side filled, base units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_position: Option<Decimal>,
    /// Oldest market that an order may be measured at, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3_600_000))]
    pub stale_after_millis: Option<u32>,
    /// Symbols that may be traded. Absent: all that a strategy declares.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1_000), inner(length(min = 1, max = 64)))]
    pub instruments: Option<Vec<String>>,
}

/// What pods may reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Egress {
    /// Addresses, such as `10.1.0.0/16`.
    #[schemars(length(min = 4, max = 43), regex(pattern = "^[0-9A-Fa-f:.]+/[0-9]{1,3}$"))]
    pub cidr: String,
    /// TCP ports. Absent: all.
    #[serde(default)]
    #[schemars(length(max = 16), inner(range(min = 1, max = 65_535)))]
    pub ports: Vec<u16>,
}
