//! OTLP/JSON → the protobuf bytes of the same request.
//!
//! Follows the OTLP specification's JSON mapping: lowerCamelCase keys, ids in hexadecimal of any case, enums as
//! integers, 64-bit integers as strings or numbers, `null` and omitted fields as defaults, unknown fields ignored.
//! Driven by a table of OTLP's messages, streaming: memory is the output's. An id that is no hexadecimal becomes
//! an id of the wrong length, so that only its item is refused later on.

mod schema;

use super::Signal;
use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use schema::{Field, Kind, Msg};
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// A request that is not OTLP/JSON: HTTP 400, never to be retried.
#[derive(Debug, thiserror::Error)]
#[error("malformed OTLP/JSON request: {0}")]
pub struct JsonMalformed(serde_json::Error);

/// Appends the protobuf form of a JSON request to `out`.
///
/// # Errors
/// [`JsonMalformed`] with line, column and field when the text is not such a request.
pub fn transcode(signal: Signal, json: &[u8], out: &mut Vec<u8>) -> Result<(), JsonMalformed> {
    let message = match signal {
        Signal::Traces => &schema::TRACES_REQUEST,
        Signal::Metrics => &schema::METRICS_REQUEST,
        Signal::Logs => &schema::LOGS_REQUEST,
    };
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    MessageSeed { message, out }.deserialize(&mut deserializer).map_err(JsonMalformed)?;
    deserializer.end().map_err(JsonMalformed)
}

struct MessageSeed<'o> {
    message: &'static Msg,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        write_members(map, self.message, self.out)
    }
}

fn write_members<'de, A: MapAccess<'de>>(
    mut map: A,
    message: &'static Msg,
    out: &mut Vec<u8>,
) -> Result<(), A::Error> {
    while let Some(key) = map.next_key::<Cow<'de, str>>()? {
        match message.0.iter().find(|field| field.name == key) {
            Some(field) => map.next_value_seed(FieldSeed { field, out, element: false })?,
            None => drop(map.next_value::<IgnoredAny>()?),
        }
    }
    Ok(())
}

/// Writes one field's value; of a repeated field, one element or the whole array.
struct FieldSeed<'o> {
    field: &'static Field,
    out: &'o mut Vec<u8>,
    element: bool,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl FieldSeed<'_> {
    fn wrong<E: serde::de::Error>(&self, found: impl fmt::Display) -> E {
        E::custom(format_args!("{}: expected {}, found {found}", self.field.name, self.field.kind.expected()))
    }

    /// A scalar in place of an array.
    fn not_array<E: serde::de::Error>(&self, found: impl fmt::Display) -> Result<(), E> {
        match self.field.repeated && !self.element {
            true => Err(E::custom(format_args!("{}: expected an array, found {found}", self.field.name))),
            false => Ok(()),
        }
    }

    fn key(&mut self, wire_type: u8) {
        write_varint(u64::from(self.field.number) << 3 | u64::from(wire_type), self.out);
    }

    fn varint(&mut self, value: u64) {
        self.key(0);
        write_varint(value, self.out);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.key(2);
        write_varint(bytes.len() as u64, self.out);
        self.out.extend_from_slice(bytes);
    }

    fn number<E: serde::de::Error>(mut self, number: Number) -> Result<(), E> {
        self.not_array(number)?;
        let wrong = |seed: &Self| seed.wrong(number);
        match self.field.kind {
            Kind::Double => {
                let value = number.double();
                self.key(1);
                self.out.extend_from_slice(&value.to_le_bytes());
            }
            Kind::Fixed64 => {
                let value = number.unsigned().ok_or_else(|| wrong(&self))?;
                self.key(1);
                self.out.extend_from_slice(&value.to_le_bytes());
            }
            Kind::SignedFixed64 => {
                let value = number.signed().ok_or_else(|| wrong(&self))?;
                self.key(1);
                self.out.extend_from_slice(&value.to_le_bytes());
            }
            Kind::Fixed32 => {
                let value =
                    number.unsigned().and_then(|v| u32::try_from(v).ok()).ok_or_else(|| wrong(&self))?;
                self.key(5);
                self.out.extend_from_slice(&value.to_le_bytes());
            }
            Kind::Int64 => {
                let value = number.signed().ok_or_else(|| wrong(&self))?;
                self.varint(value as u64);
            }
            Kind::Unsigned64 => {
                let value = number.unsigned().ok_or_else(|| wrong(&self))?;
                self.varint(value);
            }
            Kind::Unsigned32 => {
                let value =
                    number.unsigned().and_then(|v| u32::try_from(v).ok()).ok_or_else(|| wrong(&self))?;
                self.varint(u64::from(value));
            }
            Kind::Enum => {
                let value =
                    number.signed().and_then(|v| i32::try_from(v).ok()).ok_or_else(|| wrong(&self))?;
                self.varint(i64::from(value) as u64);
            }
            Kind::SignedZigzag32 => {
                let value =
                    number.signed().and_then(|v| i32::try_from(v).ok()).ok_or_else(|| wrong(&self))?;
                self.varint(u64::from(((value << 1) ^ (value >> 31)) as u32));
            }
            _ => return Err(wrong(&self)),
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for FieldSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.field.kind.expected())
    }

    fn visit_unit<E: serde::de::Error>(mut self) -> Result<(), E> {
        // An element that is null is still an element.
        if self.element && matches!(self.field.kind, Kind::Message(_)) {
            self.bytes(&[]);
        }
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(mut self, value: bool) -> Result<(), E> {
        self.not_array(value)?;
        match self.field.kind {
            Kind::Bool => self.varint(u64::from(value)),
            _ => return Err(self.wrong(value)),
        }
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.number(Number::Unsigned(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.number(Number::Signed(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.number(Number::Double(value))
    }

    fn visit_str<E: serde::de::Error>(mut self, text: &str) -> Result<(), E> {
        self.not_array(format_args!("\"{text}\""))?;
        match self.field.kind {
            Kind::Text => self.bytes(text.as_bytes()),
            Kind::Id => {
                let id = hex(text.as_bytes()).unwrap_or_else(|| vec![0]);
                self.bytes(&id);
            }
            Kind::Base64 => {
                let bytes = base64_bytes(text).ok_or_else(|| self.wrong(format_args!("\"{text}\"")))?;
                self.bytes(&bytes);
            }
            Kind::Enum | Kind::Bool | Kind::Message(_) => return Err(self.wrong(format_args!("\"{text}\""))),
            _ => {
                let number = Number::parse(text).ok_or_else(|| self.wrong(format_args!("\"{text}\"")))?;
                return self.number(number);
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if !self.field.repeated || self.element {
            return Err(self.wrong("an array"));
        }
        let FieldSeed { field, out, .. } = self;
        while seq.next_element_seed(FieldSeed { field, out, element: true })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        self.not_array("an object")?;
        let Kind::Message(message) = self.field.kind else { return Err(self.wrong("an object")) };
        self.key(2);
        let start = self.out.len();
        self.out.push(0);
        write_members(map, message, self.out)?;
        let length = self.out.len() - start - 1;
        match u8::try_from(length) {
            Ok(length) if length < 0x80 => self.out[start] = length,
            _ => {
                let mut prefix = Vec::with_capacity(5);
                write_varint(length as u64, &mut prefix);
                self.out.splice(start..=start, prefix);
            }
        }
        Ok(())
    }
}

/// A JSON number, or a string that holds one, without loss.
#[derive(Clone, Copy)]
enum Number {
    Unsigned(u64),
    Signed(i64),
    Double(f64),
}

impl Number {
    fn parse(text: &str) -> Option<Number> {
        if let Ok(value) = text.parse() {
            return Some(Number::Unsigned(value));
        }
        if let Ok(value) = text.parse() {
            return Some(Number::Signed(value));
        }
        match text {
            "NaN" => Some(Number::Double(f64::NAN)),
            "Infinity" => Some(Number::Double(f64::INFINITY)),
            "-Infinity" => Some(Number::Double(f64::NEG_INFINITY)),
            _ if text.bytes().any(|b| b.is_ascii_digit()) && !text.ends_with(char::is_whitespace) => {
                text.parse().ok().map(Number::Double)
            }
            _ => None,
        }
    }

    fn double(self) -> f64 {
        match self {
            Number::Unsigned(value) => value as f64,
            Number::Signed(value) => value as f64,
            Number::Double(value) => value,
        }
    }

    fn unsigned(self) -> Option<u64> {
        match self {
            Number::Unsigned(value) => Some(value),
            Number::Signed(value) => u64::try_from(value).ok(),
            // 2^64 as an f64 is exact, and the next smaller one fits.
            Number::Double(value) => (value.fract() == 0.0
                && (0.0..18_446_744_073_709_551_616.0).contains(&value))
            .then_some(value as u64),
        }
    }

    fn signed(self) -> Option<i64> {
        match self {
            Number::Unsigned(value) => i64::try_from(value).ok(),
            Number::Signed(value) => Some(value),
            Number::Double(value) => {
                let range = -9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0;
                (value.fract() == 0.0 && range.contains(&value)).then_some(value as i64)
            }
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Unsigned(value) => value.fmt(f),
            Number::Signed(value) => value.fmt(f),
            Number::Double(value) => value.fmt(f),
        }
    }
}

fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// Either alphabet, padded or not, as proto3's JSON mapping asks of readers.
fn base64_bytes(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet =
        if text.contains(['-', '_']) { base64::alphabet::URL_SAFE } else { base64::alphabet::STANDARD };
    GeneralPurpose::new(&alphabet, config).decode(text).ok()
}

#[cfg(test)]
mod tests;
