//! The attribute keys of the semantic conventions that the model reads; current and previous names share a slot.

macro_rules! slots {
    ($($(#[$doc:meta])* $slot:ident = $($key:literal)|+;)+) => {
        /// What an attribute key means to the model.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Slot { $($(#[$doc])* $slot,)+ }

        impl Slot {
            /// The slot of a key; `None` for keys that the model does not read.
            #[inline]
            pub fn of(key: &[u8]) -> Option<Slot> {
                // Compiled to a switch on length and bytes: most keys of most spans leave it at once.
                match key { $($($key)|+ => Some(Slot::$slot),)+ _ => None }
            }
        }
    };
}

slots! {
    /// The request's method.
    HttpMethod = b"http.request.method" | b"http.method";
    /// The route that the server matched.
    HttpRoute = b"http.route";
    /// The template that the client filled in.
    UrlTemplate = b"url.template";
    /// The path with its identifiers.
    UrlPath = b"url.path" | b"http.target";
    /// Whom a client calls.
    ServerAddress = b"server.address" | b"net.peer.name";
    /// On which port.
    ServerPort = b"server.port" | b"net.peer.port";
    /// The service that a client says it calls.
    PeerService = b"service.peer.name" | b"peer.service";
    /// The response's status.
    HttpStatusCode = b"http.response.status_code" | b"http.status_code";
    /// How large the request's body is.
    HttpRequestBodySize = b"http.request.body.size" | b"http.request_content_length";
    /// How large the response's body is.
    HttpResponseBodySize = b"http.response.body.size" | b"http.response_content_length";
    /// The RPC service's full name.
    RpcService = b"rpc.service";
    /// The RPC method, in the current convention with its service.
    RpcMethod = b"rpc.method";
    /// The response's gRPC status.
    GrpcStatusCode = b"rpc.grpc.status_code" | b"rpc.response.status_code";
    /// The broker.
    MessagingSystem = b"messaging.system";
    /// The operation as the messaging system names it.
    MessagingOperationName = b"messaging.operation.name";
    /// The operation's type.
    MessagingOperationType = b"messaging.operation.type" | b"messaging.operation";
    /// Queue or topic.
    MessagingDestination = b"messaging.destination.name" | b"messaging.destination";
    /// Queue or topic with placeholders.
    MessagingDestinationTemplate = b"messaging.destination.template";
    /// How large the message's body is.
    MessagingBodySize = b"messaging.message.body.size" | b"messaging.message_payload_size_bytes";
    /// The database.
    DbSystem = b"db.system.name" | b"db.system";
    /// The database operation.
    DbOperation = b"db.operation.name" | b"db.operation";
    /// Table, collection or container.
    DbCollection = b"db.collection.name" | b"db.sql.table" | b"db.mongodb.collection" | b"db.cassandra.table";
    /// Query, mutation or subscription.
    GraphqlOperationType = b"graphql.operation.type";
    /// The operation's name in the document.
    GraphqlOperationName = b"graphql.operation.name";
    /// What called the function.
    FaasTrigger = b"faas.trigger";
    /// The function.
    FaasName = b"faas.name" | b"faas.invoked_name";
    /// Whether the function was started for this call.
    FaasColdstart = b"faas.coldstart";
    /// The class of failure.
    ErrorType = b"error.type";
    /// The span's name, on span-metrics.
    SpanName = b"span.name" | b"span_name";
    /// The span's kind, on span-metrics.
    SpanKind = b"span.kind" | b"span_kind";
    /// The span's status, on span-metrics.
    StatusCode = b"status.code" | b"status_code" | b"otel.status_code";
}
