//! `pinion-operator` as a process on a test's cluster.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use pinion_spec::metrics::Metric;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::captures::project_root;
use crate::http::{Answer, request};
use crate::kafka::free_port;
use crate::kube::Cluster;
use crate::programs::program;
use crate::runtime::sum;
use crate::scratch::Scratch;
use crate::wait::until;
use crate::watchdog;

/// Where the operator says that it runs.
pub const NAMESPACE: &str = "pinion-system";

/// Characters of the log that a failed test shows.
const LOG_SHOWN: usize = 8_000;

/// From SIGTERM to the end of the process.
const END: Duration = Duration::from_secs(10);

/// A running operator; killed with this value.
#[derive(Debug)]
pub struct Operator {
    child: Child,
    watchdog: Child,
    listen: SocketAddr,
    scratch: Scratch,
}

impl Operator {
    /// Starts one of this name on a cluster whose custom resources are defined, as `cluster-admin`, with the chart's roles of people.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(cluster: &Cluster, identity: &str) -> Self {
        Self::start_through(cluster, identity, &cluster.kubeconfig())
    }

    /// The same, with this kubeconfig.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_through(cluster: &Cluster, identity: &str, kubeconfig: &Path) -> Self {
        let namespace = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {NAMESPACE}}}}}");
        cluster.apply(&namespace);
        let chart = project_root().join("deploy/chart");
        // The image is for the Deployment, which is not shown; without one Helm renders nothing.
        let roles = ["--set", "image.repository=registry.example/none", "--show-only", "templates/rbac-people.yaml"];
        let rendered = cluster.helm(&[&["template", "pinion", chart.to_str().expect("UTF-8")], &roles[..]].concat());
        assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
        cluster.apply(&String::from_utf8_lossy(&rendered.stdout));
        Self::start_as(kubeconfig, identity)
    }

    /// Starts one of this name with the rights of a kubeconfig, as the chart installs it: nothing is prepared for it.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_as(kubeconfig: &Path, identity: &str) -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let args = ["--namespace", NAMESPACE, "--identity", identity, "--listen", &listen.to_string()];
        Self::spawn(kubeconfig, listen, &args.map(str::to_owned))
    }

    /// Stands in for a pod of the chart's Deployment, which kwok only plays: at the pod's address, under its name, with the arguments
    /// and the account that the chart gives it.
    ///
    /// # Panics
    /// If there is no such pod, or it does not start.
    #[must_use]
    pub fn stand_in(cluster: &Cluster, pod: &str) -> Self {
        let pod = cluster.ask(&["get", "pod", pod, "--namespace", NAMESPACE, "--output=json"]);
        let pod: Value = serde_json::from_str(&pod).expect("kubectl prints JSON");
        let text = |path: &str| pod.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("no {path}: {pod}"));
        let ip: IpAddr = text("/status/podIP").parse().expect("an address");
        let args = pod["spec"]["containers"][0]["args"].as_array().expect("arguments").iter();
        // A pod has all of its addresses to itself.
        let mut args: Vec<String> = args
            .map(|arg| arg.as_str().expect("a text").replace(&Ipv4Addr::UNSPECIFIED.to_string(), &ip.to_string()))
            .collect();
        let listen = args.iter().find_map(|arg| arg.parse().ok()).expect("an address to listen on");
        args.extend(["--namespace", NAMESPACE, "--identity", text("/metadata/name")].map(str::to_owned));
        Self::spawn(&cluster.kubeconfig_of(NAMESPACE, text("/spec/serviceAccountName")), listen, &args)
    }

    fn spawn(kubeconfig: &Path, listen: SocketAddr, args: &[String]) -> Self {
        let scratch = Scratch::new();
        let log = File::create(scratch.path().join("log")).expect("make a log file");
        let mut command = Command::new(program("pinion-operator", "pinion-operator"));
        command.args(args).arg("--kubeconfig").arg(kubeconfig).env("NO_PROXY", "*");
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("run pinion-operator");
        let watchdog = watchdog::watch(&child, scratch.path()).unwrap_or_else(|error| {
            let _ = child.kill();
            panic!("run sh: {error}")
        });
        Self { child, watchdog, listen, scratch }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.listen
    }

    /// `GET` of a path; `None` while nobody listens.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Answer> {
        request(self.listen, "GET", path, &[], &[]).ok()
    }

    /// A metric summed over all samples that have these labels; 0 where none has.
    #[must_use]
    pub fn metric(&self, metric: &Metric, labels: &[(&str, &str)]) -> f64 {
        self.get("/metrics").and_then(|answer| sum(&answer.body, metric, labels)).unwrap_or(0.0)
    }

    /// Its log so far: a JSON object a line.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.path().join("log")).unwrap_or_default()
    }

    /// Memory that it has in RAM now, and at most had, MiB.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn memory_mib(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a running process");
        let kib = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().trim_end_matches("kB").trim().parse().ok()
        };
        (kib("VmRSS:").unwrap_or(0) / 1024, kib("VmHWM:").unwrap_or(0) / 1024)
    }

    /// CPU time that it has had, seconds.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("a running process");
        let fields: Vec<f64> =
            stat.rsplit(')').next().unwrap_or_default().split(' ').filter_map(|field| field.parse().ok()).collect();
        // After the name and the state: utime and stime are the 11th and 12th, in hundredths of a second.
        (fields.get(10).unwrap_or(&0.0) + fields.get(11).unwrap_or(&0.0)) / 100.0
    }

    /// SIGKILL.
    pub fn kill9(mut self) {
        self.kill();
    }

    /// SIGTERM, and how it ended.
    ///
    /// # Panics
    /// If it has not ended within ten seconds.
    #[must_use]
    pub fn sigterm_and_wait(mut self) -> ExitStatus {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, Signal::TERM).expect("send SIGTERM");
        until("the operator to end", END, || self.child.try_wait().expect("ask for the process"))
    }

    fn kill(&mut self) {
        // The watchdog goes first: once the process is waited for, its id may be another's.
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let from = log.floor_char_boundary(log.len().saturating_sub(LOG_SHOWN));
            eprintln!("the operator's log:\n{}", &log[from..]);
        }
    }
}
