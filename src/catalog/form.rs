//! In which form telemetry is: instrument, unit, temporality of a metric, and the type of an attribute's values.

/// What a metric was recorded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Instrument {
    /// A sum that only rises.
    Counter,
    /// A sum that rises and falls.
    UpDownCounter,
    /// A value at a time.
    Gauge,
    /// A histogram with explicit or exponential buckets.
    Histogram,
    /// A histogram with exponential buckets.
    ExponentialHistogram,
    /// Quantiles made by the sender.
    Summary,
}

impl Instrument {
    /// All of them.
    pub const ALL: [Instrument; 6] = [
        Instrument::Counter,
        Instrument::UpDownCounter,
        Instrument::Gauge,
        Instrument::Histogram,
        Instrument::ExponentialHistogram,
        Instrument::Summary,
    ];

    /// The word in catalogs; the first four are those of the semantic conventions.
    pub fn as_str(self) -> &'static str {
        match self {
            Instrument::Counter => "counter",
            Instrument::UpDownCounter => "updowncounter",
            Instrument::Gauge => "gauge",
            Instrument::Histogram => "histogram",
            Instrument::ExponentialHistogram => "exponential histogram",
            Instrument::Summary => "summary",
        }
    }

    /// From the word in catalogs.
    pub fn parse(text: &str) -> Option<Instrument> {
        Instrument::ALL.into_iter().find(|known| known.as_str() == text)
    }

    /// From the word in the form of an observed metric.
    fn of_form(text: &str) -> Option<Instrument> {
        match text {
            "monotonic sum" => Some(Instrument::Counter),
            "sum" => Some(Instrument::UpDownCounter),
            other => Instrument::parse(other),
        }
    }

    /// Whether an observed metric can have been recorded with it: a view decides which buckets a histogram has.
    pub fn allows(self, observed: Instrument) -> bool {
        self == observed || (self, observed) == (Instrument::Histogram, Instrument::ExponentialHistogram)
    }
}

/// The type of an attribute's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ValueType {
    /// Text.
    String,
    /// Truth.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Double,
    /// A list of texts.
    Strings,
    /// A list of truths.
    Bools,
    /// A list of whole numbers.
    Ints,
    /// A list of numbers.
    Doubles,
    /// Bytes.
    Bytes,
    /// Names and values.
    Map,
}

impl ValueType {
    /// All of them, with their words.
    pub const ALL: [(ValueType, &'static str); 10] = [
        (ValueType::String, "string"),
        (ValueType::Bool, "bool"),
        (ValueType::Int, "int"),
        (ValueType::Double, "double"),
        (ValueType::Strings, "string[]"),
        (ValueType::Bools, "bool[]"),
        (ValueType::Ints, "int[]"),
        (ValueType::Doubles, "double[]"),
        (ValueType::Bytes, "bytes"),
        (ValueType::Map, "map"),
    ];

    /// The word in catalogs and forms.
    pub fn as_str(self) -> &'static str {
        ValueType::ALL.iter().find(|(known, _)| *known == self).map_or("", |(_, word)| word)
    }

    /// From the word in catalogs, forms and registries, which say `boolean`.
    pub fn parse(text: &str) -> Option<ValueType> {
        let text = text.replace("boolean", "bool");
        ValueType::ALL.iter().find(|(_, word)| *word == text).map(|(known, _)| *known)
    }

    /// Whether values of the observed type are such: a whole number is a number.
    pub fn allows(self, observed: ValueType) -> bool {
        self == observed
            || matches!(
                (self, observed),
                (ValueType::Double, ValueType::Int) | (ValueType::Doubles, ValueType::Ints)
            )
    }
}

/// The form that is expected; what is not said may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// A metric's instrument.
    pub instrument: Option<Instrument>,
    /// A metric's unit; empty for none.
    pub unit: Option<String>,
    /// Whether a metric's points are deltas.
    pub delta: Option<bool>,
    /// The type of an attribute's values.
    pub value: Option<ValueType>,
}

/// The words of a temporality.
pub fn temporality(delta: bool) -> &'static str {
    if delta { "delta" } else { "cumulative" }
}

/// The form of an observed metric, from the words that the window keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricForm<'a> {
    /// The instrument, if it is one of the known.
    pub instrument: Option<Instrument>,
    /// The unit; empty for none.
    pub unit: Option<&'a str>,
    /// Whether points are deltas; `None` where there is no such thing, or it is not said.
    pub delta: Option<bool>,
}

impl MetricForm<'_> {
    /// From words such as `histogram, delta, unit s`.
    pub fn parse(form: &str) -> MetricForm<'_> {
        let (head, unit) = match form.split_once(", unit ") {
            Some((head, unit)) => (head, Some(if unit == "none" { "" } else { unit })),
            None => (form, None),
        };
        let mut words = head.split(", ");
        let instrument = words.next().and_then(Instrument::of_form);
        let delta = words.find_map(|word| match word {
            "delta" => Some(true),
            "cumulative" => Some(false),
            _ => None,
        });
        MetricForm { instrument, unit, delta }
    }
}

impl Form {
    /// What an observed form, in the window's words, has otherwise than expected: `unit ms instead of s`.
    pub fn differences(&self, observed: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut differs = |what: &str, is: &str, expected: &str| {
            let word = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
            found.push(format!("{what} {} instead of {}", word(is), word(expected)));
        };
        if let (Some(expected), Some(is)) = (self.value, ValueType::parse(observed))
            && !expected.allows(is)
        {
            differs("type", is.as_str(), expected.as_str());
        }
        let metric = MetricForm::parse(observed);
        if let (Some(expected), Some(is)) = (self.instrument, metric.instrument)
            && !expected.allows(is)
        {
            differs("instrument", is.as_str(), expected.as_str());
        }
        if let (Some(expected), Some(is)) = (self.delta, metric.delta)
            && expected != is
        {
            differs("temporality", temporality(is), temporality(expected));
        }
        if let (Some(expected), Some(is)) = (&self.unit, metric.unit)
            && expected != is
        {
            differs("unit", is, expected);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_differs_only_in_what_was_said_of_it() {
        let said = Form {
            instrument: Some(Instrument::Histogram),
            unit: Some("s".to_owned()),
            delta: None,
            value: None,
        };
        assert_eq!(said.differences("histogram, delta, unit s"), Vec::<String>::new());
        assert_eq!(said.differences("exponential histogram, cumulative, unit s"), Vec::<String>::new());
        assert_eq!(
            said.differences("monotonic sum, delta, unit ms"),
            ["instrument counter instead of histogram", "unit ms instead of s"]
        );
        assert_eq!(said.differences("histogram, delta, unit none"), ["unit none instead of s"]);
        assert_eq!(Form::default().differences("gauge, unit none"), Vec::<String>::new());
    }

    #[test]
    fn a_whole_number_is_a_number_and_text_is_not() {
        let double = Form { value: Some(ValueType::Double), ..Form::default() };
        assert_eq!(double.differences("int"), Vec::<String>::new());
        assert_eq!(double.differences("string"), ["type string instead of double"]);
        assert_eq!(double.differences(""), Vec::<String>::new(), "a type that is not known is not wrong");
        assert_eq!(ValueType::parse("boolean[]"), Some(ValueType::Bools));
    }
}
