//! How a cluster comes up, step by step.

use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use super::component::Component;
use super::control::{FAKE_POD_RANGES, Plan, fake_nodes, fake_pods};
use super::home::Home;
use super::node::{self, NODE_ADDRESS, Node};
use super::pki::Pki;
use super::{Cluster, Setup, Tier, tools};
use crate::wait;

/// A step takes 5 s at most on a quiet machine; one whose cores compile something else takes a multiple.
const STEP_MAX: Duration = Duration::from_secs(120);

/// How often a cluster is started whose ports are taken from it.
const TRIES: u32 = 3;

impl Cluster {
    /// A cluster, or why there can be none on this machine.
    ///
    /// # Panics
    /// If there can be one and it does not start.
    pub(super) fn have(setup: &Setup) -> Result<Self, String> {
        let refusal = if setup.tier == Tier::Node { node::refusal() } else { None };
        if let Some(why) = refusal {
            return Err(why);
        }
        let bin = tools::control()?;
        let debian = if setup.tier == Tier::Node { Some(tools::node()?) } else { None };
        let mut tries = 0;
        loop {
            tries += 1;
            let mut cluster = Self::make(bin, debian).unwrap_or_else(|why| panic!("prepare a cluster: {why}"));
            let Err(why) = cluster.bring_up(setup) else { return Ok(cluster) };
            // Between a port's being found free and its being taken, another process may take it.
            let again = tries < TRIES && why.contains("address already in use");
            assert!(again, "start a cluster: {why}");
        }
    }

    /// A cluster of which nothing runs yet.
    fn make(bin: &'static Path, debian: Option<&'static Path>) -> Result<Self, String> {
        let home = Home::make(debian.map(|_| node::take_turn()).transpose()?)?;
        let host = if debian.is_some() { NODE_ADDRESS } else { IpAddr::V4(Ipv4Addr::LOCALHOST) };
        let pki = Pki::make(home.path().join("pki"))?;
        let plan = Plan::new(home.path().to_owned(), bin, pki, host);
        Ok(Self { home, plan, debian, components: Vec::new() })
    }

    fn bring_up(&mut self, setup: &Setup) -> Result<(), String> {
        self.plan.write_kubeconfigs()?;
        if let Some(debian) = self.debian {
            node::prepare(self.home.path(), debian)?;
        }
        self.run("etcd", self.plan.etcd())?;
        self.run("apiserver", self.plan.apiserver())?;
        self.wait_until("the apiserver is ready", |plan| {
            TcpStream::connect((plan.host, plan.apiserver_port)).is_ok()
                && answers(plan, &["get", "--raw", "/readyz"]).is_some()
        })?;
        self.define(setup)?;
        if setup.tier == Tier::Api {
            return Ok(());
        }
        self.run("controller-manager", self.plan.controller_manager())?;
        self.run("scheduler", self.plan.scheduler())?;
        self.reach_fake_pods()?;
        self.run("kwok", self.plan.kwok())?;
        if setup.fake_nodes > 0 {
            must(&self.try_apply(&fake_nodes(setup.fake_nodes)), "make the nodes")?;
        }
        if let Some(debian) = self.debian {
            self.bring_up_node(debian, setup.exclusive_cores)?;
        }
        let nodes = setup.fake_nodes as usize + usize::from(self.debian.is_some());
        self.wait_until("the nodes are ready", |plan| nodes_ready(plan) == nodes)?;
        // Until its account is there, a namespace takes no pod.
        self.wait_until("the default service account is there", |plan| {
            answers(plan, &["get", "serviceaccount", "default"]).is_some()
        })
    }

    /// Makes addresses for kwok's pods this machine's own, so that a test's processes can stand in for them. Only root can;
    /// `down.sh` undoes it. The kernel adds a route once, so no two clusters of the machine have the same.
    fn reach_fake_pods(&mut self) -> Result<(), String> {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let why = |error| format!("reach the pods' addresses: {error}");
        let mut outcome = Ok(());
        for turn in 0..FAKE_POD_RANGES {
            let pods = fake_pods(self.plan.apiserver_port, turn);
            let output =
                Command::new("ip").args(["route", "add", "local", &pods, "dev", "lo"]).output().map_err(why)?;
            outcome = must(&output, "reach the pods' addresses");
            if outcome.is_ok() {
                std::fs::write(self.home.path().join("route"), &pods).map_err(why)?;
                self.plan.fake_pods = pods;
                break;
            }
        }
        outcome
    }

    fn define(&self, setup: &Setup) -> Result<(), String> {
        for path in &setup.definitions {
            let path = path.to_string_lossy();
            must(&self.kubectl(&["apply", "-f", &path]), "apply the custom resource definitions")?;
            let established = ["wait", "--for=condition=Established", "--timeout=60s", "-f", &path];
            must(&self.kubectl(&established), "wait for the custom resources")?;
        }
        Ok(())
    }

    fn bring_up_node(&mut self, debian: &'static Path, exclusive_cores: bool) -> Result<(), String> {
        let node = Node { plan: &self.plan, debian };
        let (containerd, kubelet, proxy) = (node.containerd()?, node.kubelet(exclusive_cores)?, node.kube_proxy()?);
        self.run("containerd", containerd)?;
        self.wait_until("containerd answers", |plan| Node { plan, debian }.containerd_answers())?;
        let node = Node { plan: &self.plan, debian };
        for image in ["pause", "busybox"] {
            node.import_image(&debian.join("images").join(format!("{image}.tar")))?;
        }
        self.run("kubelet", kubelet)?;
        self.run("kube-proxy", proxy)
    }

    fn run(&mut self, name: &'static str, command: Command) -> Result<(), String> {
        self.components.push(Component::start(self.home.path(), name, command)?);
        Ok(())
    }

    /// Waits until it is so; not for a cluster of which a component has ended.
    fn wait_until(&mut self, what: &str, mut so: impl FnMut(&Plan) -> bool) -> Result<(), String> {
        let (plan, components) = (&self.plan, &mut self.components);
        let outcome = wait::within(STEP_MAX, || match components.iter_mut().find_map(Component::ended) {
            Some(why) => Some(Err(why)),
            None => so(plan).then_some(Ok(())),
        });
        outcome.unwrap_or_else(|| Err(format!("waited {STEP_MAX:?} until {what}")))
    }
}

fn must(output: &Output, what: &str) -> Result<(), String> {
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{what}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// What kubectl prints, if it succeeds.
fn answers(plan: &Plan, arguments: &[&str]) -> Option<String> {
    let output = plan.kubectl().args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn nodes_ready(plan: &Plan) -> usize {
    let ready = "jsonpath={.items[*].status.conditions[?(@.type==\"Ready\")].status}";
    let answer = answers(plan, &["get", "nodes", "--output", ready]).unwrap_or_default();
    answer.split_whitespace().filter(|status| *status == "True").count()
}
