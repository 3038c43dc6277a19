//! What a request does, by the semantic conventions: the operation's name.
//!
//! Current and previous attribute names are one slot each (see [`crate::wire::semconv`]), so a service that moves
//! from `http.method` to `http.request.method` keeps its operations. What the conventions keep low in cardinality
//! (routes, methods, templates) is taken as it is; raw paths, destinations and span names are templated.

use super::template::{truncate, write_templated};
use crate::wire::semconv::Slot;

/// The operation that stands for those beyond the limit; the series keeps its service and environment.
pub const OVERFLOW: &str = "{overflow}";

/// What an operation's name ends with where the function was started for the call (`faas.coldstart`): such requests are a
/// series of their own, which neither slows the warm one nor is lost.
pub const COLD_START: &str = " (cold start)";

/// The operation of a span with neither attributes nor a name.
pub const UNKNOWN: &str = "unknown";

/// The pieces that name an operation, borrowed from the request as the bytes of checked UTF-8; `first` and `second` are
/// joined by `joint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Parts<'a> {
    first: &'a [u8],
    joint: &'static str,
    second: &'a [u8],
    /// Whether `second` may hold identifiers.
    raw: bool,
    cold_start: bool,
}

impl<'a> Parts<'a> {
    /// Picks the pieces from a span's (or data point's) attributes; `name` is the span's name, which may be empty.
    pub fn of(slot: impl Fn(Slot) -> Option<&'a [u8]>, name: &'a [u8]) -> Parts<'a> {
        let get = |wanted: Slot| slot(wanted).filter(|value| !value.is_empty());
        http(&get, name)
            .or_else(|| rpc(&get))
            .or_else(|| messaging(&get))
            .or_else(|| database(&get))
            .or_else(|| graphql(&get))
            .or_else(|| faas(&get))
            .unwrap_or(joined(b"", "", name, true))
    }

    /// The same, where the function was started for the call or not.
    pub fn cold(self, cold_start: bool) -> Parts<'a> {
        Parts { cold_start, ..self }
    }

    /// Appends the operation's name to `out`, at most `limit` bytes.
    pub fn write(&self, limit: usize, out: &mut String) {
        let start = out.len();
        let suffix = if self.cold_start { COLD_START } else { "" };
        let limit = limit.saturating_sub(suffix.len());
        let text = |piece| std::str::from_utf8(piece).unwrap_or("");
        out.push_str(text(self.first));
        if !self.second.is_empty() {
            out.push_str(self.joint);
            if self.raw {
                write_templated(text(self.second), limit, out);
            } else {
                out.push_str(text(self.second));
            }
        }
        truncate(out, start + limit);
        if out.len() == start {
            out.push_str(UNKNOWN);
        }
        out.push_str(suffix);
    }
}

/// The operation without what says that the function was started for the call.
pub fn warm(operation: &str) -> &str {
    operation.strip_suffix(COLD_START).unwrap_or(operation)
}

fn joined<'a>(first: &'a [u8], joint: &'static str, second: &'a [u8], raw: bool) -> Parts<'a> {
    Parts { first, joint, second, raw, cold_start: false }
}

fn http<'a>(get: &impl Fn(Slot) -> Option<&'a [u8]>, name: &[u8]) -> Option<Parts<'a>> {
    let method = get(Slot::HttpMethod)?;
    if let Some(route) = get(Slot::HttpRoute).or_else(|| get(Slot::UrlTemplate)) {
        return Some(joined(method, " ", route, false));
    }
    if let Some(path) = get(Slot::UrlPath) {
        return Some(joined(method, " ", path, true));
    }
    // A client that knows no template names all its calls alike; whom it calls tells them apart. Only the first label of
    // the host's name: the rest says where the environment is, which must not be part of a series.
    let nameless = name == method || name.strip_prefix(b"HTTP ") == Some(method);
    let host = get(Slot::ServerAddress).filter(|_| nameless)?;
    let begins_with_a_letter = std::str::from_utf8(host).ok()?.starts_with(|c: char| c.is_alphabetic());
    let label = host.split(|byte| *byte == b'.').next().unwrap_or(host);
    begins_with_a_letter.then(|| joined(method, " ", label, true))
}

fn rpc<'a>(get: &impl Fn(Slot) -> Option<&'a [u8]>) -> Option<Parts<'a>> {
    let method = get(Slot::RpcMethod);
    match (get(Slot::RpcService), method) {
        // The current convention puts the fully qualified name into `rpc.method`.
        (_, Some(method)) if method.contains(&b'/') => Some(joined(b"", "", method, false)),
        (Some(service), Some(method)) => Some(joined(service, "/", method, false)),
        (Some(service), None) => Some(joined(service, "", b"", false)),
        (None, Some(method)) => Some(joined(b"", "", method, false)),
        (None, None) => None,
    }
}

fn messaging<'a>(get: &impl Fn(Slot) -> Option<&'a [u8]>) -> Option<Parts<'a>> {
    let operation = get(Slot::MessagingOperationName).or_else(|| get(Slot::MessagingOperationType))?;
    if let Some(template) = get(Slot::MessagingDestinationTemplate) {
        return Some(joined(operation, " ", template, false));
    }
    get(Slot::MessagingDestination).map(|destination| joined(operation, " ", destination, true))
}

fn database<'a>(get: &impl Fn(Slot) -> Option<&'a [u8]>) -> Option<Parts<'a>> {
    let operation = get(Slot::DbOperation)?;
    get(Slot::DbCollection).map(|collection| joined(operation, " ", collection, true))
}

fn graphql<'a>(get: &impl Fn(Slot) -> Option<&'a [u8]>) -> Option<Parts<'a>> {
    let kind = get(Slot::GraphqlOperationType)?;
    Some(joined(kind, " ", get(Slot::GraphqlOperationName).unwrap_or(b""), false))
}

fn faas<'a>(get: &impl Fn(Slot) -> Option<&'a [u8]>) -> Option<Parts<'a>> {
    let trigger = get(Slot::FaasTrigger)?;
    get(Slot::FaasName).map(|name| joined(trigger, " ", name, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(attributes: &[(Slot, &'static str)], span_name: &'static str) -> String {
        let value =
            |slot| attributes.iter().find(|(known, _)| *known == slot).map(|(_, value)| value.as_bytes());
        let parts = Parts::of(value, span_name.as_bytes());
        let mut out = String::new();
        parts.write(64, &mut out);
        out
    }

    #[test]
    fn operations_are_named_by_the_semantic_conventions() {
        use Slot::*;
        for (attributes, span_name, expected) in [
            (&[(HttpMethod, "GET"), (HttpRoute, "/users/{id}")][..], "GET", "GET /users/{id}"),
            (&[(HttpMethod, "GET"), (UrlPath, "/users/42?x=1")][..], "GET", "GET /users/{id}"),
            (&[(HttpMethod, "GET")][..], "GET", "GET"),
            (&[(HttpMethod, "GET"), (ServerAddress, "stock.prod.example.com")][..], "GET", "GET stock"),
            (&[(HttpMethod, "GET"), (ServerAddress, "stock")][..], "HTTP GET", "GET stock"),
            (&[(HttpMethod, "GET"), (ServerAddress, "10.0.0.7")][..], "GET", "GET"),
            (&[(HttpMethod, "GET"), (ServerAddress, "stock")][..], "look up stock", "look up stock"),
            (&[(RpcService, "shop.Cart"), (RpcMethod, "Add")][..], "x", "shop.Cart/Add"),
            (&[(RpcMethod, "shop.Cart/Add")][..], "x", "shop.Cart/Add"),
            (
                &[(MessagingOperationName, "send"), (MessagingDestination, "orders-1234567")][..],
                "",
                "send orders-{id}",
            ),
            (
                &[(DbOperation, "SELECT"), (DbCollection, "aditems")][..],
                "SELECT db.aditems",
                "SELECT aditems",
            ),
            (&[(GraphqlOperationType, "query"), (GraphqlOperationName, "Cart")][..], "", "query Cart"),
            (&[(FaasTrigger, "timer"), (FaasName, "nightly")][..], "", "timer nightly"),
            (&[][..], "process order 991", "process order {id}"),
            (&[][..], "", UNKNOWN),
        ] {
            assert_eq!(name(attributes, span_name), expected, "{attributes:?} {span_name}");
        }
    }

    #[test]
    fn a_name_never_exceeds_its_limit() {
        let mut out = String::new();
        joined(b"GET", " ", "/x".repeat(4000).as_bytes(), false).write(64, &mut out);
        assert_eq!(out.len(), 64);
    }

    #[test]
    fn a_cold_start_is_an_operation_of_its_own_whose_name_is_told_however_long_it_is() {
        let mut out = String::new();
        joined(b"timer", " ", b"nightly", false).cold(true).write(64, &mut out);
        assert_eq!((out.as_str(), warm(&out)), ("timer nightly (cold start)", "timer nightly"));
        out.clear();
        joined(b"GET", " ", "/x".repeat(4000).as_bytes(), false).cold(true).write(64, &mut out);
        assert_eq!((out.len(), out.ends_with(COLD_START)), (64, true));
    }
}
