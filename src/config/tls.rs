//! TLS of listeners and exporters, in the collector's keys. Files are only named here: they are read where the agent runs.

use super::build::View;
use super::problem::Problems;
use std::time::Duration;

/// A chain of certificates and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// PEM file.
    pub cert_file: String,
    /// PEM file.
    pub key_file: String,
}

/// TLS of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// What the listener shows.
    pub identity: Identity,
    /// PEM file; clients must show a certificate when it is set.
    pub client_ca_file: Option<String>,
    /// Whether TLS 1.2 is refused.
    pub only_tls13: bool,
    /// How often the files are looked at for a change; `None` for at SIGHUP only.
    pub reload_interval: Option<Duration>,
}

/// TLS of an exporter, where its URL says https.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// PEM file of authorities; those of the system without it.
    pub ca_file: Option<String>,
    /// What the exporter shows to a server that asks.
    pub identity: Option<Identity>,
    /// The name that the server's certificate must have, if not the endpoint's.
    pub server_name: Option<String>,
    /// Whether any certificate of the server is taken.
    pub insecure_skip_verify: bool,
    /// Whether TLS 1.2 is refused.
    pub only_tls13: bool,
    /// How often the files are looked at for a change; `None` for at SIGHUP only.
    pub reload_interval: Option<Duration>,
}

/// The TLS of the listener at `key`.
pub(super) fn server(view: &View<'_>, key: &str, problems: &mut Problems) -> Option<ServerTls> {
    let node = view.child("tls")?;
    let tls = view.section("tls");
    let identity = identity(&tls, key, problems);
    if !tls.says("cert_file") && !tls.says("key_file") {
        problems.push(node.place.problem(format!("{key}.tls: needs both cert_file and key_file"), None));
    }
    Some(ServerTls {
        identity: identity?,
        client_ca_file: tls.said("client_ca_file"),
        only_tls13: tls.text("min_version") == "1.3",
        reload_interval: interval(&tls),
    })
}

/// The TLS of the exporter at `key`.
pub(super) fn client(view: &View<'_>, key: &str, problems: &mut Problems) -> ClientTls {
    let tls = view.section("tls");
    ClientTls {
        ca_file: tls.said("ca_file"),
        identity: identity(&tls, key, problems),
        server_name: tls.said("server_name_override"),
        insecure_skip_verify: tls.bool("insecure_skip_verify"),
        only_tls13: tls.text("min_version") == "1.3",
        reload_interval: interval(&tls),
    }
}

fn identity(tls: &View<'_>, key: &str, problems: &mut Problems) -> Option<Identity> {
    match (tls.said("cert_file"), tls.said("key_file")) {
        (Some(cert_file), Some(key_file)) => Some(Identity { cert_file, key_file }),
        (None, None) => None,
        _ => {
            if let Some(node) = tls.node {
                let message = format!("{key}.tls: needs both cert_file and key_file");
                problems.push(node.place.problem(message, None));
            }
            None
        }
    }
}

fn interval(tls: &View<'_>) -> Option<Duration> {
    Some(tls.duration("reload_interval")).filter(|interval| !interval.is_zero())
}
