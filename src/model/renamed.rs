//! Names that the semantic conventions have replaced, as instrumentation libraries send them.

/// Previous names of attributes and metrics, and what is sent in their place; where that depends on the span, all of it, the
/// likeliest first. From the conventions' guides to migration (HTTP, database, RPC, code) and their registry.
pub(crate) const RENAMED: [(&str, &[&str]); 63] = [
    ("code.column", &["code.column.number"]),
    ("code.filepath", &["code.file.path"]),
    ("code.function", &["code.function.name"]),
    ("code.lineno", &["code.line.number"]),
    ("code.namespace", &["code.function.name"]),
    ("db.cassandra.table", &["db.collection.name"]),
    ("db.client.connections.create_time", &["db.client.connection.create_time"]),
    ("db.client.connections.idle.max", &["db.client.connection.idle.max"]),
    ("db.client.connections.idle.min", &["db.client.connection.idle.min"]),
    ("db.client.connections.max", &["db.client.connection.max"]),
    ("db.client.connections.pending_requests", &["db.client.connection.pending_requests"]),
    ("db.client.connections.timeouts", &["db.client.connection.timeouts"]),
    ("db.client.connections.usage", &["db.client.connection.count"]),
    ("db.client.connections.use_time", &["db.client.connection.use_time"]),
    ("db.client.connections.wait_time", &["db.client.connection.wait_time"]),
    ("db.mongodb.collection", &["db.collection.name"]),
    ("db.name", &["db.namespace"]),
    ("db.operation", &["db.operation.name"]),
    ("db.redis.database_index", &["db.namespace"]),
    ("db.sql.table", &["db.collection.name"]),
    ("db.statement", &["db.query.text"]),
    ("db.system", &["db.system.name"]),
    ("deployment.environment", &["deployment.environment.name"]),
    ("http.client.duration", &["http.client.request.duration"]),
    ("http.client_ip", &["client.address"]),
    ("http.flavor", &["network.protocol.version"]),
    ("http.host", &["server.address", "client.address"]),
    ("http.method", &["http.request.method"]),
    ("http.request_content_length", &["http.request.body.size"]),
    ("http.request_content_length_uncompressed", &["http.request.body.size"]),
    ("http.response_content_length", &["http.response.body.size"]),
    ("http.response_content_length_uncompressed", &["http.response.body.size"]),
    ("http.scheme", &["url.scheme"]),
    ("http.server.duration", &["http.server.request.duration"]),
    ("http.server_name", &["server.address"]),
    ("http.status_code", &["http.response.status_code"]),
    ("http.target", &["url.path", "url.query"]),
    ("http.url", &["url.full"]),
    ("http.user_agent", &["user_agent.original"]),
    ("messaging.client_id", &["messaging.client.id"]),
    ("messaging.destination", &["messaging.destination.name"]),
    ("messaging.kafka.consumer.group", &["messaging.consumer.group.name"]),
    ("messaging.operation", &["messaging.operation.type"]),
    ("messaging.publish.duration", &["messaging.client.operation.duration"]),
    ("messaging.receive.duration", &["messaging.client.operation.duration"]),
    ("net.host.ip", &["network.local.address"]),
    ("net.host.name", &["server.address"]),
    ("net.host.port", &["server.port"]),
    ("net.peer.ip", &["network.peer.address", "client.address"]),
    ("net.peer.name", &["server.address", "client.address"]),
    ("net.peer.port", &["client.port", "network.peer.port", "server.port"]),
    ("net.protocol.name", &["network.protocol.name"]),
    ("net.protocol.version", &["network.protocol.version"]),
    ("net.sock.host.addr", &["network.local.address"]),
    ("net.sock.host.port", &["network.local.port"]),
    ("net.sock.peer.addr", &["network.peer.address"]),
    ("net.sock.peer.port", &["network.peer.port"]),
    ("net.transport", &["network.transport"]),
    ("peer.service", &["service.peer.name"]),
    ("rpc.client.duration", &["rpc.client.call.duration"]),
    ("rpc.grpc.status_code", &["rpc.response.status_code", "rpc.status_code"]),
    ("rpc.server.duration", &["rpc.server.call.duration"]),
    ("rpc.system", &["rpc.system.name"]),
];

/// The names that another version of the conventions has for the same, the likeliest first.
pub fn other_names(name: &str) -> impl Iterator<Item = &'static str> {
    RENAMED.iter().flat_map(move |(previous, current)| {
        let (is_previous, is_current) = (*previous == name, current.contains(&name));
        let current = current.iter().copied().filter(move |_| is_previous);
        current.chain(is_current.then_some(*previous))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_from_either_side() {
        let others = |name| other_names(name).collect::<Vec<_>>();
        assert_eq!(others("http.method"), ["http.request.method"]);
        assert_eq!(others("http.request.method"), ["http.method"]);
        assert_eq!(others("net.peer.ip"), ["network.peer.address", "client.address"]);
        assert_eq!(
            others("db.collection.name"),
            ["db.cassandra.table", "db.mongodb.collection", "db.sql.table"]
        );
        assert_eq!(others("http.route"), Vec::<&str>::new());
    }

    #[test]
    fn no_name_is_its_own_predecessor() {
        for (previous, current) in RENAMED {
            assert!(!current.contains(&previous) && !current.is_empty(), "{previous}");
        }
        assert!(RENAMED.is_sorted_by(|a, b| a.0 < b.0));
    }
}
