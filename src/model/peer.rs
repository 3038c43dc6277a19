//! Whom a call goes to: the peer of `client` and `producer` spans, by the semantic conventions.
//!
//! What names the other side whatever the environment goes first: the service that it is said to be, queue or topic, RPC
//! service. Else it is the host and, where it tells something, the port. Hosts that belong to one instance (addresses, pods,
//! identifiers) become placeholders, so that the number of peers stays bounded.

use super::template::{PLACEHOLDER, is_identifier, truncate, write_templated};
use crate::wire::semconv::Slot;
use std::net::IpAddr;

/// What stands for a numeric address.
pub const ADDRESS: &str = "{ip}";

/// From here on ports are handed out by the operating system and name nobody.
const PORT_EPHEMERAL: i64 = 32_768;

/// The pieces that name a peer, borrowed from the request as the bytes of checked UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer<'a> {
    system: &'a [u8],
    name: &'a [u8],
    port: Option<i64>,
    form: Form,
}

/// What a peer's name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Form {
    /// As it is.
    Plain,
    /// May hold identifiers.
    Raw,
    /// A host.
    Host,
}

impl<'a> Peer<'a> {
    /// Picks the pieces from a span's attributes; `None` when they name nobody.
    pub fn of(
        text: impl Fn(Slot) -> Option<&'a [u8]>,
        port: impl FnOnce() -> Option<i64>,
    ) -> Option<Peer<'a>> {
        let get = |slot: Slot| text(slot).filter(|value| !value.is_empty());
        let (queue, database) = (get(Slot::MessagingSystem), get(Slot::DbSystem));
        let rpc = if queue.or(database).is_none() { rpc_service(&get) } else { None };
        let http = || get(Slot::HttpMethod).map(|_| &b"http"[..]);
        let system = queue.or(database).or(rpc.map(|_| &b"rpc"[..])).or_else(http).unwrap_or(b"");
        let named = |name: &'a [u8], form: Form| Peer { system, name, port: None, form };
        if let Some(service) = get(Slot::PeerService) {
            return Some(named(service, Form::Plain));
        }
        if queue.is_some() {
            let template = get(Slot::MessagingDestinationTemplate).map(|name| named(name, Form::Plain));
            let queue = template.or_else(|| Some(named(get(Slot::MessagingDestination)?, Form::Raw)));
            if queue.is_some() {
                return queue;
            }
        }
        if let Some(service) = rpc.filter(|service| !service.is_empty()) {
            return Some(named(service, Form::Plain));
        }
        match get(Slot::ServerAddress) {
            Some(host) => {
                let port = port().filter(|port| tells_something(system, *port));
                Some(Peer { port, ..named(host, Form::Host) })
            }
            None => queue.or(database).map(|system| named(system, Form::Plain)),
        }
    }

    /// Database, broker or protocol; empty where nothing says it.
    pub fn system(&self) -> &'a str {
        std::str::from_utf8(self.system).unwrap_or("")
    }

    /// Whether its name is a host's.
    pub fn is_host(&self) -> bool {
        self.form == Form::Host
    }

    /// Appends the peer's name, at most `limit` bytes of it.
    pub fn write(&self, limit: usize, out: &mut String) {
        let start = out.len();
        let name = std::str::from_utf8(self.name).unwrap_or("");
        match self.form {
            Form::Plain => out.push_str(name),
            Form::Raw => write_templated(name, limit, out),
            Form::Host => write_host(name, out),
        }
        if let Some(port) = self.port {
            out.push_str(&format!(":{port}"));
        }
        truncate(out, start + limit);
    }
}

/// The RPC service, which the current convention puts before the method; empty for a call that names none.
fn rpc_service<'a>(get: &impl Fn(Slot) -> Option<&'a [u8]>) -> Option<&'a [u8]> {
    let before_last_slash = |method: &'a [u8]| {
        method.iter().rposition(|byte| *byte == b'/').and_then(|at| method.get(..at)).unwrap_or(b"")
    };
    let of_method = || get(Slot::RpcMethod).map(before_last_slash);
    get(Slot::RpcService).or_else(of_method)
}

/// A port that everybody would expect tells nothing, and one that was handed out by chance neither.
fn tells_something(system: &[u8], port: i64) -> bool {
    let usual: &[i64] = match system {
        b"postgresql" => &[5432],
        b"mysql" | b"mariadb" => &[3306],
        b"microsoft.sql_server" | b"mssql" => &[1433],
        b"oracle.db" | b"oracle" => &[1521],
        b"redis" => &[6379],
        b"memcached" => &[11211],
        b"mongodb" => &[27017],
        b"cassandra" => &[9042],
        b"elasticsearch" | b"opensearch" => &[9200],
        b"kafka" => &[9092],
        b"rabbitmq" => &[5671, 5672],
        _ => &[80, 443],
    };
    (1..PORT_EPHEMERAL).contains(&port) && !usual.contains(&port)
}

fn write_host(host: &str, out: &mut String) {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if bare.parse::<IpAddr>().is_ok() || is_named_by_address(host) {
        out.push_str(ADDRESS);
        return;
    }
    if host.contains('/') {
        return write_templated(host, host.len(), out);
    }
    for (at, label) in host.split('.').enumerate() {
        if at > 0 {
            out.push('.');
        }
        write_label(label, out);
    }
}

/// `ip-10-0-3-17.eu-west-1.compute.internal`
fn is_named_by_address(host: &str) -> bool {
    let label = host.split('.').next().unwrap_or(host);
    let Some(address) = label.strip_prefix("ip-") else { return false };
    address.split('-').count() == 4 && address.split('-').all(|part| part.parse::<u8>().is_ok())
}

fn write_label(label: &str, out: &mut String) {
    match label.rsplit_once('-') {
        Some((head, tail)) if is_pod_suffix(tail) => {
            // A Deployment's pod has the hash of its replica set before its own suffix.
            let set =
                head.rsplit_once('-').filter(|(_, hash)| (6..=10).contains(&hash.len()) && is_safe(hash));
            out.push_str(set.map_or(head, |(name, _)| name));
        }
        _ if is_identifier(label) => out.push_str(PLACEHOLDER),
        Some((head, tail)) if !head.is_empty() && is_identifier(tail) => {
            out.push_str(head);
            out.push('-');
            out.push_str(PLACEHOLDER);
        }
        _ => out.push_str(label),
    }
}

/// The five characters that Kubernetes gives a pod; without a digit they could be a word.
fn is_pod_suffix(tail: &str) -> bool {
    tail.len() == 5 && is_safe(tail) && tail.bytes().any(|b| b.is_ascii_digit()) && !is_identifier(tail)
}

/// The alphabet of Kubernetes' names by chance, which can spell no word.
fn is_safe(text: &str) -> bool {
    text.bytes().all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Slot::*;

    fn peer(attributes: &[(Slot, &'static str)], port: i64) -> Option<(&'static str, String)> {
        let text = |slot| attributes.iter().find(|(s, _)| *s == slot).map(|(_, v)| v.as_bytes());
        let peer = Peer::of(text, || Some(port).filter(|port| *port != 0))?;
        let mut name = String::new();
        peer.write(64, &mut name);
        Some((peer.system(), name))
    }

    #[test]
    fn a_peer_is_named_by_what_holds_in_every_environment_and_else_by_its_host() {
        for (attributes, port, expected) in [
            (
                &[(HttpMethod, "GET"), (ServerAddress, "stock.example.com")][..],
                443,
                ("http", "stock.example.com"),
            ),
            (&[(HttpMethod, "GET"), (ServerAddress, "stock")][..], 8080, ("http", "stock:8080")),
            (&[(HttpMethod, "GET"), (ServerAddress, "localhost")][..], 43_121, ("http", "localhost")),
            (
                &[(HttpMethod, "GET"), (ServerAddress, "10.0.0.7"), (PeerService, "stock")][..],
                80,
                ("http", "stock"),
            ),
            (
                &[(DbSystem, "postgresql"), (ServerAddress, "orders-db")][..],
                5432,
                ("postgresql", "orders-db"),
            ),
            (
                &[(DbSystem, "postgresql"), (ServerAddress, "orders-db")][..],
                5433,
                ("postgresql", "orders-db:5433"),
            ),
            (&[(DbSystem, "sqlite")][..], 0, ("sqlite", "sqlite")),
            (
                &[
                    (MessagingSystem, "kafka"),
                    (MessagingDestination, "orders-1234567"),
                    (ServerAddress, "b0"),
                ][..],
                9092,
                ("kafka", "orders-{id}"),
            ),
            (
                &[(MessagingSystem, "kafka"), (ServerAddress, "kafka-0.kafka")][..],
                9092,
                ("kafka", "kafka-{id}.kafka"),
            ),
            (
                &[(RpcService, "shop.Cart"), (RpcMethod, "Add"), (ServerAddress, "x")][..],
                8080,
                ("rpc", "shop.Cart"),
            ),
            (&[(RpcMethod, "shop.Cart/Add")][..], 0, ("rpc", "shop.Cart")),
            (&[(RpcMethod, "Add"), (ServerAddress, "cart")][..], 443, ("rpc", "cart")),
        ] {
            let found = peer(attributes, port);
            assert_eq!(found, Some((expected.0, expected.1.to_owned())), "{attributes:?}");
        }
        assert_eq!(peer(&[(HttpMethod, "GET")], 443), None);
        assert_eq!(peer(&[(RpcMethod, "Add")], 443), None);
    }

    #[test]
    fn a_host_of_one_instance_has_the_name_of_all_of_them() {
        for (host, expected) in [
            ("10.1.2.3", ADDRESS),
            ("2001:db8::1", ADDRESS),
            ("[::1]", ADDRESS),
            ("ip-10-0-3-17.eu-west-1.compute.internal", ADDRESS),
            ("stock-7d9f8b6c5-x2x4z", "stock"),
            ("agent-x2x4z.monitoring", "agent.monitoring"),
            ("stock-cache", "stock-cache"),
            ("ip-address-service", "ip-address-service"),
            ("3f2a9c81be77", "{id}"),
            ("db-0b1f6a3e-1111-4222-8333-944445555666", "{id}"),
            ("redis-12.cache.svc", "redis-{id}.cache.svc"),
            ("db01.example.com", "db01.example.com"),
        ] {
            let mut out = String::new();
            write_host(host, &mut out);
            assert_eq!(out, expected, "{host}");
        }
    }
}
