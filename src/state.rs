//! Named values: what the parts of a run must keep to be continued.

use crate::bf16::Bf16;
use crate::error::{Error, Result};

/// Arrays by name, in the order in which they were first put.
///
/// Callbacks write their progress into one ([`Callback::save`](crate::Callback::save)) and find it again when a run is resumed.
/// Putting an array of the same name and length again takes no memory.
///
/// ```
/// use gradus::State;
/// let mut state = State::default();
/// state.put("wait", &[3u64]);
/// state.put("best", &[0.25f64]);
/// assert_eq!(state.one::<u64>("wait")?, 3);
/// assert!(state.one::<f64>("wait").is_err());
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    entries: Vec<(String, Value)>,
    /// What is put in front of names; a folder of the part that is now writing.
    prefix: String,
}

/// The first letter of what a checkpoint holds beside weights; no layer's name begins with it.
pub(crate) const CHECKPOINT_PREFIX: char = '@';

/// The largest count that makes sense.
const MAX_COUNT: u64 = 1 << 53;

/// An array of one of the kinds that a file can hold.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Single precision.
    F32(Vec<f32>),
    /// Double precision.
    F64(Vec<f64>),
    /// bfloat16.
    Bf16(Vec<Bf16>),
    /// Counts.
    U64(Vec<u64>),
    /// Bytes: text, flags.
    U8(Vec<u8>),
}

/// A borrowed [`Value`].
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Values<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
    Bf16(&'a [Bf16]),
    U64(&'a [u64]),
    U8(&'a [u8]),
}

#[cfg(feature = "files")]
impl Values<'_> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Values::F32(v) => v.len(),
            Values::F64(v) => v.len(),
            Values::Bf16(v) => v.len(),
            Values::U64(v) => v.len(),
            Values::U8(v) => v.len(),
        }
    }

    /// The bytes of each.
    pub(crate) fn size(&self) -> usize {
        match self {
            Values::F32(_) => 4,
            Values::F64(_) | Values::U64(_) => 8,
            Values::Bf16(_) => 2,
            Values::U8(_) => 1,
        }
    }
}

impl Value {
    /// The values, borrowed.
    #[cfg(feature = "files")]
    pub(crate) fn values(&self) -> Values<'_> {
        match self {
            Value::F32(v) => Values::F32(v),
            Value::F64(v) => Values::F64(v),
            Value::Bf16(v) => Values::Bf16(v),
            Value::U64(v) => Values::U64(v),
            Value::U8(v) => Values::U8(v),
        }
    }
}

/// A kind of number that a [`State`] can hold: `f32`, `f64`, [`Bf16`], `u64` or `u8`.
pub trait Element: Copy + PartialEq + 'static {
    #[doc(hidden)]
    fn value(values: &[Self]) -> Value;

    #[doc(hidden)]
    fn values(values: &[Self]) -> Values<'_>;

    #[doc(hidden)]
    fn of_value(value: &Value) -> Option<&[Self]>;

    #[doc(hidden)]
    fn of_value_mut(value: &mut Value) -> Option<&mut [Self]>;
}

macro_rules! element {
    ($t:ident, $kind:ident) => {
        impl Element for $t {
            fn value(values: &[Self]) -> Value {
                Value::$kind(values.to_vec())
            }

            fn values(values: &[Self]) -> Values<'_> {
                Values::$kind(values)
            }

            fn of_value(value: &Value) -> Option<&[Self]> {
                if let Value::$kind(values) = value { Some(values) } else { None }
            }

            fn of_value_mut(value: &mut Value) -> Option<&mut [Self]> {
                if let Value::$kind(values) = value { Some(values) } else { None }
            }
        }
    };
}

element!(f32, F32);
element!(f64, F64);
element!(Bf16, Bf16);
element!(u64, U64);
element!(u8, U8);

impl State {
    /// Keeps these values under a name, in place of what was there.
    pub fn put<E: Element>(&mut self, name: &str, values: &[E]) {
        let Some((_, value)) = self.entries.iter_mut().find(|(n, _)| n.strip_prefix(&self.prefix) == Some(name)) else {
            return self.entries.push((format!("{}{name}", self.prefix), E::value(values)));
        };
        match E::of_value_mut(value) {
            Some(old) if old.len() == values.len() => old.copy_from_slice(values),
            _ => *value = E::value(values),
        }
    }

    /// Keeps a text under a name.
    pub fn put_text(&mut self, name: &str, text: &str) {
        self.put(name, text.as_bytes());
    }

    /// The values under a name.
    ///
    /// # Errors
    /// [`Error::Config`] if there are none, or of another kind.
    pub fn get<E: Element>(&self, name: &str) -> Result<&[E]> {
        let entry = self.entries.iter().find(|(n, _)| n == name);
        entry.and_then(|(_, value)| E::of_value(value)).ok_or_else(|| self.lacks(name))
    }

    /// The only value under a name.
    ///
    /// # Errors
    /// [`Error::Config`] if there is none, or more than one.
    pub fn one<E: Element>(&self, name: &str) -> Result<E> {
        let &[value] = self.get(name)? else { return Err(self.lacks(name)) };
        Ok(value)
    }

    /// So many counts, of steps, epochs, samples.
    ///
    /// # Errors
    /// [`Error::Config`] if there is another number of them, or one beyond all counting: past 2⁵³.
    pub fn counts<const N: usize>(&self, name: &str) -> Result<[usize; N]> {
        let counts: &[u64; N] = self.get(name)?.try_into().map_err(|_| self.lacks(name))?;
        // So that counting on cannot overflow.
        match counts.iter().all(|&n| n <= MAX_COUNT) {
            true => Ok(counts.map(|n| usize::try_from(n).unwrap_or(usize::MAX))),
            false => Err(self.lacks(name)),
        }
    }

    /// The text under a name.
    ///
    /// # Errors
    /// [`Error::Config`] if there is none.
    pub fn text(&self, name: &str) -> Result<&str> {
        std::str::from_utf8(self.get(name)?).map_err(|_| self.lacks(name))
    }

    /// Runs `f` with every name it puts below `part/`.
    pub fn within(&mut self, part: &str, f: impl FnOnce(&mut State)) {
        let before = self.prefix.len();
        self.prefix += part;
        self.prefix.push('/');
        f(self);
        self.prefix.truncate(before);
    }

    /// What was put within a part, under the names it was put with.
    pub fn part(&self, part: &str) -> State {
        let inside = |name: &str| name.strip_prefix(part)?.strip_prefix('/').map(str::to_owned);
        let entries = self.entries.iter().filter_map(|(name, value)| Some((inside(name)?, value.clone())));
        State { entries: entries.collect(), prefix: String::new() }
    }

    /// All names and values.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), value))
    }

    #[cfg(feature = "files")]
    pub(crate) fn push(&mut self, name: &str, value: Value) {
        self.entries.push((name.to_owned(), value));
    }

    /// Forgets a part.
    #[cfg(feature = "files")]
    pub(crate) fn remove(&mut self, part: &str) {
        self.entries.retain(|(name, _)| name.strip_prefix(part).is_none_or(|rest| !rest.starts_with('/')));
    }

    fn lacks(&self, name: &str) -> Error {
        let problem = format!("the checkpoint has no usable value {name:?}");
        let hint = "resume with the callbacks and metrics, in the same order, that the run began with";
        Error::Config { op: "resume", problem, hint: hint.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_kinds() {
        let mut state = State::default();
        state.within("a", |state| {
            state.put("n", &[1u64]);
            state.within("b", |state| state.put("n", &[2.0f32, 3.0]));
            state.put("n", &[4u64]);
            state.put_text("name", "héllo");
        });
        let a = state.part("a");
        assert_eq!((a.counts("n").unwrap(), a.text("name").unwrap()), ([4], "héllo"));
        assert_eq!(state.part("a/b").get::<f32>("n").unwrap(), [2.0, 3.0]);
        assert_eq!(state.entries().count(), 3);
        // Another kind or length replaces.
        state.put("a/n", &[1.0f64, 2.0]);
        assert_eq!(state.get::<f64>("a/n").unwrap().len(), 2);
        assert!(state.one::<f64>("a/n").is_err() && state.get::<u8>("b").is_err());
        let error = state.counts::<1>("wait").unwrap_err().to_string();
        assert!(error.starts_with("resume: the checkpoint has no usable value \"wait\"; "), "{error}");
    }
}
