//! A real Kubernetes for tests: built once, started on free ports in a folder of its own, gone with the test process.
//!
//! Nothing here is simulated but the nodes that kwok plays: there, a pod is Ready without running. What runs is the released
//! code of etcd and Kubernetes, with the authorisation, admission and controllers of a real cluster. There is no DNS, and
//! nothing enforces a NetworkPolicy.

mod client;
mod component;
mod control;
mod fault_proxy;
mod home;
mod node;
mod pki;
mod proxy;
mod start;
mod tools;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

pub use client::{Frozen, Part};
pub use fault_proxy::{Call, Fault, FaultProxy, Rule};
pub use node::{NODE_ADDRESS, REAL_NODE};
pub use proxy::Proxy;
pub use tools::{helm, prometheus_definitions, prometheus_folder};

use component::Component;
use control::Plan;
use home::Home;
use node::Node;

use crate::captures::project_root;
use crate::require::skip;

static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();
static NAMES: AtomicU32 = AtomicU32::new(0);

/// How much of a cluster a test needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// etcd and the apiserver: resources are stored, validated and watched; nothing acts on them.
    Api,
    /// Besides the controllers, the scheduler, and nodes that kwok plays.
    Full,
    /// Besides a real node, [`REAL_NODE`], with containerd and a kubelet that gives out whole cores. Needs root and two cores;
    /// one at a time on a machine, the others wait. The apiserver listens on [`NODE_ADDRESS`].
    Node,
}

/// What a cluster starts with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// How much of it there is.
    pub tier: Tier,
    /// How many nodes kwok plays: 32 cores, 256 GiB and 1,000 pods each, with the label `type: kwok`.
    pub fake_nodes: u32,
    /// Custom resource definitions, applied before the controllers start: those learn of later ones only after 30 s, and
    /// until then a quota refuses every object of such a type.
    pub definitions: Vec<PathBuf>,
    /// Whether the real node's kubelet gives whole cores away; else all pods may run on all of them.
    pub exclusive_cores: bool,
}

impl From<Tier> for Setup {
    /// Two nodes of kwok's, no custom resources, cores given away.
    fn from(tier: Tier) -> Self {
        Self { tier, fake_nodes: 2, definitions: Vec::new(), exclusive_cores: true }
    }
}

/// A running cluster. Dropped, it is gone: processes, containers and folder; a test that panics leaves the logs and says where.
#[derive(Debug)]
pub struct Cluster {
    // Dropped first: kills the components while their process ids cannot yet be another's.
    home: Home,
    plan: Plan,
    debian: Option<&'static Path>,
    components: Vec<Component>,
}

impl Cluster {
    /// Starts a cluster of the test's own, or says loudly that the test is skipped. For tests that break it or need it empty.
    ///
    /// # Panics
    /// If the cluster can be had and does not start.
    #[must_use]
    pub fn start(setup: impl Into<Setup>) -> Option<Self> {
        match Self::have(&setup.into()) {
            Ok(cluster) => Some(cluster),
            Err(why) => {
                skip(&why);
                None
            }
        }
    }

    /// The cluster that all tests of this process share, started by the first that asks; or a loud skip. It is a [`Tier::Full`]
    /// one with the project's own resources (`deploy/crds`). A test keeps to namespaces of its own ([`Cluster::unique_name`]).
    ///
    /// # Panics
    /// If the cluster can be had and does not start.
    #[must_use]
    pub fn shared() -> Option<&'static Self> {
        let shared = SHARED.get_or_init(|| {
            let mut setup = Setup::from(Tier::Full);
            let definitions = project_root().join("deploy/crds");
            setup.definitions.extend(definitions.is_dir().then_some(definitions));
            Self::have(&setup)
        });
        match shared {
            Ok(cluster) => Some(cluster),
            Err(why) => {
                skip(why);
                None
            }
        }
    }

    /// A name that no other test of this process has been given.
    #[must_use]
    pub fn unique_name(prefix: &str) -> String {
        format!("{prefix}-{}", NAMES.fetch_add(1, Ordering::Relaxed))
    }

    fn real_node(&self) -> Option<Node<'_>> {
        Some(Node { plan: &self.plan, debian: self.debian? })
    }
}
