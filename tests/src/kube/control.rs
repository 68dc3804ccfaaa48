//! The control plane's programs and their flags.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::node::NODE_ADDRESS;
use super::pki::Pki;
use crate::kafka::free_port;

const SERVICES: &str = "10.96.0.0/16";

/// What the components of one cluster have to know of each other.
#[derive(Debug)]
pub(super) struct Plan {
    /// The cluster's folder: state, keys, logs.
    pub(super) folder: PathBuf,
    pub(super) bin: &'static Path,
    pub(super) pki: Pki,
    /// Where the apiserver listens.
    pub(super) host: IpAddr,
    pub(super) apiserver_port: u16,
    /// Addresses of the pods of nodes that do not exist, not those of another cluster on this machine; those of the real node have
    /// addresses of their own.
    pub(super) fake_pods: String,
    etcd: String,
}

impl Plan {
    pub(super) fn new(folder: PathBuf, bin: &'static Path, pki: Pki, host: IpAddr) -> Self {
        let etcd = format!("http://127.0.0.1:{}", free_port());
        let apiserver_port = free_port();
        let fake_pods = fake_pods(apiserver_port, 0);
        Self { folder, bin, pki, host, apiserver_port, fake_pods, etcd }
    }

    /// `https://HOST:PORT` of the apiserver.
    pub(super) fn server(&self) -> String {
        format!("https://{}:{}", self.host, self.apiserver_port)
    }

    /// Where the kubeconfig of a client of [`Pki`] lies.
    pub(super) fn kubeconfig(&self, client: &str) -> PathBuf {
        self.folder.join("kubeconfigs").join(client)
    }

    /// A program of the control plane that no proxy of the machine's environment comes between.
    pub(super) fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        command.env("NO_PROXY", "*");
        command
    }

    /// What the operator's account has asked for, one JSON object a line.
    pub(super) fn audit_log(&self) -> PathBuf {
        self.folder.join("logs/audit.log")
    }

    /// kubectl, as `cluster-admin`.
    pub(super) fn kubectl(&self) -> Command {
        self.client("kubectl")
    }

    /// A client's program, as `cluster-admin`. What it learns of the cluster it remembers in the cluster's folder: another
    /// test's cluster may come to have the same address.
    pub(super) fn client(&self, name: &str) -> Command {
        let mut command = self.program(name);
        command.env("KUBECONFIG", self.kubeconfig("admin")).env("KUBECACHEDIR", self.folder.join("cache"));
        command
    }

    pub(super) fn write_kubeconfigs(&self) -> Result<(), String> {
        for client in ["admin", "kwok", "controller-manager", "scheduler", "kubelet", "kube-proxy"] {
            let content = self.pki.kubeconfig(&self.server(), client);
            std::fs::write(self.kubeconfig(client), content).map_err(|error| format!("write a kubeconfig: {error}"))?;
        }
        Ok(())
    }

    pub(super) fn etcd(&self) -> Command {
        let peers = format!("http://127.0.0.1:{}", free_port());
        let mut etcd = self.program("etcd");
        // The store lives as long as its test: nothing is flushed to the disk.
        etcd.args(["--name=test", "--unsafe-no-fsync", "--log-level=warn"])
            .arg(flag("data-dir", self.folder.join("etcd")));
        for name in ["listen-client-urls", "advertise-client-urls"] {
            etcd.arg(format!("--{name}={}", self.etcd));
        }
        for name in ["listen-peer-urls", "initial-advertise-peer-urls"] {
            etcd.arg(format!("--{name}={peers}"));
        }
        etcd.arg(format!("--initial-cluster=test={peers}"));
        etcd
    }

    pub(super) fn apiserver(&self) -> Command {
        let mut apiserver = self.program("kube-apiserver");
        apiserver.args([
            // As on a real cluster: nodes and clients have the rights that they are given.
            "--authorization-mode=Node,RBAC",
            // The second is what some distributions have besides: who makes an owner hold up its own deletion must have a right to.
            "--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement",
            "--anonymous-auth=false",
            "--allow-privileged=true",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--kubelet-preferred-address-types=InternalIP",
            // Without these the controllers complain every few seconds.
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        ]);
        apiserver.arg(flag("audit-policy-file", super::tools::recipe_folder().join("audit.yaml")));
        apiserver.arg(flag("audit-log-path", self.audit_log()));
        apiserver.arg(format!("--etcd-servers={}", self.etcd));
        apiserver.arg(format!("--bind-address={}", self.host));
        apiserver.arg(format!("--secure-port={}", self.apiserver_port));
        // What the Service `kubernetes` leads to; it may not be a loopback address.
        apiserver.arg(format!("--advertise-address={NODE_ADDRESS}"));
        apiserver.arg(format!("--service-cluster-ip-range={SERVICES}"));
        for (name, file) in [
            ("tls-cert-file", "apiserver.crt"),
            ("tls-private-key-file", "apiserver.key"),
            ("client-ca-file", "ca.crt"),
            ("service-account-key-file", "service-accounts.crt"),
            ("service-account-signing-key-file", "service-accounts.key"),
            ("kubelet-client-certificate", "apiserver-kubelet-client.crt"),
            ("kubelet-client-key", "apiserver-kubelet-client.key"),
            ("kubelet-certificate-authority", "ca.crt"),
            ("requestheader-client-ca-file", "ca.crt"),
            ("proxy-client-cert-file", "front-proxy-client.crt"),
            ("proxy-client-key-file", "front-proxy-client.key"),
        ] {
            apiserver.arg(flag(name, self.pki.path(file)));
        }
        apiserver
    }

    pub(super) fn controller_manager(&self) -> Command {
        let mut manager = self.controller("kube-controller-manager", "controller-manager");
        manager.args([
            "--use-service-account-credentials",
            // Defaults are minutes: a test sees what a quota counts, and an autoscaler asks for, in seconds.
            "--resource-quota-sync-period=5s",
            "--horizontal-pod-autoscaler-sync-period=5s",
            // At the default rate it takes 4 s to reach the service accounts.
            "--kube-api-qps=200",
            "--kube-api-burst=400",
        ]);
        manager.arg(flag("service-account-private-key-file", self.pki.path("service-accounts.key")));
        manager.arg(flag("root-ca-file", self.pki.path("ca.crt")));
        manager.arg(flag("flex-volume-plugin-dir", self.folder.join("volume-plugins")));
        manager
    }

    pub(super) fn scheduler(&self) -> Command {
        self.controller("kube-scheduler", "scheduler")
    }

    /// Plays the kubelet of the nodes with its annotation, so that a real one can live beside.
    pub(super) fn kwok(&self) -> Command {
        let mut kwok = self.program("kwok");
        kwok.args(["--manage-all-nodes=false", "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake"]);
        kwok.args(["--node-ip=127.0.0.1", "--node-lease-duration-seconds=40", &format!("--cidr={}", self.fake_pods)]);
        kwok.arg(flag("kubeconfig", self.kubeconfig("kwok")));
        kwok.arg(flag("config", self.bin.join("kwok-stages.yaml")));
        kwok.arg(format!("--server-address=127.0.0.1:{}", free_port()));
        kwok
    }

    fn controller(&self, program: &str, client: &str) -> Command {
        let mut command = self.program(program);
        command.args(["--bind-address=127.0.0.1", "--leader-elect=false", &format!("--secure-port={}", free_port())]);
        for name in ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"] {
            command.arg(flag(name, self.kubeconfig(client)));
        }
        command
    }
}

/// How many ranges of addresses there are for pods of nodes that do not exist.
pub(super) const FAKE_POD_RANGES: u16 = 100;

/// One of them: clusters begin their search at different ones.
pub(super) fn fake_pods(apiserver_port: u16, turn: u16) -> String {
    format!("10.{}.0.0/16", 100 + (apiserver_port % FAKE_POD_RANGES + turn) % FAKE_POD_RANGES)
}

/// `--NAME=PATH`.
pub(super) fn flag(name: &str, path: impl AsRef<Path>) -> String {
    format!("--{name}={}", path.as_ref().display())
}

/// The manifests of nodes that kwok plays: 32 cores, 256 GiB and 1,000 pods each.
pub(super) fn fake_nodes(nodes: u32) -> String {
    let room = "{cpu: '32', memory: 256Gi, pods: '1000'}";
    let manifest = |n| {
        format!(
            "---\n\
             apiVersion: v1\n\
             kind: Node\n\
             metadata:\n\
             \x20 name: fake-{n}\n\
             \x20 annotations: {{kwok.x-k8s.io/node: fake}}\n\
             \x20 labels: {{type: kwok, kubernetes.io/hostname: fake-{n}, kubernetes.io/os: linux, kubernetes.io/arch: amd64}}\n\
             status: {{capacity: {room}, allocatable: {room}}}\n"
        )
    };
    (0..nodes).map(manifest).collect()
}
