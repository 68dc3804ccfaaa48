//! `pinion-runtime` in the place of a pod that kwok only plays: at the pod's address, under its name, with its pool's token.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

use base64::Engine as _;

use crate::kafka::Broker;
use crate::kube::Cluster;
use crate::runtime::Runtime;
use crate::scratch::Scratch;
use crate::wait::until;

/// Until the scheduler and kwok have given the pod a node and an address.
const SCHEDULED: Duration = Duration::from_secs(60);

/// The port that the operator calls.
const ADMIN_PORT: u16 = 9101;

/// A pod's process; killed with this value.
#[derive(Debug)]
pub struct StandIn {
    /// The process.
    pub runtime: Runtime,
    /// Its admin port.
    pub address: SocketAddr,
    _home: Scratch,
}

impl StandIn {
    /// Waits for the pod and starts its process.
    ///
    /// # Panics
    /// If the pod does not come or the process does not start.
    #[must_use]
    pub fn start(cluster: &Cluster, broker: &Broker, namespace: &str, pool: &str, pod: &str, workers: u16) -> Self {
        Self::start_with(cluster, broker, namespace, pool, pod, workers, None)
    }

    /// The same with properties of Kafka's client, as a Secret would hold them.
    ///
    /// # Panics
    /// As [`StandIn::start`].
    #[must_use]
    pub fn start_with(
        cluster: &Cluster,
        broker: &Broker,
        namespace: &str,
        pool: &str,
        pod: &str,
        workers: u16,
        properties: Option<&str>,
    ) -> Self {
        let read = |what: &str, path: &str| {
            let output = cluster.kubectl(&["get", "--namespace", namespace, what, "--output", path]);
            let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            (output.status.success() && !text.is_empty()).then_some(text)
        };
        let ip = until("the pod's address", SCHEDULED, || read(&format!("pod/{pod}"), "jsonpath={.status.podIP}"));
        let token = until("the admin token", SCHEDULED, || {
            read(&format!("secret/{pool}-admin-token"), "jsonpath={.data.token}")
        });
        let token = base64::engine::general_purpose::STANDARD.decode(token).expect("a Secret's data is base64");
        let token = String::from_utf8(token).expect("a token in UTF-8");
        let ip: IpAddr = ip.parse().expect("an address");

        let home = Scratch::new();
        let path = |path: std::path::PathBuf| path.to_str().expect("a path in UTF-8").to_owned();
        let token_file = path(home.write("token", &token));
        let (file, state) = (path(home.path().join("assignment.json")), path(home.path().join("state")));
        let workers = workers.to_string();
        let properties = properties.map(|properties| path(home.write("kafka.properties", properties)));
        let mut args = vec![
            "--assignment",
            &file,
            "--pod",
            pod,
            "--state",
            &state,
            "--admin-token-file",
            &token_file,
            "--workers",
            &workers,
        ];
        args.extend(properties.iter().flat_map(|file| ["--kafka-properties", file.as_str()]));
        let address = SocketAddr::new(ip, ADMIN_PORT);
        // kwok gives the address of a pod that is gone to the next, and who stood in for that one may still be there.
        until("the pod's address to be free", SCHEDULED, || TcpListener::bind(address).ok().map(drop));
        let runtime = Runtime::start_at(address, &[], &broker.address(), &args).with_token(&token);
        Self { runtime, address, _home: home }
    }
}
