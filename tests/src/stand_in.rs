//! `pinion-runtime` in the place of a pod that kwok only plays: at the pod's address, under its name, with its tenant's token.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use base64::Engine as _;

use crate::door::Door;
use crate::kafka::{Broker, free_port};
use crate::kube::Cluster;
use crate::runtime::Runtime;
use crate::scratch::Scratch;
use crate::wait::until;

/// Until the scheduler and kwok have given the pod a node and an address.
const SCHEDULED: Duration = Duration::from_secs(60);

/// The port that the operator calls.
const ADMIN_PORT: u16 = 9101;

/// Where pods have the entries of the Secret with their Kafka credentials.
const KAFKA_MOUNT: &str = "/etc/pinion/kafka";

/// A pod's process; killed with this value.
#[derive(Debug)]
pub struct StandIn {
    /// The process.
    pub runtime: Runtime,
    /// Its admin port.
    pub address: SocketAddr,
    args: Vec<String>,
    token: String,
    /// What outlives the process.
    home: Scratch,
}

impl StandIn {
    /// Waits for the pod and starts its process.
    ///
    /// # Panics
    /// If the pod does not come or the process does not start.
    #[must_use]
    pub fn start(cluster: &Cluster, broker: &Broker, namespace: &str, pool: &str, pod: &str, workers: u16) -> Self {
        Self::start_with(cluster, broker, namespace, pool, pod, workers, &[])
    }

    /// The same, with what the pod's volumes have of Secrets and ConfigMaps: for each the flag of the pod's command line, what is
    /// mounted, such as `secret/registry`, and the key in its data. The files are as they are now.
    ///
    /// # Panics
    /// If the pod or one of them does not come, or the process does not start.
    #[must_use]
    pub fn start_with(
        cluster: &Cluster,
        broker: &Broker,
        namespace: &str,
        pool: &str,
        pod: &str,
        workers: u16,
        mounted: &[(&str, &str, &str)],
    ) -> Self {
        assert!(pod.starts_with(pool), "{pod} is no pod of {pool}");
        let read = |what: &str, path: &str| {
            let output = cluster.kubectl(&["get", "--namespace", namespace, what, "--output", path]);
            let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            (output.status.success() && !text.is_empty()).then_some(text)
        };
        let ip = until("an address that is the pod's alone", SCHEDULED, || {
            let ip = read(&format!("pod/{pod}"), "jsonpath={.status.podIP}")?;
            // Under a burst of deletions kwok now and then gives one address to two pods; the operator makes this one anew.
            let shared = addresses(cluster).iter().filter(|other| **other == ip).count() > 1;
            if shared {
                let _ = cluster.kubectl(&["delete", "--namespace", namespace, &format!("pod/{pod}"), "--wait=true"]);
            }
            (!shared).then_some(ip)
        });
        let token = until("the admin token", SCHEDULED, || read("secret/pinion-admin-token", "jsonpath={.data.token}"));
        let token = base64::engine::general_purpose::STANDARD.decode(token).expect("a Secret's data is base64");
        let token = String::from_utf8(token).expect("a token in UTF-8");
        let ip: IpAddr = ip.parse().expect("an address");

        let home = Scratch::new();
        let path = |path: std::path::PathBuf| path.to_str().expect("a path in UTF-8").to_owned();
        let token_file = path(home.write("token", &token));
        let (file, state) = (path(home.path().join("assignment.json")), path(home.path().join("state")));
        let workers = workers.to_string();
        let args = [
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
        let mut args: Vec<String> = args.map(str::to_owned).into();
        for (flag, what, key) in mounted {
            let entries = until(what, SCHEDULED, || {
                let entries: BTreeMap<String, String> = serde_json::from_str(&read(what, "jsonpath={.data}")?).ok()?;
                entries.contains_key(*key).then_some(entries)
            });
            let folder = home.path().join(flag.trim_start_matches('-'));
            std::fs::create_dir(&folder).expect("make a folder");
            for (name, data) in entries {
                let data = match what.starts_with("secret/") {
                    true => base64::engine::general_purpose::STANDARD.decode(data).expect("a Secret's data is base64"),
                    false => data.into_bytes(),
                };
                // What names its neighbours by where the pod has them finds them where they are here.
                let data = match String::from_utf8(data) {
                    Ok(text) => text.replace(KAFKA_MOUNT, folder.to_str().expect("a path in UTF-8")).into_bytes(),
                    Err(error) => error.into_bytes(),
                };
                std::fs::write(folder.join(name), data).expect("write an entry");
            }
            args.extend([(*flag).to_owned(), path(folder.join(key))]);
        }
        let address = SocketAddr::new(ip, ADMIN_PORT);
        // kwok gives the address of a pod that is gone to the next, and who stood in for that one may still be there.
        until("the pod's address to be free", SCHEDULED, || TcpListener::bind(address).ok().map(drop));
        let runtime = process(address, broker, &args, &token);
        Self { runtime, address, args, token, home }
    }

    /// Puts a door before its admin port, at the pod's address: the process starts anew behind it.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn behind_a_door(self, broker: &Broker) -> (Self, Door) {
        let Self { runtime, address: at, args, token, home } = self;
        runtime.kill9();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let door = Door::open(at, address);
        (Self { runtime: process(address, broker, &args, &token), address, args, token, home }, door)
    }

    /// Kills the process and starts another one in its place, as the kubelet does with a container: what lies on the pod's volumes
    /// is still there.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn kill9_and_restart(self, broker: &Broker) -> Self {
        let Self { runtime, address, args, token, home } = self;
        runtime.kill9();
        Self { runtime: process(address, broker, &args, &token), address, args, token, home }
    }

    /// The folder that outlives the process.
    #[must_use]
    pub fn home(&self) -> &std::path::Path {
        self.home.path()
    }
}

fn process(address: SocketAddr, broker: &Broker, args: &[String], token: &str) -> Runtime {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Runtime::start_at(address, &[], &broker.address(), &args).with_token(token)
}

/// The addresses of all pods.
fn addresses(cluster: &Cluster) -> Vec<String> {
    let path = r#"jsonpath={range .items[*]}{.status.podIP}{"\n"}{end}"#;
    let output = cluster.kubectl(&["get", "pods", "--all-namespaces", "--output", path]);
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}
