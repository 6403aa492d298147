//! The encoding of protocol buffers.

/// The fields of a message, one after the other (protobuf.dev, "Encoding").
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where `bytes` begins in the file.
    start: usize,
}

/// The value of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Number(u64),
    Fixed32(u32),
    Fixed64,
    /// Bytes, a text or a message.
    Bytes(Fields<'a>),
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Fields { bytes, at: 0, start: 0 }
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// The next field: its number and its value. An error says what is wrong and at which byte of the file.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, String> {
        if self.rest().is_empty() {
            return Ok(None);
        }
        let start = self.start + self.at;
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let number = number.ok_or_else(|| format!("has a field of number {} at byte {start}", tag >> 3))?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed64)?,
            2 => {
                let length = self.varint()?;
                let before = self.start + self.at;
                let bytes = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
                Value::Bytes(Fields { bytes, at: 0, start: before })
            }
            5 => Value::Fixed32(self.take(4)?.iter().rev().fold(0, |bits, &byte| bits << 8 | u32::from(byte))),
            other => return Err(format!("has a field of encoding {other} at byte {start}")),
        };
        Ok(Some((number, value)))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let Some(taken) = self.rest().get(..length) else {
            let (start, left) = (self.start + self.at, self.rest().len());
            return Err(format!("is cut off: at byte {start} a field of {length} bytes begins, and {left} are left"));
        };
        self.at += length;
        Ok(taken)
    }

    /// A number in groups of 7 bits, lowest first; the top bit of a byte says that another one follows.
    fn varint(&mut self) -> Result<u64, String> {
        let start = self.start + self.at;
        let mut number = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7F).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(format!("has a number of more than 10 bytes at byte {start}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{bytes, number};
    use super::*;

    #[test]
    fn fields_of_each_encoding() {
        let mut message = [number(1, u64::MAX), bytes(536_870_911, b"abc")].concat();
        message.extend([2 << 3 | 5, 1, 2, 3, 4, 3 << 3 | 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        let mut fields = Fields::new(&message);
        assert!(matches!(fields.next(), Ok(Some((1, Value::Number(u64::MAX))))));
        let Ok(Some((536_870_911, Value::Bytes(inner)))) = fields.next() else { panic!() };
        assert_eq!((inner.rest(), inner.start), (&b"abc"[..], 17));
        assert!(matches!(fields.next(), Ok(Some((2, Value::Fixed32(0x0403_0201))))));
        assert!(matches!(fields.next(), Ok(Some((3, Value::Fixed64)))));
        assert!(matches!(fields.next(), Ok(None)));
    }

    #[test]
    fn what_is_no_field() {
        let error = |bytes: &[u8]| Fields::new(bytes).next().unwrap_err();
        assert_eq!(error(&[0xFF; 11]), "has a number of more than 10 bytes at byte 0");
        assert_eq!(error(&[1 << 3 | 2, 5, 1]), "is cut off: at byte 2 a field of 5 bytes begins, and 1 are left");
        assert_eq!(error(&[1 << 3 | 3]), "has a field of encoding 3 at byte 0");
        assert_eq!(error(&[0, 0]), "has a field of number 0 at byte 0");
        assert!(error(&bytes(1, b"a")[..1]).contains("cut off"));
        assert!(error(&[1 << 3 | 2, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]).contains("cut off"));
    }
}
