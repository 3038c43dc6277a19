//! Attribute values, and the attributes of resources, scopes, spans, data points and log records.

use super::field::{Field, Reader, Value, is_ascii};
use super::metrics::MetricKind;
use super::{Malformed, Slice};
use std::collections::BTreeSet;

/// How deep values may be nested.
pub const NESTING_MAX: usize = 32;

/// An OTLP `AnyValue`, borrowed from the request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AnyValue<'a> {
    /// No value is set.
    Empty,
    /// Text.
    Str(&'a str),
    /// Truth.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// An `ArrayValue` message.
    Array(&'a [u8]),
    /// A `KeyValueList` message.
    KvList(&'a [u8]),
}

impl<'a> AnyValue<'a> {
    /// From the bytes of an `AnyValue` message; what cannot be read is empty.
    pub fn parse(bytes: &'a [u8]) -> AnyValue<'a> {
        let mut reader = Reader::new(bytes, 0);
        let mut value = AnyValue::Empty;
        while let Ok(Some(field)) = reader.next_field() {
            value = AnyValue::of_field(&field).unwrap_or(value);
        }
        value
    }

    fn of_field(field: &Field<'a>) -> Option<AnyValue<'a>> {
        Some(match (field.number, field.value) {
            (1, Value::Bytes(text, _)) => AnyValue::Str(std::str::from_utf8(text).unwrap_or("")),
            (2, Value::Varint(truth)) => AnyValue::Bool(truth != 0),
            (3, Value::Varint(number)) => AnyValue::Int(number as i64),
            (4, Value::Fixed64(bits)) => AnyValue::Double(f64::from_bits(bits)),
            (5, Value::Bytes(message, _)) => AnyValue::Array(message),
            (6, Value::Bytes(message, _)) => AnyValue::KvList(message),
            (7, Value::Bytes(bytes, _)) => AnyValue::Bytes(bytes),
            _ => return None,
        })
    }

    /// Of which type it is: part of an attribute shape.
    pub fn type_tag(&self) -> u8 {
        match self {
            AnyValue::Empty => 0,
            AnyValue::Str(_) => 1,
            AnyValue::Bool(_) => 2,
            AnyValue::Int(_) => 3,
            AnyValue::Double(_) => 4,
            AnyValue::Array(_) => 5,
            AnyValue::KvList(_) => 6,
            AnyValue::Bytes(_) => 7,
        }
    }

    /// The type in words; empty where it cannot be told, as of a list without elements or of several types.
    pub fn type_word(&self) -> &'static str {
        match self {
            AnyValue::Empty => "",
            AnyValue::Str(_) => "string",
            AnyValue::Bool(_) => "bool",
            AnyValue::Int(_) => "int",
            AnyValue::Double(_) => "double",
            AnyValue::Bytes(_) => "bytes",
            AnyValue::KvList(_) => "map",
            AnyValue::Array(message) => {
                let mut words = BTreeSet::new();
                let mut reader = Reader::new(message, 0);
                while let Ok(Some(field)) = reader.next_field() {
                    if let (1, Value::Bytes(value, _)) = (field.number, field.value) {
                        words.insert(AnyValue::parse(value).type_tag());
                    }
                }
                match (words.len(), words.first()) {
                    (1, Some(1)) => "string[]",
                    (1, Some(2)) => "bool[]",
                    (1, Some(3)) => "int[]",
                    (1, Some(4)) => "double[]",
                    _ => "",
                }
            }
        }
    }

    /// As text for people and comparison; arrays as their elements joined by commas.
    pub fn to_text(&self) -> String {
        match self {
            AnyValue::Empty => String::new(),
            AnyValue::Str(text) => (*text).to_owned(),
            AnyValue::Bool(truth) => truth.to_string(),
            AnyValue::Int(number) => number.to_string(),
            AnyValue::Double(number) => number.to_string(),
            AnyValue::Bytes(bytes) => format!("{} bytes", bytes.len()),
            AnyValue::KvList(_) => "{…}".to_owned(),
            AnyValue::Array(message) => {
                let mut parts = Vec::new();
                let mut reader = Reader::new(message, 0);
                while let Ok(Some(field)) = reader.next_field() {
                    if let (1, Value::Bytes(value, _)) = (field.number, field.value) {
                        // Elements that are arrays themselves are not unfolded, which bounds the depth.
                        parts.push(match AnyValue::parse(value) {
                            AnyValue::Array(_) => "[…]".to_owned(),
                            value => value.to_text(),
                        });
                    }
                }
                parts.join(",")
            }
        }
    }
}

/// A `KeyValue` that has been checked: key, where the value message is, and its type, which for an array holds the type
/// of its elements too: what [`AnyValue::type_word`] tells apart has two tags.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute<'a> {
    pub key: &'a [u8],
    pub value: Slice,
    pub type_tag: u8,
    pub too_deep: bool,
}

/// Reads and checks a `KeyValue` message.
#[inline(always)]
pub(super) fn read_attribute(bytes: &[u8], base: usize) -> Result<Attribute<'_>, Malformed> {
    match read_usual(bytes, base) {
        Some(attribute) => Ok(attribute),
        None => read_any(bytes, base),
    }
}

/// Reads a `KeyValue` as SDKs write nearly all of them: the key, then the value, each with a length of one byte, and the
/// value text, a truth or a number. `None` for all others.
#[inline(always)]
fn read_usual(bytes: &[u8], base: usize) -> Option<Attribute<'_>> {
    let [KEY, key_length @ ..0x80, rest @ ..] = bytes else { return None };
    let (key, rest) = rest.split_at_checked(usize::from(*key_length))?;
    let [VALUE, value_length @ ..0x80, value @ ..] = rest else { return None };
    if usize::from(*value_length) != value.len() || !is_ascii(key) {
        return None;
    }
    let type_tag = match value {
        [STRING, length, text @ ..] if usize::from(*length) == text.len() && is_ascii(text) => 1,
        [BOOL, ..0x80] => 2,
        [INT, varint @ ..] if is_short_varint(varint) => 3,
        [DOUBLE, rest @ ..] if rest.len() == 8 => 4,
        _ => return None,
    };
    let at = base + bytes.len() - value.len();
    Some(Attribute { key, value: Slice::new(at, value), type_tag, too_deep: false })
}

/// `KeyValue.key`, and `AnyValue.string_value`: field 1, bytes.
const KEY: u8 = 1 << 3 | 2;
const STRING: u8 = KEY;
/// `KeyValue.value`.
const VALUE: u8 = 2 << 3 | 2;
/// `AnyValue.bool_value`.
const BOOL: u8 = 2 << 3;
/// `AnyValue.int_value`.
const INT: u8 = 3 << 3;
/// `AnyValue.double_value`.
const DOUBLE: u8 = 4 << 3 | 1;

/// Whether bytes are one varint of at most nine, which cannot be too long.
fn is_short_varint(bytes: &[u8]) -> bool {
    bytes.split_last().is_some_and(|(last, others)| {
        *last < 0x80 && others.len() < 9 && others.iter().all(|byte| *byte >= 0x80)
    })
}

fn read_any(bytes: &[u8], base: usize) -> Result<Attribute<'_>, Malformed> {
    let mut attribute = Attribute { key: b"", value: Slice::default(), type_tag: 0, too_deep: false };
    let mut reader = Reader::new(bytes, base);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => attribute.key = field.text_bytes()?.0,
            2 => {
                let (value, at) = field.bytes()?;
                attribute.value = Slice::new(at, value);
                let checked = check_value(value, at, NESTING_MAX)?;
                attribute.type_tag = checked.type_tag | checked.elements << 3;
                attribute.too_deep |= checked.too_deep;
            }
            _ => {}
        }
    }
    Ok(attribute)
}

pub(super) struct Checked {
    pub type_tag: u8,
    /// The type of an array's elements; 0 where they have none in common.
    pub elements: u8,
    pub too_deep: bool,
}

/// Checks an `AnyValue` message down to `depth` levels; deeper ones are not looked at.
pub(super) fn check_value(bytes: &[u8], base: usize, depth: usize) -> Result<Checked, Malformed> {
    let mut checked = Checked { type_tag: 0, elements: 0, too_deep: false };
    let mut reader = Reader::new(bytes, base);
    while let Some(field) = reader.next_field()? {
        checked.elements = 0;
        match field.number {
            1 => drop(field.text_bytes()?),
            2 | 3 => drop(field.varint()?),
            4 => drop(field.double()?),
            5 | 6 if depth == 0 => {
                field.bytes()?;
                checked.too_deep = true;
            }
            5 | 6 => {
                let (message, at) = field.bytes()?;
                let inside = check_elements(message, at, field.number == 6, depth - 1)?;
                checked.elements = inside.type_tag;
                checked.too_deep |= inside.too_deep;
            }
            7 => drop(field.bytes()?),
            _ => continue,
        }
        checked.type_tag = field.number as u8;
    }
    Ok(checked)
}

/// Checks the elements of an `ArrayValue` or `KeyValueList`; of an array returns the type that they have in common.
fn check_elements(bytes: &[u8], base: usize, keyed: bool, depth: usize) -> Result<Checked, Malformed> {
    let mut too_deep = false;
    let mut common = None;
    let mut reader = Reader::new(bytes, base);
    while let Some(field) = reader.next_field()? {
        if field.number != 1 {
            continue;
        }
        let (element, at) = field.bytes()?;
        if !keyed {
            let checked = check_value(element, at, depth)?;
            too_deep |= checked.too_deep;
            common =
                Some(if common.is_none_or(|tag| tag == checked.type_tag) { checked.type_tag } else { 0 });
            continue;
        }
        let mut pair = Reader::new(element, at);
        while let Some(field) = pair.next_field()? {
            match field.number {
                1 => drop(field.text_bytes()?),
                2 => {
                    let (value, at) = field.bytes()?;
                    too_deep |= check_value(value, at, depth)?.too_deep;
                }
                _ => {}
            }
        }
    }
    Ok(Checked { type_tag: common.unwrap_or(0), elements: 0, too_deep })
}

/// Checks a `Resource` message.
pub(super) fn check_resource(bytes: &[u8], base: usize) -> Result<(), Malformed> {
    let mut reader = Reader::new(bytes, base);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => {
                let (attribute, at) = field.bytes()?;
                read_attribute(attribute, at)?;
            }
            2 => drop(field.varint()?),
            _ => {}
        }
    }
    Ok(())
}

/// Checks an `InstrumentationScope` message.
pub(super) fn check_scope(bytes: &[u8], base: usize) -> Result<(), Malformed> {
    let mut reader = Reader::new(bytes, base);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 | 2 => drop(field.text_bytes()?),
            3 => {
                let (attribute, at) = field.bytes()?;
                read_attribute(attribute, at)?;
            }
            4 => drop(field.varint()?),
            _ => {}
        }
    }
    Ok(())
}

/// The bytes of the text of an `AnyValue` message that has been checked; `None` when it holds no text.
#[inline]
pub fn text_of(value: &[u8]) -> Option<&[u8]> {
    match value {
        [STRING, length @ ..0x80, text @ ..] if usize::from(*length) == text.len() => Some(text),
        _ => match AnyValue::parse(value) {
            AnyValue::Str(text) => Some(text.as_bytes()),
            _ => None,
        },
    }
}

/// The whole number of an `AnyValue` message that has been checked, written as one or as text.
#[inline]
pub fn int_of(value: &[u8]) -> Option<i64> {
    match value {
        [INT, byte @ ..0x80] => Some(i64::from(*byte)),
        [INT, low @ 0x80..=0xff, high @ ..0x80] => Some(i64::from(low & 0x7f) | i64::from(*high) << 7),
        _ => match AnyValue::parse(value) {
            AnyValue::Int(number) => Some(number),
            AnyValue::Str(text) => text.parse().ok(),
            _ => None,
        },
    }
}

/// The attributes of a message that has been checked.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    reader: Reader<'a>,
    /// The field that keeps them.
    number: u32,
}

impl<'a> Attributes<'a> {
    fn of(message: &'a [u8], number: u32) -> Attributes<'a> {
        Attributes { reader: Reader::new(message, 0), number }
    }

    #[inline]
    fn next_message(&mut self) -> Option<&'a [u8]> {
        while let Ok(Some(field)) = self.reader.next_field() {
            if field.number == self.number
                && let Ok((message, _)) = field.bytes()
            {
                return Some(message);
            }
        }
        None
    }

    /// The same as they are on the wire, for who only tells them apart.
    pub fn raw(mut self) -> impl Iterator<Item = RawAttribute<'a>> {
        std::iter::from_fn(move || {
            let message = self.next_message()?;
            let Attribute { key, value, type_tag, .. } = read_attribute(message, 0).ok()?;
            Some(RawAttribute { key, value: value.of(message), type_tag })
        })
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (&'a str, AnyValue<'a>);

    fn next(&mut self) -> Option<(&'a str, AnyValue<'a>)> {
        self.next_message().map(key_value)
    }
}

/// An attribute of which nothing has been made.
#[derive(Clone, Copy, Debug)]
pub struct RawAttribute<'a> {
    /// UTF-8 that has been checked.
    pub key: &'a [u8],
    /// An `AnyValue` message.
    pub value: &'a [u8],
    type_tag: u8,
}

impl<'a> RawAttribute<'a> {
    /// The type of its value, and of the elements of a list.
    pub fn type_tag(&self) -> u8 {
        self.type_tag
    }

    /// Whether its value is one that can be counted: neither missing nor a list nor a map.
    pub fn is_single(&self) -> bool {
        !matches!(self.type_tag & 7, 0 | 5 | 6)
    }

    /// Key and value.
    pub fn parse(&self) -> (&'a str, AnyValue<'a>) {
        (std::str::from_utf8(self.key).unwrap_or(""), AnyValue::parse(self.value))
    }
}

fn key_value(bytes: &[u8]) -> (&str, AnyValue<'_>) {
    let (mut key, mut value) = ("", AnyValue::Empty);
    let mut reader = Reader::new(bytes, 0);
    while let Ok(Some(field)) = reader.next_field() {
        match field.number {
            1 => key = field.text().map_or("", |(text, _)| text),
            2 => value = field.bytes().map_or(AnyValue::Empty, |(bytes, _)| AnyValue::parse(bytes)),
            _ => {}
        }
    }
    (key, value)
}

/// The attributes of a `Resource` message.
pub fn resource_attributes(message: &[u8]) -> Attributes<'_> {
    Attributes::of(message, 1)
}

/// The attributes of a `Span` message.
pub fn span_attributes(message: &[u8]) -> Attributes<'_> {
    Attributes::of(message, 9)
}

/// The attributes of a data point's message, which each kind of metric numbers otherwise.
pub fn point_attributes(message: &[u8], kind: MetricKind) -> Attributes<'_> {
    Attributes::of(message, kind.attributes_field())
}

/// The attributes of a `LogRecord` message.
pub fn log_attributes(message: &[u8]) -> Attributes<'_> {
    Attributes::of(message, 6)
}

/// The attributes of a span's `Event` message.
pub fn event_attributes(message: &[u8]) -> Attributes<'_> {
    Attributes::of(message, 3)
}

/// Name and version of an `InstrumentationScope` message.
pub fn scope_name_version(message: &[u8]) -> (&str, &str) {
    let (mut name, mut version) = ("", "");
    let mut reader = Reader::new(message, 0);
    while let Ok(Some(field)) = reader.next_field() {
        match field.number {
            1 => name = field.text().map_or("", |(text, _)| text),
            2 => version = field.text().map_or("", |(text, _)| text),
            _ => {}
        }
    }
    (name, version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::any_value::Value as Theirs;
    use opentelemetry_proto::tonic::common::v1::{AnyValue as TheirValue, ArrayValue, KeyValue};
    use prost::Message;

    fn bytes(value: Theirs) -> Vec<u8> {
        TheirValue { value: Some(value) }.encode_to_vec()
    }

    #[test]
    fn a_whole_number_is_read_whatever_its_size_and_as_text_too() {
        for number in [0, 1, 127, 128, 200, 16_383, 16_384, i64::MAX, -1, i64::MIN] {
            assert_eq!(int_of(&bytes(Theirs::IntValue(number))), Some(number));
            assert_eq!(int_of(&bytes(Theirs::StringValue(number.to_string()))), Some(number));
        }
        for other in [Theirs::StringValue("ok".to_owned()), Theirs::BoolValue(true), Theirs::DoubleValue(1.0)]
        {
            assert_eq!(int_of(&bytes(other)), None);
        }
        assert_eq!(int_of(&[]), None);
    }

    #[test]
    fn raw_attributes_are_the_attributes_and_lists_maps_and_nothing_are_not_single() {
        let list = Theirs::ArrayValue(ArrayValue { values: Vec::new() });
        let values = [
            (Some(Theirs::StringValue("größer".to_owned())), true),
            (Some(Theirs::IntValue(-5)), true),
            (Some(Theirs::BytesValue(vec![1, 2])), true),
            (Some(list), false),
            (Some(Theirs::KvlistValue(Default::default())), false),
            (None, false),
        ];
        let attributes = values.iter().enumerate().map(|(at, (value, _))| KeyValue {
            key: format!("key.{at}"),
            value: Some(TheirValue { value: value.clone() }),
            ..KeyValue::default()
        });
        let span = opentelemetry_proto::tonic::trace::v1::Span {
            name: "other fields are passed over".to_owned(),
            attributes: attributes.collect(),
            ..Default::default()
        };
        let message = span.encode_to_vec();
        let raw: Vec<RawAttribute<'_>> = span_attributes(&message).raw().collect();
        let parsed: Vec<_> = raw.iter().map(RawAttribute::parse).collect();
        assert_eq!(parsed, span_attributes(&message).collect::<Vec<_>>());
        let single: Vec<bool> = raw.iter().map(RawAttribute::is_single).collect();
        assert_eq!(single, values.map(|(_, single)| single));
    }
}
