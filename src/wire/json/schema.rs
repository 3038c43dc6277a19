//! OTLP's messages as a table: field names in JSON, numbers and types on the wire (opentelemetry-proto 1.x).

/// A message's fields.
pub(super) struct Msg(pub &'static [Field]);

/// One field of a message.
pub(super) struct Field {
    pub name: &'static str,
    pub number: u32,
    pub kind: Kind,
    pub repeated: bool,
}

/// A field's type.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    /// Bytes that JSON writes in hexadecimal.
    Id,
    Base64,
    Bool,
    Enum,
    Double,
    Fixed32,
    Fixed64,
    SignedFixed64,
    Int64,
    Unsigned32,
    Unsigned64,
    SignedZigzag32,
    Message(&'static Msg),
}

impl Kind {
    /// What a reader of an error message should write.
    pub fn expected(self) -> &'static str {
        match self {
            Kind::Text => "a string",
            Kind::Id => "a hexadecimal string",
            Kind::Base64 => "a base64 string",
            Kind::Bool => "true or false",
            Kind::Enum => "an integer (OTLP/JSON does not allow enum names)",
            Kind::Double => "a number",
            Kind::Fixed32 | Kind::Unsigned32 => "an integer of 32 bits without sign",
            Kind::Fixed64 | Kind::Unsigned64 => "an integer of 64 bits without sign, as a string or number",
            Kind::SignedFixed64 | Kind::Int64 => "an integer of 64 bits, as a string or number",
            Kind::SignedZigzag32 => "an integer of 32 bits",
            Kind::Message(_) => "an object",
        }
    }
}

const fn one(name: &'static str, number: u32, kind: Kind) -> Field {
    Field { name, number, kind, repeated: false }
}

const fn many(name: &'static str, number: u32, kind: Kind) -> Field {
    Field { name, number, kind, repeated: true }
}

use Kind::*;

static ANY_VALUE: Msg = Msg(&[
    one("stringValue", 1, Text),
    one("boolValue", 2, Bool),
    one("intValue", 3, Int64),
    one("doubleValue", 4, Double),
    one("arrayValue", 5, Message(&ARRAY_VALUE)),
    one("kvlistValue", 6, Message(&KEY_VALUE_LIST)),
    one("bytesValue", 7, Base64),
]);
static ARRAY_VALUE: Msg = Msg(&[many("values", 1, Message(&ANY_VALUE))]);
static KEY_VALUE_LIST: Msg = Msg(&[many("values", 1, Message(&KEY_VALUE))]);
static KEY_VALUE: Msg = Msg(&[one("key", 1, Text), one("value", 2, Message(&ANY_VALUE))]);
static ENTITY_REF: Msg = Msg(&[
    one("schemaUrl", 1, Text),
    one("type", 2, Text),
    many("idKeys", 3, Text),
    many("descriptionKeys", 4, Text),
]);
static RESOURCE: Msg = Msg(&[
    many("attributes", 1, Message(&KEY_VALUE)),
    one("droppedAttributesCount", 2, Unsigned32),
    many("entityRefs", 3, Message(&ENTITY_REF)),
]);
static SCOPE: Msg = Msg(&[
    one("name", 1, Text),
    one("version", 2, Text),
    many("attributes", 3, Message(&KEY_VALUE)),
    one("droppedAttributesCount", 4, Unsigned32),
]);

pub(super) static TRACES_REQUEST: Msg = Msg(&[many("resourceSpans", 1, Message(&RESOURCE_SPANS))]);
static RESOURCE_SPANS: Msg = Msg(&[
    one("resource", 1, Message(&RESOURCE)),
    many("scopeSpans", 2, Message(&SCOPE_SPANS)),
    one("schemaUrl", 3, Text),
]);
static SCOPE_SPANS: Msg =
    Msg(&[one("scope", 1, Message(&SCOPE)), many("spans", 2, Message(&SPAN)), one("schemaUrl", 3, Text)]);
static SPAN: Msg = Msg(&[
    one("traceId", 1, Id),
    one("spanId", 2, Id),
    one("traceState", 3, Text),
    one("parentSpanId", 4, Id),
    one("name", 5, Text),
    one("kind", 6, Enum),
    one("startTimeUnixNano", 7, Fixed64),
    one("endTimeUnixNano", 8, Fixed64),
    many("attributes", 9, Message(&KEY_VALUE)),
    one("droppedAttributesCount", 10, Unsigned32),
    many("events", 11, Message(&EVENT)),
    one("droppedEventsCount", 12, Unsigned32),
    many("links", 13, Message(&LINK)),
    one("droppedLinksCount", 14, Unsigned32),
    one("status", 15, Message(&STATUS)),
    one("flags", 16, Fixed32),
]);
static EVENT: Msg = Msg(&[
    one("timeUnixNano", 1, Fixed64),
    one("name", 2, Text),
    many("attributes", 3, Message(&KEY_VALUE)),
    one("droppedAttributesCount", 4, Unsigned32),
]);
static LINK: Msg = Msg(&[
    one("traceId", 1, Id),
    one("spanId", 2, Id),
    one("traceState", 3, Text),
    many("attributes", 4, Message(&KEY_VALUE)),
    one("droppedAttributesCount", 5, Unsigned32),
    one("flags", 6, Fixed32),
]);
static STATUS: Msg = Msg(&[one("message", 2, Text), one("code", 3, Enum)]);

pub(super) static METRICS_REQUEST: Msg = Msg(&[many("resourceMetrics", 1, Message(&RESOURCE_METRICS))]);
static RESOURCE_METRICS: Msg = Msg(&[
    one("resource", 1, Message(&RESOURCE)),
    many("scopeMetrics", 2, Message(&SCOPE_METRICS)),
    one("schemaUrl", 3, Text),
]);
static SCOPE_METRICS: Msg =
    Msg(&[one("scope", 1, Message(&SCOPE)), many("metrics", 2, Message(&METRIC)), one("schemaUrl", 3, Text)]);
static METRIC: Msg = Msg(&[
    one("name", 1, Text),
    one("description", 2, Text),
    one("unit", 3, Text),
    one("gauge", 5, Message(&GAUGE)),
    one("sum", 7, Message(&SUM)),
    one("histogram", 9, Message(&HISTOGRAM)),
    one("exponentialHistogram", 10, Message(&EXPONENTIAL_HISTOGRAM)),
    one("summary", 11, Message(&SUMMARY)),
    many("metadata", 12, Message(&KEY_VALUE)),
]);
static GAUGE: Msg = Msg(&[many("dataPoints", 1, Message(&NUMBER_POINT))]);
static SUM: Msg = Msg(&[
    many("dataPoints", 1, Message(&NUMBER_POINT)),
    one("aggregationTemporality", 2, Enum),
    one("isMonotonic", 3, Bool),
]);
static HISTOGRAM: Msg =
    Msg(&[many("dataPoints", 1, Message(&HISTOGRAM_POINT)), one("aggregationTemporality", 2, Enum)]);
static EXPONENTIAL_HISTOGRAM: Msg =
    Msg(&[many("dataPoints", 1, Message(&EXPONENTIAL_POINT)), one("aggregationTemporality", 2, Enum)]);
static SUMMARY: Msg = Msg(&[many("dataPoints", 1, Message(&SUMMARY_POINT))]);
static NUMBER_POINT: Msg = Msg(&[
    one("startTimeUnixNano", 2, Fixed64),
    one("timeUnixNano", 3, Fixed64),
    one("asDouble", 4, Double),
    many("exemplars", 5, Message(&EXEMPLAR)),
    one("asInt", 6, SignedFixed64),
    many("attributes", 7, Message(&KEY_VALUE)),
    one("flags", 8, Unsigned32),
]);
static HISTOGRAM_POINT: Msg = Msg(&[
    one("startTimeUnixNano", 2, Fixed64),
    one("timeUnixNano", 3, Fixed64),
    one("count", 4, Fixed64),
    one("sum", 5, Double),
    many("bucketCounts", 6, Fixed64),
    many("explicitBounds", 7, Double),
    many("exemplars", 8, Message(&EXEMPLAR)),
    many("attributes", 9, Message(&KEY_VALUE)),
    one("flags", 10, Unsigned32),
    one("min", 11, Double),
    one("max", 12, Double),
]);
static EXPONENTIAL_POINT: Msg = Msg(&[
    many("attributes", 1, Message(&KEY_VALUE)),
    one("startTimeUnixNano", 2, Fixed64),
    one("timeUnixNano", 3, Fixed64),
    one("count", 4, Fixed64),
    one("sum", 5, Double),
    one("scale", 6, SignedZigzag32),
    one("zeroCount", 7, Fixed64),
    one("positive", 8, Message(&BUCKETS)),
    one("negative", 9, Message(&BUCKETS)),
    one("flags", 10, Unsigned32),
    many("exemplars", 11, Message(&EXEMPLAR)),
    one("min", 12, Double),
    one("max", 13, Double),
    one("zeroThreshold", 14, Double),
]);
static BUCKETS: Msg = Msg(&[one("offset", 1, SignedZigzag32), many("bucketCounts", 2, Unsigned64)]);
static SUMMARY_POINT: Msg = Msg(&[
    one("startTimeUnixNano", 2, Fixed64),
    one("timeUnixNano", 3, Fixed64),
    one("count", 4, Fixed64),
    one("sum", 5, Double),
    many("quantileValues", 6, Message(&VALUE_AT_QUANTILE)),
    many("attributes", 7, Message(&KEY_VALUE)),
    one("flags", 8, Unsigned32),
]);
static VALUE_AT_QUANTILE: Msg = Msg(&[one("quantile", 1, Double), one("value", 2, Double)]);
static EXEMPLAR: Msg = Msg(&[
    one("timeUnixNano", 2, Fixed64),
    one("asDouble", 3, Double),
    one("spanId", 4, Id),
    one("traceId", 5, Id),
    one("asInt", 6, SignedFixed64),
    many("filteredAttributes", 7, Message(&KEY_VALUE)),
]);

pub(super) static LOGS_REQUEST: Msg = Msg(&[many("resourceLogs", 1, Message(&RESOURCE_LOGS))]);
static RESOURCE_LOGS: Msg = Msg(&[
    one("resource", 1, Message(&RESOURCE)),
    many("scopeLogs", 2, Message(&SCOPE_LOGS)),
    one("schemaUrl", 3, Text),
]);
static SCOPE_LOGS: Msg = Msg(&[
    one("scope", 1, Message(&SCOPE)),
    many("logRecords", 2, Message(&LOG_RECORD)),
    one("schemaUrl", 3, Text),
]);
static LOG_RECORD: Msg = Msg(&[
    one("timeUnixNano", 1, Fixed64),
    one("severityNumber", 2, Enum),
    one("severityText", 3, Text),
    one("body", 5, Message(&ANY_VALUE)),
    many("attributes", 6, Message(&KEY_VALUE)),
    one("droppedAttributesCount", 7, Unsigned32),
    one("flags", 8, Fixed32),
    one("traceId", 9, Id),
    one("spanId", 10, Id),
    one("observedTimeUnixNano", 11, Fixed64),
    one("eventName", 12, Text),
]);
