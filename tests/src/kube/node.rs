//! A real node: containerd, a kubelet that gives out whole cores, and kube-proxy.
//!
//! One at a time on a machine, since its address, its cgroup and its packet filter are the machine's; `node.sh` puts the
//! machine back as it was.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::control::{Plan, flag};
use super::tools::recipe_folder;
use crate::kafka::free_port;
use crate::wait;

/// The real node's name, also its label `kubernetes.io/hostname`.
pub const REAL_NODE: &str = "real-0";

/// The real node's address, on a veth pair of its own. A server that real pods are to reach listens here.
pub const NODE_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 97, 0, 1));

const POD_SUBNET: &str = "10.244.0.0/24";

/// Another test, of this process or another, may have the machine's only node.
const TURN_MAX: Duration = Duration::from_secs(600);

/// Why a real node cannot run on this machine.
pub(super) fn refusal() -> Option<String> {
    let controllers = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    if !rustix::process::geteuid().is_root() {
        Some("a real node needs root".into())
    } else if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        Some("a real node gives out a whole core and keeps one: two are needed".into())
    } else if !Path::new("/sys/fs/cgroup/cpuset").is_dir() && !controllers.contains("cpuset") {
        Some("a real node needs the cgroup controller cpuset".into())
    } else if !Command::new("ip").arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        Some("a real node needs the program ip (Debian's iproute2)".into())
    } else {
        None
    }
}

/// Waits for this machine's only node; it is taken for as long as the file is open, here or in a child that inherited it.
pub(super) fn take_turn() -> Result<File, String> {
    let path = std::env::temp_dir().join("pinion-kube-node.lock");
    let file = File::create(&path).map_err(|error| format!("create {}: {error}", path.display()))?;
    wait::within(TURN_MAX, || file.try_lock().ok())
        .ok_or_else(|| format!("another process has held {} for {TURN_MAX:?}", path.display()))?;
    Ok(file)
}

/// Makes the node's address and the folder `node`.
pub(super) fn prepare(folder: &Path, debian: &Path) -> Result<(), String> {
    if UnixStream::connect("/var/lib/kubelet/device-plugins/kubelet.sock").is_ok() {
        return Err("a kubelet runs on this machine already, and would lose its pods to a second one".into());
    }
    let mut script = Command::new(recipe_folder().join("node.sh"));
    script.arg("prepare").arg(folder).arg(NODE_ADDRESS.to_string()).arg(debian);
    let output = script.stdin(Stdio::null()).output().map_err(|error| format!("run node.sh: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("node.sh prepare: {}", String::from_utf8_lossy(&output.stderr)))
}

/// What the node's components have to know.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) plan: &'a Plan,
    /// The folder of Debian's unpacked packages.
    pub(super) debian: &'a Path,
}

impl Node<'_> {
    pub(super) fn containerd(&self) -> Result<Command, String> {
        let (node, debian) = (self.folder(), self.debian.display());
        let network = format!(
            // Routed, not bridged: the addresses of Services then work without the kernel's br_netfilter.
            r#"{{"cniVersion": "0.4.0", "name": "pinion-test", "plugins": [{{"type": "ptp", "ipMasq": false,
                "ipam": {{"type": "host-local", "dataDir": "{}", "ranges": [[{{"subnet": "{POD_SUBNET}"}}]],
                          "routes": [{{"dst": "0.0.0.0/0"}}]}}}}]}}"#,
            node.join("addresses").display()
        );
        std::fs::create_dir_all(node.join("cni")).map_err(|error| format!("make the folder cni: {error}"))?;
        write(&node.join("cni/10-pods.conflist"), &network)?;
        let config = format!(
            r#"
version = 2
root = "{node}/root"
state = "{node}/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{node}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  disable_apparmor = true
  disable_hugetlb_controller = true
  # A root without CAP_SYS_RESOURCE cannot set the sandbox's oom_score_adj of -998; runc then says "can't get final child's PID".
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{debian}/usr/lib/cni"
    conf_dir = "{node}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "{debian}/usr/sbin/runc"
      Root = "{node}/runc"
"#,
            node = node.display(),
        );
        write(&node.join("containerd.toml"), &config)?;
        let mut containerd = self.debian_program("containerd");
        containerd.arg("--config").arg(node.join("containerd.toml"));
        Ok(containerd)
    }

    pub(super) fn kubelet(&self, exclusive_cores: bool) -> Result<Command, String> {
        let (node, pki) = (self.folder(), &self.plan.pki);
        let policy = if exclusive_cores { "static" } else { "none" };
        let config = format!(
            "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://{node}/containerd.sock
address: {NODE_ADDRESS}
port: {port}
healthzPort: 0
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {authority}}}}}
authorization: {{mode: Webhook}}
tlsCertFile: {certificate}
tlsPrivateKeyFile: {key}
podLogsDir: {node}/pod-logs
volumePluginDir: {node}/volume-plugins
resolvConf: ''
failSwapOn: false
# This kubelet would refuse cgroup v1 from 1.35 on; containerd 1.6 cannot tell it the driver.
failCgroupV1: false
cgroupDriver: cgroupfs
# The static policy rounds the reservation up to a whole core, but takes only the 100m off what can be given out: a pod with a
# core of its own and small pods fit beside each other on two cores.
cpuManagerPolicy: {policy}
systemReserved: {{cpu: 100m, memory: 100Mi}}
cpuManagerReconcilePeriod: 2s
nodeStatusUpdateFrequency: 5s
# A full disk is the machine's business.
evictionHard: {{memory.available: 200Mi, nodefs.available: 1%, imagefs.available: 1%}}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
",
            node = node.display(),
            port = free_port(),
            authority = pki.path("ca.crt").display(),
            certificate = pki.path("kubelet-server.crt").display(),
            key = pki.path("kubelet-server.key").display(),
        );
        write(&node.join("kubelet.yaml"), &config)?;
        let mut kubelet = self.plan.program("kubelet");
        kubelet.arg(flag("config", node.join("kubelet.yaml")));
        kubelet.arg(flag("kubeconfig", self.plan.kubeconfig("kubelet")));
        kubelet.arg(flag("root-dir", node.join("kubelet")));
        kubelet.arg(format!("--hostname-override={REAL_NODE}")).arg(format!("--node-ip={NODE_ADDRESS}"));
        Ok(kubelet)
    }

    /// Leads the addresses of Services to their pods.
    pub(super) fn kube_proxy(&self) -> Result<Command, String> {
        let config = format!(
            "apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {{kubeconfig: {kubeconfig}}}
clusterCIDR: {POD_SUBNET}
hostnameOverride: {REAL_NODE}
healthzBindAddress: 127.0.0.1:{health_port}
metricsBindAddress: 127.0.0.1:{metrics_port}
# Left as the machine has them.
conntrack: {{maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}}
",
            kubeconfig = self.plan.kubeconfig("kube-proxy").display(),
            health_port = free_port(),
            metrics_port = free_port(),
        );
        write(&self.folder().join("kube-proxy.yaml"), &config)?;
        let mut proxy = self.plan.program("kube-proxy");
        // It runs nft, of Debian's packages.
        proxy.env("PATH", self.search_path()).env("LD_LIBRARY_PATH", self.debian.join("usr/lib/x86_64-linux-gnu"));
        proxy.arg(flag("config", self.folder().join("kube-proxy.yaml")));
        Ok(proxy)
    }

    pub(super) fn containerd_answers(&self) -> bool {
        self.ctr().arg("version").output().is_ok_and(|output| output.status.success())
    }

    pub(super) fn import_image(&self, tar: &Path) -> Result<(), String> {
        let output = self.ctr().args(["images", "import"]).arg(tar).output();
        let output = output.map_err(|error| format!("run ctr: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("import {}: {}", tar.display(), String::from_utf8_lossy(&output.stderr)))
    }

    /// containerd's own client.
    fn ctr(&self) -> Command {
        let mut ctr = self.debian_program("ctr");
        ctr.arg("--address").arg(self.folder().join("containerd.sock")).args(["--namespace", "k8s.io"]);
        ctr
    }

    fn debian_program(&self, name: &str) -> Command {
        let mut command = Command::new(self.debian.join("usr/bin").join(name));
        command.env("PATH", self.search_path());
        command
    }

    fn search_path(&self) -> String {
        let (debian, path) = (self.debian.display(), std::env::var("PATH").unwrap_or_default());
        format!("{debian}/usr/bin:{debian}/usr/sbin:{path}")
    }

    fn folder(&self) -> PathBuf {
        self.plan.folder.join("node")
    }
}

fn write(path: &Path, content: &str) -> Result<(), String> {
    std::fs::write(path, content).map_err(|error| format!("write {}: {error}", path.display()))
}
