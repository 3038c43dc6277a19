//! Why single items are refused, and how many were.

/// A reason to refuse one span, data point or log record and keep its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// A trace id that is not 16 bytes.
    TraceIdLength,
    /// A trace id of zeros.
    TraceIdZero,
    /// A span id that is not 8 bytes.
    SpanIdLength,
    /// A span id of zeros.
    SpanIdZero,
    /// A parent span id that is neither empty nor 8 bytes.
    ParentSpanIdLength,
    /// A span that ends before it starts.
    EndBeforeStart,
    /// An item without the time that it needs, or of a clock that was never set.
    TimeUnset,
    /// An item beyond the clock skew that is allowed.
    TimeInFuture,
    /// A metric without a name.
    EmptyMetricName,
    /// A histogram whose bucket counts do not fit its bounds.
    BucketCountMismatch,
    /// A histogram whose bounds do not rise.
    BoundsNotAscending,
    /// A NaN or infinite value.
    NotFinite,
    /// A histogram whose buckets do not add up to its count.
    CountMismatch,
    /// An exponential histogram outside of the scales and indices that have meaning.
    ScaleOutOfRange,
    /// A value nested too deep.
    NestingTooDeep,
    /// A part of a window whose content is not what its sender signed, or names what it does not have.
    PartDamaged,
    /// A part of a window in another isotel's form.
    PartFormat,
    /// A part of a window whose texts are hashed with another key.
    PartKey,
    /// A part of a window of another width.
    PartWindow,
    /// A part of a window of one source more than are told apart.
    PartSource,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Refusal; 20] = [
        Refusal::TraceIdLength,
        Refusal::TraceIdZero,
        Refusal::SpanIdLength,
        Refusal::SpanIdZero,
        Refusal::ParentSpanIdLength,
        Refusal::EndBeforeStart,
        Refusal::TimeUnset,
        Refusal::TimeInFuture,
        Refusal::EmptyMetricName,
        Refusal::BucketCountMismatch,
        Refusal::BoundsNotAscending,
        Refusal::NotFinite,
        Refusal::CountMismatch,
        Refusal::ScaleOutOfRange,
        Refusal::NestingTooDeep,
        Refusal::PartDamaged,
        Refusal::PartFormat,
        Refusal::PartKey,
        Refusal::PartWindow,
        Refusal::PartSource,
    ];

    /// The word in JSON and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::TraceIdLength => "trace_id_length",
            Refusal::TraceIdZero => "trace_id_zero",
            Refusal::SpanIdLength => "span_id_length",
            Refusal::SpanIdZero => "span_id_zero",
            Refusal::ParentSpanIdLength => "parent_span_id_length",
            Refusal::EndBeforeStart => "end_before_start",
            Refusal::TimeUnset => "time_unset",
            Refusal::TimeInFuture => "time_in_future",
            Refusal::EmptyMetricName => "empty_metric_name",
            Refusal::BucketCountMismatch => "bucket_count_mismatch",
            Refusal::BoundsNotAscending => "bounds_not_ascending",
            Refusal::NotFinite => "not_finite",
            Refusal::CountMismatch => "count_mismatch",
            Refusal::ScaleOutOfRange => "scale_out_of_range",
            Refusal::NestingTooDeep => "nesting_too_deep",
            Refusal::PartDamaged => "part_damaged",
            Refusal::PartFormat => "part_format",
            Refusal::PartKey => "part_key",
            Refusal::PartWindow => "part_window",
            Refusal::PartSource => "part_source",
        }
    }

    /// What is wrong, for the sender.
    pub fn sentence(self) -> &'static str {
        match self {
            Refusal::TraceIdLength => "trace_id must be 16 bytes",
            Refusal::TraceIdZero => "trace_id must not be all zeros",
            Refusal::SpanIdLength => "span_id must be 8 bytes",
            Refusal::SpanIdZero => "span_id must not be all zeros",
            Refusal::ParentSpanIdLength => "parent_span_id must be empty or 8 bytes",
            Refusal::EndBeforeStart => "end time is before start time",
            Refusal::TimeUnset => "time is not set, or is that of a clock that was never set",
            Refusal::TimeInFuture => {
                "time is further ahead of the receiver's clock than limits.future_skew allows"
            }
            Refusal::EmptyMetricName => "metric has no name",
            Refusal::BucketCountMismatch => "bucket_counts must be one more than explicit_bounds",
            Refusal::BoundsNotAscending => "explicit_bounds must rise strictly and be finite",
            Refusal::NotFinite => "value is NaN or infinite",
            Refusal::CountMismatch => "bucket_counts do not add up to count",
            Refusal::ScaleOutOfRange => "exponential histogram scale or offset is out of range",
            Refusal::NestingTooDeep => "attribute value is nested deeper than 32 levels",
            Refusal::PartDamaged => "a window's part is not what its sender signed",
            Refusal::PartFormat => {
                "a window's part is of another isotel's format: run the same version in both tiers"
            }
            Refusal::PartKey => {
                "a window's part is of another key: set the same parity.redaction.key in both tiers"
            }
            Refusal::PartWindow => {
                "a window's part is of another width: set the same parity.window in both tiers"
            }
            Refusal::PartSource => "a window's part is of one first tier more than parity.limits.sources",
        }
    }
}

/// How many items were refused, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals([u64; Refusal::ALL.len()]);

impl Refusals {
    /// Counts `n` more.
    pub fn add(&mut self, reason: Refusal, n: u64) {
        self.0[reason as usize] += n;
    }

    /// Items refused for any reason.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The reasons that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Refusal, u64)> + '_ {
        Refusal::ALL.into_iter().zip(self.0).filter(|(_, n)| *n > 0)
    }

    /// A sentence for `partial_success.error_message`; `None` when nothing was refused.
    pub fn message(&self) -> Option<String> {
        let parts: Vec<String> =
            self.iter().map(|(reason, n)| format!("{}: {n}", reason.sentence())).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}
