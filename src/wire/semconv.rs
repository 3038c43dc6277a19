//! The attribute keys of the semantic conventions that the model reads; current and previous names share a slot.

macro_rules! slots {
    ($($(#[$doc:meta])* $slot:ident = $($key:literal)|+;)+) => {
        /// What an attribute key means to the model.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Slot { $($(#[$doc])* $slot,)+ }

        impl Slot {
            /// The slot of a key; `None` for keys that the model does not read.
            #[inline]
            pub fn of(key: &str) -> Option<Slot> {
                // Compiled to a switch on length and bytes: most keys of most spans leave it at once.
                match key { $($($key)|+ => Some(Slot::$slot),)+ _ => None }
            }
        }
    };
}

slots! {
    /// The request's method.
    HttpMethod = "http.request.method" | "http.method";
    /// The route that the server matched.
    HttpRoute = "http.route";
    /// The template that the client filled in.
    UrlTemplate = "url.template";
    /// The path with its identifiers.
    UrlPath = "url.path" | "http.target";
    /// Whom a client calls.
    ServerAddress = "server.address" | "net.peer.name";
    /// On which port.
    ServerPort = "server.port" | "net.peer.port";
    /// The service that a client says it calls.
    PeerService = "service.peer.name" | "peer.service";
    /// The response's status.
    HttpStatusCode = "http.response.status_code" | "http.status_code";
    /// The RPC service's full name.
    RpcService = "rpc.service";
    /// The RPC method, in the current convention with its service.
    RpcMethod = "rpc.method";
    /// The response's gRPC status.
    GrpcStatusCode = "rpc.grpc.status_code" | "rpc.response.status_code";
    /// The broker.
    MessagingSystem = "messaging.system";
    /// The operation as the messaging system names it.
    MessagingOperationName = "messaging.operation.name";
    /// The operation's type.
    MessagingOperationType = "messaging.operation.type" | "messaging.operation";
    /// Queue or topic.
    MessagingDestination = "messaging.destination.name" | "messaging.destination";
    /// Queue or topic with placeholders.
    MessagingDestinationTemplate = "messaging.destination.template";
    /// The database.
    DbSystem = "db.system.name" | "db.system";
    /// The database operation.
    DbOperation = "db.operation.name" | "db.operation";
    /// Table, collection or container.
    DbCollection = "db.collection.name" | "db.sql.table" | "db.mongodb.collection" | "db.cassandra.table";
    /// Query, mutation or subscription.
    GraphqlOperationType = "graphql.operation.type";
    /// The operation's name in the document.
    GraphqlOperationName = "graphql.operation.name";
    /// What called the function.
    FaasTrigger = "faas.trigger";
    /// The function.
    FaasName = "faas.name" | "faas.invoked_name";
    /// Whether the function was started for this call.
    FaasColdstart = "faas.coldstart";
    /// The class of failure.
    ErrorType = "error.type";
    /// The span's name, on span-metrics.
    SpanName = "span.name" | "span_name";
    /// The span's kind, on span-metrics.
    SpanKind = "span.kind" | "span_kind";
    /// The span's status, on span-metrics.
    StatusCode = "status.code" | "status_code" | "otel.status_code";
}
