//! Every key there is, once: name, form, default, meaning.

pub(super) mod alerts;

use alerts::{ALERTMANAGER, ALERTS, MAINTENANCE, SLO, WEBHOOK};

/// One key.
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// What holds without it, as YAML; empty when nothing does.
    pub default: &'static str,
    /// What it means, in a sentence.
    pub help: &'static str,
}

/// What a key holds.
#[derive(Clone, Copy)]
pub enum Kind {
    /// true or false.
    Bool,
    /// Any text.
    Text,
    /// Text that is not shown again.
    Secret,
    /// A duration within bounds, in nanoseconds.
    Duration(u64, u64),
    /// A size within bounds, in bytes.
    Bytes(u64, u64),
    /// A whole number within bounds.
    Count(u64, u64),
    /// A number within bounds.
    Number(f64, f64),
    /// host:port
    Endpoint,
    /// A URL, or host:port.
    Url,
    /// A point in time, RFC 3339.
    Time,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of such.
    List(&'static Kind),
    /// One such, or a list of them.
    OneOrMore(&'static Kind),
    /// A list of such, or the word.
    ListOr(&'static Kind, &'static str),
    /// Text, or such.
    TextOr(&'static Kind),
    /// Names to such.
    Map(&'static Kind),
    /// Quantiles (`p95`, `p99.9`) to numbers.
    Quantiles,
    /// These keys.
    Section(&'static [Key]),
    /// `type` or `type/name` to the section of the type.
    Components(&'static [(&'static str, &'static Kind)]),
    /// `signal` or `signal/name` to a pipeline.
    Pipelines(&'static Kind),
}

impl Kind {
    /// Whether there is a secret in it, at whatever depth.
    pub fn holds_secrets(&self) -> bool {
        match self {
            Kind::Secret => true,
            Kind::List(kind) | Kind::OneOrMore(kind) | Kind::ListOr(kind, _) | Kind::TextOr(kind) => {
                kind.holds_secrets()
            }
            Kind::Map(kind) | Kind::Pipelines(kind) => kind.holds_secrets(),
            Kind::Section(keys) => keys.iter().any(|key| key.kind.holds_secrets()),
            Kind::Components(types) => types.iter().any(|(_, kind)| kind.holds_secrets()),
            _ => false,
        }
    }
}

const fn key(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Key {
    Key { name, kind, default, help }
}

use Kind::*;

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;
const MIB: u64 = 1 << 20;

/// The whole file.
pub static ROOT: Kind = Section(&[
    key("receivers", Components(&[("otlp", &OTLP_RECEIVER)]), "", "Where telemetry comes in."),
    key("processors", Section(&[]), "", "None are needed; the key is accepted so that collector files load."),
    key(
        "exporters",
        Components(&[
            ("otlp_grpc", &GRPC_EXPORTER),
            ("otlp", &GRPC_EXPORTER),
            ("otlp_http", &HTTP_EXPORTER),
            ("otlphttp", &HTTP_EXPORTER),
            ("alertmanager", &ALERTMANAGER),
            ("webhook", &WEBHOOK),
        ]),
        "",
        "Where telemetry, results and alerts go.",
    ),
    key(
        "extensions",
        Components(&[
            ("health_check", &HEALTH_CHECK),
            ("page", &PAGE),
            ("bearertokenauth", &BEARER_TOKEN_AUTH),
            ("basicauth", &BASIC_AUTH),
            ("memory_limiter", &MEMORY_LIMITER),
            ("file_storage", &FILE_STORAGE),
        ]),
        "",
        "What runs beside the pipelines, who may send, how much memory is used, and where is kept what was acknowledged.",
    ),
    key("service", SERVICE, "", "What runs."),
    key("parity", PARITY, "", "What isotel does."),
]);

const TLS_SERVER: Kind = Section(&[
    key("cert_file", Text, "", "PEM file of the server's certificates."),
    key("key_file", Text, "", "PEM file of the server's private key."),
    key("client_ca_file", Text, "", "PEM file of the authorities that clients' certificates must come from."),
    key("min_version", Word(&["1.2", "1.3"]), "1.2", "The oldest TLS version to accept."),
    RELOAD_INTERVAL,
]);

const RELOAD_INTERVAL: Key = key(
    "reload_interval",
    Duration(0, 400 * DAY),
    "0",
    "How often the files are looked at for a change; 0 for at SIGHUP only.",
);

const AUTH_SERVER: Kind = Section(&[key(
    "authenticator",
    Text,
    "",
    "The extension that says who may send; requests without a credential of it are refused.",
)]);

const AUTH_CLIENT: Kind =
    Section(&[key("authenticator", Text, "", "The extension that has the credential to show.")]);

const CORS: Kind = Section(&[
    key(
        "allowed_origins",
        List(&Text),
        "[]",
        "Origins such as https://shop.example; * for any run of characters.",
    ),
    key(
        "allowed_headers",
        List(&Text),
        "[]",
        "Headers beside accept, content-type and x-requested-with; [*] for all.",
    ),
    key(
        "max_age",
        Count(0, 86_400),
        "0",
        "For how many seconds a browser may remember the answer; 0 to leave it to the browser.",
    ),
]);

const HOSTS: Key = key(
    "hosts",
    List(&Text),
    "[]",
    "Names by which the page may be asked for, beside IP addresses, localhost and the endpoint's; * for any run of characters.",
);

const ALLOW_FROM: Key = key(
    "allow_from",
    List(&Text),
    "[]",
    "Addresses and prefixes such as 10.0.0.0/8 that may connect; without it all.",
);

const OTLP_RECEIVER: Kind = Section(&[key(
    "protocols",
    Section(&[
        key(
            "grpc",
            Section(&[
                key("endpoint", Endpoint, "localhost:4317", "Where to listen."),
                key("tls", TLS_SERVER, "", "Serve over TLS."),
                key("auth", AUTH_SERVER, "", "Who may send."),
                ALLOW_FROM,
                key(
                    "max_recv_msg_size",
                    Bytes(1 << 10, 1 << 30),
                    "64MiB",
                    "The largest request, decompressed.",
                ),
                key("max_recv_msg_size_mib", Count(1, 1024), "", "The same in MiB, as collectors write it."),
            ]),
            "",
            "OTLP/gRPC.",
        ),
        key(
            "http",
            Section(&[
                key("endpoint", Endpoint, "localhost:4318", "Where to listen."),
                key("tls", TLS_SERVER, "", "Serve over TLS."),
                key("auth", AUTH_SERVER, "", "Who may send."),
                ALLOW_FROM,
                key("cors", CORS, "", "Which pages of a browser may send."),
                key(
                    "max_request_body_size",
                    Bytes(1 << 10, 1 << 30),
                    "64MiB",
                    "The largest request, decompressed.",
                ),
            ]),
            "",
            "OTLP/HTTP.",
        ),
    ]),
    "",
    "Which protocols; one that is not named does not run.",
)]);

const TLS_CLIENT: Kind = Section(&[
    key("insecure", Bool, "false", "No TLS, where the endpoint names no scheme."),
    key(
        "insecure_skip_verify",
        Bool,
        "false",
        "TLS with any certificate of the server, which may then be anybody.",
    ),
    key("ca_file", Text, "", "PEM file of the authorities that the server's certificate must come from."),
    key("cert_file", Text, "", "PEM file of the client's certificates."),
    key("key_file", Text, "", "PEM file of the client's private key."),
    key("server_name_override", Text, "", "The name that the server's certificate must have."),
    key("min_version", Word(&["1.2", "1.3"]), "1.2", "The oldest TLS version to accept."),
    RELOAD_INTERVAL,
]);

const RETRY: Kind = Section(&[
    key("enabled", Bool, "true", "Whether to retry at all."),
    key("initial_interval", Duration(1_000_000, HOUR), "5s", "The first wait."),
    key("randomization_factor", Number(0.0, 1.0), "0.5", "How much a wait may be off, as a share."),
    key("multiplier", Number(1.0, 100.0), "1.5", "How much longer the next wait is."),
    key("max_interval", Duration(1_000_000, DAY), "30s", "The longest wait."),
    key(
        "max_elapsed_time",
        Duration(0, DAY),
        "",
        "After which time a request is given up, 0 for never; without it 5m, and never with sending_queue.storage.",
    ),
]);

const QUEUE_ENABLED: Key =
    key("enabled", Bool, "true", "Accepted for collectors' sake; the queue is always there.");
const NUM_CONSUMERS: Key = key("num_consumers", Count(1, 256), "10", "Requests under way at a time.");
const QUEUE_SIZE: Key = key("queue_size", Count(1, 1_000_000), "1000", "Requests that wait at the most.");
const QUEUE_BYTES: Key = key("queue_bytes", Bytes(1 << 16, 1 << 40), "64MiB", "Bytes that wait at the most.");

const QUEUE: Kind = Section(&[
    QUEUE_ENABLED,
    NUM_CONSUMERS,
    QUEUE_SIZE,
    QUEUE_BYTES,
    key(
        "storage",
        Text,
        "",
        "The extension that keeps what waits, such as file_storage; without it a crash loses it.",
    ),
]);

const PUSH_QUEUE: Kind = Section(&[QUEUE_ENABLED, NUM_CONSUMERS, QUEUE_SIZE, QUEUE_BYTES]);

static GRPC_EXPORTER: Kind = Section(&[
    key(
        "endpoint",
        Url,
        "",
        "host:port, which is over TLS unless tls.insecure, or http:// or https:// and the same.",
    ),
    key("headers", Map(&Secret), "", "Metadata to send along."),
    key("compression", Word(&["gzip", "zstd", "none"]), "gzip", "How to compress."),
    key("tls", TLS_CLIENT, "", "How to connect."),
    key("auth", AUTH_CLIENT, "", "Who isotel says it is."),
    key("timeout", Duration(1_000_000, HOUR), "5s", "How long one attempt may take."),
    key("retry_on_failure", RETRY, "", "When to try again."),
    key("sending_queue", QUEUE, "", "What waits."),
]);

static HTTP_EXPORTER: Kind = Section(&[
    key("endpoint", Url, "", "The base URL; /v1/traces and so on are appended."),
    key("headers", Map(&Secret), "", "Headers to send along."),
    key("compression", Word(&["gzip", "zstd", "none"]), "gzip", "How to compress."),
    key("tls", TLS_CLIENT, "", "How to connect."),
    key("auth", AUTH_CLIENT, "", "Who isotel says it is."),
    key("timeout", Duration(1_000_000, HOUR), "30s", "How long one attempt may take."),
    key("retry_on_failure", RETRY, "", "When to try again."),
    key("sending_queue", QUEUE, "", "What waits."),
]);

const PUSH: Kind = Section(&[
    key("endpoint", Url, "", "Where isotel's own metrics are pushed to, over OTLP/gRPC."),
    key("interval", Duration(SECOND, HOUR), "60s", "How often."),
    key("headers", Map(&Secret), "", "Metadata to send along."),
    key("compression", Word(&["gzip", "zstd", "none"]), "gzip", "How to compress."),
    key("tls", TLS_CLIENT, "", "How to connect."),
    key("auth", AUTH_CLIENT, "", "Who isotel says it is."),
    key("timeout", Duration(1_000_000, HOUR), "5s", "How long one attempt may take."),
    key("retry_on_failure", RETRY, "", "When to try again."),
    key("sending_queue", PUSH_QUEUE, "", "What waits."),
]);

/// The health page.
pub const HEALTH_CHECK: Kind = Section(&[
    key("endpoint", Endpoint, "localhost:13133", "Where to listen."),
    key("path", Text, "/", "Which path answers."),
    key("tls", TLS_SERVER, "", "Serve over TLS."),
    key("auth", AUTH_SERVER, "", "Who may read."),
    HOSTS,
    ALLOW_FROM,
]);

/// How much memory the process may use. It holds whether or not a file names it.
pub const MEMORY_LIMITER: Kind = Section(&[
    key("check_interval", Duration(10_000_000, 60 * SECOND), "100ms", "How often memory is looked at."),
    key("limit_mib", Count(1, 1 << 30), "", "The hard limit; beyond it nothing is let in."),
    key(
        "spike_limit_mib",
        Count(1, 1 << 30),
        "",
        "How far below it the soft limit lies, and how much requests in flight may hold; a fifth of limit_mib without it.",
    ),
    key(
        "limit_percentage",
        Count(1, 100),
        "80",
        "The hard limit as a share of the container's or the machine's memory; limit_mib wins.",
    ),
    key(
        "spike_limit_percentage",
        Count(1, 100),
        "",
        "The same for limit_percentage; a fifth of it without it.",
    ),
]);

/// The page of results.
pub const PAGE: Kind = Section(&[
    key("endpoint", Endpoint, "localhost:4319", "Where to listen."),
    key("tls", TLS_SERVER, "", "Serve over TLS."),
    key("auth", AUTH_SERVER, "", "Who may read."),
    HOSTS,
    ALLOW_FROM,
]);

/// An authenticator by token.
pub const BEARER_TOKEN_AUTH: Kind = Section(&[
    key("scheme", Text, "Bearer", "The word before the token in the authorization header."),
    key("token", Secret, "", "The token that senders must show, and exporters show."),
    key("tokens", List(&Secret), "", "Tokens of which senders must show one; exporters show the first."),
    key(
        "filename",
        Text,
        "",
        "A file with one token a line; for listeners read at the start and at SIGHUP, for exporters when it changes.",
    ),
]);

/// An authenticator by user and password.
pub const BASIC_AUTH: Kind = Section(&[
    key(
        "htpasswd",
        Section(&[
            key("file", Text, "", "A file of user:password lines, read at the start and at SIGHUP."),
            key("inline", Secret, "", "The same lines written here; they win over those of the file."),
        ]),
        "",
        "Users who may send, with passwords in plain text or as {SHA}.",
    ),
    key(
        "client_auth",
        Section(&[key("username", Text, "", "The user."), key("password", Secret, "", "The password.")]),
        "",
        "The user as whom exporters send.",
    ),
]);

/// A directory for what must survive the process.
pub const FILE_STORAGE: Kind = Section(&[
    key(
        "directory",
        Text,
        "/var/lib/isotel",
        "Where; one agent alone uses it, and makes it if it is not there.",
    ),
    key(
        "max_bytes",
        Bytes(MIB, 1 << 44),
        "1GiB",
        "Bytes on disk at the most, of log and evidence together and of each sending queue; beyond them requests are \
         refused until there is room.",
    ),
    key(
        "fsync",
        Word(&["never", "interval", "always"]),
        "interval",
        "When the disk has what was acknowledged: when the system sees fit, within fsync_interval, or before the \
         acknowledgement.",
    ),
    key("fsync_interval", Duration(10_000_000, HOUR), "1s", "How much time the end of power may cost."),
]);

const PIPELINE: Kind = Section(&[
    key("receivers", List(&Text), "", "Which receivers feed it."),
    key("processors", List(&Text), "", "None are needed."),
    key(
        "exporters",
        List(&Text),
        "",
        "Where what was received goes on to, unchanged; without any it is judged only.",
    ),
]);

const SERVICE: Kind = Section(&[
    key("extensions", List(&Text), "", "Which extensions run."),
    key("pipelines", Pipelines(&PIPELINE), "", "Which signals are taken in, and where they go on to."),
    key(
        "telemetry",
        Section(&[
            key(
                "metrics",
                Section(&[
                    key(
                        "address",
                        Endpoint,
                        "localhost:8888",
                        "Where isotel's own metrics are served for Prometheus.",
                    ),
                    key("tls", TLS_SERVER, "", "Serve them over TLS."),
                    key("auth", AUTH_SERVER, "", "Who may read them."),
                    HOSTS,
                    ALLOW_FROM,
                    key("otlp", PUSH, "", "Pushes isotel's own metrics."),
                ]),
                "",
                "isotel's own metrics.",
            ),
            key(
                "logs",
                Section(&[
                    key(
                        "level",
                        Word(&["error", "warn", "info", "debug", "trace"]),
                        "info",
                        "What is logged.",
                    ),
                    key("encoding", Word(&["console", "json"]), "console", "How it is written."),
                ]),
                "",
                "isotel's own logs, on standard error.",
            ),
        ]),
        "",
        "isotel's own telemetry.",
    ),
]);

const LATENCY_TOLERANCE: Kind = Section(&[
    key(
        "quantiles",
        Quantiles,
        "{p50: 0.15, p90: 0.15, p95: 0.15, p99: 0.15}",
        "Accepted relative difference at each quantile.",
    ),
    key("primary", List(&Text), "[p50, p95]", "The quantiles that parity must be shown at."),
    key("floor", Duration(0, HOUR), "500us", "Accepted difference at least, however short the operation is."),
    key("worse_only", Bool, "false", "Whether only a slower candidate is divergent."),
    key(
        "require_distribution",
        Bool,
        "false",
        "Whether parity also asks that the whole distributions are shown to lie within 0.10 of each other.",
    ),
]);

const ERRORS_TOLERANCE: Kind = Section(&[
    key(
        "relative",
        Number(0.0, 100.0),
        "0.10",
        "Accepted difference, relative to the baseline's error rate.",
    ),
    key("floor", Number(0.0, 1.0), "0.01", "Accepted difference at least, absolute."),
]);

const OVERRIDE: Kind = Section(&[
    key("service", Text, "*", "Which services; * for any run of characters."),
    key("operation", Text, "", "Which of their operations; all without it."),
    key("latency", LATENCY_TOLERANCE, "", "Latency."),
    key("errors", ERRORS_TOLERANCE, "", "Errors."),
    key("coverage", Number(0.0, 1.0), "", "The share of expected telemetry that must be there."),
    key("volume", Number(0.0, 100.0), "", "Accepted relative difference of requests per second."),
    key("min_requests", Count(2, 1_000_000_000), "", "Requests a side below which nothing is decided."),
    key("critical", Bool, "", "Whether the comparison must show parity here to be at parity."),
    key("weight", Number(0.0, 1_000.0), "", "How much these series count in the score."),
    key("owner", Text, "", "Who owns them; shown with their findings."),
]);

const COMPARISON: Kind = Section(&[
    key("name", Text, "", "Its name."),
    key("baseline", TextOr(&BASELINE), "", "The environment that is the reference, or a snapshot of one."),
    key("candidate", Text, "", "The environment that is judged."),
    key("services", List(&Text), "", "Which services; * for any run of characters; all without it."),
    key(
        "traffic",
        Number(0.001, 0.999),
        "",
        "The share of both sides' requests that the candidate is meant to get, e.g. 0.1; without it half of them.",
    ),
    key("offset", Duration(0, 400 * DAY), "0", "How far back the baseline is looked at, e.g. 24h."),
    key("owner", Text, "", "Who owns it; shown with findings that have no other owner."),
]);

const BASELINE: Kind = Section(&[key(
    "snapshot",
    Text,
    "",
    "The file of `isotel snapshot save`, beside the file that names it; read at the start and at SIGHUP.",
)]);

const ENVIRONMENT: Kind = Section(&[
    key("owner", Text, "", "Who owns it; shown with findings of services without an owner."),
    key("runbook", Url, "", "Where it is written what to do about it."),
    key("description", Text, "", "What it is."),
]);

const FACT: Kind = Section(&[
    key("key", Text, "", "Which facts, by key; * for any run of characters."),
    key(
        "rule",
        Word(&["must_equal", "may_differ", "must_differ"]),
        "must_equal",
        "What must hold of both sides.",
    ),
    key(
        "severity",
        Word(&["info", "warning", "critical"]),
        "warning",
        "How much it matters when it does not.",
    ),
    key("service", Text, "", "Of which services; of all without it."),
    key("required", Bool, "false", "Whether both sides must state it."),
]);

const REDACTION: Kind = Section(&[
    key(
        "action",
        Word(&["hash", "mask", "keep"]),
        "hash",
        "What becomes of a hidden value: a keyed hash, one word for all, or it is kept as it came.",
    ),
    key(
        "keys",
        List(&Text),
        "[]",
        "Attributes whose values are hidden beside the usual; * for any run of characters.",
    ),
    key("ignored_keys", List(&Text), "[]", "Attributes whose values are kept as they came; they win."),
    key(
        "kinds",
        List(&Word(&["email", "card", "token", "private_key"])),
        "[email, card, token, private_key]",
        "What is hidden for what it is.",
    ),
    key(
        "key",
        Secret,
        "",
        "What hashes are keyed with, so that they outlast a restart; a key of the process without it.",
    ),
]);

const WAIVER: Kind = Section(&[
    key("service", Text, "", "Which services; * for any run of characters."),
    key("operation", Text, "", "Which operations."),
    key("aspect", Text, "", "Which aspect."),
    key("finding", Text, "", "Which finding, by id."),
    key("item", Text, "", "Which metric, attribute, fact or other item."),
    key("comparison", Text, "", "In which comparisons."),
    key("reason", Text, "", "Why the difference is accepted."),
    key("owner", Text, "", "Who accepts it."),
    key("expires", Time, "", "Until when, e.g. 2027-01-31T00:00:00Z; a day alone begins at midnight UTC."),
]);

/// A file of waivers.
pub static WAIVERS_FILE: Kind =
    Section(&[key("waivers", List(&WAIVER), "[]", "Known and accepted differences.")]);

const VALUE: Kind = Section(&[
    key("metric", Text, "", "Which metrics; * for any run of characters."),
    key("service", Text, "", "Which services; * for any run of characters; all without it."),
    key("tolerance", Number(0.0, 100.0), "0.10", "Accepted relative difference."),
    key("floor", Number(0.0, 1e18), "0", "Accepted difference at least, in the metric's unit."),
    key("per", Word(&["request"]), "", "Divides by the service's incoming requests."),
    key(
        "statistic",
        Word(&["mean", "p50", "p95", "rate", "last", "max"]),
        "",
        "What is compared; without it the rate of sums, and the mean of all others.",
    ),
    key(
        "by",
        List(&Text),
        "[]",
        "Attributes that tell values apart; without them all points are taken together.",
    ),
    key(
        "severity",
        Word(&["critical", "warning", "info"]),
        "critical",
        "The level of its findings; at info it is reported and decides nothing.",
    ),
    key("equal", Bool, "false", "Compares the values of an attribute, which must be the same on both sides."),
    key(
        "attribute",
        Text,
        "",
        "That attribute, of data points, log records or spans; its values are kept as hashes.",
    ),
]);

const ENVIRONMENT_RULE: Kind = Section(&[
    key("attribute", Text, "", "The resource attribute that is looked at."),
    key("value", Text, "", "What its value must match; * for any run of characters; any value without it."),
    key("environment", Text, "{value}", "The environment; {value} stands for the attribute's value."),
]);

const PARITY: Kind = Section(&[
    key(
        "environment",
        Section(&[
            key(
                "attributes",
                List(&Text),
                "[deployment.environment.name, deployment.environment]",
                "Resource attributes whose value is the environment.",
            ),
            key(
                "rules",
                List(&ENVIRONMENT_RULE),
                "[]",
                "Tried in order when none of the attributes is there.",
            ),
            key(
                "default",
                Text,
                "",
                "What a resource is that nothing names; without it, it has no environment.",
            ),
        ]),
        "",
        "How a resource's environment is read.",
    ),
    key("window", Duration(SECOND, DAY), "1m", "The length of a window of event time."),
    key("lateness", Duration(0, DAY), "30s", "How long a window waits for late telemetry."),
    key(
        "idle_timeout",
        Duration(SECOND, DAY),
        "2m",
        "After how long without telemetry an environment holds nobody back.",
    ),
    key("period", Duration(SECOND, 400 * DAY), "30m", "How far back live evidence reaches."),
    key(
        "warmup",
        Duration(0, DAY),
        "0s",
        "How long what a new instance does is no evidence of latency or errors; 0s for always evidence.",
    ),
    key(
        "comparisons",
        ListOr(&COMPARISON, "auto"),
        "auto",
        "Which environments are compared; auto: the two that there are.",
    ),
    key(
        "tolerances",
        Section(&[
            key("latency", LATENCY_TOLERANCE, "", "Latency."),
            key("errors", ERRORS_TOLERANCE, "", "Errors."),
            key("coverage", Number(0.0, 1.0), "0.95", "The share of expected telemetry that must be there."),
            key(
                "volume",
                Number(0.0, 100.0),
                "",
                "Accepted relative difference of requests per second; without it volume is not judged.",
            ),
            key(
                "dependencies",
                Section(&[key(
                    "success",
                    Number(0.0, 1.0),
                    "0.05",
                    "Accepted difference of the share of calls that succeed, absolute.",
                )]),
                "",
                "Whom a service calls.",
            ),
            key(
                "min_requests",
                Count(2, 1_000_000_000),
                "50",
                "Requests a side below which nothing is decided.",
            ),
            key("alpha", Number(0.0001, 0.2), "0.05", "The share of false divergences that is accepted."),
            key(
                "overrides",
                List(&OVERRIDE),
                "[]",
                "Other tolerances for some services or operations; later ones win.",
            ),
        ]),
        "",
        "How much difference is accepted.",
    ),
    key("values", List(&VALUE), "[]", "Metrics whose values decide."),
    key("facts", List(&FACT), "[]", "What must hold of versions, flags and other facts; later ones win."),
    key(
        "redaction",
        REDACTION,
        "",
        "Which values are not kept as they came: facts, and what tells values of metrics apart.",
    ),
    key("environments", Map(&ENVIRONMENT), "", "What is known of environments, by name."),
    key(
        "catalog",
        OneOrMore(&Text),
        "",
        "Files or folders that say which telemetry is expected; they are read where the agent runs.",
    ),
    key("waivers", List(&WAIVER), "[]", "Known and accepted differences."),
    key(
        "waivers_file",
        Text,
        "",
        "A file of `waivers:`, beside this one; they hold with those written here.",
    ),
    key(
        "exporters",
        List(&Text),
        "[]",
        "Where scores, verdicts and findings go; of a first tier its windows.",
    ),
    key(
        "tier",
        Word(&["first", "second"]),
        "second",
        "second: windows are judged here, with those of first tiers; first: they go to the agent that judges them.",
    ),
    key("slos", List(&SLO), "[]", "How much of the time may be divergent."),
    key("alerts", ALERTS, "", "Whom findings and spent error budgets are told."),
    key(
        "maintenance",
        List(&MAINTENANCE),
        "[]",
        "Times whose evidence opens no alert and spends no error budget.",
    ),
    key(
        "storage",
        Text,
        "",
        "The extension that keeps what was acknowledged, such as file_storage; without it a crash loses it.",
    ),
    key(
        "history",
        HISTORY,
        "",
        "What comparisons came to, for trends and reports; on disk where there is a storage.",
    ),
    key(
        "tenants",
        TENANTS,
        "",
        "Who is kept apart, each with an engine of its own; without it there is one for all.",
    ),
    key("limits", LIMITS, "", "What is kept at the most, of each tenant where there are any."),
]);

const TENANTS: Kind = Section(&[
    key("header", Text, "X-Scope-OrgID", "The header that names a request's tenant."),
    key("default", Text, "", "Whose a request without the header is; without it such a request is refused."),
    key("known", Map(&TENANT), "", "The tenants by name; a request of another is refused."),
]);

const TENANT: Kind = Section(&[key(
    "auth",
    AUTH_SERVER,
    "",
    "Who may send as this tenant and read its pages, in place of whom the listener lets in.",
)]);

const HISTORY: Kind = Section(&[
    key(
        "retention",
        Duration(HOUR, 400 * DAY),
        "30d",
        "How far back; what is older is removed, from disk too.",
    ),
    key(
        "max_bytes",
        Bytes(MIB, 1 << 40),
        "256MiB",
        "Bytes on disk at the most; beyond them the oldest part goes before its time.",
    ),
]);

/// The bounds on what is kept.
pub const LIMITS: Kind = Section(&[
    key(
        "environments",
        Count(2, 1_000),
        "16",
        "Environments that are kept apart; those in no window of the period leave their places.",
    ),
    key("services", Count(1, 1_000_000), "1000", "Services over all environments."),
    key("operations_per_service", Count(1, 1_000_000), "500", "Operations of one service."),
    key("series", Count(1, 10_000_000), "20000", "Series over all services."),
    key("instances_per_series", Count(1, 10_000), "64", "Instances told apart in a series."),
    key(
        "instances",
        Count(1, 10_000_000),
        "100000",
        "Instances whose beginning is remembered for parity.warmup.",
    ),
    key("items", Count(1, 10_000_000), "20000", "Telemetry items in the presence matrix."),
    key("error_types_per_service", Count(1, 10_000), "100", "Classes of failure of one service."),
    key("dependencies_per_service", Count(1, 10_000), "50", "Peers that one service calls."),
    key("shapes_per_series", Count(1, 10_000), "32", "Attribute shapes told apart in a series."),
    key(
        "counted_attributes",
        Count(1, 10_000_000),
        "5000",
        "Attributes with several values of which these are counted, in one window.",
    ),
    key("resource_attributes", Count(1, 10_000), "128", "Attribute keys of one service's resources."),
    key("name_bytes", Count(16, 65_536), "256", "Bytes of one name."),
    key("open_windows", Count(2, 10_000), "16", "Windows that are open at a time."),
    key(
        "sampled_spans",
        Count(1, 1_000_000),
        "4096",
        "Spans of the traces in one environment and window whose parents are looked for.",
    ),
    key("metric_streams", Count(1, 100_000_000), "100000", "Metric streams that are followed."),
    key("facts_per_service", Count(1, 100_000), "128", "Statements about a service in a window, by origin."),
    key("values", Count(1, 10_000_000), "20000", "Metrics whose values are compared, over all services."),
    key(
        "values_per_service",
        Count(1, 1_000_000),
        "500",
        "Metrics of one service whose values are compared, and as many sizes of bodies.",
    ),
    key("texts_per_value", Count(1, 1_000_000), "1000", "Different texts of one attribute in one window."),
    key("findings", Count(1, 100_000), "1000", "Findings in one report."),
    key("sessions", Count(1, 1_000), "32", "Sessions of releases, those that have ended among them."),
    key(
        "snapshot_bytes",
        Bytes(MIB, 1 << 40),
        "256MiB",
        "One snapshot: that the page gives out, or that a comparison has as its baseline.",
    ),
    key(
        "sources",
        Count(1, 100_000),
        "1000",
        "First tiers whose windows are taken, those that have ended among them.",
    ),
    key("future_skew", Duration(0, DAY), "5m", "How far ahead of the agent's clock an event may lie."),
    key("concurrent_requests", Count(1, 100_000), "256", "Requests that are handled at a time."),
    key("connections", Count(1, 1_000_000), "1024", "Connections to one listener."),
    key("reports_bytes", Bytes(MIB, 1 << 40), "1MiB", "The largest request of results."),
]);
