//! How much a rendering may do.

use super::failure::Outcome;

/// Steps whatever is rendered, and for each byte of what is rendered: a fraction of a second.
const STEPS: u64 = 2_000_000;
const STEPS_PER_BYTE: u64 = 100;
/// Bytes that may be made, all together, and for each byte of what is rendered. Chats whose templates gather their text in a variable
/// make the square of it.
const BYTES: u64 = 32 << 20;
const BYTES_PER_BYTE: u64 = 256;
/// How many bytes of a string a step looks at.
const SEEN_BY_A_STEP: usize = 64;
/// What a value takes beside its text.
const VALUE_BYTES: usize = 32;
/// Levels of lists within lists.
pub const MOST_LEVELS: u32 = 40;
/// Bodies, expressions and macros within each other: a stack of 2 MiB, as threads have, holds them also without optimisation.
pub const MOST_NESTED: u32 = 250;
/// Macros that call each other.
pub const MOST_CALLS: u32 = 24;

/// What is left of steps and bytes. What is freed again is not given back, so that memory is bounded by the bytes.
#[derive(Debug)]
pub struct Budget {
    steps: u64,
    bytes: u64,
}

impl Budget {
    /// For variables of so many bytes.
    pub fn new(bytes: u64) -> Self {
        Budget {
            steps: STEPS.saturating_add(bytes.saturating_mul(STEPS_PER_BYTE)),
            bytes: BYTES.saturating_add(bytes.saturating_mul(BYTES_PER_BYTE)),
        }
    }

    pub fn step(&mut self) -> Outcome<()> {
        self.steps(1)
    }

    pub fn steps(&mut self, steps: usize) -> Outcome<()> {
        match self.steps.checked_sub(steps as u64) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => Err("the template takes too many steps for what it is given".into()),
        }
    }

    /// A string of so many bytes is looked through.
    pub fn look(&mut self, bytes: usize) -> Outcome<()> {
        self.steps(bytes / SEEN_BY_A_STEP)
    }

    /// A string of so many bytes is about to be made.
    pub fn make(&mut self, bytes: usize) -> Outcome<()> {
        self.look(bytes)?;
        match self.bytes.checked_sub(bytes as u64) {
            Some(left) => {
                self.bytes = left;
                Ok(())
            }
            None => Err("the template makes too much text for what it is given".into()),
        }
    }

    /// A list of so many values is about to be made.
    pub fn make_values(&mut self, values: usize) -> Outcome<()> {
        self.steps(values)?;
        self.make(values.saturating_mul(VALUE_BYTES))
    }
}
