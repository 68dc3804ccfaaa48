//! What tests do with a cluster.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;

use super::component::Component;
use super::{Cluster, pki};

/// A process that a test can freeze.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// kube-apiserver.
    Apiserver,
    /// etcd.
    Etcd,
}

/// A process that gets no time until this value is dropped.
#[derive(Debug)]
pub struct Frozen<'a>(&'a Component);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let _ = self.0.signal(Signal::CONT);
    }
}

impl Cluster {
    /// The kubeconfig of `cluster-admin`.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.plan.kubeconfig("admin")
    }

    /// `https://HOST:PORT` of the apiserver.
    #[must_use]
    pub fn server(&self) -> String {
        self.plan.server()
    }

    /// Certificate of the authority that signed the apiserver's.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.plan.pki.path("ca.crt")
    }

    /// The folder with kubectl and helm.
    #[must_use]
    pub fn programs(&self) -> &Path {
        self.plan.bin
    }

    /// The cluster's folder: `logs/` holds a file per component. It goes when the cluster goes.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.home.path()
    }

    /// Runs kubectl as `cluster-admin`, whatever comes of it.
    ///
    /// # Panics
    /// If it cannot be run.
    #[must_use]
    pub fn kubectl(&self, arguments: &[&str]) -> Output {
        finish(self.plan.kubectl().args(arguments), "")
    }

    /// Runs kubectl with a kubeconfig such as [`Cluster::kubeconfig_of`] makes, whatever comes of it.
    ///
    /// # Panics
    /// If it cannot be run.
    #[must_use]
    pub fn kubectl_as(&self, kubeconfig: &Path, arguments: &[&str]) -> Output {
        finish(self.plan.kubectl().env("KUBECONFIG", kubeconfig).args(arguments), "")
    }

    /// kubectl as `cluster-admin`, to be run.
    pub(crate) fn kubectl_command(&self) -> Command {
        self.plan.kubectl()
    }

    /// What kubectl prints, run as `cluster-admin`.
    ///
    /// # Panics
    /// If it fails.
    #[must_use]
    pub fn ask(&self, arguments: &[&str]) -> String {
        succeeded(self.kubectl(arguments), &format!("kubectl {}", arguments.join(" ")))
    }

    /// Applies manifests, whatever comes of it.
    ///
    /// # Panics
    /// If kubectl cannot be run.
    #[must_use]
    pub fn try_apply(&self, manifests: &str) -> Output {
        finish(self.plan.kubectl().args(["apply", "-f", "-"]), manifests)
    }

    /// Applies manifests.
    ///
    /// # Panics
    /// If one is refused.
    pub fn apply(&self, manifests: &str) {
        let _ = succeeded(self.try_apply(manifests), "kubectl apply");
    }

    /// Makes what is not there yet, quickly: what is many is not looked at before.
    ///
    /// # Panics
    /// If one is refused.
    pub fn create(&self, manifests: &str) {
        let output = finish(self.plan.kubectl().args(["create", "--validate=false", "-f", "-"]), manifests);
        let _ = succeeded(output, "kubectl create");
    }

    /// Runs helm as `cluster-admin`, whatever comes of it.
    ///
    /// # Panics
    /// If it cannot be run.
    #[must_use]
    pub fn helm(&self, arguments: &[&str]) -> Output {
        let mut helm = self.plan.client("helm");
        for (variable, folder) in
            [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
        {
            helm.env(variable, self.folder().join("helm").join(folder));
        }
        finish(helm.args(arguments), "")
    }

    /// A token by which the bearer is the service account, for an hour.
    ///
    /// # Panics
    /// If there is no such account.
    #[must_use]
    pub fn token(&self, namespace: &str, service_account: &str) -> String {
        self.ask(&["create", "token", service_account, "--namespace", namespace]).trim().to_owned()
    }

    /// A kubeconfig by which the bearer is the service account, for an hour.
    ///
    /// # Panics
    /// If there is no such account.
    #[must_use]
    pub fn kubeconfig_of(&self, namespace: &str, service_account: &str) -> PathBuf {
        let user = format!("{{token: {}}}", self.token(namespace, service_account));
        let path = self.plan.kubeconfig(&format!("{namespace}.{service_account}"));
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
        let content = pki::kubeconfig(&self.server(), &self.authority(), &user);
        file.and_then(|mut file| file.write_all(content.as_bytes())).expect("write a kubeconfig");
        path
    }

    /// A kubeconfig by which the bearer is a person of these groups: by a certificate, as an identity provider would say by a token.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn kubeconfig_of_person(&self, name: &str, groups: &[&str]) -> PathBuf {
        self.plan.pki.person(name, groups).unwrap_or_else(|why| panic!("certify {name}: {why}"));
        let path = self.plan.kubeconfig(name);
        std::fs::write(&path, self.plan.pki.kubeconfig(&self.server(), name)).expect("write a kubeconfig");
        path
    }

    /// What an account of `pinion-system` has asked the apiserver for so far, as audit events.
    ///
    /// # Panics
    /// If the log cannot be read.
    #[must_use]
    pub fn audited(&self) -> Vec<serde_json::Value> {
        let log = std::fs::read_to_string(self.plan.audit_log()).expect("read the audit log");
        // The last line may be half written.
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Brings an image, an OCI archive in a tar file, to the real node; pods that name it say `imagePullPolicy: Never`.
    ///
    /// # Panics
    /// If there is no real node, or if the image is not taken.
    pub fn import_image(&self, tar: &Path) {
        self.real_node().expect("a cluster with a real node").import_image(tar).expect("import an image");
    }

    /// Stops a process (SIGSTOP) until the returned value is dropped.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn freeze(&self, part: Part) -> Frozen<'_> {
        let name = match part {
            Part::Apiserver => "apiserver",
            Part::Etcd => "etcd",
        };
        let component =
            self.components.iter().find(|component| component.name() == name).expect("a component of every tier");
        component.signal(Signal::STOP).unwrap_or_else(|error| panic!("stop {name}: {error}"));
        Frozen(component)
    }
}

/// Runs a command on some input.
fn finish(command: &mut Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("run {command:?}: {error}"));
    // A program that complains before it has read everything is heard by its answer.
    let _ = child.stdin.take().expect("a piped input").write_all(input.as_bytes());
    child.wait_with_output().unwrap_or_else(|error| panic!("wait for {command:?}: {error}"))
}

fn succeeded(output: Output, what: &str) -> String {
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("kubectl prints text")
}
