//! A cluster's keys and certificates, by openssl, and who is who in it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::node::{NODE_ADDRESS, REAL_NODE};

/// First address of the Services: the apiserver's own.
const APISERVER_SERVICE: &str = "10.96.0.1";

/// Clients but the kubelet: name of the certificate and of the kubeconfig, and the subject by which the apiserver knows its rights.
const CLIENTS: [(&str, &str); 7] = [
    ("admin", "/O=system:masters/CN=admin"),
    ("kwok", "/O=system:masters/CN=kwok"),
    ("controller-manager", "/CN=system:kube-controller-manager"),
    ("scheduler", "/CN=system:kube-scheduler"),
    ("kube-proxy", "/CN=system:kube-proxy"),
    ("apiserver-kubelet-client", "/O=system:masters/CN=apiserver-kubelet-client"),
    ("front-proxy-client", "/CN=front-proxy-client"),
];

/// The folder `pki`.
#[derive(Debug)]
pub(super) struct Pki {
    folder: PathBuf,
}

impl Pki {
    /// Makes an authority and what it certifies: `NAME.crt` and `NAME.key`. About 0.2 s.
    pub(super) fn make(folder: PathBuf) -> Result<Self, String> {
        let pki = Self { folder };
        // What Debian's own configuration would add makes every certificate an authority.
        std::fs::write(pki.path("openssl.cnf"), "[req]\ndistinguished_name = none\n[none]\n")
            .map_err(|error| format!("write openssl.cnf: {error}"))?;
        let authority = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"];
        finish(vec![pki.request("ca", "/CN=pinion-tests", &authority, false)?])?;

        let apiserver_names = format!(
            "subjectAltName=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,\
             DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:{APISERVER_SERVICE},IP:{NODE_ADDRESS}"
        );
        let kubelet_names = format!("subjectAltName=DNS:{REAL_NODE},IP:{NODE_ADDRESS}");
        let server = "extendedKeyUsage=serverAuth";
        let mut running = vec![
            pki.request("apiserver", "/CN=kube-apiserver", &[server, &apiserver_names], true)?,
            pki.request("kubelet-server", &format!("/CN={REAL_NODE}"), &[server, &kubelet_names], true)?,
            // Its key signs the tokens of service accounts.
            pki.request("service-accounts", "/CN=service-accounts", &[], true)?,
        ];
        let client = "extendedKeyUsage=clientAuth";
        let node = format!("/O=system:nodes/CN=system:node:{REAL_NODE}");
        running.push(pki.request("kubelet", &node, &[client], true)?);
        for (name, subject) in CLIENTS {
            running.push(pki.request(name, subject, &[client], true)?);
        }
        finish(running)?;
        Ok(pki)
    }

    /// Certifies a person of some groups.
    pub(super) fn person(&self, name: &str, groups: &[&str]) -> Result<(), String> {
        let groups: String = groups.iter().map(|group| format!("/O={group}")).collect();
        finish(vec![self.request(name, &format!("{groups}/CN={name}"), &["extendedKeyUsage=clientAuth"], true)?])
    }

    /// A file of the folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The kubeconfig of a client, which names its key and certificate by their paths.
    pub(super) fn kubeconfig(&self, server: &str, client: &str) -> String {
        let (certificate, key) = (self.path(&format!("{client}.crt")), self.path(&format!("{client}.key")));
        let user = format!("{{client-certificate: {}, client-key: {}}}", certificate.display(), key.display());
        kubeconfig(server, &self.path("ca.crt"), &user)
    }

    /// Starts openssl on a key and its certificate, signed by the authority or by itself.
    fn request(&self, name: &str, subject: &str, extensions: &[&str], by_authority: bool) -> Result<Child, String> {
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-noenc", "-days", "30", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        openssl.args(["-config", "openssl.cnf", "-subj", subject]);
        openssl.args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.crt")]);
        if by_authority {
            openssl.args(["-CA", "ca.crt", "-CAkey", "ca.key"]);
        }
        for extension in extensions {
            openssl.args(["-addext", extension]);
        }
        openssl.current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        openssl.spawn().map_err(|error| format!("run openssl: {error}"))
    }
}

/// A kubeconfig with one cluster and one user.
pub(super) fn kubeconfig(server: &str, authority: &Path, user: &str) -> String {
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         clusters: [{{name: test, cluster: {{server: '{server}', certificate-authority: {}}}}}]\n\
         users: [{{name: test, user: {user}}}]\n\
         contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n\
         current-context: test\n",
        authority.display()
    )
}

/// Waits for all of them.
fn finish(running: Vec<Child>) -> Result<(), String> {
    let mut complaint = String::new();
    for openssl in running {
        let output = openssl.wait_with_output().map_err(|error| format!("wait for openssl: {error}"))?;
        if !output.status.success() {
            complaint.push_str(&String::from_utf8_lossy(&output.stderr));
        }
    }
    if complaint.is_empty() { Ok(()) } else { Err(format!("make certificates with openssl 3: {complaint}")) }
}
