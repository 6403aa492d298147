//! Memory of values that are computed with.

use std::ops::{Deref, DerefMut};

use crate::kernels::pages;

/// Bytes of a cache line, and of the largest vector register.
const LINE: usize = 64;

/// Values one after the other. Memory that [`resize`](Self::resize) takes begins at a cache line: large buffers of the system's allocator
/// begin 16 bytes behind one, so that every load of 64 bytes would touch two.
pub(crate) struct Aligned<T> {
    /// Up to a line of zeros, then the values.
    memory: Vec<T>,
    start: usize,
}

impl<T: Copy> Aligned<T> {
    /// So many zeros, in memory that the system gives as zeros: nothing is written until values are.
    pub fn zeros(len: usize) -> Self
    where
        T: Default,
    {
        let mut memory = vec![T::default(); len.saturating_add(LINE / size_of::<T>())];
        pages::prefer_large(&mut memory);
        let start = memory.as_ptr().align_offset(LINE).min(LINE / size_of::<T>());
        memory.truncate(start + len);
        Aligned { memory, start }
    }

    /// As many values as are asked for; new ones are `zero`. Takes no memory where there is enough.
    pub fn resize(&mut self, len: usize, zero: T) {
        if self.start.saturating_add(len) > self.memory.capacity() {
            self.memory.reserve_exact(Self::more(len, self.memory.len()));
            self.align(zero);
        }
        self.memory.resize(self.start + len, zero);
    }

    /// [`resize`](Self::resize)'s room for so many values in all; false where there is no memory.
    pub fn try_reserve(&mut self, len: usize, zero: T) -> bool {
        if self.start.saturating_add(len) > self.memory.capacity() {
            if self.memory.try_reserve_exact(Self::more(len, self.memory.len())).is_err() {
                return false;
            }
            self.align(zero);
        }
        true
    }

    /// What is to be added to `held` for a length and a line before it.
    fn more(len: usize, held: usize) -> usize {
        len.saturating_add(LINE / size_of::<T>()).saturating_sub(held)
    }

    /// Moves the values to the first line of memory that has been taken anew.
    fn align(&mut self, zero: T) {
        pages::prefer_large(self.memory.spare_capacity_mut());
        let (len, from) = (self.len(), self.start);
        let start = self.memory.as_ptr().align_offset(LINE).min(LINE / size_of::<T>());
        if start != from {
            self.memory.resize(start.max(from) + len, zero);
            self.memory.copy_within(from..from + len, start);
            self.memory.truncate(start + len);
            self.start = start;
        }
    }

    /// The values as a vector: the memory itself, moved to its front where they begin behind it.
    pub fn into_vec(mut self) -> Vec<T> {
        self.memory.drain(..self.start);
        self.memory
    }
}

impl<T> Default for Aligned<T> {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl<T> From<Vec<T>> for Aligned<T> {
    fn from(memory: Vec<T>) -> Self {
        Aligned { memory, start: 0 }
    }
}

impl<T> FromIterator<T> for Aligned<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Vec::from_iter(values).into()
    }
}

impl<T: Clone> Clone for Aligned<T> {
    fn clone(&self) -> Self {
        self.to_vec().into()
    }
}

impl<T: PartialEq> PartialEq for Aligned<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        self.memory.get(self.start..).unwrap_or_default()
    }
}

impl<T> DerefMut for Aligned<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        self.memory.get_mut(self.start..).unwrap_or_default()
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Aligned<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_begins_at_a_line_and_is_kept() {
        let mut values = Aligned::from(vec![1.0f32, 2.0]);
        for len in [3, 100, 70_000] {
            values.resize(len, 0.0);
            assert!((values.as_ptr() as usize).is_multiple_of(LINE) && values.len() == len);
            assert_eq!(values[..3], [1.0, 2.0, 0.0]);
        }
        let at = values.as_ptr();
        values.resize(5, 0.0);
        values.resize(70_000, 0.0);
        assert_eq!(values.as_ptr(), at);
        values.resize(4, 0.0);
        assert_eq!(values.clone().into_vec(), [1.0, 2.0, 0.0, 0.0]);
        assert_eq!(values.into_vec(), [1.0, 2.0, 0.0, 0.0]);
        // Two values can be handed on without a copy.
        let vec = vec![1.0f64, 2.0];
        let at = vec.as_ptr();
        let vec = Aligned::from(vec).into_vec();
        assert_eq!(vec.as_ptr(), at);
    }

    #[test]
    fn room_that_no_machine_has() {
        let mut values = Aligned::from(vec![1.0f32]);
        values.resize(2, 0.0);
        assert!(!values.try_reserve(usize::MAX, 0.0) && values[..] == [1.0, 0.0]);
    }
}
