//! What a GGUF file says of itself: values under keys.

/// A value of a GGUF file's metadata.
///
/// ```
/// use gradus::io::GgufValue;
/// let value = GgufValue::from(4096u32);
/// assert_eq!((value.as_u64(), value.as_f64(), value.as_str()), (Some(4096), Some(4096.0), None));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum GgufValue {
    /// A whole number of 8 bits.
    U8(u8),
    /// A whole number of 8 bits, with a sign.
    I8(i8),
    /// A whole number of 16 bits.
    U16(u16),
    /// A whole number of 16 bits, with a sign.
    I16(i16),
    /// A whole number of 32 bits: what most settings are.
    U32(u32),
    /// A whole number of 32 bits, with a sign.
    I32(i32),
    /// A number in single precision.
    F32(f32),
    /// True or false.
    Bool(bool),
    /// A text.
    String(String),
    /// Values of one type.
    Array(GgufArray),
    /// A whole number of 64 bits.
    U64(u64),
    /// A whole number of 64 bits, with a sign.
    I64(i64),
    /// A number in double precision.
    F64(f64),
}

/// An array of a GGUF file's metadata: values of one type.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum GgufArray {
    /// Whole numbers of 8 bits.
    U8(Vec<u8>),
    /// Whole numbers of 8 bits, with a sign.
    I8(Vec<i8>),
    /// Whole numbers of 16 bits.
    U16(Vec<u16>),
    /// Whole numbers of 16 bits, with a sign.
    I16(Vec<i16>),
    /// Whole numbers of 32 bits.
    U32(Vec<u32>),
    /// Whole numbers of 32 bits, with a sign.
    I32(Vec<i32>),
    /// Numbers in single precision.
    F32(Vec<f32>),
    /// True or false each.
    Bool(Vec<bool>),
    /// Texts.
    String(Vec<String>),
    /// Arrays, each with a type of its own.
    Array(Vec<GgufArray>),
    /// Whole numbers of 64 bits.
    U64(Vec<u64>),
    /// Whole numbers of 64 bits, with a sign.
    I64(Vec<i64>),
    /// Numbers in double precision.
    F64(Vec<f64>),
}

impl GgufValue {
    /// A whole number that is not negative, of whatever type.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            GgufValue::U8(v) => Some(v.into()),
            GgufValue::U16(v) => Some(v.into()),
            GgufValue::U32(v) => Some(v.into()),
            GgufValue::U64(v) => Some(v),
            GgufValue::I8(v) => v.try_into().ok(),
            GgufValue::I16(v) => v.try_into().ok(),
            GgufValue::I32(v) => v.try_into().ok(),
            GgufValue::I64(v) => v.try_into().ok(),
            _ => None,
        }
    }

    /// A number of whatever type. One of single precision is taken as the shortest decimal number that it is the nearest to, so that 1e-5 is 1e-5.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            GgufValue::F32(v) => v.to_string().parse().ok(),
            GgufValue::F64(v) => Some(v),
            GgufValue::I8(v) => Some(v.into()),
            GgufValue::I16(v) => Some(v.into()),
            GgufValue::I32(v) => Some(v.into()),
            GgufValue::I64(v) => Some(v as f64),
            _ => self.as_u64().map(|v| v as f64),
        }
    }

    /// True or false.
    pub fn as_bool(&self) -> Option<bool> {
        if let GgufValue::Bool(v) = self { Some(*v) } else { None }
    }

    /// A text.
    pub fn as_str(&self) -> Option<&str> {
        if let GgufValue::String(v) = self { Some(v) } else { None }
    }

    /// An array.
    pub fn as_array(&self) -> Option<&GgufArray> {
        if let GgufValue::Array(v) = self { Some(v) } else { None }
    }

    /// The texts of an array of texts.
    pub fn as_strings(&self) -> Option<&[String]> {
        if let GgufValue::Array(GgufArray::String(v)) = self { Some(v) } else { None }
    }

    /// The number by which files name the type.
    pub(super) fn code(&self) -> u32 {
        match self {
            GgufValue::U8(_) => 0,
            GgufValue::I8(_) => 1,
            GgufValue::U16(_) => 2,
            GgufValue::I16(_) => 3,
            GgufValue::U32(_) => 4,
            GgufValue::I32(_) => 5,
            GgufValue::F32(_) => 6,
            GgufValue::Bool(_) => 7,
            GgufValue::String(_) => 8,
            GgufValue::Array(_) => 9,
            GgufValue::U64(_) => 10,
            GgufValue::I64(_) => 11,
            GgufValue::F64(_) => 12,
        }
    }
}

impl GgufArray {
    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            GgufArray::U8(v) => v.len(),
            GgufArray::I8(v) => v.len(),
            GgufArray::U16(v) => v.len(),
            GgufArray::I16(v) => v.len(),
            GgufArray::U32(v) => v.len(),
            GgufArray::I32(v) => v.len(),
            GgufArray::F32(v) => v.len(),
            GgufArray::Bool(v) => v.len(),
            GgufArray::String(v) => v.len(),
            GgufArray::Array(v) => v.len(),
            GgufArray::U64(v) => v.len(),
            GgufArray::I64(v) => v.len(),
            GgufArray::F64(v) => v.len(),
        }
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value in a place.
    pub fn get(&self, i: usize) -> Option<GgufValue> {
        Some(match self {
            GgufArray::U8(v) => GgufValue::U8(*v.get(i)?),
            GgufArray::I8(v) => GgufValue::I8(*v.get(i)?),
            GgufArray::U16(v) => GgufValue::U16(*v.get(i)?),
            GgufArray::I16(v) => GgufValue::I16(*v.get(i)?),
            GgufArray::U32(v) => GgufValue::U32(*v.get(i)?),
            GgufArray::I32(v) => GgufValue::I32(*v.get(i)?),
            GgufArray::F32(v) => GgufValue::F32(*v.get(i)?),
            GgufArray::Bool(v) => GgufValue::Bool(*v.get(i)?),
            GgufArray::String(v) => GgufValue::String(v.get(i)?.clone()),
            GgufArray::Array(v) => GgufValue::Array(v.get(i)?.clone()),
            GgufArray::U64(v) => GgufValue::U64(*v.get(i)?),
            GgufArray::I64(v) => GgufValue::I64(*v.get(i)?),
            GgufArray::F64(v) => GgufValue::F64(*v.get(i)?),
        })
    }

    /// The number by which files name the type of the values.
    pub(super) fn code(&self) -> u32 {
        match self {
            GgufArray::U8(_) => 0,
            GgufArray::I8(_) => 1,
            GgufArray::U16(_) => 2,
            GgufArray::I16(_) => 3,
            GgufArray::U32(_) => 4,
            GgufArray::I32(_) => 5,
            GgufArray::F32(_) => 6,
            GgufArray::Bool(_) => 7,
            GgufArray::String(_) => 8,
            GgufArray::Array(_) => 9,
            GgufArray::U64(_) => 10,
            GgufArray::I64(_) => 11,
            GgufArray::F64(_) => 12,
        }
    }
}

macro_rules! from {
    ($($t:ty => $kind:ident),*) => {$(
        impl From<$t> for GgufValue {
            fn from(value: $t) -> Self {
                GgufValue::$kind(value)
            }
        }

        impl From<Vec<$t>> for GgufValue {
            fn from(values: Vec<$t>) -> Self {
                GgufValue::Array(GgufArray::$kind(values))
            }
        }
    )*};
}

from!(u32 => U32, i32 => I32, f32 => F32, bool => Bool, String => String, u64 => U64, f64 => F64);

impl From<&str> for GgufValue {
    fn from(text: &str) -> Self {
        GgufValue::String(text.to_owned())
    }
}

impl std::fmt::Display for GgufValue {
    /// As a setting is written; of an array how many values it has.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            GgufValue::U8(v) => v.fmt(f),
            GgufValue::I8(v) => v.fmt(f),
            GgufValue::U16(v) => v.fmt(f),
            GgufValue::I16(v) => v.fmt(f),
            GgufValue::U32(v) => v.fmt(f),
            GgufValue::I32(v) => v.fmt(f),
            GgufValue::F32(v) => v.fmt(f),
            GgufValue::Bool(v) => v.fmt(f),
            GgufValue::String(v) => write!(f, "{v:?}"),
            GgufValue::Array(v) => write!(f, "an array of {}", v.len()),
            GgufValue::U64(v) => v.fmt(f),
            GgufValue::I64(v) => v.fmt(f),
            GgufValue::F64(v) => v.fmt(f),
        }
    }
}
