//! The `Strategy` resource: what `strategy.yaml` holds, on a laptop and in a cluster.
//!
//! Every limit that can be said in a schema is said here once: the operator derives the CRD from these types and
//! [`crate::parse`] checks files against the very same schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Decimal;
use crate::field_map::FieldMap;
use crate::oci::OCI_REFERENCE;
use crate::scaling::{Rollout, Scaling};

/// `apiVersion` of every resource of Pinion.
pub const API_VERSION: &str = "pinion.dev/v1alpha1";

/// What a Kubernetes name looks like.
pub(crate) const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// What Kafka allows in a topic's name.
pub(crate) const TOPIC_NAME: &str = "^[a-zA-Z0-9._-]+$";
/// What a publisher may be called.
pub(crate) const PUBLISHER_NAME: &str = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";
/// What an IANA time zone's name is made of; whether there is such a zone is asked of the database.
pub(crate) const ZONE_NAME: &str = "^[A-Za-z0-9_+/-]+$";
/// A time of day, 24 hours.
pub(crate) const TIME_OF_DAY: &str = "^([01][0-9]|2[0-3]):[0-5][0-9]$";
/// The one `apiVersion`.
pub(crate) const API_VERSION_ONLY: &str = r"^pinion\.dev/v1alpha1$";
/// The one `kind`.
pub(crate) const KIND_ONLY: &str = "^Strategy$";

/// A strategy: a module, what it reads, where its orders go, and its limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Strategy {
    /// `pinion.dev/v1alpha1`.
    #[schemars(regex(pattern = r"^pinion\.dev/v1alpha1$"))]
    pub api_version: String,
    /// `Strategy`.
    #[schemars(regex(pattern = KIND_ONLY))]
    pub kind: String,
    /// Name, tenant and labels.
    pub metadata: Metadata,
    /// What to run.
    pub spec: StrategySpec,
}

/// The part of Kubernetes' ObjectMeta that Pinion reads. Other fields of it are kept by Kubernetes and ignored here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metadata {
    /// The strategy's name: unique in its namespace, a DNS label.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub name: String,
    /// The tenant's namespace; `default` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub namespace: Option<String>,
}

/// The body of a `Strategy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StrategySpec {
    /// Where the compiled component is.
    pub module: ModuleSource,
    /// The Kafka topics that feed the strategy.
    #[schemars(length(min = 1, max = 16))]
    pub inputs: Vec<Input>,
    /// Where orders, denials and undecodable records go.
    pub outputs: Outputs,
    /// Tradable things, and what is known of them. Orders on anything else are denied.
    #[serde(default)]
    #[schemars(length(max = 10_000))]
    pub instruments: Vec<Instrument>,
    /// Handed to the strategy's `on-init`.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"type": "string", "maxLength": 4_096}))]
    pub params: BTreeMap<String, String>,
    /// What a call may cost.
    #[serde(default)]
    pub budget: Budget,
    /// What orders may do. Absent: conservative defaults, printed at start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
    /// The RuntimePool to run in; absent: the one called `default` (cluster only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 52), regex(pattern = DNS_LABEL))]
    pub pool: Option<String>,
    /// Workers (exclusive cores), capped by the number of shards. With `scaling.mode: Auto` only the number to begin with.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 256))]
    pub replicas: u32,
    /// Who decides how many workers there are (cluster only).
    #[serde(default)]
    pub scaling: Scaling,
    /// How a new module or new parameters take over (cluster only).
    #[serde(default)]
    pub rollout: Rollout,
    /// Runs nowhere: its shards are drained and their offsets kept. What rests at the venue is cancelled, as in every
    /// drain. To keep it running without new orders write `tradingState: HALTED` (cluster only).
    #[serde(default)]
    pub paused: bool,
    /// What the strategy may do from its start.
    #[serde(default)]
    pub trading_state: TradingState,
}

const fn one() -> u32 {
    1
}

/// Where a module comes from; exactly one of the fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModuleSource {
    /// A file, relative to the strategy file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub file: Option<String>,
    /// A module in a registry, by the digest of its manifest: `registry.example/name@sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = OCI_REFERENCE))]
    pub oci: Option<String>,
    /// A ConfigMap's binary entry (cluster only, small modules).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapKey>,
}

/// An entry of a ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigMapKey {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in its `binaryData`.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// One Kafka topic that a strategy reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// Topic name.
    #[schemars(length(min = 1, max = 249), regex(pattern = TOPIC_NAME))]
    pub topic: String,
    /// How its records are written.
    pub encoding: Encoding,
    /// Where the fields of a `json-map` stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<FieldMap>,
    /// Who published the data (`binance`, `desk-7`): half of an instrument's identity. Absent: the encoding's own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = PUBLISHER_NAME))]
    pub publisher: Option<String>,
    /// Partitions to read; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), inner(range(min = 0, max = 65_535)))]
    pub partitions: Option<Vec<u16>>,
    /// Where to start when the group has no committed offset.
    #[serde(default)]
    pub start: Start,
    /// Consumer group; absent: `pinion.<namespace>.<name>`. Strategies that name the same group share one reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249))]
    pub group: Option<String>,
    /// `static`: this process reads the partitions above. `group`: the group's members share them out.
    #[serde(default)]
    pub assignment: AssignmentMode,
    /// Every instance sees all partitions instead of its own.
    #[serde(default)]
    pub broadcast: bool,
    /// What mends a book whose sequence broke.
    #[serde(default)]
    pub resync: Resync,
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Binance spot, combined-stream or bare JSON frames: trade, aggTrade, bookTicker, depthUpdate.
    BinanceSpot,
    /// Binance USD-M futures, the same, and REST depth snapshots.
    BinanceUsdm,
    /// Coinbase Exchange's feed: level2, ticker, matches.
    CoinbaseExchange,
    /// Kraken's spot API, version 1: book, with its checksum, spread, ticker, trade.
    KrakenV1,
    /// Kraken Futures, version 1: book, ticker, ticker_lite, trade.
    KrakenFutures,
    /// Databento's binary encoding, versions 1 to 3: bare records, many to a Kafka record.
    Dbn,
    /// An in-house feed's JSON: the input's `map` says where its fields stand.
    JsonMap,
    /// Pinion's flat record: fixed layout, many to a Kafka record.
    PinionFlat,
    /// Pinion's execution reports: what became of orders.
    PinionExecution,
}

impl Strategy {
    /// Whose strategy it is: the namespace, `default` where there is none.
    #[must_use]
    pub fn tenant(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or("default")
    }

    /// The consumer group that reads for it: the one its inputs name (they name at most one), else `pinion.<tenant>.<name>`.
    #[must_use]
    pub fn group(&self) -> String {
        match self.spec.inputs.iter().find_map(|input| input.group.clone()) {
            Some(group) => group,
            None => format!("pinion.{}.{}", self.tenant(), self.metadata.name),
        }
    }
}

impl StrategySpec {
    /// The RuntimePool that it runs in.
    #[must_use]
    pub fn pool_name(&self) -> &str {
        self.pool.as_deref().unwrap_or("default")
    }
}

impl Input {
    /// The publisher that it names, else its encoding's own name.
    #[must_use]
    pub fn publisher_name(&self) -> &str {
        self.publisher.as_deref().unwrap_or(self.encoding.name())
    }
}

impl Encoding {
    /// The name in strategy files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BinanceSpot => "binance-spot",
            Self::BinanceUsdm => "binance-usdm",
            Self::CoinbaseExchange => "coinbase-exchange",
            Self::KrakenV1 => "kraken-v1",
            Self::KrakenFutures => "kraken-futures",
            Self::Dbn => "dbn",
            Self::JsonMap => "json-map",
            Self::PinionFlat => "pinion-flat",
            Self::PinionExecution => "pinion-execution",
        }
    }

    /// Whether its records are market data; the others say what became of orders.
    #[must_use]
    pub const fn is_market_data(self) -> bool {
        !matches!(self, Self::PinionExecution)
    }

    /// Every encoding, in the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::BinanceSpot,
        Self::BinanceUsdm,
        Self::CoinbaseExchange,
        Self::KrakenV1,
        Self::KrakenFutures,
        Self::Dbn,
        Self::JsonMap,
        Self::PinionFlat,
        Self::PinionExecution,
    ];
}

/// Where to start without a committed offset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// At the oldest record kept.
    Earliest,
    /// At records that arrive from now on.
    #[default]
    Latest,
}

/// Who decides which partitions a process reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AssignmentMode {
    /// The strategy file or the operator.
    #[default]
    Static,
    /// Kafka's consumer group protocol, cooperative.
    Group,
}

/// What mends a book whose sequence broke.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Resync {
    /// Only a snapshot in the stream; until then orders on the instrument are denied.
    #[default]
    Snapshot,
    /// The updates that follow: the book starts again from them.
    Rebuild,
}

/// Where results go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Outputs {
    /// Approved orders, modifies and cancels.
    pub orders: OrderOutput,
    /// Denied intents with their reasons (audit).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denials: Option<TopicOutput>,
    /// Records that could not be decoded, as they came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<TopicOutput>,
}

/// The orders topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrderOutput {
    /// Topic name.
    #[schemars(length(min = 1, max = 249), regex(pattern = TOPIC_NAME))]
    pub topic: String,
    /// How orders are written.
    #[serde(default)]
    pub encoding: OrderEncoding,
}

/// A topic that is only written to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TopicOutput {
    /// Topic name.
    #[schemars(length(min = 1, max = 249), regex(pattern = TOPIC_NAME))]
    pub topic: String,
}

/// How orders are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OrderEncoding {
    /// One JSON object.
    #[default]
    Json,
    /// Pinion's flat record.
    PinionFlat,
}

/// A tradable thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Instrument {
    /// The venue's symbol, as in its records.
    #[schemars(length(min = 1, max = 64))]
    pub symbol: String,
    /// The publisher that carries it; absent: the file's only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = PUBLISHER_NAME))]
    pub publisher: Option<String>,
    /// Its number; absent: a stable hash of publisher and symbol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// Prices are multiples of this.
    pub tick: Decimal,
    /// Sizes are multiples of this.
    pub lot: Decimal,
    /// Sizes are integers at 10 to this power. Larger than -9 for things traded by the billion.
    #[serde(default = "minus_nine")]
    #[schemars(range(min = -9, max = 0))]
    pub size_exponent: i8,
}

const fn minus_nine() -> i8 {
    -9
}

/// What one call and one instance may cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Budget {
    /// CPU time of one callback, microseconds.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub call_micros: u32,
    /// Linear memory of one instance, MiB.
    #[serde(rename = "memoryMiB")]
    #[schemars(range(min = 1, max = 1024))]
    pub memory_mib: u32,
    /// Intents of one callback.
    #[schemars(range(min = 1, max = 256))]
    pub intents_per_call: u32,
    /// Log bytes a second.
    #[schemars(range(min = 0, max = 1_048_576))]
    pub log_bytes_per_second: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { call_micros: 1_000, memory_mib: 64, intents_per_call: 16, log_bytes_per_second: 16_384 }
    }
}

/// Pre-trade limits of one instance. Modelled on SEC 15c3-5 and MiFID II RTS 6.
///
/// The defaults are conservative on purpose: a file without `risk` can send little and rarely.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Risk {
    /// Largest size of one order, base units.
    pub max_order_size: Decimal,
    /// Largest price times size of one order, quote currency.
    pub max_order_notional: Decimal,
    /// How far a price may lie beyond the far side of the book, basis points.
    #[schemars(range(min = 1, max = 10_000))]
    pub price_collar_bps: u32,
    /// New orders and modifies in any second of stream time. Cancels count but always pass.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub messages_per_second: u32,
    /// Working orders at once.
    #[schemars(range(min = 1, max = 4096))]
    pub max_open_orders: u32,
    /// Largest position, long or short, that would result if every working order on one side filled; base units.
    pub max_position: Decimal,
    /// A book or quote older than this (stream time) blocks orders on its instrument, milliseconds.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub stale_after_millis: u32,
    /// Symbols that may be traded; absent: all of `instruments`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 10_000), inner(length(min = 1, max = 64)))]
    pub instruments: Option<Vec<String>>,
}

impl Default for Risk {
    fn default() -> Self {
        Self {
            max_order_size: Decimal::from_units(1),
            max_order_notional: Decimal::from_units(10_000),
            price_collar_bps: 100,
            messages_per_second: 10,
            max_open_orders: 10,
            max_position: Decimal::from_units(1),
            stale_after_millis: 5_000,
            instruments: None,
        }
    }
}

/// What a strategy may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TradingState {
    /// Everything inside its limits.
    #[default]
    Active,
    /// Only orders that bring a position nearer to zero, and cancels.
    Reducing,
    /// Only cancels.
    Halted,
}

impl TradingState {
    /// The name in strategy files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Reducing => "REDUCING",
            Self::Halted => "HALTED",
        }
    }
}
