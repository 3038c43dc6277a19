//! The protobuf wire format over a byte slice.
//!
//! Refuses what the reference decoders refuse: field number 0, wire types 6 and 7, lengths beyond the end, varints
//! of more than 64 bits. And groups, which OTLP has never had: reference decoders pass over one in an unknown field.

use super::Malformed;

/// What is said of a group.
pub const GROUP: &str = "a group, which OTLP does not have";

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The field's number, 1 or more.
    pub number: u32,
    /// Its value as the wire type gives it.
    pub value: Value<'a>,
}

/// A field's value by wire type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2, with where it starts in the request.
    Bytes(&'a [u8], usize),
    /// Wire type 5.
    Fixed32(u32),
}

/// Reads a message field by field. Positions are counted from the start of the request.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    base: usize,
}

impl<'a> Reader<'a> {
    /// Over a message that starts at `base` in the request.
    pub fn new(bytes: &'a [u8], base: usize) -> Reader<'a> {
        Reader { bytes, at: 0, base }
    }

    /// The next field; `None` at the end of the message.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are not a field.
    // Out of line, every field is handed back through memory, its number written as four bytes and read as eight, which
    // the processor has to wait for: a quarter of all decoding.
    #[inline(always)]
    pub fn next_field(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        if self.at >= self.bytes.len() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = (key >> 3) as u32;
        if number == 0 || key > u64::from(u32::MAX) {
            return Err(self.malformed("field number out of range"));
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => self.length_delimited()?,
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            3 | 4 => return Err(self.malformed(GROUP)),
            _ => return Err(self.malformed("unknown wire type")),
        };
        Ok(Some(Field { number, value }))
    }

    /// The bytes after the last field that was read.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// Reads a varint.
    ///
    /// # Errors
    /// [`Malformed`] when it is cut off or longer than 64 bits.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        if let Some(first) = self.bytes.get(self.at)
            && *first < 0x80
        {
            self.at += 1;
            return Ok(u64::from(*first));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let Some(byte) = self.bytes.get(self.at) else { return Err(self.malformed("varint cut off")) };
            self.at += 1;
            if shift == 63 && *byte > 1 {
                return Err(self.malformed("varint longer than 64 bits"));
            }
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.malformed("varint longer than 64 bits"))
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        match self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>()) {
            Some(chunk) => {
                self.at += N;
                Ok(*chunk)
            }
            None => Err(self.malformed("fixed-width value cut off")),
        }
    }

    #[inline(always)]
    fn length_delimited(&mut self) -> Result<Value<'a>, Malformed> {
        let length = self.varint()?;
        let start = self.at;
        let end = usize::try_from(length).ok().and_then(|length| start.checked_add(length));
        match end.and_then(|end| self.bytes.get(start..end).map(|bytes| (bytes, end))) {
            Some((bytes, end)) => {
                self.at = end;
                Ok(Value::Bytes(bytes, self.base + start))
            }
            None => Err(self.malformed("length beyond the end of its message")),
        }
    }

    /// What is wrong, here.
    #[cold]
    pub fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { offset: self.base + self.at, what }
    }
}

/// What a known field must be, or why it is not.
impl<'a> Field<'a> {
    /// A nested message or byte string, with its place in the request.
    ///
    /// # Errors
    /// [`Malformed`] for another wire type.
    #[inline]
    pub fn bytes(&self) -> Result<(&'a [u8], usize), Malformed> {
        match self.value {
            Value::Bytes(bytes, at) => Ok((bytes, at)),
            _ => Err(WRONG_TYPE),
        }
    }

    /// A UTF-8 string, with its place in the request.
    ///
    /// # Errors
    /// [`Malformed`] for another wire type or invalid UTF-8.
    #[inline]
    pub fn text(&self) -> Result<(&'a str, usize), Malformed> {
        let (bytes, at) = self.bytes()?;
        read_text(bytes, at).map(|text| (text, at))
    }

    /// The bytes of a UTF-8 string, with their place in the request: for who only has to know that it is one.
    ///
    /// # Errors
    /// [`Malformed`] for another wire type or invalid UTF-8.
    #[inline]
    pub fn text_bytes(&self) -> Result<(&'a [u8], usize), Malformed> {
        let (bytes, at) = self.bytes()?;
        if !is_ascii(bytes) {
            read_text(bytes, at)?;
        }
        Ok((bytes, at))
    }

    /// A varint.
    ///
    /// # Errors
    /// [`Malformed`] for another wire type.
    #[inline]
    pub fn varint(&self) -> Result<u64, Malformed> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => Err(WRONG_TYPE),
        }
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// [`Malformed`] for another wire type.
    #[inline]
    pub fn fixed64(&self) -> Result<u64, Malformed> {
        match self.value {
            Value::Fixed64(value) => Ok(value),
            _ => Err(WRONG_TYPE),
        }
    }

    /// Four bytes.
    ///
    /// # Errors
    /// [`Malformed`] for another wire type.
    #[inline]
    pub fn fixed32(&self) -> Result<u32, Malformed> {
        match self.value {
            Value::Fixed32(value) => Ok(value),
            _ => Err(WRONG_TYPE),
        }
    }

    /// A double.
    ///
    /// # Errors
    /// [`Malformed`] for another wire type.
    #[inline]
    pub fn double(&self) -> Result<f64, Malformed> {
        self.fixed64().map(f64::from_bits)
    }
}

fn read_text(bytes: &[u8], at: usize) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes)
        .map_err(|e| Malformed { offset: at + e.valid_up_to(), what: "string is not UTF-8" })
}

/// Whether bytes are ASCII, as nearly all of OTLP's texts are: in line and eight at a time, because they are short.
#[inline(always)]
pub fn is_ascii(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut seen = words.iter().fold(0, |seen, word| seen | u64::from_le_bytes(*word));
    if let Some(last) = bytes.last_chunk::<8>() {
        seen |= u64::from_le_bytes(*last);
    } else {
        seen |= rest.iter().fold(0, |seen, byte| seen | u64::from(*byte));
    }
    seen & 0x8080_8080_8080_8080 == 0
}

const WRONG_TYPE: Malformed = Malformed { offset: 0, what: "field has another wire type than OTLP gives it" };

/// Appends a repeated fixed64 (or double) field, packed or not.
///
/// # Errors
/// [`Malformed`] when the packed bytes are not a multiple of eight, or for another wire type.
pub fn repeated_fixed64(field: &Field<'_>, mut push: impl FnMut(u64)) -> Result<(), Malformed> {
    match field.value {
        Value::Fixed64(value) => push(value),
        Value::Bytes(packed, at) => {
            let (chunks, rest) = packed.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(Malformed { offset: at, what: "packed values cut off" });
            }
            chunks.iter().for_each(|chunk| push(u64::from_le_bytes(*chunk)));
        }
        _ => return Err(WRONG_TYPE),
    }
    Ok(())
}

/// Appends a repeated varint field, packed or not.
///
/// # Errors
/// [`Malformed`] when the packed bytes are not varints, or for another wire type.
pub fn repeated_varint(field: &Field<'_>, mut push: impl FnMut(u64)) -> Result<(), Malformed> {
    match field.value {
        Value::Varint(value) => push(value),
        Value::Bytes(packed, at) => {
            let mut reader = Reader::new(packed, at);
            while !reader.rest().is_empty() {
                push(reader.varint()?);
            }
        }
        _ => return Err(WRONG_TYPE),
    }
    Ok(())
}
