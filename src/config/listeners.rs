//! Where to listen: OTLP, and the pages about isotel itself.

use super::auth::{self, Authenticator, Authenticators};
use super::build::{HttpOrGrpc, View};
use super::networks::{self, Network};
use super::problem::Problems;
use super::schema::{self, Key, Kind};
use super::tls::{self, ServerTls};
use super::tree::Node;
use std::time::Duration;

/// The key of the page of isotel's own metrics.
pub const METRICS_KEY: &str = "service.telemetry.metrics";

/// One place to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The key in the file, for messages.
    pub key: String,
    /// Which transport.
    pub transport: HttpOrGrpc,
    /// Host and port.
    pub endpoint: (String, u16),
    /// TLS, if any.
    pub tls: Option<ServerTls>,
    /// Who may send, if not everybody.
    pub auth: Option<Authenticator>,
    /// From where, if not from everywhere.
    pub allow_from: Vec<Network>,
    /// The largest request, decompressed.
    pub request_bytes: usize,
    /// Which pages of a browser may send (OTLP/HTTP).
    pub cors: Option<Cors>,
}

/// Which pages of a browser may send: the Fetch standard's "CORS protocol".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// Origins such as `https://shop.example`; `*` stands for any run of characters.
    pub origins: Vec<String>,
    /// Headers that a page may send beside the usual ones; `*` for all.
    pub headers: Vec<String>,
    /// How long a browser may remember the answer.
    pub max_age: Option<Duration>,
}

/// A page about isotel itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The key in the file, for messages.
    pub key: String,
    /// Host and port.
    pub endpoint: (String, u16),
    /// TLS, if any.
    pub tls: Option<ServerTls>,
    /// Who may read, if not everybody.
    pub auth: Option<Authenticator>,
    /// From where, if not from everywhere.
    pub allow_from: Vec<Network>,
    /// Names by which it may be asked for, beside IP addresses, localhost and the endpoint's own; `*` stands for any run of
    /// characters.
    pub hosts: Vec<String>,
}

/// The listeners of receivers that a pipeline names.
pub(super) fn listeners(
    root: &View<'_>,
    used: &[String],
    authenticators: &Authenticators,
    problems: &mut Problems,
) -> Vec<Listener> {
    let mut listeners = Vec::new();
    let Some(receivers) = root.child("receivers") else { return listeners };
    for (id, place, node) in receivers.entries().iter().filter(|(id, _, _)| used.contains(id)) {
        let protocols = node.get("protocols");
        // A protocol that is named without settings runs with its defaults, so null counts here.
        let named = |name: &str| {
            protocols
                .and_then(|p| p.entries().iter().find(|(key, _, _)| key == name))
                .map(|(_, _, node)| node)
        };
        if named("grpc").is_none() && named("http").is_none() {
            let hint = "write `protocols: {grpc: , http: }` under it".to_owned();
            problems.push(place.problem(format!("receivers.{id}: no protocol is named"), Some(hint)));
        }
        for (name, transport, size) in [
            ("grpc", HttpOrGrpc::Grpc, "max_recv_msg_size"),
            ("http", HttpOrGrpc::Http, "max_request_body_size"),
        ] {
            let Some(node) = named(name) else { continue };
            let keys = protocol_keys(name);
            let view = View { node: Some(node), keys };
            let mebibytes = if name == "grpc" { view.said("max_recv_msg_size_mib") } else { None };
            let request_bytes = mebibytes.and_then(|mib| mib.parse::<usize>().ok()).map(|mib| mib << 20);
            let key = format!("receivers.{id}.protocols.{name}");
            listeners.push(Listener {
                auth: auth::of_listener(node, &key, authenticators, problems),
                tls: tls::server(&view, &key, problems),
                allow_from: networks::allow_from(&view, &key, problems),
                cors: (name == "http").then(|| cors(&view)).flatten(),
                key,
                transport,
                endpoint: view.endpoint("endpoint"),
                request_bytes: request_bytes.unwrap_or_else(|| view.bytes(size)),
            });
        }
    }
    listeners
}

/// The keys of one protocol of an OTLP receiver.
fn protocol_keys(name: &str) -> &'static [Key] {
    let Kind::Section(root) = &schema::ROOT else { return &[] };
    let Some(Key { kind: Kind::Components(types), .. }) = root.first() else { return &[] };
    let Some((_, Kind::Section(receiver))) = types.first() else { return &[] };
    let Some(Key { kind: Kind::Section(protocols), .. }) = receiver.first() else { return &[] };
    match protocols.iter().find(|key| key.name == name).map(|key| key.kind) {
        Some(Kind::Section(keys)) => keys,
        _ => &[],
    }
}

fn cors(view: &View<'_>) -> Option<Cors> {
    let cors = view.section("cors");
    let origins = cors.list("allowed_origins");
    let max_age = Duration::from_secs(cors.count("max_age") as u64);
    (!origins.is_empty()).then(|| Cors {
        origins,
        headers: cors.list("allowed_headers"),
        max_age: Some(max_age).filter(|age| !age.is_zero()),
    })
}

/// A page whose address stands under `address` in the section at `key`.
pub(super) fn page(
    view: &View<'_>,
    key: &str,
    address: &str,
    authenticators: &Authenticators,
    problems: &mut Problems,
) -> Page {
    let of_listener = |node| auth::of_listener(node, key, authenticators, problems);
    Page {
        auth: view.node.and_then(of_listener),
        tls: tls::server(view, key, problems),
        allow_from: networks::allow_from(view, key, problems),
        key: key.to_owned(),
        endpoint: view.endpoint(address),
        hosts: view.list("hosts"),
    }
}

/// The page of an extension of this type and its settings, if the service runs one.
pub(super) fn extension<'a>(
    root: &View<'a>,
    running: &[String],
    type_: &str,
    keys: &'static Kind,
    authenticators: &Authenticators,
    problems: &mut Problems,
) -> Option<(Page, View<'a>)> {
    let extensions = root.child("extensions").map_or(&[][..], Node::entries);
    let is_it = |id: &String| id.split('/').next() == Some(type_) && running.contains(id);
    let (id, _, node) = extensions.iter().find(|(id, _, _)| is_it(id))?;
    let view = View::of(Some(node), keys);
    Some((page(&view, &format!("extensions.{id}"), "endpoint", authenticators, problems), view))
}

/// The health page and its path, if the service runs one.
pub(super) fn health(
    root: &View<'_>,
    running: &[String],
    authenticators: &Authenticators,
    problems: &mut Problems,
) -> Option<(Page, String)> {
    let (page, view) =
        extension(root, running, "health_check", &schema::HEALTH_CHECK, authenticators, problems)?;
    Some((page, view.text("path")))
}
