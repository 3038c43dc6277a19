//! The form of a telemetry item, field by field: what must be alike for two environments' telemetry to be one.
//!
//! A form is a text of fields, so that it is kept once among the names and compared as a number. It is written and read
//! only here.

use super::Limits;

/// One thing that a form fixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// What a metric was recorded with: `gauge`, `sum`, `histogram`, `exponential histogram`, `summary`.
    Instrument,
    /// What points count from: `delta` or `cumulative`.
    Temporality,
    /// Whether a sum only rises: `monotonic` or `not monotonic`.
    Monotonicity,
    /// Of numbers: `int` or `double`.
    ValueType,
    /// The boundaries of explicit buckets.
    Bounds,
    /// Of exponential buckets: 2^scale of them in an octave.
    Scale,
    /// The type of an attribute's values.
    Type,
    /// The version of an instrumentation scope.
    Version,
    /// Where the schema is described that a resource or scope follows.
    SchemaUrl,
    /// How many different values an attribute has, in a class. It is counted and stands in no form.
    Cardinality,
    /// UCUM. Senders write it as they like, so it comes last.
    Unit,
}

impl Field {
    /// All fields of forms, in the order in which a form has them.
    pub const ALL: [Field; 10] = [
        Field::Instrument,
        Field::Temporality,
        Field::Monotonicity,
        Field::ValueType,
        Field::Bounds,
        Field::Scale,
        Field::Type,
        Field::Version,
        Field::SchemaUrl,
        Field::Unit,
    ];

    /// The word in reports and in the JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Field::Instrument => "instrument",
            Field::Temporality => "temporality",
            Field::Monotonicity => "monotonicity",
            Field::ValueType => "value type",
            Field::Bounds => "bounds",
            Field::Scale => "scale",
            Field::Type => "type",
            Field::Version => "version",
            Field::SchemaUrl => "schema_url",
            Field::Cardinality => "cardinality",
            Field::Unit => "unit",
        }
    }
}

/// Between two fields. No unit, version or URL has it.
const SEPARATOR: char = '\u{1f}';

/// What is written where the sender says nothing.
pub const NONE: &str = "none";
/// The monotonicity of a sum that only rises.
pub const MONOTONIC: &str = "monotonic";

/// A form as it is kept. Fields without a value are [`NONE`].
pub fn write(fields: &[(Field, &str)]) -> String {
    let mut text = String::new();
    for (field, value) in fields {
        if !text.is_empty() {
            text.push(SEPARATOR);
        }
        text.push_str(field.as_str());
        text.push('=');
        text.push_str(if value.is_empty() { NONE } else { value });
    }
    text
}

/// The fields of a form.
pub fn read(form: &str) -> impl Iterator<Item = (Field, &str)> {
    form.split(SEPARATOR).filter_map(|part| {
        let (name, value) = part.split_once('=')?;
        Some((Field::ALL.into_iter().find(|field| field.as_str() == name)?, value))
    })
}

/// A form of which no value is longer than fits, and how many were cut.
pub fn bounded(form: &str, limits: &Limits) -> (String, usize) {
    let long = read(form).filter(|(_, value)| value.len() > limits.name_bytes).count();
    let fields: Vec<(Field, &str)> = match long {
        0 => return (form.to_owned(), 0),
        _ => read(form).map(|(field, value)| (field, limits.cut(value))).collect(),
    };
    (write(&fields), long)
}

/// A form in words: `monotonic sum, delta, value type int, unit s`.
pub fn words(form: &str) -> String {
    let rises = read(form).any(|field| field == (Field::Monotonicity, MONOTONIC));
    let word = |(field, value): (Field, &str)| match field {
        Field::Monotonicity => None,
        Field::Instrument if rises => Some(format!("{MONOTONIC} {value}")),
        Field::Instrument | Field::Temporality | Field::Type => Some(value.to_owned()),
        field => Some(format!("{} {value}", field.as_str())),
    };
    read(form).filter_map(word).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_it_was_written() {
        let fields = [(Field::Instrument, "histogram"), (Field::Temporality, "delta"), (Field::Unit, "s=1")];
        let form = write(&fields);
        assert_eq!(read(&form).collect::<Vec<_>>(), fields);
        assert_eq!(words(&form), "histogram, delta, unit s=1");
        let sum = write(&[(Field::Instrument, "sum"), (Field::Monotonicity, MONOTONIC), (Field::Unit, "")]);
        assert_eq!(words(&sum), "monotonic sum, unit none");
        assert_eq!(read(&write(&[(Field::Unit, "")])).collect::<Vec<_>>(), [(Field::Unit, NONE)]);
        let limits = Limits { name_bytes: 2, ..Limits::default() };
        assert_eq!(bounded(&form, &limits).1, 3);
        assert_eq!(words(&bounded(&form, &limits).0), "hi, de, unit s=");
        assert_eq!(read("").count() + read("no field").count(), 0);
    }
}
